//! `WorkService`.

use super::lease_stream::{self, Delivering};
use super::leasing::{LeaseOrder, Wanted, covers, outside};
use super::worker_control::{self, Controlling};
use super::{Edge, answer, caller};
use crate::auth::Caller;
use crate::convert::{self, work};
use crate::errors;
use crate::lease_token::{LeaseToken, other_ticket};
use crate::options::WORK_FILE_BYTES_MAX;
use printmill_domain::print_job::MAKE;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::Ticket;
use printmill_domain::ticket_end::overdue as overdue_problem;
use printmill_engine::handler::Failure;
use printmill_engine::lease::Leased;
use printmill_engine::settle::Outcome;
use printmill_proto::v1;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// The most tickets leased at once.
const COUNT_MAX: u16 = 32;
/// The longest wait for the first ticket, in milliseconds.
const WAIT_MAX: u32 = 20_000;
/// How long the queue waits at once, so that a node that leaves is not kept. A lease that was
/// given is never dropped on the way.
const WAIT_SLICE: Duration = Duration::from_secs(1);

/// Who asks, for calls whose answers are made elsewhere.
fn caller_of<M>(request: &Request<M>) -> Result<&Caller, Status> {
    caller(request).map_err(|problem| errors::status(&problem))
}

#[tonic::async_trait]
impl v1::work_service_server::WorkService for Edge {
    async fn lease_work(
        &self,
        request: Request<v1::LeaseWorkRequest>,
    ) -> Result<Response<v1::LeaseWorkResponse>, Status> {
        let leased = async {
            let wanted = request.get_ref();
            let order = LeaseOrder::read(
                caller(&request)?,
                &Wanted {
                    lane: &wanted.lane,
                    kinds: &wanted.kinds,
                    holder: &wanted.holder,
                    worker_id: &wanted.worker_id,
                },
            )?;
            self.check_open(&order.kinds)?;
            let count = wanted.count.max(1);
            let count = u16::try_from(count).ok().filter(|count| *count <= COUNT_MAX);
            let count = count.ok_or_else(|| {
                Problem::invalid_field("count", format!("must be 1 to {COUNT_MAX}"))
            })?;
            if wanted.wait_ms > WAIT_MAX {
                let description = format!("must be 0 to {WAIT_MAX}");
                return Err(Problem::invalid_field("wait_ms", description));
            }
            self.lease(&order, count, Duration::from_millis(wanted.wait_ms.into())).await
        };
        answer(leased.await)
    }

    type StreamWorkStream = Delivering;

    async fn stream_work(
        &self,
        request: Request<v1::StreamWorkRequest>,
    ) -> Result<Response<Delivering>, Status> {
        answer(lease_stream::open(self, caller_of(&request)?, request.get_ref()).await)
    }

    type ControlWorkStream = Controlling;

    async fn control_work(
        &self,
        request: Request<v1::ControlWorkRequest>,
    ) -> Result<Response<Controlling>, Status> {
        answer(worker_control::open(self, caller_of(&request)?, request.get_ref()).await)
    }

    async fn report_work(
        &self,
        request: Request<v1::ReportWorkRequest>,
    ) -> Result<Response<v1::ReportWorkResponse>, Status> {
        answer(worker_control::report(self, caller_of(&request)?, request.get_ref()).await)
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
            let orders = worker_control::orders_of(self, caller(&request)?.key, &ticket).await;
            Ok(v1::ExtendWorkResponse {
                expire_time: ticket.lease_until.and_then(convert::time),
                cancel: why.is_some(),
                cancel_reason: why.map(|why| why.message).unwrap_or_default(),
                orders,
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
            let receipt = token.receipt();
            self.hand_back(Leased { ticket, fence: token.fence, receipt }).await?;
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

impl Edge {
    /// Leases, and waits again when what was delivered was settled already, or when the worker is
    /// to take nothing.
    async fn lease(
        &self,
        order: &LeaseOrder,
        count: u16,
        wait: Duration,
    ) -> Result<v1::LeaseWorkResponse, Problem> {
        let until = Instant::now() + wait;
        loop {
            let worker = self.worker(order).await?;
            let orders = worker.as_ref().map(work::orders);
            let limit = worker.as_ref().and_then(|worker| worker.limit(&order.lane));
            let count = limit.map_or(count, |limit| count.min(limit));
            let left = until.saturating_duration_since(Instant::now()).min(WAIT_SLICE);
            let obtained = match count {
                0 => {
                    tokio::time::sleep(left).await;
                    vec![]
                }
                count => self.obtain(order, count, left).await?,
            };
            let leaving = self.stopping.is_cancelled();
            if !obtained.is_empty() || leaving || Instant::now() >= until {
                let leases = obtained.into_iter().map(|one| one.deliver().0).collect();
                return Ok(v1::LeaseWorkResponse { leases, orders });
            }
        }
    }

    /// The ticket that a token proves to be held by the caller.
    async fn held(&self, caller: &Caller, token: &str) -> Result<(LeaseToken, Ticket), Problem> {
        let token = self.token(caller, token)?;
        let ticket = self.services.leases.held(&token.fence).await?;
        Ok((token, ticket))
    }

    /// A token that the caller may use.
    pub(super) fn token(&self, caller: &Caller, token: &str) -> Result<LeaseToken, Problem> {
        let token = LeaseToken::open(&self.signer, token)?;
        if covers(caller, &token) { Ok(token) } else { Err(other_ticket()) }
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
    pub(super) async fn fail(&self, leased: &Leased, failure: Failure) -> Result<(), Problem> {
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

fn no_longer_held() -> Problem {
    Problem::new(
        Code::LeaseLost,
        "the lease is not held any more",
        "throw the result away and lease again; whoever holds the ticket now will finish it",
    )
}
