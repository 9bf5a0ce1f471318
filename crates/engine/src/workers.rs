//! What operators see of workers, and how they steer them.

use crate::command::{Answer, Commands, Context, Proposal};
use printmill_backend::database::{Page, Scope};
use printmill_backend::{BackendError, Change, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::{MerchantId, WorkerId};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::worker::{HERE, Steering, Worker};

const PLATFORM: Scope = Scope::Merchant(MerchantId::PLATFORM);

/// Records that are read at once, and the most that are given up in one change.
const PART: u32 = 100;

/// Workers for operators.
#[derive(Clone)]
pub struct Workers {
    commands: Commands,
}

impl Workers {
    /// Reads and changes by these commands.
    pub fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// A page of workers, the newest first.
    pub async fn list(&self, page: Page) -> Result<Vec<Worker>, Problem> {
        let found = self.commands.database().page::<Worker>(PLATFORM, page).await?;
        Ok(found.into_iter().map(|found| found.value).collect())
    }

    /// Changes what is wanted of one. It acts on that at once if it can be reached, else with its
    /// next heartbeat or report.
    pub async fn steer(
        &self,
        context: &Context,
        id: WorkerId,
        wish: &Steering,
    ) -> Result<Worker, Problem> {
        let decide = async |now: Timestamp| {
            let found = self.find(id).await?;
            let decided = found.steer(wish, now)?;
            let value = decided.state.clone();
            let change = Change::new(MerchantId::PLATFORM, now).update(&found, decided);
            Ok(Proposal { change, outcome: id.to_string(), value })
        };
        match self.commands.run(context, decide).await? {
            Answer::Fresh(worker) => Ok(worker),
            Answer::Replayed(_) => Ok(self.find(id).await?.value),
        }
    }

    async fn find(&self, id: WorkerId) -> Result<Versioned<Worker>, Problem> {
        let found = self.commands.database().find(PLATFORM, &id.to_string()).await?;
        found.ok_or_else(|| {
            let advice = "see `printmill workers list` for those that are there";
            Problem::new(Code::NotFound, format!("there is no worker {id}"), advice)
        })
    }
}

/// Adds to a change that workers which have been silent for a day are gone, up to 100 of them.
pub(crate) async fn give_up_lost(
    database: &dyn Database,
    mut change: Change,
) -> Result<Change, BackendError> {
    let now = change.at;
    let mut page = Page { before: None, limit: PART, state: Some(HERE.into()) };
    loop {
        let found = database.page::<Worker>(PLATFORM, page.clone()).await?;
        for lost in found.iter().filter(|worker| worker.is_lost(now)) {
            if change.records.len() < PART as usize {
                change = change.update(lost, Decided::quiet(lost.give_up()));
            }
        }
        match found.last() {
            Some(last) if found.len() >= PART as usize && change.records.len() < PART as usize => {
                page.before = Some(last.id.to_string());
            }
            _ => return Ok(change),
        }
    }
}
