//! `WorkService`.

use super::{Edge, answer, caller};
use crate::auth::{Caller, denied};
use crate::convert::{self, work};
use crate::lease_token::{LeaseToken, other_ticket};
use printmill_domain::api_key::Scope;
use printmill_domain::lane::Lane;
use printmill_domain::print_job::MAKE;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::Ticket;
use printmill_engine::lease::Leased;
use printmill_proto::v1;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// The most tickets leased at once.
const COUNT_MAX: u32 = 32;
/// The longest wait for the first ticket, in milliseconds.
const WAIT_MAX: u32 = 20_000;
/// How long the queue waits at once, so that a node that leaves is not kept. A lease that was
/// given is never dropped on the way.
const WAIT_SLICE: Duration = Duration::from_secs(1);
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
            let leased = self.lease(&order).await?;
            let leases = leased.iter().map(|leased| work::lease(leased, &self.signer));
            Ok(v1::LeaseWorkResponse { leases: leases.collect::<Result<_, _>>()? })
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
            let leases = &self.services.leases;
            let ticket =
                leases.extend(&ticket, &token.fence, &token.receipt(), progress, "").await?;
            let expire_time = ticket.lease_until.and_then(convert::time);
            Ok(v1::ExtendWorkResponse { expire_time })
        };
        answer(extended.await)
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
            if leased.ticket.kind == MAKE {
                self.services.fulfilment.fail(&leased, problem, hopeless).await?;
            } else {
                let policy = RetryPolicy::default();
                self.services.leases.fail(&leased, problem, hopeless, &policy).await?;
            }
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
        let (lane, kinds, default_holder) = lane(caller, &request.lane)?;
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
        Scope::Worker { kinds } => {
            let lane = Lane::parse(wanted)
                .ok_or_else(|| Problem::invalid_field("lane", "must be the name of a lane"))?;
            Ok((lane, kinds.clone(), "worker".to_owned()))
        }
    }
}

/// Whether a caller may hold a ticket.
fn covers(caller: &Caller, token: &LeaseToken) -> bool {
    match &caller.scope {
        Scope::Merchant(_) | Scope::Operator => false,
        Scope::Facility(facility) => *token.lane() == Lane::facility(facility),
        Scope::Worker { kinds } => kinds.contains(&token.kind),
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
                self.services.leases.release(&ticket, &fence, &receipt).await?;
            }
            let leaving = self.stopping.is_cancelled();
            if !mine.is_empty() || released || leaving || Instant::now() >= until {
                return Ok(mine);
            }
        }
    }

    /// The ticket that a token proves to be held by the caller.
    async fn held(&self, caller: &Caller, token: &str) -> Result<(LeaseToken, Ticket), Problem> {
        let token = LeaseToken::open(&self.signer, token)?;
        if !covers(caller, &token) {
            return Err(other_ticket());
        }
        let ticket = self.services.leases.held(&token.fence).await?;
        Ok((token, ticket))
    }
}

fn claims_broke_off() -> Problem {
    Problem::new(Code::Internal, "the lease broke off inside", "lease again in a few seconds")
}
