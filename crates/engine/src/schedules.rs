//! What operators see of schedules, and how they steer them.

use crate::command::{Answer, Commands, Context, Proposal};
use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided, Versioned};
use printmill_domain::ids::{Id, MerchantId, ScheduleId, TicketId};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::schedule::Schedule;

const PLATFORM: Scope = Scope::Merchant(MerchantId::PLATFORM);

/// Schedules for operators. Each is called by its id or its name.
#[derive(Clone)]
pub struct Schedules {
    commands: Commands,
}

impl Schedules {
    /// Reads and changes by these commands.
    pub fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// A page of schedules.
    pub async fn list(&self, page: Page) -> Result<Vec<Schedule>, Problem> {
        let found = self.commands.database().page::<Schedule>(PLATFORM, page).await?;
        Ok(found.into_iter().map(|found| found.value).collect())
    }

    /// Runs one now, out of turn; the schedule and the ticket of the run.
    pub async fn run(
        &self,
        context: &Context,
        called: &str,
    ) -> Result<(Schedule, TicketId), Problem> {
        let propose = |found: &Versioned<Schedule>, now| {
            let decided = found.run(now);
            let ticket = decided.tickets.first().map(|ticket| ticket.id);
            let ticket = ticket.ok_or_else(|| Problem::invalid_state("it made nothing", ""))?;
            Ok((ticket.to_string(), ticket, decided))
        };
        match self.change(context, called, propose).await? {
            Answer::Fresh(changed) => Ok(changed),
            Answer::Replayed(ticket) => {
                let ticket = TicketId::parse(&ticket).map_err(|error| {
                    Problem::new(Code::Internal, error.to_string(), "report this as a fault")
                })?;
                Ok((self.find(called).await?.value, ticket))
            }
        }
    }

    /// Lets one stand still. One that does so already stays as it is.
    pub async fn pause(&self, context: &Context, called: &str) -> Result<Schedule, Problem> {
        self.steer(context, called, |schedule, _| Ok(schedule.pause())).await
    }

    /// Lets one go on, with the first tick after now.
    pub async fn resume(&self, context: &Context, called: &str) -> Result<Schedule, Problem> {
        self.steer(context, called, Schedule::resume).await
    }

    async fn steer(
        &self,
        context: &Context,
        called: &str,
        decide: impl Fn(&Schedule, Timestamp) -> Result<Decided<Schedule>, Problem>,
    ) -> Result<Schedule, Problem> {
        let propose = |found: &Versioned<Schedule>, now| {
            Ok((Aggregate::id(&found.value), (), decide(found, now)?))
        };
        match self.change(context, called, propose).await? {
            Answer::Fresh((schedule, ())) => Ok(schedule),
            Answer::Replayed(_) => Ok(self.find(called).await?.value),
        }
    }

    /// Loads, decides and commits; `propose` also says what a repeated request is answered from.
    async fn change<T: Copy>(
        &self,
        context: &Context,
        called: &str,
        propose: impl Fn(
            &Versioned<Schedule>,
            Timestamp,
        ) -> Result<(String, T, Decided<Schedule>), Problem>,
    ) -> Result<Answer<(Schedule, T)>, Problem> {
        let propose = &propose;
        let decide = async |now: Timestamp| {
            let found = self.find(called).await?;
            let (outcome, value, decided) = propose(&found, now)?;
            let schedule = decided.state.clone();
            let change = Change::new(MerchantId::PLATFORM, now).update(&found, decided);
            Ok(Proposal { change, outcome, value: (schedule, value) })
        };
        self.commands.run(context, decide).await
    }

    async fn find(&self, called: &str) -> Result<Versioned<Schedule>, Problem> {
        let id = ScheduleId::parse(called).unwrap_or_else(|_| Schedule::id_of(called));
        let found = self.commands.database().find(PLATFORM, &id.to_string()).await?;
        found.ok_or_else(|| {
            let called: String = called.chars().take(64).collect();
            let advice = "see `printmill schedules list` for the names of all schedules";
            Problem::new(Code::NotFound, format!("there is no schedule {called}"), advice)
        })
    }
}
