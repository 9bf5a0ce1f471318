//! The rendering: turns an ordered revision into a print-ready file, and hands it to the facility.

use crate::book;
use async_trait::async_trait;
use printmill_backend::{BackendError, Blobs, Change, Database};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Versioned;
use printmill_domain::asset::BlobRef;
use printmill_domain::catalogue::product;
use printmill_domain::ids::{ItemId, MerchantId, OrderId, PrintJobId};
use printmill_domain::order::Order;
use printmill_domain::order_command::{OrderCommand, RENDER};
use printmill_domain::print::{Print, Revision};
use printmill_domain::print_job::{PrintJob, PrintJobCommand};
use printmill_domain::problem::{Code, Problem};
use printmill_engine::budget::{MemoryBudget, Share};
use printmill_engine::handler::{Failure, Handler, NeededFile, Needs, Work};
use printmill_press::needs_whole_pixels;
use printmill_press::photobook::{Book, RenderError, Rendered};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// The largest print-ready file, in bytes.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Renders print-ready files.
pub struct Render {
    database: Arc<dyn Database>,
    blobs: Blobs,
    spool: PathBuf,
    memory: MemoryBudget,
}

impl Render {
    /// Renders with pictures of a store, within the memory that the process may take for that.
    /// `spool` is a directory for files that are being made.
    pub fn new(
        database: Arc<dyn Database>,
        blobs: Blobs,
        spool: PathBuf,
        memory: MemoryBudget,
    ) -> Self {
        Self { database, blobs, spool, memory }
    }

    async fn order(&self, work: &Work) -> Result<Versioned<Order>, Failure> {
        work.load(self.database.as_ref(), work.id::<OrderId>("order")?).await
    }

    /// The book of the ordered revision, and where its pictures are.
    async fn book(&self, work: &Work) -> Result<(Book, BTreeMap<String, BlobRef>), Failure> {
        let item: ItemId = work.id("item")?;
        let order = self.order(work).await?;
        let line = order.item(item)?.line.clone();
        let print: Versioned<Print> = work.load(self.database.as_ref(), line.print).await?;
        let revision: &Revision = print.revision(Some(line.revision))?;
        let sources = revision.sources.values();
        let blobs = sources.map(|source| (source.blob.sha256.clone(), source.blob.clone()));
        Ok((book::book(print.id, revision, product(&revision.sku)?), blobs.collect()))
    }
}

#[async_trait]
impl Handler for Render {
    fn kind(&self) -> &'static str {
        RENDER
    }

    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        let (book, pictures) = self.book(work).await?;
        let press = Press {
            blobs: self.blobs.clone(),
            merchant: work.ticket.merchant,
            pictures,
            runtime: tokio::runtime::Handle::current(),
            memory: self.memory.clone(),
        };
        let (spool, reporter) = (self.spool.clone(), work.clone());
        let pressed = tokio::task::spawn_blocking(move || press.run(&book, &spool, &reporter));
        let (file, rendered) = pressed.await.map_err(|error| {
            tracing::error!(%error, "rendering broke off");
            Failure::passing(failed("the press broke off by a fault of the program"))
        })??;
        let reader = tokio::fs::File::from_std(file);
        let stream = tokio_util::io::ReaderStream::with_capacity(reader, 256 * 1024);
        let blob = self.blobs.put_stream(work.ticket.merchant, stream, FILE_BYTES_MAX).await?;
        tracing::info!(
            pages = rendered.pages,
            bytes = rendered.bytes,
            passed_through = rendered.passed_through,
            sha256 = %blob.sha256,
            "file rendered"
        );
        Ok(json!(blob))
    }

    async fn decide(
        &self,
        work: &Work,
        performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure> {
        let (item, job): (ItemId, PrintJobId) = (work.id("item")?, work.id("job")?);
        let file: BlobRef = serde_json::from_value(performed.clone())
            .map_err(|_| Failure::passing(failed("the rendered file has no name")))?;
        let order = self.order(work).await?;
        let job: Versioned<PrintJob> = work.load(self.database.as_ref(), job).await?;
        let ordered = order.decide(OrderCommand::RecordFile { item, file: file.clone() }, now)?;
        let attached = job.decide(PrintJobCommand::Attach(file), now)?;
        Ok(Change::new(work.ticket.merchant, now).update(&order, ordered).update(&job, attached))
    }

    fn is_open(&self) -> bool {
        true
    }

    async fn needs(&self, work: &Work) -> Result<Needs, Failure> {
        let item: ItemId = work.id("item")?;
        let line = self.order(work).await?.item(item)?.line.clone();
        let print: Versioned<Print> = work.load(self.database.as_ref(), line.print).await?;
        let revision = print.revision(Some(line.revision))?;
        let files = revision.sources.iter().map(|(asset, source)| NeededFile {
            name: asset.to_string(),
            blob: source.blob.clone(),
            media_type: "application/octet-stream".into(),
        });
        Ok(Needs { files: files.collect(), details: json!({ "revision": revision }) })
    }

    async fn accept(&self, work: &Work, answer: Value) -> Result<Value, Problem> {
        let wrong = |why| Problem::invalid_field("result", why);
        let file: BlobRef = serde_json::from_value(answer).map_err(|_| {
            wrong("must have 'sha256' and 'size', as the upload of the file answered them")
        })?;
        let stored = self.blobs.size(work.ticket.merchant, &file.sha256).await?;
        if stored != Some(file.size) {
            return Err(wrong("names a file that was not uploaded for this merchant"));
        }
        Ok(json!(file))
    }

    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        let item: ItemId = work.id("item").map_err(|failure| failure.problem)?;
        let order = self.order(work).await.map_err(|failure| failure.problem)?;
        let command = OrderCommand::RaiseIssue { item, problem: problem.clone() };
        let raised = order.decide(command, now)?;
        Ok(Change::new(work.ticket.merchant, now).update(&order, raised))
    }
}

