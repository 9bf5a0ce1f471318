//! `WorkService`.

use super::{Edge, answer, caller};
use crate::auth::{Caller, denied};
use crate::convert::{self, work};
use crate::lease_token::{LeaseToken, other_ticket};
use crate::options::WORK_FILE_BYTES_MAX;
use printmill_domain::api_key::Scope;
use printmill_domain::lane::Lane;
use printmill_domain::print_job::MAKE;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::Ticket;
use printmill_domain::ticket_end::{Admission, overdue as overdue_problem};
use printmill_engine::handler::{Failure, Needs, Work, closed};
use printmill_engine::lease::Leased;
use printmill_engine::settle::Outcome;
use printmill_proto::v1;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// The most tickets leased at once.
const COUNT_MAX: u32 = 32;
/// The longest wait for the first ticket, in milliseconds.
const WAIT_MAX: u32 = 20_000;
/// How long the queue waits at once, so that a node that leaves is not kept. A lease that was
/// given is never dropped on the way.
const WAIT_SLICE: Duration = Duration::from_secs(1);
/// How long a ticket of a kind that the key is not for is left to others.
const NOT_MINE_PAUSE: Duration = Duration::from_secs(1);
/// The most characters of a holder's name.
const HOLDER_MAX: usize = 100;

#[tonic::async_trait]
impl v1::work_service_server::WorkService for Edge {
    async fn lease_work(
        &self,
        request: Request<v1::LeaseWorkRequest>,
    ) -> Result<Response<v1::LeaseWorkResponse>, Status> {
        let leased = async {
            let order = LeaseOrder::read(caller(&request)?, request.get_ref())?;
            self.check_open(&order.kinds)?;
            let leased = self.lease(&order).await?;
            let mut leases = vec![];
            for leased in &leased {
                leases.extend(self.hand_out(leased).await?);
            }
            Ok(v1::LeaseWorkResponse { leases })
        };
        answer(leased.await)
    }

    async fn extend_work(
        &self,
        request: Request<v1::ExtendWorkRequest>,
    ) -> Result<Response<v1::ExtendWorkResponse>, Status> {
        let extended = async {
            let progress = u16::try_from(request.get_ref().progress).ok();
            let progress = progress.filter(|progress| *progress <= 1000);
            let progress =
                progress.ok_or_else(|| Problem::invalid_field("progress", "must be 0 to 1000"))?;
            let (token, ticket) =
                self.held(caller(&request)?, &request.get_ref().lease_token).await?;
            let message = work::message(&request.get_ref().message)?;
            let (leases, receipt) = (&self.services.leases, token.receipt());
            let extended = leases.extend(&ticket, &token.fence, &receipt, progress, message);
            let ticket = extended.await?;
            let overdue = ticket.deadline.filter(|deadline| *deadline <= leases.now());
            let why = ticket.cancel.clone().or(overdue.map(|_| overdue_problem(&ticket.id)));
            Ok(v1::ExtendWorkResponse {
                expire_time: ticket.lease_until.and_then(convert::time),
                cancel: why.is_some(),
                cancel_reason: why.map(|why| why.message).unwrap_or_default(),
            })
        };
        answer(extended.await)
    }

    async fn complete_work(
        &self,
        request: Request<v1::CompleteWorkRequest>,
    ) -> Result<Response<v1::CompleteWorkResponse>, Status> {
        let completed = async {
            let result = work::result(request.get_ref().result.as_ref())?;
            let token = self.token(caller(&request)?, &request.get_ref().lease_token)?;
            self.complete(token, result).await?;
            Ok(v1::CompleteWorkResponse {})
        };
        answer(completed.await)
    }

    async fn create_work_upload(
        &self,
        request: Request<v1::CreateWorkUploadRequest>,
    ) -> Result<Response<v1::Link>, Status> {
        let link = async {
            let size = u64::try_from(request.get_ref().size).ok();
            let size = size.filter(|size| (1..=WORK_FILE_BYTES_MAX).contains(size));
            let size = size.ok_or_else(|| {
                let description = format!("must be 1 to {WORK_FILE_BYTES_MAX}");
                Problem::invalid_field("size", description)
            })?;
            let (_, ticket) = self.held(caller(&request)?, &request.get_ref().lease_token).await?;
            let now = self.services.clock.now();
            Ok(self.links.work_upload(ticket.merchant, ticket.id, size, now))
        };
        answer(link.await)
    }

