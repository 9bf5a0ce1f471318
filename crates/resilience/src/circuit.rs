//! A circuit breaker as a pure state machine: it is told the time and what came of calls.

use std::time::Duration;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// So many failures with no success in between open it, however long they took.
    pub(crate) in_a_row: u32,
    /// How long calls are counted before the counts begin anew.
    pub(crate) window: Duration,
    /// So many calls in a window, half of them failures, open it as well.
    pub(crate) calls: u32,
    /// How long it stays open at first. Each failed probe doubles that.
    pub(crate) pause: Duration,
    /// How long it stays open at most.
    pub(crate) pause_max: Duration,
}

impl Rules {
    /// The usual rules. A backend that is back is used again within five seconds.
    pub(crate) const USUAL: Rules = Rules {
        in_a_row: 5,
        window: Duration::from_secs(10),
        calls: 20,
        pause: Duration::from_secs(1),
        pause_max: Duration::from_secs(5),
    };
}

/// A circuit breaker.
///
/// Closed, it lets all calls pass. When too many fail it opens, and lets none pass for a pause.
/// After that one call in each pause may try. The first success closes it, and a failure opens it for
/// twice as long. Nothing waits for a try to end: one that hangs keeps no other from trying.
///
/// Times are measured from any fixed moment.
#[derive(Debug)]
pub(crate) struct Circuit {
    rules: Rules,
    state: State,
    /// Counts the times that it opened or closed. What began before the last of them tells nothing.
    era: u64,
}

#[derive(Debug)]
enum State {
    Closed { in_a_row: u32, window_begun: Duration, calls: u32, failures: u32 },
    Open { until: Duration, pause: Duration, why: String },
    Trying { since: Duration, pause: Duration, why: String },
}

/// That a call may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    era: u64,
}

/// Why a call may not pass, and when one may again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What the last failure was.
    pub(crate) why: String,
    /// How long until a call may try.
    pub(crate) again_in: Duration,
}

/// A change that is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It opened, for so long.
    Opened(Duration),
    /// It closed.
    Closed,
}

/// How a circuit looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All calls pass.
    Closed,
    /// Now and then one may try.
    HalfOpen,
    /// None passes.
    Open,
}

impl Circuit {
    /// A closed circuit.
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, state: State::closed(Duration::ZERO), era: 0 }
    }

    /// Whether a call may pass.
    pub(crate) fn admit(&mut self, now: Duration) -> Result<Admission, Refused> {
        let admission = Admission { era: self.era };
        let (free_at, pause, why) = match &mut self.state {
            State::Closed { .. } => return Ok(admission),
            State::Open { until, pause, why } => (*until, *pause, why),
            State::Trying { since, pause, why } => (*since + *pause, *pause, why),
        };
        if now < free_at {
            return Err(Refused { why: why.clone(), again_in: free_at - now });
        }
        self.state = State::Trying { since: now, pause, why: std::mem::take(why) };
        Ok(admission)
    }

    /// What may be recorded of something that began just now, without having asked.
    pub(crate) fn aside(&self) -> Admission {
        Admission { era: self.era }
    }

    /// A call was answered.
    pub(crate) fn succeeded(&mut self, now: Duration, admission: Admission) -> Option<Turn> {
        if admission.era != self.era {
            return None;
        }
        match &mut self.state {
            State::Closed { in_a_row, .. } => {
                *in_a_row = 0;
                self.state.count(now, false, &self.rules);
                None
            }
            State::Open { .. } => None,
            State::Trying { .. } => {
                self.era += 1;
                self.state = State::closed(now);
                Some(Turn::Closed)
            }
        }
    }

    /// A call was not answered.
    pub(crate) fn failed(
        &mut self,
        now: Duration,
        admission: Admission,
        why: impl FnOnce() -> String,
    ) -> Option<Turn> {
        if admission.era != self.era {
            return None;
        }
        let pause = match &mut self.state {
            State::Closed { .. } => {
                self.state.count(now, true, &self.rules);
                if !self.state.is_bad(&self.rules) {
                    return None;
                }
                self.rules.pause
            }
            State::Open { .. } => return None,
            State::Trying { pause, .. } => (*pause * 2).min(self.rules.pause_max),
        };
        self.era += 1;
        self.state = State::Open { until: now + pause, pause, why: why() };
        Some(Turn::Opened(pause))
    }

    /// How it looks.
    pub(crate) fn condition(&self, now: Duration) -> Condition {
        match &self.state {
            State::Closed { .. } => Condition::Closed,
            State::Open { until, .. } if now < *until => Condition::Open,
            State::Open { .. } | State::Trying { .. } => Condition::HalfOpen,
        }
    }
}

impl State {
    fn closed(now: Duration) -> Self {
        State::Closed { in_a_row: 0, window_begun: now, calls: 0, failures: 0 }
    }

    fn count(&mut self, now: Duration, failure: bool, rules: &Rules) {
        let State::Closed { in_a_row, window_begun, calls, failures } = self else { return };
        if now.saturating_sub(*window_begun) >= rules.window {
            (*window_begun, *calls, *failures) = (now, 0, 0);
        }
        *calls = calls.saturating_add(1);
        if failure {
            *in_a_row = in_a_row.saturating_add(1);
            *failures = failures.saturating_add(1);
        }
    }

    fn is_bad(&self, rules: &Rules) -> bool {
        match self {
            State::Closed { in_a_row, calls, failures, .. } => {
                *in_a_row >= rules.in_a_row
                    || (*calls >= rules.calls && failures.saturating_mul(2) >= *calls)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
