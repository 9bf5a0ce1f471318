//! How a command fails: `error[CODE]: what happened`, what to do, and the page that says more.

use crate::output;
use printmill_backend::{BackendError, Fault};
use printmill_client::{ClientError, FieldViolation};
use printmill_domain::problem::{Code, Problem};
use serde::Serialize;
use std::path::Path;

/// What went wrong, for people and for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// The stable name.
    pub(crate) code: String,
    /// One sentence: what happened.
    pub(crate) message: String,
    /// One sentence: what to do.
    pub(crate) advice: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) violations: Vec<FieldViolation>,
    /// What lies behind it, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
}

/// What commands return.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with what happened and what to do.
    pub(crate) fn new(code: Code, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code: code.text().into(),
            message: message.into(),
            advice: advice.into(),
            violations: vec![],
            causes: vec![],
        }
    }

    /// A setting is wrong.
    pub(crate) fn configuration(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Code::ConfigurationInvalid, message, advice)
    }

    /// A file or folder of the node or the user could not be used.
    pub(crate) fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let (code, advice) = match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
                Code::StorageReadOnly,
                "make it writable for this user, or choose another folder with --data",
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                (Code::StorageFull, "free some space, then try again")
            }
            ErrorKind::NotFound => (Code::NotFound, "check the path"),
            _ => (Code::Internal, "check the path and try again"),
        };
        Self::new(code, format!("cannot {doing} {}: {error}", path.display()), advice)
    }

    /// A backend that a setting names did not work at start.
    pub(crate) fn backend(setting: &str, address: &str, error: &BackendError) -> Self {
        let causes = chain(error);
        let (code, advice) = match error.fault {
            Fault::ReadOnly => (
                Code::StorageReadOnly,
                format!("make it writable for this user, or point '{setting}' somewhere else"),
            ),
            Fault::Full => {
                (Code::StorageFull, format!("free some space, or point '{setting}' somewhere else"))
            }
            _ => (
                Code::ConfigurationInvalid,
                format!("check the setting '{setting}', and that what it points to works"),
            ),
        };
        let address = crate::config::without_password(address);
        let message = format!("'{setting}' = {address} cannot be used: {error}");
        Self { causes, ..Self::new(code, message, advice) }
    }

    /// Prints it to standard error.
    pub(crate) fn report(&self, json: bool) {
        if json {
            let mut error = serde_json::json!(self);
            error["page"] = self.page().into();
            output::error_line(&serde_json::json!({ "error": error }).to_string());
            return;
        }
        let red = console::Style::new().for_stderr().red().bold();
        let bold = console::Style::new().for_stderr().bold();
        let label = red.apply_to(format!("error[{}]", self.code));
        output::error_line(&format!("{label}: {}", self.message));
        for violation in &self.violations {
            output::error_line(&format!("  {}: {}", violation.field, violation.description));
        }
        for cause in &self.causes {
            output::error_line(&format!("  because: {cause}"));
        }
        if !self.advice.is_empty() {
            output::error_line(&format!("  {}: {}", bold.apply_to("help"), self.advice));
        }
        output::error_line(&format!("  {}: {}", bold.apply_to("page"), self.page()));
    }

    fn page(&self) -> String {
        format!("docs/errors/{}.md", self.code)
    }
}

/// What lies behind an error.
pub(crate) fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = vec![];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.dedup();
    causes
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let ClientError { code, message, advice, violations, .. } = error;
        Self { code, message, advice, violations, causes: vec![] }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let violations = problem.violations.into_iter().map(|violation| FieldViolation {
            field: violation.field,
            description: violation.description,
        });
        Self {
            violations: violations.collect(),
            ..Self::new(problem.code, problem.message, problem.advice)
        }
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let mut causes = chain(&error);
        causes.insert(0, error.to_string());
        Self { causes, ..Problem::from(&error).into() }
    }
}
