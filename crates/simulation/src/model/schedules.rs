//! Schedules: each tick has one run, or was given up where its schedule gives ticks up.

use super::Findings;
use crate::ending::Ending;
use crate::schedules::{KIND, Planned};
use chrono::TimeDelta;
use printmill_backend::TicketGuard;
use printmill_domain::Timestamp;
use printmill_domain::ids::TicketId;
use printmill_domain::schedule::{MissedTicks, ON_TIME};
use printmill_domain::ticket::Ticket;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

/// What became of a schedule's ticks.
struct Outcome<'a> {
    tickets: BTreeMap<Timestamp, Vec<&'a Ticket>>,
    /// Given up, and by when at the latest, by the true time.
    missed: Vec<(Range<Timestamp>, Timestamp)>,
}

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    for planned in &ending.schedules {
        let outcome = outcome(ending, planned);
        let Planned { id, .. } = planned;
        for (tick, tickets) in &outcome.tickets {
            let ids: std::collections::BTreeSet<TicketId> =
                tickets.iter().map(|ticket| ticket.id).collect();
            findings.unless(ids.len() == 1 && tickets.len() == 1, || {
                format!("{id} was ticketed {} times for {tick}", tickets.len())
            });
            // A clock that is ahead ticks early.
            let until = ending.at + ending.skew;
            let comes = planned.ticks_at(*tick) && planned.since < *tick && *tick <= until;
            findings.unless(comes, || format!("{id} ticked at {tick}, which is no tick of it"));
        }
        for tick in planned.ticks(ending.at) {
            one_run(ending, planned, &outcome, tick, findings);
        }
    }
}

fn outcome<'a>(ending: &'a Ending, planned: &Planned) -> Outcome<'a> {
    let schedule = planned.id.to_string();
    let mut outcome = Outcome { tickets: BTreeMap::new(), missed: vec![] };
    for (entry, committed) in ending.commits() {
        for write in &committed.tickets {
            let ticket = &write.ticket;
            let new = write.guard == TicketGuard::New && ticket.kind == KIND;
            if new && ticket.payload["schedule"].as_str() == Some(&schedule) {
                let tick = time(&ticket.payload["tick"]);
                outcome.tickets.entry(tick).or_default().push(ticket);
            }
        }
        for event in &committed.events {
            if event.kind == "schedule.missed" && event.subject == schedule {
                let given_up = time(&event.data["from"])..time(&event.data["before"]);
                outcome.missed.push((given_up, ending.began + entry.at));
            }
        }
    }
    outcome
}

fn one_run(
    ending: &Ending,
    planned: &Planned,
    outcome: &Outcome<'_>,
    tick: Timestamp,
    findings: &mut Findings,
) {
    let id = planned.id;
    let covers = |(given_up, _): &&(Range<Timestamp>, Timestamp)| given_up.contains(&tick);
    if let Some([ticket, ..]) = outcome.tickets.get(&tick).map(Vec::as_slice) {
        let late = ticket.created_at - tick >= ON_TIME;
        findings.unless(!late || planned.missed != MissedTicks::Skip, || {
            format!("{id} made up for {tick}, though it skips what it missed")
        });
        return;
    }
    let Some((given_up, at)) = outcome.missed.iter().find(covers) else {
        return findings.add(format!("{id} has no run for {tick}, and does not say so"));
    };
    match planned.missed {
        MissedTicks::All => findings.add(format!("{id} has no run for {tick}: it was given up")),
        // What is given up is made up for by the newest, which comes right after.
        MissedTicks::Once => findings.unless(outcome.tickets.contains_key(&given_up.end), || {
            format!("{id} has no run for {tick}, nor one that makes up for it")
        }),
        MissedTicks::Skip => findings.unless(*at + ending.skew - tick >= ON_TIME, || {
            format!("{id} gave up {tick} before it was late")
        }),
    }
}

impl Planned {
    /// Worked out from the clock alone: it does not ask the code that reads cron lines.
    fn ticks_at(&self, time: Timestamp) -> bool {
        let seconds = time.timestamp();
        let minute = seconds.rem_euclid(3_600) / 60;
        seconds % 60 == 0 && minute % self.every_minutes == 0
    }

    fn ticks(&self, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let first = self.since.timestamp().div_euclid(60) * 60;
        let first = Timestamp::from_timestamp(first, 0).unwrap_or(self.since);
        let minutes = (0..).map(move |number| first + TimeDelta::minutes(number));
        let after = minutes.skip_while(|time| *time <= self.since);
        after.take_while(move |time| *time <= until).filter(|time| self.ticks_at(*time))
    }
}

fn time(value: &Value) -> Timestamp {
    serde_json::from_value(value.clone()).unwrap_or_default()
}
