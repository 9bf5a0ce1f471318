//! Counts of events: each event of the log is in them once.

use super::Findings;
use crate::ending::Ending;
use std::collections::BTreeMap;

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    // By merchant, day and kind: what the log has, and what was counted.
    let mut all: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for event in &ending.log {
        let of = (event.merchant, event.at.date_naive(), event.draft.kind.as_str());
        all.entry(of).or_default().0 += 1;
    }
    for day in &ending.counts {
        for (kind, counted) in &day.counts {
            all.entry((day.merchant, day.day, kind)).or_default().1 += counted;
        }
    }
    for ((merchant, day, kind), (happened, counted)) in all {
        findings.unless(happened == counted, || {
            format!("{counted} {kind} of {merchant} were counted on {day}, and {happened} happened")
        });
    }
}
