//! The relay: hands committed tickets to the queue when they are due.

use crate::metrics::Metrics;
use futures::StreamExt;
use printmill_backend::database::TicketQuery;
use printmill_backend::queue::{Message, Queue};
use printmill_backend::{BackendError, Change, Clock, CommitError, Database};
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many tickets are handed over at once.
const BATCH: u32 = 256;
/// How often to look for tickets that other processes committed: at first, and when nothing has
/// happened for a while.
const POLL: Duration = Duration::from_millis(200);
const POLL_MAX: Duration = Duration::from_secs(1);
/// A ticket that nobody has claimed so long after it was sent is marked as sent.
const MARK_AFTER: Duration = Duration::from_millis(100);
/// How long to wait after the queue or database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Hands committed tickets to the queue.
///
/// A ticket is sent first and marked afterwards: a crash in between sends it twice, which is
/// harmless, and never loses it. Several relays at once are harmless for the same reason. Most
/// tickets are claimed before their mark is due, and then need none.
pub struct Relay {
    database: Arc<dyn Database>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    known_lanes: HashSet<Lane>,
    /// What the queue took and is not marked yet: by version, since a ticket that comes back from
    /// a failed attempt must be sent again.
    unmarked: HashMap<TicketId, (u64, Instant)>,
}

impl Relay {
    /// A relay from a database to a queue.
    pub fn new(
        database: Arc<dyn Database>,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self {
            database,
            queue,
            clock,
            metrics,
            known_lanes: HashSet::new(),
            unmarked: HashMap::new(),
        }
    }

    /// Runs until `shutdown`. Only the wait is interrupted, never a hand-over.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut commits = self.database.commits();
        tokio::pin!(shutdown);
        let mut idle = POLL;
        loop {
            commits.borrow_and_update();
            let pause = match self.pump().await {
                Ok(sent) if sent >= BATCH as usize => continue,
                Ok(0) if self.unmarked.is_empty() => self.until_next_due(idle).await,
                Ok(_) => MARK_AFTER,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "relay could not hand tickets over");
                    PAUSE_AFTER_ERROR
                }
            };
            tokio::select! {
                () = &mut shutdown => return,
                _ = commits.changed(), if pause != PAUSE_AFTER_ERROR => idle = POLL,
                () = tokio::time::sleep(pause) => idle = (idle * 2).min(POLL_MAX),
            }
        }
    }

    /// How long until a ticket becomes due that is known already, but no longer than `most`.
    async fn until_next_due(&self, most: Duration) -> Duration {
        let now = self.clock.now();
        let query = TicketQuery::Unsent { due_by: now + most };
        let next = self.database.find_tickets(query, 1).await.unwrap_or_default();
        let next = next.first().map(|ticket| (ticket.due_at - now).to_std().unwrap_or_default());
        next.unwrap_or(most).min(most)
    }

    /// Hands over the due tickets that the queue does not have yet, about a batch of them, and
    /// marks those that it has had for a while; how many were handed over.
    pub async fn pump(&mut self) -> Result<usize, BackendError> {
        let query = TicketQuery::Unsent { due_by: self.clock.now() };
        let limit = BATCH + u32::try_from(self.unmarked.len()).unwrap_or(BATCH);
        let found = self.database.find_tickets(query, limit).await?;
        let (waiting, fresh): (Vec<_>, Vec<_>) = found.into_iter().partition(|ticket| {
            self.unmarked.get(&ticket.id).is_some_and(|(version, _)| *version == ticket.version)
        });
        let still: HashSet<TicketId> = waiting.iter().map(|ticket| ticket.id).collect();
        self.unmarked.retain(|id, _| still.contains(id));
        let count = fresh.len();
        let (sent, outcome) = self.send(fresh).await;
        let now = Instant::now();
        self.unmarked.extend(sent.iter().map(|ticket| (ticket.id, (ticket.version, now))));
        self.metrics.relayed.inc_by(sent.len() as u64);
        let had = |ticket: &Ticket| now - self.unmarked[&ticket.id].1 >= MARK_AFTER;
        let ripe: Vec<Ticket> = waiting.into_iter().filter(had).collect();
        for ticket in &ripe {
            self.unmarked.remove(&ticket.id);
        }
        self.mark(ripe).await?;
        outcome.map(|()| count)
    }

    /// Sends tickets to their lanes and marks those that the queue took.
    pub(crate) async fn hand_over(&mut self, tickets: Vec<Ticket>) -> Result<(), BackendError> {
        let (sent, outcome) = self.send(tickets).await;
        self.mark(sent).await?;
        outcome
    }

    /// Sends tickets to their lanes; which of them the queue took, and the last failure.
    async fn send(&mut self, tickets: Vec<Ticket>) -> (Vec<Ticket>, Result<(), BackendError>) {
        let mut lanes: BTreeMap<Lane, Vec<Ticket>> = BTreeMap::new();
        for ticket in tickets {
            lanes.entry(ticket.lane.clone()).or_default().push(ticket);
        }
        let (mut sent, mut outcome) = (vec![], Ok(()));
        for (lane, tickets) in lanes {
            if !self.known_lanes.contains(&lane) {
                if let Err(error) = self.queue.ensure(&lane).await {
                    outcome = Err(error);
                    continue;
                }
                self.known_lanes.insert(lane.clone());
            }
            let messages: Vec<Message> = tickets.iter().map(message).collect();
            let answers = self.queue.send(&lane, &messages).await;
            for (ticket, answer) in tickets.into_iter().zip(answers) {
                match answer {
                    Ok(()) => sent.push(ticket),
                    Err(error) => outcome = Err(error),
                }
            }
        }
        (sent, outcome)
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
