//! The api as its callers see it: it answers late, or not at all, and may do the work all the same.

use crate::broker::SimulatedQueue;
use crate::database::SimulatedDatabase;
use crate::locked;
use crate::process::{Process, SimulatedClock};
use crate::site::Site;
use printmill_backend::{Clock, Database, Queue};
use printmill_domain::problem::{Code, Problem};
use printmill_engine::LEASE;
use printmill_engine::command::Commands;
use printmill_engine::lease::Leases;
use printmill_engine::workers::Workers;
use printmill_fulfilment::Fulfilment;
use printmill_orders::Orders;
use printmill_prints::Prints;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::AbortHandle;

/// The services that an api node offers.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) orders: Orders,
    pub(crate) prints: Prints,
    pub(crate) fulfilment: Fulfilment,
    pub(crate) leases: Leases,
    pub(crate) workers: Workers,
    pub(crate) database: Arc<dyn Database>,
}

/// An api node.
pub(crate) struct Api {
    process: Arc<Process>,
    services: Services,
    /// The calls under way.
    calls: Mutex<Vec<AbortHandle>>,
}

impl Services {
    pub(crate) fn of(process: &Arc<Process>) -> Self {
        let database: Arc<dyn Database> = Arc::new(SimulatedDatabase(process.clone()));
        let queue: Arc<dyn Queue> = Arc::new(SimulatedQueue::of(process));
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock(process.clone()));
        let commands = Commands::new(database.clone(), clock.clone());
        let leases = Leases::new(database.clone(), queue, clock, LEASE);
        Self {
            orders: Orders::new(commands.clone()),
            prints: Prints::new(commands.clone()),
            fulfilment: Fulfilment::new(commands.clone(), leases.clone()),
            workers: Workers::new(commands),
            leases,
            database,
        }
    }
}

impl Api {
    pub(crate) fn new(process: &Arc<Process>) -> Self {
        let services = Services::of(process);
        Self { process: process.clone(), services, calls: Mutex::default() }
    }
}

impl Drop for Api {
    /// Its calls die with it.
    fn drop(&mut self) {
        for call in locked(&self.calls).iter() {
            call.abort();
        }
    }
}

impl Site {
    /// Calls any api node. No answer within the caller's patience is a failure that may pass,
    /// and says nothing of what was done.
    pub(crate) async fn call<T, F>(
        self: &Arc<Self>,
        call: impl FnOnce(Services) -> F,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        self.count_step();
        let api = self.chance.pick(&locked(&self.apis)).cloned();
        let Some(api) = api else {
            tokio::time::sleep(self.chance.millis(10..=500)).await;
            return Err(no_answer());
        };
        let process = api.process.clone();
        let answer = call(api.services.clone());
        let task = tokio::spawn(async move {
            // The request, and the answer, are on their way for a while.
            process.step().await;
            let answer = answer.await;
            process.step().await;
            answer
        });
        let handle = task.abort_handle();
        {
            let mut calls = locked(&api.calls);
            calls.retain(|call| !call.is_finished());
            calls.push(handle.clone());
        }
        drop(api);
        let patience = match self.is_calm() {
            true => Duration::from_secs(60),
            false => self.chance.millis(200..=30_000),
        };
        match tokio::time::timeout(patience, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(broken)) => {
                if broken.is_panic() {
                    self.record("api", crate::history::What::Wrong(format!("{broken}")));
                }
                Err(no_answer())
            }
            Err(_) => {
                // A server notices now and then that nobody waits any more.
                if self.chance.strikes(500) {
                    handle.abort();
                }
                Err(no_answer())
            }
        }
    }
}

fn no_answer() -> Problem {
    Problem::new(Code::Unavailable, "no answer came", "ask again with the same request id")
}
