//! Operators: drain workers and let them go on, pause lanes, say how many tickets at once, and
//! cancel chores. In the end they take everything back.

use crate::api::Services;
use crate::history::What;
use crate::site::Site;
use printmill_backend::change::{TicketGuard, TicketWrite};
use printmill_backend::database::Page;
use printmill_backend::{Change, CommitError};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::Ticket;
use printmill_domain::worker::{HERE, LaneSteering, Steering, Worker};
use printmill_engine::command::{Context, RequestKey};
use std::sync::Arc;
use std::time::Duration;

/// How often to look whether a worker must be let go on, once nothing goes wrong any more.
const RESTORE_EVERY: Duration = Duration::from_secs(20);

/// Somebody who steers the site by its api.
pub(crate) struct Operator {
    site: Arc<Site>,
    chores: Vec<(MerchantId, TicketId)>,
}

impl Operator {
    pub(crate) fn new(site: &Arc<Site>, chores: Vec<(MerchantId, TicketId)>) -> Self {
        Self { site: site.clone(), chores }
    }

    /// Does a few things while the weather lasts, and then takes back what would keep work from
    /// being done.
    pub(crate) async fn act(self) {
        let acts = if self.site.chance.strikes(500) { self.site.chance.between(1..=6) } else { 0 };
        let most = u64::try_from(self.site.weather.lasts.as_millis()).unwrap_or(u64::MAX) / 4;
        for number in 0..acts {
            tokio::time::sleep(self.site.chance.millis(0..=most)).await;
            match self.site.chance.between(0..=3) {
                0 => self.cancel_chore().await,
                _ => self.steer_any(&format!("steer-{number}")).await,
            }
        }
        loop {
            tokio::time::sleep(RESTORE_EVERY).await;
            if acts > 0 && self.site.is_calm() {
                self.restore().await;
            }
        }
    }

    async fn workers(&self) -> Vec<Worker> {
        let page = Page { before: None, limit: 100, state: Some(HERE.into()) };
        let list = |services: Services| async move { services.workers.list(page).await };
        self.site.call(list).await.unwrap_or_default()
    }

    async fn steer_any(&self, request: &str) {
        let chance = &self.site.chance;
        let workers = self.workers().await;
        let Some(worker) = chance.pick(&workers) else { return };
        let Some(lane) = chance.pick(&worker.lanes).map(|served| served.lane.clone()) else {
            return;
        };
        let wish = match chance.between(0..=5) {
            0 | 1 => Steering { draining: Some(true), lanes: vec![] },
            2 => Steering { draining: Some(false), lanes: vec![] },
            3 | 4 => of_lane(lane, Some(chance.strikes(700)), None),
            _ => of_lane(lane, None, u16::try_from(chance.between(0..=4)).ok()),
        };
        self.steer(request, worker, &wish).await;
    }

    /// Lets everybody work as they were configured.
    async fn restore(&self) {
        for worker in self.workers().await {
            let lanes = worker.lanes.iter().filter(|it| it.paused || it.wanted.is_some());
            let lanes = lanes.map(|served| LaneSteering {
                lane: served.lane.clone(),
                paused: Some(false),
                concurrency: Some(served.configured),
            });
            let wish = Steering { draining: Some(false), lanes: lanes.collect() };
            let differs = |it: &printmill_domain::worker::WorkerLane| {
                it.paused || it.wanted.is_some_and(|wanted| wanted != it.configured)
            };
            if worker.draining || worker.lanes.iter().any(differs) {
                self.steer(&format!("restore-{}", worker.revision), &worker, &wish).await;
            }
        }
    }

    async fn steer(&self, request: &str, worker: &Worker, wish: &Steering) {
        let (id, fingerprint) = (format!("{request}-{}", worker.id), format!("{wish:?}"));
        let request = Some(RequestKey { id, fingerprint });
        let context = Context { request, ..Context::of(MerchantId::PLATFORM) };
        for _ in 0..3 {
            let (context, wish, id) = (context.clone(), wish.clone(), worker.id);
            let steer = |services: Services| async move {
                services.workers.steer(&context, id, &wish).await
            };
            match self.site.call(steer).await {
                Err(problem) if problem.code.retryable() => {}
                // It may have left meanwhile.
                Err(problem) if problem.code == Code::InvalidState => return,
                Err(problem) => {
                    let wrong = format!("was refused to steer {id}: {problem}", id = worker.id);
                    return self.site.record("operator", What::Wrong(wrong));
                }
                Ok(_) => return,
            }
        }
    }

    async fn cancel_chore(&self) {
        let Some((merchant, id)) = self.site.chance.pick(&self.chores).copied() else { return };
        let why = Problem::new(Code::WorkCancelled, "nobody wants it", "ask again");
        let now = self.site.now();
        let ticket = Ticket::cancelling(id, merchant, &why, now);
        let mut change = Change::new(merchant, now);
        change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
        let cancel = |services: Services| async move {
            match services.database.commit(change).await {
                Err(CommitError::Backend(error)) => Err(error.into()),
                // Otherwise somebody has asked for it before.
                _ => Ok(()),
            }
        };
        // Nobody insists on it.
        let _ = self.site.call(cancel).await;
    }
}

fn of_lane(lane: Lane, paused: Option<bool>, concurrency: Option<u16>) -> Steering {
    Steering { draining: None, lanes: vec![LaneSteering { lane, paused, concurrency }] }
}
