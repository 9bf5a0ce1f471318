//! The history: everything that happened in a simulation, in order, as an outside observer saw it.

use crate::locked;
use printmill_backend::Change;
use printmill_backend::change::TicketWrite;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{
    FacilityId, MerchantId, OrderId, PaymentId, PrintJobId, TicketId, WorkerId,
};
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::worker::Worker;
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
    /// A relay handed a ticket over, and knows it.
    HandedOver(TicketId),
    /// Somebody took so many messages out of a lane.
    Took { lane: Lane, count: usize },
    /// A worker read its record.
    Looked(Wanted),
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
    /// What is wanted of workers.
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) request: Option<(MerchantId, String)>,
}

impl Committed {
    pub(crate) fn of(change: &Change) -> Self {
        let records = change.records.iter().map(|write| {
            let record = &write.record;
            (record.kind, record.id.clone(), record.version, record.state.clone())
        });
        let workers = change.records.iter().filter(|write| write.record.kind == Kind::Worker);
        Self {
            wanted: workers.filter_map(|it| Wanted::read(&it.record.document)).collect(),
            records: records.collect(),
            events: change.events.clone(),
            tickets: change.tickets.clone(),
            request: change.request.as_ref().map(|it| (change.merchant, it.id.clone())),
        }
    }
}

/// What is wanted of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) worker: WorkerId,
    /// Counts the changes of what is wanted.
    pub(crate) revision: u64,
    /// How many tickets at once, of each lane that it serves.
    pub(crate) limits: Vec<(Lane, u16)>,
}

impl Wanted {
    /// What a worker's record says.
    pub(crate) fn read(document: &str) -> Option<Self> {
        let worker: Worker = serde_json::from_str(document).ok()?;
        let limits = worker.lanes.iter().map(|served| {
            let stopped = worker.draining || served.paused;
            let limit = if stopped { 0 } else { served.wanted.unwrap_or(served.configured) };
            (served.lane.clone(), limit)
        });
        Some(Self { worker: worker.id, revision: worker.revision, limits: limits.collect() })
    }

    pub(crate) fn limit(&self, lane: &Lane) -> Option<u16> {
        self.limits.iter().find(|(served, _)| served == lane).map(|(_, limit)| *limit)
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
            What::HandedOver(ticket) => write!(f, "handed {ticket} over"),
            What::Took { lane, count } => write!(f, "took {count} of {}", lane.as_str()),
            What::Looked(wanted) => write!(f, "looked: {wanted}"),
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

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is wanted as #{}", self.worker, self.revision)?;
        for (lane, limit) in &self.limits {
            write!(f, " {}={limit}", lane.as_str())?;
        }
        Ok(())
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
        for wanted in &self.wanted {
            write!(f, "; {wanted}")?;
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