    async fn release_work(
        &self,
        request: Request<v1::ReleaseWorkRequest>,
    ) -> Result<Response<v1::ReleaseWorkResponse>, Status> {
        let released = async {
            let (token, ticket) =
                self.held(caller(&request)?, &request.get_ref().lease_token).await?;
            self.services.leases.release(&ticket, &token.fence, &token.receipt()).await?;
            Ok(v1::ReleaseWorkResponse {})
        };
        answer(released.await)
    }

    async fn fail_work(
        &self,
        request: Request<v1::FailWorkRequest>,
    ) -> Result<Response<v1::FailWorkResponse>, Status> {
        let failed = async {
            let problem = work::failure(&request.get_ref().message)?;
            let hopeless = request.get_ref().hopeless;
            let (token, ticket) =
                self.held(caller(&request)?, &request.get_ref().lease_token).await?;
            let receipt = token.receipt();
            let leased = Leased { ticket, fence: token.fence, receipt };
            self.fail(&leased, Failure { problem, hopeless }).await?;
            Ok(v1::FailWorkResponse {})
        };
        answer(failed.await)
    }
}

/// What is to be leased, checked.
struct LeaseOrder {
    lane: Lane,
    kinds: Vec<String>,
    count: u16,
    wait: Duration,
    holder: String,
}

impl LeaseOrder {
    fn read(caller: &Caller, request: &v1::LeaseWorkRequest) -> Result<Self, Problem> {
        if request.count > COUNT_MAX {
            return Err(Problem::invalid_field("count", format!("must be 1 to {COUNT_MAX}")));
        }
        if request.wait_ms > WAIT_MAX {
            return Err(Problem::invalid_field("wait_ms", format!("must be 0 to {WAIT_MAX}")));
        }
        let holder = &request.holder;
        if holder.chars().count() > HOLDER_MAX || holder.chars().any(char::is_control) {
            let description = format!("must have at most {HOLDER_MAX} characters");
            return Err(Problem::invalid_field("holder", description));
        }
        let (lane, mut kinds, default_holder) = lane(caller, &request.lane)?;
        if let Some(foreign) = request.kinds.iter().find(|kind| !kinds.contains(kind)) {
            let kind: String = foreign.chars().take(HOLDER_MAX).collect();
            return Err(denied(&format!("a worker's key for '{kind}', or leave the kind out")));
        }
        kinds.retain(|kind| request.kinds.is_empty() || request.kinds.contains(kind));
        let holder = if holder.is_empty() { default_holder } else { holder.clone() };
        let count = request.count.max(1) as u16;
        let wait = Duration::from_millis(request.wait_ms.into());
        Ok(Self { lane, kinds, count, wait, holder })
    }
}

