//! What came of a check: for people as aligned text, for scripts as JSON.

use super::Kind;
use super::advice::notes;
use crate::config::Settings;
use crate::failure::Failure;
use crate::setup::{self, Finding, Setup};
use console::style;
use printmill_backend::blobs::BlobsCaps;
use printmill_backend::database::DatabaseCaps;
use printmill_backend::queue::QueueCaps;
use serde::Serialize;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ended", content = "detail", rename_all = "snake_case")]
pub(super) enum Ending {
    /// It passed.
    Passed,
    /// It passed when it was tried again; why it failed first.
    PassedAgain(String),
    /// It failed, and why.
    Failed(String),
    /// It was not run, and why.
    NotRun(String),
}

impl Ending {
    /// Whether the backend keeps what the case is about.
    pub(super) fn passed(&self) -> bool {
        matches!(self, Ending::Passed | Ending::PassedAgain(_))
    }
}

/// A case and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CaseReport {
    /// Its topic and name.
    pub(super) name: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub(super) ending: Ending,
}

/// What a backend says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caps {
    /// A database.
    Database(DatabaseCaps),
    /// A queue.
    Queue(QueueCaps),
    /// A store of files, and whether it signs links.
    Blobs {
        /// What it says.
        caps: BlobsCaps,
        /// Whether it signs links.
        signs: bool,
    },
    /// A payment gateway, by name.
    Payments(&'static str),
}

/// What came of a backend.
#[derive(Debug, Clone)]
pub(super) struct BackendReport {
    pub(super) backend: Kind,
    /// Its address, without secrets.
    pub(super) address: String,
    pub(super) passed: bool,
    pub(super) seconds: f64,
    /// Nothing where it could not be opened.
    pub(super) caps: Option<Caps>,
    pub(super) cases: Vec<CaseReport>,
    /// What could not be taken out again.
    pub(super) left: Vec<String>,
    /// Why it could not be opened.
    pub(super) error: Option<Failure>,
}

/// A backend as scripts see it.
#[derive(Debug, Serialize)]
struct Shown {
    backend: Kind,
    address: String,
    passed: bool,
    seconds: f64,
    cases: Vec<CaseReport>,
    emulated: Vec<String>,
    advice: Vec<String>,
    left: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// What came of everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether all is well.
    pub(super) passed: bool,
    /// What the namespace was called.
    namespace: String,
    backends: Vec<Shown>,
    /// What is to be said of the backends and settings together.
    findings: Vec<Finding>,
}

impl Report {
    /// Puts together what was found.
    pub(super) fn new(
        namespace: String,
        checked: Vec<BackendReport>,
        settings: &Settings,
        mut findings: Vec<Finding>,
    ) -> Self {
        let caps = |kind: Kind| checked.iter().find(|one| one.backend == kind)?.caps.as_ref();
        let database = match caps(Kind::Database) {
            Some(Caps::Database(caps)) => Some(caps),
            _ => None,
        };
        let queue = match caps(Kind::Queue) {
            Some(Caps::Queue(caps)) => Some(caps),
            _ => None,
        };
        findings.extend(setup::of_backends(&Setup { settings, database, queue }));
        let backends: Vec<Shown> = checked.into_iter().map(shown).collect();
        let passed = backends.iter().all(|one| one.passed)
            && findings.iter().all(|finding| !finding.refused);
        Self { passed, namespace, backends, findings }
    }

    /// What did not pass, by setting or rule.
    pub(super) fn failed(&self) -> Vec<&'static str> {
        let backends = self.backends.iter().filter(|one| !one.passed);
        let rules = self.findings.iter().filter(|finding| finding.refused);
        backends.map(|one| one.backend.setting()).chain(rules.map(|it| it.rule)).collect()
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut page = Page::default();
        for backend in &self.backends {
            page.backend(backend);
        }
        if !self.findings.is_empty() {
            page.lines.push(style("all together").bold().to_string());
        }
        for Finding { refused, message, advice, .. } in &self.findings {
            page.row(if *refused { Label::Failed } else { Label::Advice }, message);
            page.row(Label::None, &format!("{}: {advice}", style("help").bold()));
        }
        page.lines.join("\n").trim_end().to_owned()
    }
}

fn shown(report: BackendReport) -> Shown {
    let BackendReport { backend, address, passed, seconds, caps, cases, left, error } = report;
    let notes = caps.map(|caps| notes(&caps, &address)).unwrap_or_default();
    let seconds = (seconds * 10.0).round() / 10.0;
    let (emulated, advice) = (notes.emulated, notes.advice);
    Shown { backend, address, passed, seconds, cases, emulated, advice, left, error }
}

/// What stands before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Passed,
    Failed,
    Emulated,
    Advice,
    Left,
    None,
}

impl Label {
    fn shown(self) -> String {
        // Padded before it is coloured: what colours is not seen.
        match self {
            Label::Passed => style("passed   ").green().to_string(),
            Label::Failed => style("FAILED   ").red().bold().to_string(),
            Label::Emulated => style("emulated ").cyan().to_string(),
            Label::Advice => style("advice   ").yellow().to_string(),
            Label::Left => style("left     ").yellow().to_string(),
            Label::None => "         ".into(),
        }
    }
}

/// Lines of text, with labels in a column of their own.
#[derive(Default)]
struct Page {
    lines: Vec<String>,
}

impl Page {
    fn row(&mut self, label: Label, text: &str) {
        for (number, line) in wrapped(text).into_iter().enumerate() {
            let label = if number == 0 { label } else { Label::None };
            self.lines.push(format!("  {}{line}", label.shown()).trim_end().to_owned());
        }
    }

    fn rows(&mut self, label: Label, texts: &[String]) {
        for (number, text) in texts.iter().enumerate() {
            self.row(if number == 0 { label } else { Label::None }, text);
        }
    }

    fn backend(&mut self, of: &Shown) {
        let name = style(format!("{:9}", of.backend.setting())).bold();
        self.lines.push(format!("{name}  {}", of.address));
        if let Some(error) = &of.error {
            self.row(Label::Failed, &error.message);
            for cause in &error.causes {
                self.row(Label::None, &format!("because: {cause}"));
            }
            self.row(Label::None, &format!("{}: {}", style("help").bold(), error.advice));
        } else {
            self.cases(of);
        }
        self.rows(Label::Emulated, &of.emulated);
        self.rows(Label::Advice, &of.advice);
        self.rows(Label::Left, &of.left);
        self.lines.push(String::new());
    }

    fn cases(&mut self, of: &Shown) {
        let good = of.cases.iter().filter(|case| case.ending.passed()).count();
        let all = of.cases.len();
        let (label, count) = match of.passed {
            true => (Label::Passed, good),
            false => (Label::Failed, all - good),
        };
        let text = match all {
            0 => "it can be opened; no case is safe to run".into(),
            _ => format!("{count} of {all} cases, in {:.1} s", of.seconds),
        };
        self.row(label, &text);
        for CaseReport { name, ending } in &of.cases {
            match ending {
                Ending::Passed => {}
                Ending::PassedAgain(why) => {
                    self.row(Label::None, &format!("{name}: at the second try; first: {why}"));
                }
                Ending::Failed(why) => self.row(Label::None, &format!("{name}: {why}")),
                Ending::NotRun(why) => self.row(Label::None, &format!("{name}: not run: {why}")),
            }
        }
    }
}

/// How long lines are at most, labels left out; a word that is longer stays whole.
const COLUMNS: usize = 88;

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        let used = console::measure_text_width(line);
        if used > 0 && used + 1 + console::measure_text_width(word) > COLUMNS {
            lines.push(word.to_owned());
        } else {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests;
