//! Tickets: only the present holder moves one on, and it ends once, with one effect.

use super::Findings;
use crate::ending::Ending;
use printmill_backend::TicketGuard;
use printmill_domain::ids::TicketId;
use printmill_domain::ticket::{Ticket, TicketState};
use std::collections::BTreeMap;

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    // The last state of each, and how often it was written: its version.
    let mut known: BTreeMap<TicketId, (&Ticket, u64)> = BTreeMap::new();
    for (entry, committed) in ending.commits() {
        for write in &committed.tickets {
            let ticket = &write.ticket;
            let before = known.get(&ticket.id).copied();
            known.insert(ticket.id, (ticket, before.map_or(0, |(_, writes)| writes) + 1));
            if let Some(wrong) = wrong_move(before, ticket, write.guard) {
                let at = entry.at.as_secs_f64();
                findings.add(format!("{} {}, at {at:.3} by {}", ticket.id, wrong, entry.who));
            }
        }
    }
    for (id, (last, _)) in &known {
        let stored = ending.tickets.iter().find(|ticket| ticket.id == *id);
        let same = stored.is_some_and(|stored| stored.state == last.state);
        findings.unless(same, || format!("{id} is stored as {:?}", stored.map(|it| it.state)));
        findings.unless(last.state.is_final(), || {
            format!("{id} ({}) never came to an end: it is {}", last.kind, last.state.name())
        });
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
            (after.state.is_final() && !held)
                .then(|| format!("became {} without a lease", after.state.name()))
        }
    }
}
