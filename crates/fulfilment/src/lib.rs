//! Fulfilment: routing items to facilities, and the facilities' print jobs.

mod make;
mod route;

pub use make::Make;
pub use route::Route;

use printmill_backend::Change;
use printmill_backend::CommitError;
use printmill_backend::DatabaseExt;
use printmill_backend::database::{Page, Scope};
use printmill_backend::queue::Receipt;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::facility::Facility;
use printmill_domain::ids::{FacilityId, MerchantId, PrintJobId};
use printmill_domain::order::Order;
use printmill_domain::order_command::OrderCommand;
use printmill_domain::print_job::{PrintJob, PrintJobCommand};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::shipment::Tracking;
use printmill_domain::ticket::{Fence, TicketState};
use printmill_engine::command::{Answer, Commands, Context, Proposal};
use printmill_engine::lease::{Leased, Leases};

/// How often a report is decided again because the order changed in between.
const ATTEMPTS_MAX: u32 = 16;

/// What a facility reports of a job that it has accepted.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// It is on the press.
    Printing,
    /// The carrier has it.
    Shipped(Tracking),
}

/// The facilities' side of orders.
#[derive(Clone)]
pub struct Fulfilment {
    commands: Commands,
    leases: Leases,
}

impl Fulfilment {
    /// Print jobs in the database that the commands run against, leased through `leases`.
    pub fn new(commands: Commands, leases: Leases) -> Self {
        Self { commands, leases }
    }

    /// All facilities.
    pub async fn facilities(&self) -> Result<Vec<Facility>, Problem> {
        let scope = Scope::Merchant(MerchantId::PLATFORM);
        let page = Page { before: None, limit: 1_000, state: None };
        let found: Vec<Versioned<Facility>> = self.commands.database().page(scope, page).await?;
        Ok(found.into_iter().map(|found| found.value).collect())
    }

    /// The print jobs of a facility, newest first.
    pub async fn list_jobs(
        &self,
        facility: FacilityId,
        page: Page,
    ) -> Result<Vec<Versioned<PrintJob>>, Problem> {
        Ok(self.commands.database().page(Scope::Facility(facility), page).await?)
    }

    /// One print job of a facility.
    pub async fn get_job(
        &self,
        facility: FacilityId,
        id: &PrintJobId,
    ) -> Result<Versioned<PrintJob>, Problem> {
        let scope = Scope::Facility(facility);
        let found = self.commands.database().find(scope, &id.to_string()).await?;
        found.ok_or_else(|| Problem::not_found("print job", id))
    }

    /// The facility takes a leased job on: the job and the order move, and the ticket ends, all
    /// in one commit.
    pub async fn accept(
        &self,
        facility: FacilityId,
        id: &PrintJobId,
        fence: &Fence,
        receipt: &Receipt,
    ) -> Result<Versioned<PrintJob>, Problem> {
        if fence.ticket != PrintJob::ticket_id(*id) {
            return Err(Problem::invalid_field("lease_token", "is the lease of another print job"));
        }
        for _ in 0..ATTEMPTS_MAX {
            let now = self.commands.now();
            let moved = self.moved(facility, id, PrintJobCommand::Accept, now).await?;
            let ticket = match self.leases.held(fence).await {
                Ok(ticket) => ticket,
                // The same holder asks again after it was accepted: the answer is the same.
                Err(_) if moved.change.is_empty() => return Ok(moved.value),
                Err(problem) => return Err(problem),
            };
            match self.leases.complete(&ticket, fence, receipt, moved.change).await {
                Ok(()) => return Ok(moved.value),
                Err(CommitError::Stale { .. }) => {}
                Err(CommitError::Backend(error)) => return Err(error.into()),
                Err(CommitError::FenceLost { .. } | CommitError::Answered(_)) => {
                    return Err(lease_lost(id));
                }
            }
        }
        Err(always_changing())
    }