/// The lane that a caller may lease from, which kinds, and a name for the holder.
fn lane(caller: &Caller, wanted: &str) -> Result<(Lane, Vec<String>, String), Problem> {
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
fn covers(caller: &Caller, token: &LeaseToken) -> bool {
    match &caller.scope {
        Scope::Merchant(_) | Scope::Operator => false,
        Scope::Facility(facility) => *token.lane() == Lane::facility(facility),
        Scope::Worker { kinds, lanes } => {
            let own = lanes.is_empty() || lanes.iter().any(|lane| lane == token.lane().as_str());
            own && kinds.contains(&token.kind)
        }
    }
}

impl Edge {
    /// Leases, and waits again when what was delivered was settled already.
    async fn lease(&self, order: &LeaseOrder) -> Result<Vec<Leased>, Problem> {
        let until = Instant::now() + order.wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let LeaseOrder { lane, count, holder, .. } = order;
            let leases = self.services.leases.clone();
            let delivered = leases.deliveries(lane, *count, left.min(WAIT_SLICE)).await?;
            let holder = holder.clone();
            // A caller that hangs up now must not leave a claim behind halfway.
            let claims = tokio::spawn(async move { leases.take_on(delivered, &holder).await });
            let leased = claims.await.map_err(|_| claims_broke_off())??;
            let (mine, others): (Vec<_>, Vec<_>) =
                leased.into_iter().partition(|leased| order.kinds.contains(&leased.ticket.kind));
            let released = !others.is_empty();
            for other in others {
                let Leased { ticket, fence, receipt } = other;
                let leases = &self.services.leases;
                leases.postpone(&ticket, &fence, &receipt, NOT_MINE_PAUSE).await?;
            }
            let leaving = self.stopping.is_cancelled();
            if !mine.is_empty() || released || leaving || Instant::now() >= until {
                return Ok(mine);
            }
        }
    }

    /// The ticket that a token proves to be held by the caller.
    async fn held(&self, caller: &Caller, token: &str) -> Result<(LeaseToken, Ticket), Problem> {
        let token = self.token(caller, token)?;
        let ticket = self.services.leases.held(&token.fence).await?;
        Ok((token, ticket))
    }

    /// Checks that workers outside may work on kinds.
    fn check_open(&self, kinds: &[String]) -> Result<(), Problem> {
        let handlers = self.services.settling.handlers();
        let mut known = kinds.iter().filter_map(|kind| handlers.get(kind));
        match known.find(|handler| !handler.is_open()) {
            Some(own) => Err(closed(own.kind())),
            None => Ok(()),
        }
    }

    /// A token that the caller may use.
    fn token(&self, caller: &Caller, token: &str) -> Result<LeaseToken, Problem> {
        let token = LeaseToken::open(&self.signer, token)?;
        if covers(caller, &token) { Ok(token) } else { Err(other_ticket()) }
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

    /// Commits what a worker outside did. A worker that did not hear the answer may ask again.
    async fn complete(&self, token: LeaseToken, result: Value) -> Result<(), Problem> {
        if token.kind == MAKE {
            return Err(Problem::invalid_state(
                "a print job is not completed",
                "accept it with /v1/printJobs/JOB:accept, and report on it",
            ));
        }
        let ticket = match self.services.leases.held(&token.fence).await {
            Ok(ticket) => ticket,
            Err(problem) => {
                let done = self.services.leases.was_done(&token.fence).await?;
                return if done { Ok(()) } else { Err(problem) };
            }
        };
        let receipt = token.receipt();
        let leased = Leased { ticket, fence: token.fence, receipt };
        let (settling, work) = (&self.services.settling, outside(&leased.ticket));
        let performed = match settling.handlers().get(&leased.ticket.kind) {
            Some(handler) => handler.accept(&work, result).await?,
            None => result,
        };
        match settling.complete(&work, &leased, &performed).await {
            Ok(Outcome::Done) => Ok(()),
            Ok(_) => Err(no_longer_held()),
            Err(failure) => {
                let problem = failure.problem.clone();
                settling.fail(&work, &leased, failure).await;
                Err(problem)
            }
        }
    }

    /// Records that an attempt failed.
    async fn fail(&self, leased: &Leased, failure: Failure) -> Result<(), Problem> {
        if leased.ticket.kind == MAKE {
            let Failure { problem, hopeless } = failure;
            return self.services.fulfilment.fail(leased, problem, hopeless).await;
        }
        let work = outside(&leased.ticket);
        match self.services.settling.fail(&work, leased, failure).await {
            Outcome::Lost => Err(no_longer_held()),
            _ => Ok(()),
        }
    }
}

/// Work that somebody outside does.
fn outside(ticket: &Ticket) -> Work {
    Work::new(ticket.clone(), CancellationToken::new())
}

fn no_longer_held() -> Problem {
    Problem::new(
        Code::LeaseLost,
        "the lease is not held any more",
        "throw the result away and lease again; whoever holds the ticket now will finish it",
    )
}

fn claims_broke_off() -> Problem {
    Problem::new(Code::Internal, "the lease broke off inside", "lease again in a few seconds")
}
