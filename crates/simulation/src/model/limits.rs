//! Limits: what one relay handed out while it led, and what has not come back since, never goes
//! beyond a limit; nor does what it hands out within a minute.
//!
//! That is all that is promised. What another relay handed out before may be on its way unknown to
//! the leading one, and a message that the queue repeats may be taken without anybody's leave.

use super::Findings;
use crate::ending::Ending;
use crate::history::{Committed, Entry, What};
use printmill_domain::aggregate::Kind;
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::limit::{Limit, Whose};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::ticket_end::CANCEL;
use printmill_domain::worker::HEED;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What the relay that leads has handed out.
#[derive(Default)]
struct Reign<'a> {
    leader: &'a str,
    /// What has not come back, and whose it is.
    out: BTreeMap<TicketId, (&'a str, MerchantId)>,
    /// What was handed out in the last minute, by limit.
    lately: BTreeMap<(usize, Option<MerchantId>), VecDeque<Duration>>,
}

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    let mut tickets: BTreeMap<TicketId, &Ticket> = BTreeMap::new();
    let mut reign = Reign::default();
    for entry in &ending.history {
        match &entry.what {
            What::Committed(committed) => {
                reign.follow(&entry.who, committed);
                tickets.extend(committed.tickets.iter().map(|it| (it.ticket.id, &it.ticket)));
            }
            What::HandedOver(id) if entry.who == reign.leader => {
                let waits = |ticket: &&&Ticket| {
                    ticket.state == TicketState::Queued && ticket.sent_at.is_none()
                };
                if let Some(ticket) = tickets.get(id).filter(waits) {
                    reign.out.insert(*id, (&ticket.kind, ticket.merchant));
                    for (place, limit) in ending.limits.iter().enumerate() {
                        reign.hand_over(place, limit, ticket, entry, findings);
                    }
                }
            }
            _ => {}
        }
    }
}

impl<'a> Reign<'a> {
    fn follow(&mut self, who: &'a str, committed: &'a Committed) {
        let leads = committed.records.iter().any(|(kind, ..)| *kind == Kind::Leadership);
        if leads && who != self.leader {
            *self = Self { leader: who, ..Self::default() };
        }
        for write in &committed.tickets {
            let back = match write.ticket.state {
                TicketState::Queued => write.ticket.sent_at.is_none(),
                state => state.is_final(),
            };
            if back {
                self.out.remove(&write.ticket.id);
            }
        }
    }

    fn hand_over(
        &mut self,
        place: usize,
        limit: &Limit,
        ticket: &Ticket,
        entry: &Entry,
        findings: &mut Findings,
    ) {
        let Some(whose) = counted(limit, &ticket.kind, ticket.merchant) else { return };
        let at = entry.at.as_secs_f64();
        let alike = |kind: &str, merchant| counted(limit, kind, merchant) == Some(whose);
        let out = self.out.values().filter(|(kind, merchant)| alike(kind, *merchant)).count();
        findings.unless(limit.at_once.is_none_or(|most| out <= most as usize), || {
            format!("{} handed {out} out at once, beyond {limit:?}, at {at:.3}", entry.who)
        });
        let lately = self.lately.entry((place, whose)).or_default();
        lately.push_back(entry.at);
        while lately.front().is_some_and(|then| entry.at - *then >= Duration::from_secs(60)) {
            lately.pop_front();
        }
        // A burst after a time without work, what comes in a minute, and what was decided before
        // the relay stood still.
        let most = limit.per_minute.map(|rate| 3 * rate as usize);
        findings.unless(most.is_none_or(|most| lately.len() <= most), || {
            let count = lately.len();
            format!("{} handed {count} out within a minute, beyond {limit:?}", entry.who)
        });
    }
}

/// Under which name a limit counts this work, if it does. What operators tell the platform to do
/// is no work that anybody limits by limiting everything.
fn counted(limit: &Limit, kind: &str, merchant: MerchantId) -> Option<Option<MerchantId>> {
    let told = [CANCEL, HEED].contains(&kind);
    match &limit.kind {
        None if told => return None,
        Some(limited) if limited != kind => return None,
        _ => {}
    }
    match limit.whose {
        Whose::All => Some(None),
        Whose::Each => Some(Some(merchant)),
        Whose::One(limited) => (limited == merchant).then_some(Some(merchant)),
    }
}