/// The synchronous part: one book, one file.
struct Press {
    blobs: Blobs,
    merchant: MerchantId,
    pictures: BTreeMap<String, BlobRef>,
    runtime: tokio::runtime::Handle,
    memory: MemoryBudget,
}

impl Press {
    fn run(
        &self,
        book: &Book,
        spool: &std::path::Path,
        work: &Work,
    ) -> Result<(File, Rendered), Failure> {
        let file = tempfile::tempfile_in(spool).map_err(|error| unwritable(&error))?;
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        // What the picture at hand takes of the budget; the press drops one before the next.
        let mut shares = vec![];
        let mut sources = |key: &str| {
            shares.clear();
            self.open(key, &mut shares)
        };
        let rendered = printmill_press::render(book, &mut sources, &mut out, &mut |progress| {
            let thousandths = progress.page * 1000 / progress.pages.max(1);
            work.report(u16::try_from(thousandths).unwrap_or(1000));
            if work.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let rendered = rendered.map_err(failure)?;
        out.flush().map_err(|error| unwritable(&error))?;
        let mut file = out.into_inner().map_err(|error| unwritable(error.error()))?;
        file.rewind().map_err(|error| unwritable(&error))?;
        Ok((file, rendered))
    }

    fn open(&self, key: &str, shares: &mut Vec<Share>) -> std::io::Result<Vec<u8>> {
        let blob = self.pictures.get(key).ok_or(std::io::ErrorKind::NotFound)?;
        self.runtime.block_on(async {
            shares.push(self.memory.hold(blob.size).await);
            let read = self.blobs.read(self.merchant, blob).await;
            let bytes = read.map_err(std::io::Error::other)?;
            if needs_whole_pixels(&bytes) {
                shares.push(self.memory.heavy_turn().await);
            }
            Ok(bytes.into())
        })
    }
}

fn failure(error: RenderError) -> Failure {
    let retryable = error.is_retryable() || matches!(error, RenderError::Cancelled { .. });
    tracing::warn!(error = &error as &dyn std::error::Error, code = error.code(), "render failed");
    if let Some(away) = store_failure(&error) {
        return Failure::passing(away);
    }
    match error {
        RenderError::Write(error) => unwritable(&error),
        error if retryable => Failure::passing(failed(&with_cause(&error))),
        error => Failure::hopeless(failed(&with_cause(&error))),
    }
}

/// What the store said of a picture, if it is the store that is at fault and not the picture.
fn store_failure(error: &RenderError) -> Option<Problem> {
    let RenderError::Source { source, .. } = error else { return None };
    let said: &BackendError = source.get_ref()?.downcast_ref()?;
    Some(Problem::from(said)).filter(|problem| problem.code.is_outage())
}

fn with_cause(error: &RenderError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn failed(message: &str) -> Problem {
    Problem::new(
        Code::RenderFailed,
        format!("the print-ready file could not be made: {message}"),
        "look at the pictures of the design; revise it and order again if one is damaged",
    )
}

fn unwritable(error: &std::io::Error) -> Failure {
    tracing::warn!(%error, "spool cannot be written to");
    let full =
        matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    Failure::passing(if full {
        Problem::new(
            Code::StorageFull,
            "there is no space left to make the file",
            "free space in the data directory; it is tried again",
        )
    } else {
        Problem::new(
            Code::StorageReadOnly,
            "the file that is being made cannot be written",
            "make the data directory writable for the node's user; it is tried again",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_backend::Fault;

    #[test]
    fn a_store_that_is_away_is_not_held_against_the_work() {
        let codes = [
            (Fault::Unavailable, Code::Unavailable),
            (Fault::Full, Code::StorageFull),
            (Fault::NotFound, Code::RenderFailed),
            (Fault::Corrupt, Code::RenderFailed),
        ];
        for (fault, code) in codes {
            let said = BackendError::new(fault, "s3", "read a blob", "no");
            let source = std::io::Error::other(said);
            let found = failure(RenderError::Source { key: "picture".into(), source });
            assert_eq!((found.problem.code, found.hopeless), (code, false), "{fault:?}");
        }
    }
}
