//! `printmill schedules`: list schedules, make, change and delete them, run one now, pause, resume.

use super::schedule_make::{self, CreateArgs, UpdateArgs};
use crate::cli::OperatorArgs;
use crate::failure::Outcome;
use crate::output;
use clap::{Args, Subcommand};
use printmill_client::{Client, time, v1};
use std::path::Path;

/// Schedules that are read at once.
const PART: i32 = 100;

/// List, make and delete schedules; run one now, pause and resume them.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A schedule makes a ticket when its time comes: each tick once, however many nodes run. Ticks that
nobody was there for are missed; what happens then is the schedule's policy:
  skip    they are given up; a tick is missed when it is a minute late
  once    the newest is made up for
  all     each is made up for, the newest 1000 at most

`housekeeping` is built in: it deletes old request ids, tickets that are done and old events. The
settings `housekeeping_cron`, `housekeeping_zone` and `keep_…_days` say when and what.")]
pub(crate) enum SchedulesCommand {
    /// Make a schedule, whose tickets a worker of yours does.
    Create(CreateArgs),
    /// Change a schedule; what is left out stays.
    Update(UpdateArgs),
    /// Delete a schedule. Tickets that it made stay.
    #[command(after_help = "\
The built-in `housekeeping` cannot be deleted, only paused.

Examples:
  printmill schedules delete nightly-report")]
    Delete(OneArgs),
    /// List schedules with their last and next tick.
    #[command(after_help = "\
Examples:
  printmill schedules list
  printmill schedules list --json | jq -r '.[] | .name + \" \" + .nextTickTime'")]
    List(ListArgs),
    /// Run a schedule now, out of turn; paused ones too. Its own ticks come as before.
    #[command(after_help = "\
Examples:
  printmill schedules run housekeeping
  printmill queues --watch                see its ticket go through")]
    Run(OneArgs),
    /// Let a schedule stand still. Ticks that pass in the meantime are not made up for.
    #[command(after_help = "\
Examples:
  printmill schedules pause housekeeping")]
    Pause(OneArgs),
    /// Let a schedule go on, with its first tick after now.
    #[command(after_help = "\
Examples:
  printmill schedules resume housekeeping")]
    Resume(OneArgs),
}

/// Which server.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Which schedule.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The schedule's name or id.
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) async fn run(command: &SchedulesCommand, file: Option<&Path>, json: bool) -> Outcome {
    let changed = match command {
        SchedulesCommand::Create(args) => return schedule_make::create(args, file, json).await,
        SchedulesCommand::Update(args) => return schedule_make::update(args, file, json).await,
        SchedulesCommand::Delete(args) => {
            let schedule_id = args.schedule.clone();
            let request = v1::DeleteScheduleRequest { schedule_id, request_id: String::new() };
            let deleted = args.operator.client(file)?.delete_schedule(request).await?;
            if json {
                return output::json(&deleted);
            }
            output::line(format!("{} is deleted", deleted.name));
            return Ok(());
        }
        SchedulesCommand::List(args) => {
            let schedules = all(&args.operator.client(file)?).await?;
            if json {
                return output::json(&schedules);
            }
            output::line(table(&schedules));
            return Ok(());
        }
        SchedulesCommand::Run(args) => return run_now(args, file, json).await,
        SchedulesCommand::Pause(args) => {
            let schedule_id = args.schedule.clone();
            let request = v1::PauseScheduleRequest { schedule_id, request_id: String::new() };
            args.operator.client(file)?.pause_schedule(request).await?
        }
        SchedulesCommand::Resume(args) => {
            let schedule_id = args.schedule.clone();
            let request = v1::ResumeScheduleRequest { schedule_id, request_id: String::new() };
            args.operator.client(file)?.resume_schedule(request).await?
        }
    };
    if json {
        return output::json(&changed);
    }
    output::line(match changed.paused {
        true => format!("{} stands still", changed.name),
        false => {
            format!("{} goes on at {}", changed.name, time(changed.next_tick_time.as_ref()))
        }
    });
    Ok(())
}

async fn run_now(args: &OneArgs, file: Option<&Path>, json: bool) -> Outcome {
    let schedule_id = args.schedule.clone();
    let request = v1::RunScheduleRequest { schedule_id, request_id: String::new() };
    let answer = args.operator.client(file)?.run_schedule(request).await?;
    if json {
        return output::json(&answer);
    }
    let name = answer.schedule.map(|schedule| schedule.name).unwrap_or_default();
    output::line(format!("{name} runs out of turn, by ticket {}", answer.ticket_id));
    Ok(())
}

async fn all(client: &Client) -> Outcome<Vec<v1::Schedule>> {
    let (mut found, mut page_token) = (vec![], String::new());
    loop {
        let request = v1::ListSchedulesRequest { page_size: PART, page_token };
        let page = client.list_schedules(request).await?;
        found.extend(page.schedules);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            found.sort_by(|one, other| one.name.cmp(&other.name));
            return Ok(found);
        }
    }
}

fn table(schedules: &[v1::Schedule]) -> String {
    if schedules.is_empty() {
        return "there are no schedules".into();
    }
    let heads = ["NAME", "CRON", "ZONE", "MISSED TICKS", "LAST TICK", "NEXT TICK"];
    let rows: Vec<Vec<String>> = schedules
        .iter()
        .map(|schedule| {
            let missed = schedule.missed().as_str_name().trim_start_matches("MISSED_TICKS_");
            let next = time(schedule.next_tick_time.as_ref());
            vec![
                schedule.name.clone(),
                schedule.cron.clone(),
                schedule.zone.clone(),
                missed.to_lowercase(),
                time(schedule.last_tick_time.as_ref()),
                if schedule.paused { "paused".into() } else { next },
            ]
        })
        .collect();
    output::table(&heads, &rows)
}
