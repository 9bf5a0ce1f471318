//! Leasing to workers outside: who may lease what, and tickets on their way to a worker.

use super::{Edge, Services};
use crate::auth::{Caller, denied};
use crate::convert::{self, work};
use crate::lease_token::LeaseToken;
use printmill_domain::api_key::Scope;
use printmill_domain::ids::{Id, KeyId, WorkerId};
use printmill_domain::lane::Lane;
use printmill_domain::print_job::MAKE;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::Ticket;
use printmill_domain::ticket_end::Admission;
use printmill_domain::worker::Worker;
use printmill_engine::command::Commands;
use printmill_engine::handler::{Failure, Needs, Work, closed};
use printmill_engine::lease::Leased;
use printmill_engine::outside::OutsideWorkers;
use printmill_proto::v1;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a ticket of a kind that the key is not for is left to others.
const NOT_MINE_PAUSE: Duration = Duration::from_secs(1);
/// The most characters of a holder's name.
const HOLDER_MAX: usize = 100;

/// Who leases what, checked.
#[derive(Clone)]
pub(super) struct LeaseOrder {
    pub(super) lane: Lane,
    pub(super) kinds: Vec<String>,
    pub(super) holder: String,
    pub(super) key: KeyId,
    /// The announced worker that leases, if it is one.
    pub(super) worker: Option<WorkerId>,
}

/// Who wants to lease what.
pub(super) struct Wanted<'a> {
    pub(super) lane: &'a str,
    pub(super) kinds: &'a [String],
    pub(super) holder: &'a str,
    pub(super) worker_id: &'a str,
}

impl LeaseOrder {
    /// Reads what somebody wants to lease.
    pub(super) fn read(caller: &Caller, wanted: &Wanted<'_>) -> Result<Self, Problem> {
        let (lane, kinds, default_holder) = lane(caller, wanted.lane)?;
        let kinds = chosen(kinds, wanted.kinds)?;
        let holder = text("holder", wanted.holder, HOLDER_MAX)?;
        let worker = match wanted.worker_id {
            "" => None,
            id => Some(convert::id::<WorkerId>("worker_id", id)?),
        };
        let claimed = WorkerId::parse(holder).is_ok();
        if claimed || (worker.is_some() && !holder.is_empty()) {
            let description = "must be empty with a worker_id, and no worker's id";
            return Err(Problem::invalid_field("holder", description));
        }
        let holder = match (&worker, holder) {
            (Some(worker), _) => worker.to_string(),
            (None, "") => default_holder,
            (None, holder) => holder.to_owned(),
        };
        Ok(Self { lane, kinds, holder, key: caller.key, worker })
    }
}

/// A text of bounded length without control characters.
pub(super) fn text<'a>(field: &str, text: &'a str, most: usize) -> Result<&'a str, Problem> {
    if text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Problem::invalid_field(field, format!("must have at most {most} characters")));
    }
    Ok(text)
}

/// Those of a key's kinds that are wanted: all of them when none is named.
pub(super) fn chosen(own: Vec<String>, wanted: &[String]) -> Result<Vec<String>, Problem> {
    if let Some(foreign) = wanted.iter().find(|kind| !own.contains(kind)) {
        let kind: String = foreign.chars().take(HOLDER_MAX).collect();
        return Err(denied(&format!("a worker's key for '{kind}', or leave the kind out")));
    }
    let mut kinds = own;
    kinds.retain(|kind| wanted.is_empty() || wanted.contains(kind));
    Ok(kinds)
}