    /// The facility could not take a leased job on. When that ends the job's ticket, the order's
    /// item shows why, in the same commit.
    pub async fn fail(
        &self,
        leased: &Leased,
        problem: Problem,
        hopeless: bool,
    ) -> Result<(), Problem> {
        let Leased { ticket, fence, receipt } = leased;
        let policy = RetryPolicy::default();
        let next = self.leases.after_failure(ticket, fence, problem.clone(), hopeless, &policy)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut change = Change::new(ticket.merchant, self.commands.now());
            let told = match next.state {
                TicketState::Dead => Some(&problem),
                TicketState::Cancelled => next.cancel.as_ref(),
                _ => None,
            };
            if let Some(told) = told {
                let database = self.commands.database();
                change = make::raise_issue(&**database, ticket, told, change).await?;
            }
            let change = change.traced(ticket.trace.clone()).held(next.clone(), fence);
            match self.leases.settle(change, receipt).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Stale { .. }) => {}
                Err(CommitError::Backend(error)) => return Err(error.into()),
                Err(CommitError::FenceLost { .. } | CommitError::Answered(_)) => {
                    return Err(lease_lost(&ticket.id));
                }
            }
        }
        Err(always_changing())
    }

    /// The facility reports on a job that it accepted. Late and repeated reports change nothing.
    pub async fn report(
        &self,
        facility: FacilityId,
        id: &PrintJobId,
        report: Report,
        trace: Option<String>,
    ) -> Result<Versioned<PrintJob>, Problem> {
        let command = match report {
            Report::Printing => PrintJobCommand::StartPrinting,
            Report::Shipped(tracking) => PrintJobCommand::Ship(tracking),
        };
        let merchant = self.get_job(facility, id).await?.merchant;
        let context = Context { trace, ..Context::of(merchant) };
        let answer = self
            .commands
            .run(&context, |now| self.moved(facility, id, command.clone(), now))
            .await?;
        match answer {
            Answer::Fresh(job) => Ok(job),
            Answer::Replayed(_) => self.get_job(facility, id).await,
        }
    }

    /// A job and its order, moved by one command.
    async fn moved(
        &self,
        facility: FacilityId,
        id: &PrintJobId,
        command: PrintJobCommand,
        now: Timestamp,
    ) -> Result<Proposal<Versioned<PrintJob>>, Problem> {
        let job = self.get_job(facility, id).await?;
        let scope = Scope::Merchant(job.merchant);
        let order = self.commands.database().find::<Order>(scope, &job.order.to_string()).await?;
        let order = order.ok_or_else(|| Problem::not_found("order", job.order))?;
        let item = job.item;
        let order_command = match &command {
            PrintJobCommand::Attach(file) => OrderCommand::RecordFile { item, file: file.clone() },
            PrintJobCommand::Accept => OrderCommand::RecordAccepted { item },
            PrintJobCommand::StartPrinting => OrderCommand::RecordPrinting { item },
            PrintJobCommand::Ship(tracking) => {
                OrderCommand::RecordShipped { item, tracking: tracking.clone() }
            }
        };
        let decided = job.decide(command, now)?;
        let ordered = if decided.state == job.value {
            Decided::quiet(order.value.clone())
        } else {
            order.decide(order_command, now)?
        };
        let changed = u64::from(decided.state != job.value);
        let value = Versioned { version: job.version + changed, value: decided.state.clone() };
        let change = Change::new(job.merchant, now).update(&job, decided).update(&order, ordered);
        Ok(Proposal { change, outcome: id.to_string(), value })
    }
}

fn lease_lost(id: &impl std::fmt::Display) -> Problem {
    Problem::new(
        Code::LeaseLost,
        format!("the lease on {id} is not held any more"),
        "lease the job again",
    )
}

fn always_changing() -> Problem {
    Problem::new(Code::Conflict, "the order is changing all the time", "try again in a moment")
}
