//! A process: it makes calls, stands still, dies between two calls, and is started again.

use crate::history::What;
use crate::locked;
use crate::site::Site;
use printmill_backend::Clock;
use printmill_backend::error::{BackendError, Fault};
use printmill_domain::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A run of a program on a machine. All that it does to the outside passes through [`Self::step`],
/// so it has no effect while it stands still, and none after it died.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) site: Arc<Site>,
    /// Asks it to end in good order.
    pub(crate) leaving: CancellationToken,
    state: Mutex<State>,
    moved: Notify,
    /// How much its clock is ahead.
    skew: chrono::TimeDelta,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Still,
    Dead,
}

impl Process {
    pub(crate) fn new(site: &Arc<Site>, name: String) -> Self {
        let most = site.weather.skew_ms;
        let ahead = i64::try_from(site.chance.between(0..=2 * most)).unwrap_or_default();
        let skew = chrono::TimeDelta::milliseconds(ahead - i64::try_from(most).unwrap_or_default());
        Self {
            name,
            site: site.clone(),
            leaving: CancellationToken::new(),
            state: Mutex::new(State::Running),
            moved: Notify::new(),
            skew,
        }
    }

    /// A call on its way out, or its answer on the way in: takes its time, and may be the last
    /// thing that the process does.
    pub(crate) async fn step(&self) {
        self.site.count_step();
        let weather = &self.site.weather;
        if self.site.strikes(weather.slow) {
            tokio::time::sleep(self.site.chance.millis(0..=weather.latency_ms)).await;
        }
        if self.site.strikes(weather.crash) {
            self.die();
        }
        self.while_still().await;
    }

    /// Returns as soon as the process runs; never for a dead one.
    async fn while_still(&self) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if *locked(&self.state) == State::Running {
                return;
            }
            moved.await;
        }
    }

    /// It is gone from one moment to the next.
    pub(crate) fn die(&self) {
        let mut state = locked(&self.state);
        if *state != State::Dead {
            *state = State::Dead;
            drop(state);
            self.note("dies".into());
            self.moved.notify_waiters();
        }
    }

    /// Waits until it is dead.
    pub(crate) async fn died(&self) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if *locked(&self.state) == State::Dead {
                return;
            }
            moved.await;
        }
    }

    /// It stands still for a while, as if the machine slept, and goes on where it was.
    pub(crate) fn stall(self: &Arc<Self>, time: Duration) {
        let mut state = locked(&self.state);
        if *state != State::Running {
            return;
        }
        *state = State::Still;
        drop(state);
        self.note(format!("stands still for {time:?}"));
        let process = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            process.wake();
        });
    }

    /// It goes on, if it stood still.
    pub(crate) fn wake(&self) {
        let mut state = locked(&self.state);
        if *state == State::Still {
            *state = State::Running;
            drop(state);
            self.note("goes on".into());
            self.moved.notify_waiters();
        }
    }

    pub(crate) fn note(&self, note: String) {
        self.record(What::Note(note));
    }

    pub(crate) fn record(&self, what: What) {
        self.site.record(&self.name, what);
    }

    /// The failure of a call, in so many of a thousand cases.
    pub(crate) fn fails(
        &self,
        per_mille: u32,
        operation: &'static str,
        when: &'static str,
    ) -> Result<(), BackendError> {
        if !self.site.strikes(per_mille) {
            return Ok(());
        }
        self.note(format!("fails to {operation} {when} the effect"));
        Err(BackendError::new(Fault::Unavailable, "simulation", operation, when))
    }
}

/// The clock of a process: the simulation's time, and as wrong as the process's clock is.
pub(crate) struct SimulatedClock(pub(crate) Arc<Process>);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.0.site.now() + self.0.skew
    }
}