/// The lane that a caller may lease from, which kinds, and a name for the holder.
pub(super) fn lane(caller: &Caller, wanted: &str) -> Result<(Lane, Vec<String>, String), Problem> {
    match &caller.scope {
        Scope::Merchant(_) | Scope::Operator => Err(denied("a facility's or a worker's key")),
        Scope::Facility(facility) => {
            let own = Lane::facility(facility);
            if !wanted.is_empty() && wanted != own.as_str() {
                return Err(denied("the key of that lane's facility, or leave the lane out"));
            }
            Ok((own, vec![MAKE.to_owned()], facility.to_string()))
        }
        Scope::Worker { kinds, lanes } => {
            let lane = Lane::parse(wanted)
                .ok_or_else(|| Problem::invalid_field("lane", "must be the name of a lane"))?;
            if !lanes.is_empty() && !lanes.iter().any(|own| own == wanted) {
                return Err(denied("a worker's key for that lane"));
            }
            Ok((lane, kinds.clone(), "worker".to_owned()))
        }
    }
}

/// Whether a caller may hold a ticket.
pub(super) fn covers(caller: &Caller, token: &LeaseToken) -> bool {
    match &caller.scope {
        Scope::Merchant(_) | Scope::Operator => false,
        Scope::Facility(facility) => *token.lane() == Lane::facility(facility),
        Scope::Worker { kinds, lanes } => {
            let own = lanes.is_empty() || lanes.iter().any(|lane| lane == token.lane().as_str());
            own && kinds.contains(&token.kind)
        }
    }
}

/// A ticket that was leased for a worker and is not sent yet. Dropped on the way, it is released at
/// once.
pub(super) struct HandedOut {
    lease: v1::Lease,
    leased: Option<Leased>,
    edge: Edge,
    at: Instant,
}

impl HandedOut {
    /// The lease, to be sent now.
    pub(super) fn deliver(mut self) -> (v1::Lease, Option<Leased>) {
        (std::mem::take(&mut self.lease), self.leased.take())
    }

    /// Since when it has been leased.
    pub(super) fn since(&self) -> Instant {
        self.at
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        let (Some(leased), Ok(runtime)) = (self.leased.take(), Handle::try_current()) else {
            return;
        };
        let edge = self.edge.clone();
        runtime.spawn(async move {
            let id = leased.ticket.id;
            if let Err(problem) = edge.hand_back(leased).await {
                tracing::debug!(ticket = %id, %problem, "undelivered ticket was not released");
            }
        });
    }
}

impl Edge {
    /// The records of workers outside.
    pub(super) fn outside_workers(&self) -> OutsideWorkers {
        let Services { database, clock, .. } = &self.services;
        OutsideWorkers::new(Commands::new(database.clone(), clock.clone()))
    }

    /// Checks that workers outside may work on kinds.
    pub(super) fn check_open(&self, kinds: &[String]) -> Result<(), Problem> {
        let handlers = self.services.settling.handlers();
        let mut known = kinds.iter().filter_map(|kind| handlers.get(kind));
        match known.find(|handler| !handler.is_open()) {
            Some(own) => Err(closed(own.kind())),
            None => Ok(()),
        }
    }

    /// The record of the announced worker that leases, if it is one.
    pub(super) async fn worker(&self, order: &LeaseOrder) -> Result<Option<Worker>, Problem> {
        let Some(id) = order.worker else { return Ok(None) };
        let found = self.outside_workers().find(order.key, id).await?;
        if found.limit(&order.lane).is_none() {
            let description = "must be one that the worker announced";
            return Err(Problem::invalid_field("lane", description));
        }
        Ok(Some(found.value))
    }

