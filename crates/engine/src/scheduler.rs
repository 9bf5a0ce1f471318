//! The scheduler: makes the tickets of schedules when their time comes.

use crate::metrics::Metrics;
use printmill_backend::database::{Page, Scope};
use printmill_backend::{BackendError, Change, Clock, CommitError, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided, Versioned};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::problem::Problem;
use printmill_domain::schedule::Schedule;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often to look at least: for what other processes changed, and for what the clock did.
const ROUND: Duration = Duration::from_secs(30);
/// How soon to look after a commit, which may have been about a schedule.
const AFTER_COMMIT: Duration = Duration::from_secs(1);
/// How long to wait after the database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// Schedules that are read at once.
const PART: u32 = 500;
/// Commits for one schedule in a round, those included in which others were faster.
const STEPS_MAX: u32 = 32;
const PLATFORM: Scope = Scope::Merchant(MerchantId::PLATFORM);

/// Makes the tickets of schedules when their time comes.
///
/// Any number of schedulers may do so at the same time: a tick is a commit that expects the
/// version of the schedule, and the ids of its tickets are derived, so each tick is done once.
/// Between ticks it sleeps, apart from a read every half minute.
pub struct Scheduler {
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Scheduler {
    /// A scheduler of the schedules in a database.
    pub fn new(database: Arc<dyn Database>, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self { database, clock, metrics }
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut commits = self.database.commits();
        tokio::pin!(shutdown);
        let mut look_at_clock = Instant::now();
        loop {
            commits.borrow_and_update();
            // Nodes whose clocks differ a lot would otherwise take turns in correcting each other.
            let check_clock = look_at_clock <= Instant::now();
            if check_clock {
                look_at_clock = Instant::now() + ROUND;
            }
            let wait = match self.round(check_clock).await {
                Ok(next) => next.map_or(ROUND, |next| self.until(next)).min(ROUND),
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "schedules could not be ticked");
                    PAUSE_AFTER_ERROR
                }
            };
            let after_commit = async {
                let _ = commits.changed().await;
                tokio::time::sleep(AFTER_COMMIT).await;
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(wait) => {}
                () = after_commit => {}
            }
        }
    }

    /// Ticks what is due; when the next tick comes. With `check_clock`, plans that were made by a
    /// clock that was ahead are made anew.
    pub async fn round(&self, check_clock: bool) -> Result<Option<Timestamp>, BackendError> {
        let (mut before, mut next) = (None, None);
        loop {
            let page = Page { before, limit: PART, state: Some("active".into()) };
            let part: Vec<Versioned<Schedule>> = self.database.page(PLATFORM, page).await?;
            let is_last = part.len() < PART as usize;
            before = part.last().map(|schedule| Aggregate::id(&schedule.value));
            for schedule in part {
                let planned = self.advance(schedule, check_clock).await?;
                next = next.into_iter().chain(planned).min();
            }
            if is_last {
                return Ok(next);
            }
        }
    }

    /// Brings one schedule up to date; its next tick, if it has one.
    async fn advance(
        &self,
        mut schedule: Versioned<Schedule>,
        check_clock: bool,
    ) -> Result<Option<Timestamp>, BackendError> {
        let mut made = BTreeSet::new();
        for _ in 0..STEPS_MAX {
            let now = self.clock.now();
            let decided = match decide(&schedule, now, check_clock, &made) {
                Ok(Some(decided)) => decided,
                Ok(None) => break,
                Err(problem) => {
                    let name = &schedule.name;
                    tracing::error!(schedule = %name, %problem, "schedule cannot be ticked");
                    return Ok(None);
                }
            };
            let change = Change::new(MerchantId::PLATFORM, now).update(&schedule, decided.clone());
            match self.database.commit(change).await {
                Ok(()) => {
                    self.record(&decided);
                    let version = schedule.version + 1;
                    schedule = Versioned { version, value: decided.state };
                }
                // Another node was faster, or somebody changed it.
                Err(CommitError::Stale { .. } | CommitError::Answered(_)) => {
                    let id = Aggregate::id(&schedule.value);
                    match self.database.find::<Schedule>(PLATFORM, &id).await? {
                        Some(found) if !found.paused => schedule = found,
                        _ => return Ok(None),
                    }
                }
                // The clock was put back, and some of these ticks were done before that.
                Err(CommitError::FenceLost { .. }) => {
                    let ids: Vec<TicketId> = decided.tickets.iter().map(|it| it.id).collect();
                    let known = self.database.tickets(&ids).await?;
                    made.extend(known.into_iter().map(|ticket| ticket.id));
                }
                Err(CommitError::Backend(error)) => return Err(error),
            }
        }
        Ok(Some(schedule.next_tick))
    }

    fn record(&self, decided: &Decided<Schedule>) {
        let (schedule, tickets) = (&decided.state.name, decided.tickets.len());
        for event in &decided.events {
            match event.kind.as_str() {
                "schedule.missed" => {
                    tracing::warn!(%schedule, missed = %event.data, "ticks were missed, given up");
                }
                "schedule.rewound" => {
                    tracing::warn!(%schedule, plan = %event.data, "clock was ahead, planned anew");
                }
                _ => tracing::info!(%schedule, tickets, "schedule ticked"),
            }
        }
        let ticks = self.metrics.schedule_ticks.with_label_values(&[schedule]);
        ticks.inc_by(tickets as u64);
    }

    fn until(&self, next: Timestamp) -> Duration {
        (next - self.clock.now()).to_std().unwrap_or_default()
    }
}

fn decide(
    schedule: &Schedule,
    now: Timestamp,
    check_clock: bool,
    made: &BTreeSet<TicketId>,
) -> Result<Option<Decided<Schedule>>, Problem> {
    if check_clock && let Some(rewound) = schedule.rewind(now)? {
        return Ok(Some(rewound));
    }
    if schedule.is_due(now) { schedule.tick(now, made).map(Some) } else { Ok(None) }
}
