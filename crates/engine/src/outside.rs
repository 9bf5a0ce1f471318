//! Workers outside: the records that they keep over the API, and what is wanted of them.

use crate::command::{Answer, Commands, Context, Proposal};
use printmill_backend::database::Scope;
use printmill_backend::{Change, DatabaseExt, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::{KeyId, MerchantId, TicketId, WorkerId};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::worker::{Announcement, Running, Worker};

const PLATFORM: Scope = Scope::Merchant(MerchantId::PLATFORM);

/// What a worker outside reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The revision of what is wanted that it acts on.
    pub revision: u64,
    /// The tickets that it holds. Those that are another's are left out.
    pub tickets: Vec<TicketId>,
    /// Whether it leaves.
    pub leaving: bool,
}

/// The records of workers outside. Each is found only by the key that announced it.
#[derive(Clone)]
pub struct OutsideWorkers {
    commands: Commands,
}

impl OutsideWorkers {
    /// Reads and changes by these commands.
    pub fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// Makes the record of a worker that starts, or renews that of one which comes back.
    pub async fn announce(
        &self,
        key: KeyId,
        known: Option<WorkerId>,
        said: &Announcement,
    ) -> Result<Worker, Problem> {
        let decide = async |now: Timestamp| {
            let change = Change::new(MerchantId::PLATFORM, now);
            let (change, value) = match known {
                None => {
                    let worker = Worker::announce(fresh::id(now), key, said.clone(), now);
                    (change.create(Decided::quiet(worker.clone())), worker)
                }
                Some(known) => {
                    let found = self.find(key, known).await?;
                    let next = found.announce_again(said.clone(), now);
                    (change.update(&found, Decided::quiet(next.clone())), next)
                }
            };
            Ok(Proposal { change, outcome: value.id.to_string(), value })
        };
        fresh_answer(self.commands.run(&Context::of(MerchantId::PLATFORM), decide).await?)
    }

    /// The record of a worker that this key announced.
    pub async fn find(&self, key: KeyId, id: WorkerId) -> Result<Versioned<Worker>, Problem> {
        let found: Option<Versioned<Worker>> =
            self.commands.database().find(PLATFORM, &id.to_string()).await?;
        let own = |worker: &Versioned<Worker>| {
            worker.outside.as_ref().is_some_and(|outside| outside.key == key)
        };
        found.filter(own).ok_or_else(|| {
            let advice = "announce the worker again, without an id";
            Problem::new(Code::NotFound, format!("there is no worker {id}"), advice)
        })
    }

    /// Takes a worker's report into its record.
    pub async fn report(
        &self,
        key: KeyId,
        id: WorkerId,
        report: &Report,
    ) -> Result<Worker, Problem> {
        let decide = async |now: Timestamp| {
            let found = self.find(key, id).await?;
            let value = if report.leaving {
                found.leave(now)
            } else {
                let running = self.running(&found, &report.tickets).await?;
                found.report_outside(running, report.revision, now)
            };
            let change = Change::new(MerchantId::PLATFORM, now);
            let change = change.update(&found, Decided::quiet(value.clone()));
            Ok(Proposal { change, outcome: id.to_string(), value })
        };
        fresh_answer(self.commands.run(&Context::of(MerchantId::PLATFORM), decide).await?)
    }

    /// Those of the tickets in a worker's last report that are not wanted any more, and why.
    pub async fn unwanted(&self, worker: &Worker) -> Result<Vec<(TicketId, Problem)>, Problem> {
        let ids: Vec<TicketId> = worker.running.iter().map(|running| running.ticket).collect();
        let held = self.held(worker, &ids).await?;
        Ok(held.into_iter().filter_map(|it| it.cancel.map(|why| (it.id, why))).collect())
    }

    async fn running(&self, worker: &Worker, ids: &[TicketId]) -> Result<Vec<Running>, Problem> {
        let running = self.held(worker, ids).await?.into_iter().map(|ticket| {
            let Ticket { id, kind, lane, history, updated_at, .. } = ticket;
            let since = history.last().map_or(updated_at, |attempt| attempt.began_at);
            Running { since, ticket: id, kind, lane }
        });
        Ok(running.collect())
    }

    /// Those of some tickets that a worker holds.
    async fn held(&self, worker: &Worker, ids: &[TicketId]) -> Result<Vec<Ticket>, Problem> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let mut found = self.commands.database().tickets(ids).await?;
        let holder = worker.id.to_string();
        found.retain(|ticket| {
            ticket.state == TicketState::Leased && ticket.holder.as_ref() == Some(&holder)
        });
        Ok(found)
    }
}

fn fresh_answer(answer: Answer<Worker>) -> Result<Worker, Problem> {
    match answer {
        Answer::Fresh(worker) => Ok(worker),
        // A request without an id is never answered from an earlier one.
        Answer::Replayed(id) => Err(Problem::not_found("worker", id)),
    }
}
