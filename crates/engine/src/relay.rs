//! The relay: hands committed tickets to the queue when they are due and it is their turn.

use crate::leadership::{Candidate, Lead};
use crate::metrics::Metrics;
use crate::window::Window;
use futures::StreamExt;
use printmill_backend::database::{Alike, StageCount, TicketQuery};
use printmill_backend::queue::{Message, Queue};
use printmill_backend::{BackendError, Change, Clock, CommitError, Database};
use printmill_domain::Timestamp;
use printmill_domain::fairness::{Group, Turns};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::{Class, Lane};
use printmill_domain::limit::{Limit, Limits};
use printmill_domain::ticket::{Stage, Ticket};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many tickets are handled at once. With more waiting, they are looked up by whose turn it is.
const BATCH: u32 = 256;
/// How many sorts of tickets are looked into at once.
const SORTS: usize = 256;
/// How often to look at least, also when no commit was told of.
const LOOK: Duration = Duration::from_secs(10);
/// A ticket that nobody has claimed so long after it was sent is marked as sent.
const MARK_AFTER: Duration = Duration::from_millis(100);
/// The shortest time between two looks, so that many commits cost one: while all that waits fits
/// into the queue, and while it does not.
const GAP: Duration = Duration::from_millis(1);
const GAP_FULL: Duration = Duration::from_millis(4);
/// How long to wait after the queue or database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// In which order, and within which limits, tickets are handed to the queue.
#[derive(Debug, Clone, Default)]
pub struct TurnPolicy {
    /// How many tickets a round a merchant gets, if not 1.
    pub weights: BTreeMap<MerchantId, u32>,
    /// How much may be in work.
    pub limits: Vec<Limit>,
}

/// Hands committed tickets to the queue.
///
/// The backlog waits in the database; the queue holds just enough that no worker waits, so that
/// whose turn it is can be decided late, and is decided in the same way for every queue. One
/// relay leads; several are harmless, but for limits and shares, which each would count alone.
///
/// A ticket is sent first and marked afterwards: a crash in between sends it twice, which is
/// harmless, and never loses it. Most tickets are claimed before their mark is due, and then need
/// none.
pub struct Relay {
    database: Arc<dyn Database>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    weights: BTreeMap<MerchantId, u32>,
    limits: Limits,
    lanes: HashMap<Lane, LaneState>,
    known_lanes: HashSet<Lane>,
    /// What the queue took and is not marked yet, and since when. The version counts, since a
    /// ticket that comes back from a failed attempt must be sent again.
    unmarked: BTreeMap<TicketId, (Ticket, Instant)>,
    /// Set while it runs beside others.
    candidate: Option<Candidate>,
    /// Where the next look into many sorts begins.
    next_sort: usize,
}

/// What is remembered of a lane from one time to the next.
struct LaneState {
    window: Window,
    turns: Turns,
}

/// What tickets of a lane have in common that wait behind each other.
type GroupKey = (MerchantId, Class, String);

/// How a look went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pumped {
    /// How many tickets were handed over.
    pub sent: usize,
    /// How many wait, those included.
    pub waiting: u64,
    /// Whether there are some that wait for their time.
    pub delayed: bool,
    /// Another relay leads until then at least; nothing was done.
    pub led_elsewhere: Option<Timestamp>,
}

