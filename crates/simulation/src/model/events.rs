//! Events: none lost, none twice, none out of order; neither in its stream, nor in the log, nor
//! for a reader.

use super::Findings;
use crate::ending::Ending;
use crate::history::What;
use std::collections::{BTreeMap, BTreeSet};

/// What happens at most once to each thing.
const ONCE: [&str; 13] = [
    "order.placed",
    "order.paid",
    "order.shipped",
    "order.cancelled",
    "payment.requested",
    "payment.paid",
    "payment.declined",
    "item.routed",
    "item.rendered",
    "print_job.accepted",
    "print_job.printing",
    "print_job.shipped",
    "print.created",
];

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    streams(ending, findings);
    log(ending, findings);
    readers(ending, findings);
}

fn streams(ending: &Ending, findings: &mut Findings) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut happened = BTreeSet::new();
    for event in ending.commits().flat_map(|(_, committed)| &committed.events) {
        let last = last.entry(&event.stream).or_default();
        findings.unless(event.sequence == *last + 1, || {
            format!("{} has {} after {last} in its history", event.stream, event.sequence)
        });
        *last = event.sequence;
        let new = happened.insert((&event.kind, &event.subject));
        findings.unless(new || !ONCE.contains(&event.kind.as_str()), || {
            format!("{} happened twice to {}", event.kind, event.subject)
        });
    }
}

fn log(ending: &Ending, findings: &mut Findings) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (event, place) in ending.log.iter().zip(1..) {
        findings.unless(event.seq == place, || format!("the log has {} at {place}", event.seq));
        let last = last.entry(&event.draft.stream).or_default();
        findings.unless(event.draft.sequence == *last + 1, || {
            format!("the log has {} of {} after {last}", event.draft.sequence, event.draft.stream)
        });
        *last = event.draft.sequence;
    }
    let committed = ending.commits().map(|(_, committed)| committed.events.len()).sum::<usize>();
    findings.unless(ending.log.len() == committed, || {
        format!("the log has {} of {committed} events", ending.log.len())
    });
}

fn readers(ending: &Ending, findings: &mut Findings) {
    let mut next = 1;
    for entry in &ending.history {
        let What::Read(places) = &entry.what else { continue };
        for place in places {
            findings.unless(*place == next, || format!("the reader got {place} for {next}"));
            next = place + 1;
        }
    }
    findings.unless(next == ending.log.len() as u64 + 1, || {
        format!("the reader got {} of {} events", next - 1, ending.log.len())
    });
}
