//! Workers: each does as it was told, as soon as it has read that; and it reads that with its next
//! heartbeat.

use super::Findings;
use crate::ending::Ending;
use crate::history::{Entry, Wanted, What};
use crate::roles::WORKER;
use printmill_domain::ids::WorkerId;
use printmill_domain::lane::Lane;
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::worker::HEED;
use printmill_engine::HEARTBEAT;
use std::collections::BTreeMap;
use std::time::Duration;

/// From the heartbeat to the answer of the database, when nothing goes wrong but that calls take
/// their time.
const SLACK: Duration = Duration::from_secs(5);

/// A worker as it is seen from outside.
#[derive(Default)]
struct Seen<'a> {
    id: Option<WorkerId>,
    /// The newest that it read of itself, and when it first did.
    looked: Option<(&'a Wanted, Duration)>,
    /// When it took on its first ticket after it was told something that it has not read.
    untold_since: Option<Duration>,
    /// When something last went wrong there.
    troubled: Option<Duration>,
}

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    let mut wanted: BTreeMap<WorkerId, &Wanted> = BTreeMap::new();
    let mut workers: BTreeMap<&str, Seen<'_>> = BTreeMap::new();
    for entry in &ending.history {
        if let What::Committed(committed) = &entry.what {
            wanted.extend(committed.wanted.iter().map(|it| (it.worker, it)));
        }
        if !entry.who.starts_with(WORKER) {
            continue;
        }
        let worker = workers.entry(&entry.who).or_default();
        match &entry.what {
            What::Committed(committed) => {
                worker.id = committed.wanted.first().map(|it| it.worker).or(worker.id);
                let begins = committed.tickets.iter().any(|write| begins(&write.ticket, entry));
                if begins && worker.is_untold(&wanted) {
                    worker.untold_since.get_or_insert(entry.at);
                }
            }
            What::Looked(read) => worker.look(read, entry.at),
            What::Took { lane, count } => {
                if let Some(wrong) = worker.wrong_take(lane, *count, entry.at, &wanted) {
                    let at = entry.at.as_secs_f64();
                    findings.add(format!("{} {wrong}, at {at:.3}", entry.who));
                }
            }
            What::Note(_) => worker.troubled = Some(entry.at),
            _ => {}
        }
    }
}

fn begins(ticket: &Ticket, entry: &Entry) -> bool {
    let claimed = ticket.state == TicketState::Leased && ticket.kind != HEED;
    claimed && ticket.holder.as_deref() == Some(&entry.who)
}

impl<'a> Seen<'a> {
    fn look(&mut self, read: &'a Wanted, at: Duration) {
        let newer = self.looked.is_none_or(|(known, _)| known.revision < read.revision);
        if newer {
            self.looked = Some((read, at));
            self.untold_since = None;
        }
    }

    /// What is wanted of it, if it has not read that.
    fn untold(&self, wanted: &BTreeMap<WorkerId, &'a Wanted>) -> Option<&'a Wanted> {
        let newest = self.id.and_then(|id| wanted.get(&id))?;
        let known = self.looked.map_or(0, |(known, _)| known.revision);
        (newest.revision > known).then_some(newest)
    }

    fn is_untold(&self, wanted: &BTreeMap<WorkerId, &'a Wanted>) -> bool {
        self.untold(wanted).is_some()
    }

    /// Why it should not have taken so much.
    fn wrong_take(
        &self,
        lane: &Lane,
        count: usize,
        at: Duration,
        wanted: &BTreeMap<WorkerId, &'a Wanted>,
    ) -> Option<String> {
        if self.is_untold(wanted) {
            let since =
                self.untold_since.filter(|since| self.troubled.is_none_or(|it| it < *since));
            let late = since.is_some_and(|since| at > since + HEARTBEAT + SLACK);
            return late.then(|| "works on and has not read what it was told".into());
        }
        let (known, since) = self.looked?;
        let most = usize::from(known.limit(lane)?);
        let beyond = at > since && count > most;
        beyond.then(|| format!("took {count} of {}, and knew it should take {most}", lane.as_str()))
    }
}