impl Relay {
    /// A relay from a database to a queue, without weights and limits.
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
            weights: BTreeMap::new(),
            limits: Limits::default(),
            lanes: HashMap::new(),
            known_lanes: HashSet::new(),
            unmarked: BTreeMap::new(),
            candidate: None,
            next_sort: 0,
        }
    }

    /// The same relay, with weights and limits.
    pub fn with_policy(mut self, policy: TurnPolicy) -> Self {
        self.weights = policy.weights;
        self.limits = Limits::new(policy.limits);
        self
    }

    /// Runs until `shutdown`, beside others of which one leads. Only the wait is interrupted,
    /// never a hand-over.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let (database, clock) = (self.database.clone(), self.clock.clone());
        self.candidate = Some(Candidate::new(database, clock, "relay"));
        let mut commits = self.database.commits();
        tokio::pin!(shutdown);
        loop {
            commits.borrow_and_update();
            let (gap, pause, woken) = match self.pump().await {
                Ok(Pumped { led_elsewhere: Some(until), .. }) => {
                    let left = (until - self.clock.now()).to_std().unwrap_or_default();
                    self.unmarked.clear();
                    (GAP, left + Duration::from_millis(1), false)
                }
                Ok(Pumped { sent, waiting, .. }) if sent > 0 && waiting > sent as u64 => {
                    (GAP, GAP, true)
                }
                Ok(Pumped { waiting: 0, delayed: false, .. }) => (GAP, LOOK, true),
                Ok(Pumped { waiting: 0, .. }) => (GAP, self.until_next_due(LOOK).await, true),
                Ok(Pumped { waiting, .. }) => {
                    // Those that were sent count as waiting until somebody claims them.
                    let all_sent = waiting <= self.unmarked.len() as u64;
                    let gap = if all_sent { GAP } else { GAP_FULL };
                    (gap, self.until_next_mark(), true)
                }
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "relay could not hand tickets over");
                    (GAP, PAUSE_AFTER_ERROR, false)
                }
            };
            let looked = Instant::now();
            let next = async {
                tokio::select! {
                    biased;
                    _ = commits.changed(), if woken => tokio::time::sleep_until(looked + gap).await,
                    () = tokio::time::sleep(pause) => {}
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = next => {}
            }
        }
        if let Some(mut candidate) = self.candidate.take() {
            candidate.resign().await;
        }
    }

    /// How long until a mark is due; not for ever without any, since limits may let more through.
    fn until_next_mark(&self) -> Duration {
        let oldest = self.unmarked.values().map(|(_, since)| *since).min();
        oldest.map_or(MARK_AFTER, |since| MARK_AFTER.saturating_sub(since.elapsed()))
    }

    /// How long until a ticket becomes due that is known already, but no longer than `most`.
    async fn until_next_due(&self, most: Duration) -> Duration {
        let now = self.clock.now();
        let query = TicketQuery::Ripe { due_by: now + most };
        let next = self.database.find_tickets(query, 1).await.unwrap_or_default();
        let next = next.first().map(|ticket| (ticket.due_at - now).to_std().unwrap_or_default());
        next.unwrap_or(most).min(most)
    }

    /// Lets those whose time has come wait for their turn, hands over those whose turn it is, and
    /// marks those that the queue has had for a while.
    pub async fn pump(&mut self) -> Result<Pumped, BackendError> {
        // What is forgotten must be in the counts: it is claimed by the time that they are read.
        let marking = self.forget_claimed().await?;
        let mut counts = self.database.ticket_counts().await?;
        let delayed = at_stage(&counts, Stage::Delayed) > 0;
        let ripe = match delayed {
            true => self.ripe().await?,
            false => vec![],
        };
        let nothing = Pumped { sent: 0, waiting: 0, delayed, led_elsewhere: None };
        if ripe.is_empty() && at_stage(&counts, Stage::Waiting) == 0 {
            self.unmarked.clear();
            return Ok(nothing);
        }
        if let Some(candidate) = &mut self.candidate
            && let Lead::Elsewhere(until) = candidate.lead().await?
        {
            return Ok(Pumped { led_elsewhere: Some(until), ..nothing });
        }
        if !ripe.is_empty() {
            self.ripen(ripe).await?;
            counts = self.database.ticket_counts().await?;
        }
        let (sent, waiting) = self.take_turns(&counts, marking).await?;
        Ok(Pumped { sent, waiting, ..nothing })
    }

    async fn ripe(&self) -> Result<Vec<Ticket>, BackendError> {
        let due_by = self.clock.now();
        self.database.find_tickets(TicketQuery::Ripe { due_by }, BATCH).await
    }

    /// How many were sent, and how many waited.
    async fn take_turns(
        &mut self,
        counts: &[StageCount],
        marking: Vec<Ticket>,
    ) -> Result<(usize, u64), BackendError> {
        let rooms = self.rooms(counts);
        let total = at_stage(counts, Stage::Waiting);
        let candidates = match (rooms.is_empty(), total < u64::from(BATCH)) {
            (true, _) => vec![],
            (false, true) => self.database.find_tickets(TicketQuery::Waiting, BATCH).await?,
            (false, false) => self.look_up(counts, &rooms).await?,
        };
        let chosen = self.choose(candidates, counts, &rooms);
        let (sent, outcome) = self.send(chosen).await;
        let (now, count) = (Instant::now(), sent.len());
        self.unmarked.extend(sent.into_iter().map(|ticket| (ticket.id, (ticket, now))));
        self.metrics.relayed.inc_by(count as u64);
        let marked: Vec<TicketId> = marking.iter().map(|ticket| ticket.id).collect();
        self.mark(marking).await?;
        for id in marked {
            self.unmarked.remove(&id);
        }
        outcome.map(|()| (count, total))
    }

    /// Forgets those that somebody claimed meanwhile, and returns those whose mark is due.
    async fn forget_claimed(&mut self) -> Result<Vec<Ticket>, BackendError> {
        if self.unmarked.is_empty() {
            return Ok(vec![]);
        }
        let unmarked = TicketQuery::WaitingAmong(self.unmarked.keys().copied().collect());
        let most = u32::try_from(self.unmarked.len()).unwrap_or(u32::MAX);
        let still = self.database.find_tickets(unmarked, most).await?;
        let still: HashMap<TicketId, u64> =
            still.into_iter().map(|ticket| (ticket.id, ticket.version)).collect();
        self.unmarked.retain(|id, (ticket, _)| still.get(id) == Some(&ticket.version));
        let now = Instant::now();
        let ripe = self.unmarked.values().filter(|(_, since)| now - *since >= MARK_AFTER);
        Ok(ripe.map(|(ticket, _)| ticket.clone()).collect())
    }

    /// How many tickets may be sent, for each lane with any that wait and any room.
    fn rooms(&mut self, counts: &[StageCount]) -> BTreeMap<Lane, usize> {
        let mut lanes: BTreeMap<&Lane, (usize, usize)> = BTreeMap::new();
        for StageCount { of, stage, count } in counts {
            let (with_queue, waiting) = lanes.entry(&of.lane).or_default();
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            match stage {
                Stage::Sent => *with_queue += count,
                Stage::Waiting => *waiting += count,
                _ => {}
            }
        }
        for (ticket, _) in self.unmarked.values() {
            if let Some((with_queue, waiting)) = lanes.get_mut(&ticket.lane) {
                *with_queue += 1;
                *waiting = waiting.saturating_sub(1);
            }
        }
        let now = Instant::now();
        let rooms =
            lanes.into_iter().filter(|(_, (_, waiting))| *waiting > 0).map(|(lane, load)| {
                let (with_queue, waiting) = load;
                let state = self.lanes.entry(lane.clone()).or_insert_with(LaneState::new);
                (lane.clone(), state.window.room(with_queue, waiting, now))
            });
        rooms.filter(|(_, room)| *room > 0).collect()
    }

    /// The first of each sort that waits in a lane with room: all urgent ones, and by turns some
    /// of all if there are very many.
    async fn look_up(
        &mut self,
        counts: &[StageCount],
        rooms: &BTreeMap<Lane, usize>,
    ) -> Result<Vec<Ticket>, BackendError> {
        let waiting = counts.iter().filter(|count| count.stage == Stage::Waiting);
        let mut sorts: Vec<&Alike> =
            waiting.map(|count| &count.of).filter(|of| rooms.contains_key(&of.lane)).collect();
        if sorts.len() > SORTS {
            sorts.sort();
            let start = self.next_sort % sorts.len();
            self.next_sort = start + SORTS;
            let urgent = sorts.iter().filter(|of| of.class == Class::Urgent).take(SORTS);
            let others = sorts[start..].iter().chain(&sorts[..start]).take(SORTS);
            let chosen: HashSet<&Alike> = urgent.chain(others).copied().collect();
            sorts = chosen.into_iter().collect();
        }
        let sorts: Vec<Alike> = sorts.into_iter().cloned().collect();
        let each = (2 * BATCH as usize / sorts.len().max(1)).max(4) + self.unmarked.len();
        self.database.next_tickets(&sorts, u32::try_from(each).unwrap_or(BATCH)).await
    }

    /// Those whose turn it is.
    fn choose(
        &mut self,
        candidates: Vec<Ticket>,
        counts: &[StageCount],
        rooms: &BTreeMap<Lane, usize>,
    ) -> Vec<Ticket> {
        let mut groups: BTreeMap<Lane, BTreeMap<GroupKey, Group<Ticket>>> = BTreeMap::new();
        for ticket in candidates {
            if self.unmarked.contains_key(&ticket.id) || !rooms.contains_key(&ticket.lane) {
                continue;
            }
            let weight = self.weights.get(&ticket.merchant).copied().unwrap_or(1);
            let key = (ticket.merchant, ticket.class, ticket.kind.clone());
            let of_lane = groups.entry(ticket.lane.clone()).or_default();
            let group = of_lane.entry(key).or_insert_with(|| Group {
                merchant: ticket.merchant,
                class: ticket.class,
                weight,
                waiting: Default::default(),
            });
            group.waiting.push_back((ticket.due_at, ticket));
        }
        let busy = counts.iter().filter(|it| matches!(it.stage, Stage::Sent | Stage::Leased));
        let busy = busy.map(|it| (it.of.kind.as_str(), it.of.merchant, it.count));
        let unmarked = self.unmarked.values();
        let unmarked = unmarked.map(|(ticket, _)| (ticket.kind.as_str(), ticket.merchant, 1));
        let now = self.clock.now();
        let mut gate = self.limits.gate(busy.chain(unmarked), now);
        let mut chosen = vec![];
        for (lane, groups) in groups {
            let Some(state) = self.lanes.get_mut(&lane) else { continue };
            let room = rooms.get(&lane).copied().unwrap_or_default().min(BATCH as usize);
            let groups = groups.into_values().collect();
            chosen.extend(state.turns.take(groups, room, now, |ticket: &Ticket| {
                gate.admit(&ticket.kind, ticket.merchant)
            }));
        }
        chosen
    }

    async fn ripen(&self, tickets: Vec<Ticket>) -> Result<(), BackendError> {
        let now = self.clock.now();
        self.move_on(tickets, |ticket| ticket.ripen(now)).await
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
        self.move_on(tickets, |ticket| Some(ticket.sent(now))).await
    }

    /// Commits the next state of each ticket by itself.
    async fn move_on(
        &self,
        tickets: Vec<Ticket>,
        next: impl Fn(&Ticket) -> Option<Ticket>,
    ) -> Result<(), BackendError> {
        let now = self.clock.now();
        let moves = tickets.iter().filter_map(|ticket| {
            let change = Change::new(ticket.merchant, now);
            Some(self.database.commit(change.ticket(next(ticket)?, ticket.version)))
        });
        let mut moves: futures::stream::FuturesUnordered<_> = moves.collect();
        while let Some(moved) = moves.next().await {
            // Any other refusal means that a worker was faster, or another relay: the ticket is
            // where it should be.
            if let Err(CommitError::Backend(error)) = moved {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl LaneState {
    fn new() -> Self {
        Self { window: Window::new(), turns: Turns::default() }
    }
}

fn at_stage(counts: &[StageCount], stage: Stage) -> u64 {
    counts.iter().filter(|it| it.stage == stage).map(|it| it.count).sum()
}

fn message(ticket: &Ticket) -> Message {
    Message { ticket: ticket.id, trace: ticket.trace.clone(), delay: Duration::ZERO }
}
