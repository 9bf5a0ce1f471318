//! What operators see of schedules, and how they steer them.

use crate::command::{Answer, Commands, Context, Proposal};
use crate::handler::Handlers;
use crate::housekeeping;
use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided, Versioned};
use printmill_domain::ids::{Id, MerchantId, ScheduleId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::schedule::{Definition, MissedTicks, Schedule, TicketTemplate};
use printmill_domain::worker::HEED;
use serde_json::{Map, Value};

const PLATFORM: Scope = Scope::Merchant(MerchantId::PLATFORM);

/// The most characters of a kind of work.
const KIND_MAX: usize = 100;
/// The most bytes of a payload, as JSON.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// What each tick adds to the payload.
const ADDED: [&str; 3] = ["schedule", "tick", "previous"];

/// What is to be changed of a schedule; what is not given stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScheduleChange {
    /// When it ticks.
    pub cron: Option<String>,
    /// By which zone's clock.
    pub zone: Option<String>,
    /// What happens with missed ticks.
    pub missed: Option<MissedTicks>,
    /// Where its tickets queue.
    pub lane: Option<Lane>,
    /// What its tickets ask for.
    pub kind: Option<String>,
    /// What the work needs.
    pub payload: Option<Map<String, Value>>,
}

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

    /// Makes a schedule. Its kind of work is one that workers outside do, or one of Printmill's own
    /// that may be scheduled.
    pub async fn create(
        &self,
        context: &Context,
        definition: &Definition,
        handlers: &Handlers,
    ) -> Result<Schedule, Problem> {
        let id = Schedule::id_of(&definition.name).to_string();
        let decide = async |now: Timestamp| {
            check(&definition.makes, handlers)?;
            let change = Change::new(MerchantId::PLATFORM, now);
            let known = self.commands.database().find::<Schedule>(PLATFORM, &id).await?;
            let (change, value) = match &known {
                None => {
                    let decided = Schedule::create(definition.clone(), now)?;
                    let value = decided.state.clone();
                    (change.create(decided), value)
                }
                Some(known) => {
                    let decided = known.create_again(definition.clone(), now)?;
                    let value = decided.state.clone();
                    (change.update(known, decided), value)
                }
            };
            Ok(Proposal { change, outcome: id.clone(), value })
        };
        match self.commands.run(context, decide).await? {
            Answer::Fresh(schedule) => Ok(schedule),
            Answer::Replayed(id) => Ok(self.find(&id).await?.value),
        }
    }

    /// Changes what is given. When it ticks is planned anew, from now on.
    pub async fn update(
        &self,
        context: &Context,
        called: &str,
        wanted: &ScheduleChange,
        handlers: &Handlers,
    ) -> Result<Schedule, Problem> {
        self.steer(context, called, |schedule, now| {
            refuse_built_in(schedule)?;
            let was = schedule.definition();
            let given = wanted.clone();
            let makes = TicketTemplate {
                lane: given.lane.unwrap_or(was.makes.lane),
                kind: given.kind.unwrap_or(was.makes.kind),
                payload: given.payload.unwrap_or(was.makes.payload),
            };
            check(&makes, handlers)?;
            let definition = Definition {
                name: was.name,
                cron: given.cron.unwrap_or(was.cron),
                zone: given.zone.unwrap_or(was.zone),
                missed: given.missed.unwrap_or(was.missed),
                makes,
            };
            schedule.redefine(&definition, now)
        })
        .await
    }

    /// Deletes one. Tickets that it made stay.
    pub async fn delete(&self, context: &Context, called: &str) -> Result<Schedule, Problem> {
        let id = ScheduleId::parse(called).unwrap_or_else(|_| Schedule::id_of(called));
        let propose = |found: &Versioned<Schedule>, _| {
            refuse_built_in(&found.value)?;
            Ok((Aggregate::id(&found.value), (), found.delete()))
        };
        match self.change(context, called, propose).await? {
            Answer::Fresh((schedule, ())) => Ok(schedule),
            Answer::Replayed(_) => {
                let found = self.commands.database().find(PLATFORM, &id.to_string()).await?;
                let found: Versioned<Schedule> = found.ok_or_else(|| unknown(called))?;
                Ok(found.value)
            }
        }
    }

    /// A page of schedules, deleted ones included.
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
        let found = found.filter(|schedule: &Versioned<Schedule>| !schedule.deleted);
        found.ok_or_else(|| unknown(called))
    }
}

fn unknown(called: &str) -> Problem {
    let called: String = called.chars().take(64).collect();
    let advice = "see `printmill schedules list` for the names of all schedules";
    Problem::new(Code::NotFound, format!("there is no schedule {called}"), advice)
}

/// Built-in schedules follow the settings.
fn refuse_built_in(schedule: &Schedule) -> Result<(), Problem> {
    if schedule.name != housekeeping::NAME {
        return Ok(());
    }
    Err(Problem::invalid_state(
        format!("{} is built in", schedule.name),
        "change it by the settings housekeeping_cron and housekeeping_zone, or pause it",
    ))
}

/// Checks what a schedule's tickets ask for: work that somebody will do, and that a tick can start.
fn check(makes: &TicketTemplate, handlers: &Handlers) -> Result<(), Problem> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=KIND_MAX).contains(&makes.kind.len()) || !makes.kind.bytes().all(letter) {
        let form = format!("must be 1 to {KIND_MAX} letters, digits and . _ -");
        return Err(invalid("kind", &form));
    }
    let handler = handlers.get(&makes.kind);
    if makes.kind == HEED || handler.is_some_and(|handler| !handler.is_schedulable()) {
        let form = "must be a kind of your own, which a worker outside does, or housekeeping.prune";
        return Err(invalid("kind", form));
    }
    let own = Lane::internal().contains(&makes.lane);
    if own != handler.is_some() || makes.lane.is_reserved() {
        let form = match handler {
            Some(_) => "must be a lane that Printmill's own workers serve, as express",
            None => "must be a lane of your own, which a worker outside serves",
        };
        return Err(invalid("lane", form));
    }
    if let Some(added) = ADDED.iter().find(|name| makes.payload.contains_key(**name)) {
        return Err(invalid("payload", &format!("must not have '{added}', which each tick adds")));
    }
    let bytes = serde_json::to_string(&makes.payload).map_or(usize::MAX, |text| text.len());
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(invalid("payload", &format!("must have at most {PAYLOAD_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn invalid(field: &str, description: &str) -> Problem {
    Problem::new(
        Code::ScheduleInvalid,
        format!("the schedule's {field} {description}"),
        "see `printmill schedules create --help`",
    )
    .with_field(field)
}
