//! The history: everything that happened in a simulation, in order, as an outside observer saw it.

use crate::locked;
use printmill_backend::Change;
use printmill_backend::change::TicketWrite;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{FacilityId, MerchantId, OrderId, PaymentId, PrintJobId};
use printmill_domain::problem::Code;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Mutex;
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A change took effect in the database.
    Committed(Committed),
    /// A merchant asked for something, for the first time with this request id.
    Asked(Asked),
    /// It was answered with an order.
    Answered(Asked, OrderId),
    /// It was refused.
    Refused(Asked, Code),
    /// The gateway was asked to charge, and did or did not.
    Charged { payment: PaymentId, paid: bool },
    /// A reader of the log found these places.
    Read(Vec<u64>),
    /// A facility has printed a job.
    Printed { facility: FacilityId, job: PrintJobId },
    /// Something that must never happen.
    Wrong(String),
    /// Something worth knowing to who reads this: a crash, a stall, a wiped queue.
    Note(String),
}

/// What took effect.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    /// Kind, id, version and state of each record.
    pub(crate) records: Vec<(Kind, String, u64, String)>,
    pub(crate) events: Vec<EventDraft>,
    pub(crate) tickets: Vec<TicketWrite>,
    pub(crate) request: Option<(MerchantId, String)>,
}

impl Committed {
    pub(crate) fn of(change: &Change) -> Self {
        let records = change.records.iter().map(|write| {
            let record = &write.record;
            (record.kind, record.id.clone(), record.version, record.state.clone())
        });
        Self {
            records: records.collect(),
            events: change.events.clone(),
            tickets: change.tickets.clone(),
            request: change.request.as_ref().map(|it| (change.merchant, it.id.clone())),
        }
    }
}

/// What a merchant asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) merchant: MerchantId,
    /// The request id.
    pub(crate) request: String,
    pub(crate) wish: Wish,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    Place,
    /// With the first payment.
    PlaceAndPay,
    Pay,
    Cancel,
    /// Another content under a request id that was answered.
    Misuse,
}

/// One line of the history.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Since the beginning.
    pub(crate) at: Duration,
    /// Which process, merchant or facility.
    pub(crate) who: String,
    pub(crate) what: What,
}

/// All lines so far.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Vec<Entry>>);

impl History {
    pub(crate) fn add(&self, at: Duration, who: &str, what: What) {
        locked(&self.0).push(Entry { at, who: who.to_owned(), what });
    }

    pub(crate) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut locked(&self.0))
    }
}

/// A number for a whole history: different histories have different ones, most likely.
pub(crate) fn digest(entries: &[Entry]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for entry in entries {
        hasher.write(entry.to_string().as_bytes());
    }
    hasher.finish()
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} {:<14} ", self.at.as_secs_f64(), self.who)?;
        match &self.what {
            What::Committed(committed) => write!(f, "{committed}"),
            What::Asked(asked) => write!(f, "asked {asked}"),
            What::Answered(asked, order) => write!(f, "was answered {order} to {asked}"),
            What::Refused(asked, code) => write!(f, "was refused {asked}: {code}"),
            What::Charged { payment, paid } => write!(f, "charged {payment}: paid={paid}"),
            What::Read(places) => write!(f, "read {places:?}"),
            What::Printed { job, .. } => write!(f, "printed {job}"),
            What::Wrong(what) => write!(f, "WRONG: {what}"),
            What::Note(note) => write!(f, "{note}"),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.wish, self.request)
    }
}

impl fmt::Display for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("committed")?;
        if let Some((_, request)) = &self.request {
            write!(f, " for {request}")?;
        }
        for (_, id, version, state) in &self.records {
            write!(f, "; {id} v{version} {state}")?;
        }
        for event in &self.events {
            write!(f, "; {}#{} {}", event.stream, event.sequence, event.kind)?;
        }
        for TicketWrite { ticket, guard } in &self.tickets {
            let (state, attempt) = (ticket.state.name(), ticket.attempt);
            let sent = if ticket.sent_at.is_some() { " sent" } else { "" };
            write!(f, "; {} {} {state}/{attempt}{sent} if {guard:?}", ticket.kind, ticket.id)?;
        }
        Ok(())
    }
}
