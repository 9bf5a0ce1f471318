//! The inspection: is an uploaded file really a picture, and a whole one?

use async_trait::async_trait;
use printmill_backend::{Blobs, Change, Database};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Versioned;
use printmill_domain::asset::{Asset, AssetCommand, BlobRef, INSPECT, Picture};
use printmill_domain::ids::AssetId;
use printmill_domain::problem::{Code, Problem};
use printmill_engine::budget::MemoryBudget;
use printmill_engine::handler::{Failure, Handler, NeededFile, Needs, Work};
use printmill_press::{InspectError, Inspection, Limits, needs_whole_pixels};
use serde_json::{Value, json};
use std::io::Cursor;
use std::sync::Arc;

/// Inspects uploaded files, within the memory that the process may take for that.
pub struct Inspect {
    database: Arc<dyn Database>,
    blobs: Blobs,
    memory: MemoryBudget,
}

impl Inspect {
    /// Inspects files of a store; verdicts go to a database.
    pub fn new(database: Arc<dyn Database>, blobs: Blobs, memory: MemoryBudget) -> Self {
        Self { database, blobs, memory }
    }

    async fn asset(&self, work: &Work) -> Result<Versioned<Asset>, Failure> {
        work.load(self.database.as_ref(), work.id::<AssetId>("asset")?).await
    }
}

#[async_trait]
impl Handler for Inspect {
    fn kind(&self) -> &'static str {
        INSPECT
    }

    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        let asset = self.asset(work).await?;
        let Some(blob) = asset.blob.clone() else {
            let message = format!("{} has no file", asset.id);
            return Err(Failure::hopeless(Problem::invalid_state(message, "upload the file")));
        };
        let share = self.memory.hold(blob.size).await;
        let bytes = self.blobs.read(work.ticket.merchant, &blob).await?;
        let turn = match needs_whole_pixels(&bytes) {
            true => Some(self.memory.heavy_turn().await),
            false => None,
        };
        let looked = tokio::task::spawn_blocking(move || {
            let verdict = printmill_press::inspect(&mut Cursor::new(bytes), &Limits::default());
            drop((turn, share));
            verdict
        });
        let verdict = looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "inspection broke off");
            Err(InspectError::NotAnImage)
        });
        match verdict {
            Ok(found) => Ok(json!({ "picture": picture(&found) })),
            Err(error) if error.is_retryable() => Err(Failure::passing(Problem::new(
                Code::Unavailable,
                "the file could not be read",
                "nothing needs to be done; it is tried again",
            ))),
            Err(error) => Ok(json!({ "problem": rejection(&error, &blob) })),
        }
    }

    async fn decide(
        &self,
        work: &Work,
        performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure> {
        let before = self.asset(work).await?;
        let command = verdict(performed);
        let decided = before.decide(command, now)?;
        Ok(Change::new(work.ticket.merchant, now).update(&before, decided))
    }

    fn is_open(&self) -> bool {
        true
    }

    async fn needs(&self, work: &Work) -> Result<Needs, Failure> {
        let asset = self.asset(work).await?;
        let file = asset.blob.clone().map(|blob| NeededFile {
            name: "file".into(),
            blob,
            media_type: "application/octet-stream".into(),
        });
        Ok(Needs { files: file.into_iter().collect(), details: Value::Null })
    }

    async fn accept(&self, work: &Work, answer: Value) -> Result<Value, Problem> {
        let _ = work;
        let picture = serde_json::from_value::<Picture>(answer["picture"].clone());
        let problem = serde_json::from_value::<Problem>(answer["problem"].clone());
        match (picture, problem) {
            (Ok(picture), Err(_)) if picture.is_plausible() => Ok(json!({ "picture": picture })),
            (Err(_), Ok(problem)) => Ok(json!({ "problem": problem })),
            _ => Err(Problem::invalid_field(
                "result",
                "must have either 'picture' (media_type, width, height, orientation, \
                 has_icc_profile) or 'problem' (code, message, advice)",
            )),
        }
    }

    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        let before = self.asset(work).await.map_err(|failure| failure.problem)?;
        let decided = before.decide(AssetCommand::Reject(problem.clone()), now)?;
        Ok(Change::new(work.ticket.merchant, now).update(&before, decided))
    }
}

fn verdict(performed: &Value) -> AssetCommand {
    if let Ok(picture) = serde_json::from_value(performed["picture"].clone()) {
        return AssetCommand::Accept(picture);
    }
    let problem = serde_json::from_value(performed["problem"].clone());
    AssetCommand::Reject(problem.unwrap_or_else(|_| {
        Problem::new(Code::Internal, "the file could not be inspected", "upload it again")
    }))
}

fn picture(found: &Inspection) -> Picture {
    let (width, height) = found.seen();
    Picture {
        media_type: found.media_type().to_owned(),
        width,
        height,
        orientation: found.orientation.exif(),
        has_icc_profile: found.has_icc,
        captured_at: found.captured_at.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string()),
    }
}

/// What the merchant reads about a file that is not usable.
fn rejection(error: &InspectError, blob: &BlobRef) -> Problem {
    let again = "upload the file again, or export it anew from where it came from";
    let (code, message, advice) = match error {
        InspectError::NotAnImage => (
            Code::AssetNotAnImage,
            "the file is no picture that can be printed".to_owned(),
            "upload a JPEG or PNG file",
        ),
        InspectError::Truncated { format, .. } => (
            Code::AssetTruncated,
            format!("the {format} file ends too early, after {} bytes", blob.size),
            again,
        ),
        InspectError::TooManyPixels { width, height, max_pixels } => (
            Code::AssetTooManyPixels,
            format!("the picture has {width} × {height} pixels, more than {max_pixels}"),
            "upload a smaller version; 60 megapixels are plenty for any page",
        ),
        InspectError::Damaged { format, what } => {
            (Code::AssetDamaged, format!("the {format} file is damaged: {what}"), again)
        }
        InspectError::Unsupported { what } => (
            Code::AssetUnsupported,
            format!("this kind of picture cannot be printed: {what}"),
            "save it as an ordinary 8-bit JPEG or PNG",
        ),
        _ => (Code::AssetDamaged, "the file cannot be used".to_owned(), again),
    };
    Problem::new(code, message, advice)
}
