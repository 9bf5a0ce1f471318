//! The relay: hands committed tickets to the queue when they are due.

use crate::metrics::Metrics;
use futures::StreamExt;
use printmill_backend::database::TicketQuery;
use printmill_backend::queue::{Message, Queue};
use printmill_backend::{BackendError, Change, Clock, CommitError, Database};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How many tickets are handed over at once.
const BATCH: u32 = 256;
/// How often to look for tickets that other processes committed, or that became due.
const POLL: Duration = Duration::from_millis(200);
/// How long to wait after the queue or database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Hands committed tickets to the queue.
///
/// A ticket is sent first and marked afterwards: a crash in between sends it twice, which is
/// harmless, and never loses it. Several relays at once are harmless for the same reason.
pub struct Relay {
    database: Arc<dyn Database>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    known_lanes: HashSet<Lane>,
}

impl Relay {
    /// A relay from a database to a queue.
    pub fn new(
        database: Arc<dyn Database>,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self { database, queue, clock, metrics, known_lanes: HashSet::new() }
    }

    /// Runs until `shutdown`. Only the wait is interrupted, never a hand-over.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut commits = self.database.commits();
        tokio::pin!(shutdown);
        loop {
            commits.borrow_and_update();
            let pause = match self.pump().await {
                Ok(sent) if sent == BATCH as usize => continue,
                Ok(_) => POLL,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "relay could not hand tickets over");
                    PAUSE_AFTER_ERROR
                }
            };
            tokio::select! {
                () = &mut shutdown => return,
                _ = commits.changed(), if pause == POLL => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Hands over one batch of due tickets; how many there were.
    pub async fn pump(&mut self) -> Result<usize, BackendError> {
        let query = TicketQuery::Unsent { due_by: self.clock.now() };
        let tickets = self.database.find_tickets(query, BATCH).await?;
        let count = tickets.len();
        self.hand_over(tickets).await?;
        self.metrics.relayed.inc_by(count as u64);
        Ok(count)
    }

    /// Sends tickets to their lanes and marks those that the queue took.
    pub(crate) async fn hand_over(&mut self, tickets: Vec<Ticket>) -> Result<(), BackendError> {
        let mut lanes: BTreeMap<Lane, Vec<Ticket>> = BTreeMap::new();
        for ticket in tickets {
            lanes.entry(ticket.lane.clone()).or_default().push(ticket);
        }
        let mut failed = None;
        for (lane, tickets) in lanes {
            if !self.known_lanes.contains(&lane) {
                self.queue.ensure(&lane).await?;
                self.known_lanes.insert(lane.clone());
            }
            let messages: Vec<Message> = tickets.iter().map(message).collect();
            let answers = self.queue.send(&lane, &messages).await;
            let mut sent = vec![];
            for (ticket, answer) in tickets.into_iter().zip(answers) {
                match answer {
                    Ok(()) => sent.push(ticket),
                    Err(error) => failed = Some(error),
                }
            }
            self.mark(sent).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    async fn mark(&self, tickets: Vec<Ticket>) -> Result<(), BackendError> {
        let now = self.clock.now();
        let marks = tickets.into_iter().map(|ticket| {
            let change = Change::new(ticket.merchant, now);
            self.database.commit(change.ticket(ticket.sent(now), ticket.version))
        });
        let mut marks: futures::stream::FuturesUnordered<_> = marks.collect();
        while let Some(marked) = marks.next().await {
            // Any other refusal means that a worker was faster, or another relay: the ticket is
            // where it should be.
            if let Err(CommitError::Backend(error)) = marked {
                return Err(error);
            }
        }
        Ok(())
    }
}

fn message(ticket: &Ticket) -> Message {
    Message { ticket: ticket.id, trace: ticket.trace.clone(), delay: Duration::ZERO }
}