    /// Leases up to `count` tickets, waiting up to `wait` for the first. It goes on by itself when
    /// the caller hangs up, until what was claimed is released again.
    pub(super) async fn obtain(
        &self,
        order: &LeaseOrder,
        count: u16,
        wait: Duration,
    ) -> Result<Vec<HandedOut>, Problem> {
        let (edge, order) = (self.clone(), order.clone());
        let (mut answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let leases = edge.services.leases.clone();
            let delivered = tokio::select! {
                biased;
                delivered = leases.deliveries(&order.lane, count, wait) => delivered,
                () = answer.closed() => return,
            };
            let obtained = match delivered {
                Ok(delivered) if delivered.is_empty() => Ok(vec![]),
                Ok(delivered) => edge.take_on(&order, delivered).await,
                Err(error) => Err(error.into()),
            };
            // Without anybody to hear it, it is dropped: released.
            let _ = answer.send(obtained);
        });
        answered.await.map_err(|_| broke_off())?
    }

    async fn take_on(
        &self,
        order: &LeaseOrder,
        delivered: Vec<printmill_backend::queue::Delivery>,
    ) -> Result<Vec<HandedOut>, Problem> {
        let leases = &self.services.leases;
        // It may have been told to take nothing new while it waited.
        let worker = self.worker(order).await;
        let stopped = |worker: &Option<Worker>| {
            worker.as_ref().is_some_and(|worker| worker.limit(&order.lane) == Some(0))
        };
        if !worker.as_ref().is_ok_and(|worker| !stopped(worker)) {
            leases.decline(delivered).await;
            return worker.map(|_| vec![]);
        }
        let leased = leases.take_on(delivered, &order.holder).await?;
        let at = Instant::now();
        let mut leased = leased.into_iter().map(|leased| HandedOut {
            lease: v1::Lease::default(),
            leased: Some(leased),
            edge: self.clone(),
            at,
        });
        let mut obtained = vec![];
        // What is left in the iterator when this fails is dropped, and so released.
        for mut one in leased.by_ref() {
            let Some(leased) = one.leased.take() else { continue };
            if !order.kinds.contains(&leased.ticket.kind) {
                let Leased { ticket, fence, receipt } = leased;
                leases.postpone(&ticket, &fence, &receipt, NOT_MINE_PAUSE).await?;
                continue;
            }
            one.leased = Some(leased.clone());
            match self.hand_out(&leased).await? {
                Some(lease) => {
                    one.lease = lease;
                    obtained.push(one);
                }
                None => one.leased = None,
            }
        }
        Ok(obtained)
    }

    /// Releases a ticket unharmed. One that is not wanted any more ends instead, so that people see
    /// it.
    pub(super) async fn hand_back(&self, leased: Leased) -> Result<(), Problem> {
        let ticket = self.services.leases.held(&leased.fence).await?;
        let leased = Leased { ticket, ..leased };
        if let Some(why) = leased.ticket.cancel.clone() {
            return self.fail(&leased, Failure::hopeless(why)).await;
        }
        let Leased { ticket, fence, receipt } = &leased;
        self.services.leases.release(ticket, fence, receipt).await
    }

    /// A leased ticket as a worker outside gets it; nothing when it is not to be worked on, and
    /// was settled instead.
    async fn hand_out(&self, leased: &Leased) -> Result<Option<v1::Lease>, Problem> {
        let ticket = &leased.ticket;
        let settling = &self.services.settling;
        let mut policy = settling.policy(&ticket.kind);
        if ticket.kind == MAKE {
            // A facility that is away comes back.
            policy.losses_max = u32::MAX;
        }
        let now = self.services.leases.now();
        if let Admission::Cancel(problem) | Admission::GiveUp(problem) =
            ticket.admission(&policy, now)
        {
            self.fail(leased, Failure::hopeless(problem)).await?;
            return Ok(None);
        }
        let needs = match settling.handlers().get(&ticket.kind) {
            Some(handler) => match handler.needs(&outside(ticket)).await {
                Ok(needs) => needs,
                Err(failure) => {
                    self.fail(leased, failure).await?;
                    return Ok(None);
                }
            },
            None => Needs::default(),
        };
        work::lease(leased, &needs, &self.signer, &self.links, now).map(Some)
    }
}

/// Work that somebody outside does.
pub(super) fn outside(ticket: &Ticket) -> Work {
    Work::new(ticket.clone(), CancellationToken::new())
}

fn broke_off() -> Problem {
    Problem::new(Code::Internal, "the lease broke off inside", "lease again in a few seconds")
}
