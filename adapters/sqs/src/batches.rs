//! Deletes and changes of visibility, ten to a request: what waits while others are under way
//! goes together, and nothing waits for company.

use crate::error::Refusal;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry as VisibilityEntry,
    DeleteMessageBatchRequestEntry as DeleteEntry,
};
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::queue::SettleError;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// The most entries of a request.
pub(crate) const ENTRIES_MAX: usize = 10;
/// Requests under way at once.
const REQUESTS_MAX: usize = 16;
/// Changes that may wait; beyond it, callers wait to be let in.
const WAITING_MAX: usize = 1024;

/// What is to become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done.
    Deleted,
    /// It is seen again after so many seconds.
    Visible(i32),
}

struct Change {
    url: Arc<str>,
    handle: String,
    fate: Fate,
    answer: oneshot::Sender<Result<(), SettleError>>,
}

/// Collects changes and sends them.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    changes: mpsc::Sender<Change>,
}

impl Batches {
    /// Starts the task that sends them; it ends with the last handle.
    pub(crate) fn start(client: Client) -> Self {
        let (changes, arriving) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(client, arriving));
        Self { changes }
    }

    /// Settles a delivery.
    pub(crate) async fn settle(
        &self,
        url: Arc<str>,
        handle: String,
        fate: Fate,
    ) -> Result<(), SettleError> {
        let gone = || {
            let detail = "its task has ended";
            BackendError::new(Fault::Unavailable, crate::error::SQS, "settle a message", detail)
        };
        let (answer, answered) = oneshot::channel();
        let change = Change { url, handle, fate, answer };
        self.changes.send(change).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone().into()))
    }
}

async fn run(client: Client, mut arriving: mpsc::Receiver<Change>) {
    let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut waiting = vec![];
    loop {
        let Ok(place) = requests.clone().acquire_owned().await else { return };
        if waiting.is_empty() && arriving.recv_many(&mut waiting, WAITING_MAX).await == 0 {
            return;
        }
        while let Ok(change) = arriving.try_recv() {
            waiting.push(change);
        }
        let batch = next_batch(&mut waiting);
        let client = client.clone();
        tokio::spawn(async move {
            send(&client, batch).await;
            drop(place);
        });
    }
}

/// The oldest change, and up to nine others that can go with it.
fn next_batch(waiting: &mut Vec<Change>) -> Vec<Change> {
    let key = |change: &Change| (change.url.clone(), change.fate == Fate::Deleted);
    let Some(first) = waiting.first().map(key) else { return vec![] };
    let mut taken = 0;
    let with = |change: &mut Change| {
        let goes = taken < ENTRIES_MAX && key(change) == first;
        taken += usize::from(goes);
        goes
    };
    waiting.extract_if(.., with).collect()
}

async fn send(client: &Client, batch: Vec<Change>) {
    let Some(first) = batch.first() else { return };
    let (url, deleted) = (first.url.to_string(), first.fate == Fate::Deleted);
    let failed = match deleted {
        true => delete(client, url, &batch).await,
        false => change_visibility(client, url, &batch).await,
    };
    for (place, change) in batch.into_iter().enumerate() {
        let answer = match &failed {
            Ok(failed) => failed.get(&place.to_string()).map_or(Ok(()), Failed::settle),
            Err(failed) => failed.settle(),
        };
        // Who asked may be gone.
        let _ = change.answer.send(answer);
    }
}

/// Why a change was not made.
#[derive(Debug, Clone)]
enum Failed {
    Lost,
    Backend { fault: Fault, said: String },
}

impl Failed {
    fn of_entry(entry: &BatchResultErrorEntry) -> Self {
        let code = entry.code().rsplit(['#', '.']).next().unwrap_or_default();
        let said = format!("{code}: {}", entry.message().unwrap_or_default());
        let lost = ["ReceiptHandleIsInvalid", "MessageNotInflight"].contains(&code)
            // Beyond 12 hours since the message was delivered, or a handle that is none.
            || (entry.sender_fault() && said.contains("VisibilityTimeout"))
            || said.contains("ReceiptHandle");
        match lost {
            true => Self::Lost,
            false => Self::Backend { fault: Fault::Unavailable, said },
        }
    }

    fn of_request(refusal: Refusal) -> Self {
        if refusal.is_lost() {
            return Self::Lost;
        }
        let failure = refusal.failure("settle a message");
        Self::Backend { fault: failure.fault, said: failure.chain() }
    }

    fn settle(&self) -> Result<(), SettleError> {
        match self {
            Self::Lost => Err(SettleError::Lost),
            Self::Backend { fault, said } => {
                let said = said.clone();
                Err(BackendError::new(*fault, crate::error::SQS, "settle a message", said).into())
            }
        }
    }
}

type Failures = Result<BTreeMap<String, Failed>, Failed>;

async fn delete(client: &Client, url: String, batch: &[Change]) -> Failures {
    let mut request = client.delete_message_batch().queue_url(url);
    for (place, change) in batch.iter().enumerate() {
        let entry = DeleteEntry::builder().id(place.to_string()).receipt_handle(&change.handle);
        request = request.entries(entry.build().map_err(unbuilt)?);
    }
    match request.send().await {
        Ok(answer) => Ok(by_place(answer.failed())),
        Err(error) => Err(Failed::of_request(Refusal::of(&error))),
    }
}

async fn change_visibility(client: &Client, url: String, batch: &[Change]) -> Failures {
    let mut request = client.change_message_visibility_batch().queue_url(url);
    for (place, change) in batch.iter().enumerate() {
        let Fate::Visible(seconds) = change.fate else { continue };
        let entry = VisibilityEntry::builder()
            .id(place.to_string())
            .receipt_handle(&change.handle)
            .visibility_timeout(seconds);
        request = request.entries(entry.build().map_err(unbuilt)?);
    }
    match request.send().await {
        Ok(answer) => Ok(by_place(answer.failed())),
        Err(error) => Err(Failed::of_request(Refusal::of(&error))),
    }
}

fn by_place(failed: &[BatchResultErrorEntry]) -> BTreeMap<String, Failed> {
    failed.iter().map(|entry| (entry.id().to_owned(), Failed::of_entry(entry))).collect()
}

fn unbuilt(error: impl std::fmt::Display) -> Failed {
    Failed::Backend { fault: Fault::Other, said: error.to_string() }
}
