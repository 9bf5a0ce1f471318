//! `printmill schedules create` and `update`.

use crate::cli::OperatorArgs;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::{Args, ValueEnum};
use printmill_client::{Struct, time, v1};
use printmill_domain::problem::Code;
use std::path::Path;

/// Make a schedule, whose tickets a worker of yours does.
#[derive(Debug, Args)]
#[command(after_help = "\
A cron line has five fields: minute, hour, day of month, month, day of week. `30 3 * * *` is each
night at half past three, `0 9 * * MON-FRI` nine o'clock on working days; @hourly, @daily, @weekly,
@monthly and @yearly work as well.

At each tick it makes a ticket of KIND in LANE. Both are yours: a worker outside takes it, by a key
from `printmill keys create --worker KIND --lane LANE`; see docs/guides/workers.md. Its payload is
PAYLOAD, with `schedule`, `tick` (the time it is made for) and `previous` (the tick before) added.
Of Printmill's own kinds only housekeeping.prune can be scheduled, in the lane express.

Examples:
  printmill schedules create nightly-report --cron '30 3 * * *' --zone Europe/Amsterdam \\
      --kind report.make --lane reports --payload '{\"format\": \"pdf\"}'
  printmill schedules create poll --cron '*/15 * * * *' --kind feed.poll --lane feeds --missed once
  printmill schedules run nightly-report          try it now")]
pub(crate) struct CreateArgs {
    /// What people call it: 1 to 63 small letters, digits and -.
    #[arg(value_name = "NAME")]
    name: String,
    /// When it ticks.
    #[arg(long, value_name = "LINE")]
    cron: String,
    /// The time zone by whose clock that is read, as in Europe/Amsterdam.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// What happens with ticks that nobody was there for.
    #[arg(long, default_value = "skip", value_name = "POLICY")]
    missed: Missed,
    /// What its tickets ask for, as in report.make.
    #[arg(long)]
    kind: String,
    /// Where its tickets queue, as in reports.
    #[arg(long)]
    lane: String,
    /// What the work needs, as a JSON object.
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Change a schedule; what is left out stays.
#[derive(Debug, Args)]
#[command(after_help = "\
It is planned anew from now on: ticks that were due before are not made up for. The built-in
`housekeeping` follows the settings `housekeeping_cron` and `housekeeping_zone`.

Examples:
  printmill schedules update nightly-report --cron '0 4 * * *'
  printmill schedules update nightly-report --payload '{\"format\": \"csv\"}'")]
pub(crate) struct UpdateArgs {
    /// The schedule's name or id.
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
    /// When it ticks.
    #[arg(long, value_name = "LINE")]
    cron: Option<String>,
    /// The time zone by whose clock that is read.
    #[arg(long)]
    zone: Option<String>,
    /// What happens with ticks that nobody was there for.
    #[arg(long, value_name = "POLICY")]
    missed: Option<Missed>,
    /// What its tickets ask for.
    #[arg(long)]
    kind: Option<String>,
    /// Where its tickets queue.
    #[arg(long)]
    lane: Option<String>,
    /// What the work needs, as a JSON object; it replaces the old one.
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// What happens with missed ticks.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Missed {
    /// They are given up; a tick is missed when it is a minute late.
    Skip,
    /// The newest is made up for.
    Once,
    /// Each is made up for, the newest 1000 at most.
    All,
}

impl Missed {
    fn on_the_wire(self) -> i32 {
        match self {
            Missed::Skip => v1::MissedTicks::Skip.into(),
            Missed::Once => v1::MissedTicks::Once.into(),
            Missed::All => v1::MissedTicks::All.into(),
        }
    }
}

/// Makes it.
pub(super) async fn create(args: &CreateArgs, file: Option<&Path>, json: bool) -> Outcome {
    let request = v1::CreateScheduleRequest {
        name: args.name.clone(),
        cron: args.cron.clone(),
        zone: args.zone.clone(),
        missed: args.missed.on_the_wire(),
        kind: args.kind.clone(),
        lane: args.lane.clone(),
        payload: payload(args.payload.as_deref())?,
        request_id: String::new(),
    };
    let made = args.operator.client(file)?.create_schedule(request).await?;
    show(&made, json)
}

/// Changes it.
pub(super) async fn update(args: &UpdateArgs, file: Option<&Path>, json: bool) -> Outcome {
    let request = v1::UpdateScheduleRequest {
        schedule_id: args.schedule.clone(),
        cron: args.cron.clone(),
        zone: args.zone.clone(),
        missed: args.missed.map(Missed::on_the_wire).unwrap_or_default(),
        kind: args.kind.clone(),
        lane: args.lane.clone(),
        payload: payload(args.payload.as_deref())?,
        request_id: String::new(),
    };
    let changed = args.operator.client(file)?.update_schedule(request).await?;
    show(&changed, json)
}

fn payload(text: Option<&str>) -> Outcome<Option<Struct>> {
    let read = text.map(serde_json::from_str).transpose();
    read.map_err(|error| {
        let message = format!("the payload is no JSON object: {error}");
        let advice = "write it like --payload '{\"format\": \"pdf\"}'";
        Failure::new(Code::ScheduleInvalid, message, advice)
    })
}

fn show(schedule: &v1::Schedule, json: bool) -> Outcome {
    if json {
        return output::json(schedule);
    }
    let v1::Schedule { name, kind, lane, .. } = schedule;
    output::line(match schedule.paused {
        true => format!("{name} makes tickets of {kind} in {lane}, and stands still"),
        false => {
            let next = time(schedule.next_tick_time.as_ref());
            format!("{name} makes tickets of {kind} in {lane}, the next at {next}")
        }
    });
    output::next_steps(&[("printmill schedules run NAME", "make one now")]);
    Ok(())
}
