//! Tickets: only the present holder moves one on, and it ends once, with one effect.

use super::Findings;
use crate::ending::Ending;
use printmill_backend::TicketGuard;
use printmill_domain::ids::{Id, TicketId};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::ticket_end::CANCEL;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    // The last state of each, and how often it was written: its version.
    let mut known: BTreeMap<TicketId, (&Ticket, u64)> = BTreeMap::new();
    let mut cancelling = Cancelling::default();
    for (entry, committed) in ending.commits() {
        for write in &committed.tickets {
            let ticket = &write.ticket;
            let before = known.get(&ticket.id).copied();
            known.insert(ticket.id, (ticket, before.map_or(0, |(_, writes)| writes) + 1));
            let wrong = wrong_move(before, ticket, write.guard);
            let wrong = wrong.or_else(|| cancelling.wrong_move(ticket, &known));
            if let Some(wrong) = wrong {
                let at = entry.at.as_secs_f64();
                findings.add(format!("{} {}, at {at:.3} by {}", ticket.id, wrong, entry.who));
            }
        }
    }
    for (id, (last, _)) in &known {
        let stored = ending.tickets.iter().find(|ticket| ticket.id == *id);
        let same = stored.is_some_and(|stored| stored.state == last.state);
        findings.unless(same, || format!("{id} is stored as {:?}", stored.map(|it| it.state)));
        let idle = last.kind == CANCEL && {
            let target = known.get(&target(last).unwrap_or(*id));
            last.state == TicketState::Queued && target.is_some_and(|(it, _)| it.state.is_final())
        };
        findings.unless(last.state.is_final() || idle, || {
            format!("{id} ({}) never came to an end: it is {}", last.kind, last.state.name())
        });
    }
}

/// What a ticket cancels.
fn target(ticket: &Ticket) -> Option<TicketId> {
    ticket.payload["ticket"].as_str().and_then(|id| TicketId::parse(id).ok())
}

/// What somebody wants cancelled.
#[derive(Default)]
struct Cancelling {
    /// Of which tickets somebody asked for it.
    asked: BTreeSet<TicketId>,
    /// In which attempt work was when its holder was to hear of it.
    told: BTreeMap<TicketId, u32>,
}

impl Cancelling {
    /// Why a ticket could not move so, when it is about its cancellation.
    fn wrong_move(
        &mut self,
        after: &Ticket,
        known: &BTreeMap<TicketId, (&Ticket, u64)>,
    ) -> Option<String> {
        if after.cancel.is_some() {
            self.told.entry(after.id).or_insert(after.attempt);
        }
        let told = self.told.get(&after.id);
        if after.kind == CANCEL {
            let target = target(after)?;
            self.asked.insert(target);
            let ended = known.get(&target).is_some_and(|(target, _)| target.state.is_final());
            let heard = after.state != TicketState::Done || ended;
            return (!heard && !self.told.contains_key(&target))
                .then(|| format!("is done, and {target} was not told"));
        }
        match after.state {
            TicketState::Cancelled if !self.asked.contains(&after.id) => {
                Some("was cancelled, and nobody asked for that".into())
            }
            TicketState::Done if told.is_some_and(|attempt| after.attempt > *attempt) => {
                Some(format!("was done by attempt {} after it was cancelled", after.attempt))
            }
            _ => None,
        }
    }
}

/// Why a ticket could not move so.
fn wrong_move(
    before: Option<(&Ticket, u64)>,
    after: &Ticket,
    guard: TicketGuard,
) -> Option<String> {
    let Some((before, version)) = before else {
        return (guard != TicketGuard::New).then(|| "moved before it was made".into());
    };
    if before.state.is_final() {
        let (was, is) = (before.state.name(), after.state.name());
        return Some(format!("had its effect and was {was}, and then it became {is}"));
    }
    match guard {
        TicketGuard::New => Some("was made twice".into()),
        TicketGuard::Held { attempt, token } => {
            let holds = before.state == TicketState::Leased
                && (before.attempt, before.token) == (attempt, Some(token));
            (!holds).then(|| {
                format!("was moved on by attempt {attempt} while attempt {} had it", before.attempt)
            })
        }
        TicketGuard::Version(_) if after.state == TicketState::Leased => {
            let same = (after.attempt, after.token) == (before.attempt, before.token);
            let claimed = after.attempt == before.attempt + 1 && after.token != before.token;
            (!same && !claimed).then(|| {
                format!("was claimed as attempt {} after {}", after.attempt, before.attempt)
            })
        }
        // A failure names the version in which its holder saw itself hold the ticket.
        TicketGuard::Version(expected) => {
            let held = before.state == TicketState::Leased
                && (after.attempt, expected) == (before.attempt, version);
            // Whoever cancels it names the version in which it was with nobody.
            let held = held || (after.state == TicketState::Cancelled && expected == version);
            (after.state.is_final() && !held)
                .then(|| format!("became {} without a lease", after.state.name()))
        }
    }
}
