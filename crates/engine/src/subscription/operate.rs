//! What a person does with consumers: look, replay, and let streams that wait go on.

use printmill_backend::database::{Page, Scope};
use printmill_backend::{BackendError, Change, Clock, CommitError, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::MerchantId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::subscription::Consumer;
use std::sync::Arc;

/// How often a change is decided again when the consumer moved in between.
const ATTEMPTS_MAX: u32 = 16;
/// The most consumers that are listed.
const LISTED_MAX: u32 = 1_000;

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// After this place in the log.
    Seq(u64),
    /// With the first event that was decided at this time or later.
    Time(Timestamp),
}

/// The stored consumers.
#[derive(Clone)]
pub struct Consumers {
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
}

impl Consumers {
    /// The consumers of a database.
    pub fn new(database: Arc<dyn Database>, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// All of them, each shard for itself, by name.
    pub async fn list(&self) -> Result<Vec<Versioned<Consumer>>, BackendError> {
        let page = Page { before: None, limit: LISTED_MAX, state: None };
        let mut found = self.database.page::<Consumer>(platform(), page).await?;
        found.reverse();
        Ok(found)
    }

    /// Has all shards of a consumer begin anew. Refused for places whose events are gone.
    pub async fn replay(&self, name: &str, from: From) -> Result<Vec<Consumer>, Problem> {
        let (oldest, head) = (self.database.oldest().await?, self.database.head().await?);
        let cursor = match from {
            From::Time(time) => self.database.seq_at(time).await?,
            From::Seq(0) => oldest - 1,
            From::Seq(seq) if seq + 1 < oldest => return Err(expired(seq, oldest)),
            From::Seq(seq) if seq > head => {
                let description = format!("must be at most {head}, the end of the log");
                return Err(Problem::invalid_field("after_seq", description));
            }
            From::Seq(seq) => seq,
        };
        let mut replayed = vec![];
        for shard in self.list().await?.iter().filter(|consumer| consumer.name == name) {
            let id = Consumer::id_of(&shard.name, shard.shard);
            replayed.push(self.change(&id, |consumer| Ok(consumer.replay(cursor))).await?);
        }
        if replayed.is_empty() {
            return Err(Problem::not_found("consumer", name));
        }
        Ok(replayed)
    }

    /// Has a stream that waits tried again now; `skip` gives its failing event up.
    pub async fn resume(&self, name: &str, stream: &str, skip: bool) -> Result<Consumer, Problem> {
        let all = self.list().await?;
        let mut shards = all.iter().filter(|consumer| consumer.name == name);
        let shard = shards.find(|consumer| consumer.shard.holds(stream));
        let shard = shard.ok_or_else(|| Problem::not_found("consumer", name))?;
        let id = Consumer::id_of(&shard.name, shard.shard);
        let now = self.clock.now();
        self.change(&id, |consumer| consumer.resume(stream, skip, now)).await
    }

    async fn change(
        &self,
        id: &str,
        decide: impl Fn(&Consumer) -> Result<Consumer, Problem>,
    ) -> Result<Consumer, Problem> {
        for _ in 0..ATTEMPTS_MAX {
            let found = self.database.find::<Consumer>(platform(), id).await?;
            let before = found.ok_or_else(|| Problem::not_found("consumer", id))?;
            let after = decide(&before)?;
            let change = Change::new(MerchantId::PLATFORM, self.clock.now())
                .update(&before, Decided::quiet(after.clone()));
            match self.database.commit(change).await {
                Ok(()) => return Ok(after),
                Err(CommitError::Backend(error)) => return Err(error.into()),
                Err(_) => {}
            }
        }
        Err(Problem::new(
            Code::Conflict,
            format!("{id} moves all the time"),
            "try again in a moment",
        ))
    }
}

pub(super) fn platform() -> Scope {
    Scope::Merchant(MerchantId::PLATFORM)
}

/// The refusal of a place in the log whose events are gone.
pub fn expired(seq: u64, oldest: u64) -> Problem {
    Problem::new(
        Code::CursorExpired,
        format!("the events after {seq} are not kept any more; the oldest kept is {oldest}"),
        "begin with the oldest kept, by 0, and read from elsewhere what was missed",
    )
}
