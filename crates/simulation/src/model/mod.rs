//! The model: what must be true of every history, whatever went wrong in it.
//!
//! It looks at what was asked, answered, committed, charged and printed, as an outside observer
//! would, and never asks the code that it judges.

mod counts;
mod events;
mod limits;
mod orders;
mod requests;
mod schedules;
mod tickets;
mod workers;

use crate::ending::Ending;
use crate::history::What;

/// What was found wrong, one sentence each.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    pub(crate) fn add(&mut self, finding: String) {
        self.0.push(finding);
    }

    /// Adds a finding unless something holds.
    pub(crate) fn unless(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.add(finding());
        }
    }
}

type Check = fn(&Ending, &mut Findings);

/// All that is checked. What else must happen exactly once gets a check of its own here.
const CHECKS: [Check; 9] = [
    wrongs,
    tickets::check,
    events::check,
    requests::check,
    orders::check,
    schedules::check,
    counts::check,
    limits::check,
    workers::check,
];

/// All that is wrong with a history.
pub(crate) fn judge(ending: &Ending) -> Vec<String> {
    let mut findings = Findings::default();
    for check in CHECKS {
        check(ending, &mut findings);
    }
    findings.0
}

/// What was wrong at the moment when it happened.
fn wrongs(ending: &Ending, findings: &mut Findings) {
    for entry in &ending.history {
        if let What::Wrong(what) = &entry.what {
            findings.add(format!("{}: {what}", entry.who));
        }
    }
}
