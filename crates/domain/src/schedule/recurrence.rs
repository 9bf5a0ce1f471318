//! When a schedule ticks: a cron line, read on the clock of a time zone.

use crate::Timestamp;
use crate::problem::{Code, Problem};
use chrono::{Datelike, SubsecRound, TimeDelta};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// Letters in a cron line or the name of a zone.
const LENGTH_MAX: usize = 200;
/// The years that a clock may show.
const YEARS: std::ops::Range<i32> = 1900..4_900;

/// A cron line of five fields (minute, hour, day of month, month, day of week) or a word like
/// `@daily`, and the zone by whose clock it is read.
///
/// What happens when that clock is put forward or back:
///
/// - A line with exactly one minute and one hour names a time of day, and ticks once on each day
///   that it names. If the time does not exist on a day, it ticks at the first moment that does;
///   if the time happens twice, it ticks the first time.
/// - Any other line follows the clock: times that do not exist are passed over, times that happen
///   twice tick twice.
#[derive(Debug, Clone)]
pub struct Recurrence {
    cron: Cron,
    zone: Tz,
}

impl Recurrence {
    /// Reads a line and the name of a zone in the IANA time zone database.
    ///
    /// Refuses what cannot be read with `SCHEDULE_INVALID`, and a line that names no day there
    /// ever is (30 February) with `SCHEDULE_NEVER_FIRES`.
    pub fn parse(line: &str, zone: &str) -> Result<Self, Problem> {
        let fits = |text: &str| text.len() <= LENGTH_MAX;
        let zone = Some(zone).filter(|zone| fits(zone)).and_then(|zone| zone.parse::<Tz>().ok());
        let zone = zone.ok_or_else(unknown_zone)?;
        if !fits(line) {
            return Err(unreadable(format!("it is longer than {LENGTH_MAX} letters")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
        let cron = parser.build().parse(line).map_err(|error| unreadable(reason(&error)))?;
        let recurrence = Self { cron, zone };
        // Days repeat every 400 years, so one that has not come in so many never does.
        let ever = recurrence.next_after(Timestamp::UNIX_EPOCH);
        ever.map(|_| recurrence).ok_or_else(|| {
            Problem::new(
                Code::ScheduleNeverFires,
                format!("the cron line '{line}' names no time that ever comes"),
                "check its day and month: 30 February, for one, does not exist",
            )
            .with_field("cron")
        })
    }

    /// The first tick after a time, in whole seconds; nothing if there is none before the year
    /// 5000, and for times that no clock shows.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        if !YEARS.contains(&time.year()) {
            return None;
        }
        let local = time.trunc_subsecs(0).with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&local, false).ok()?.to_utc();
        // A line that led back in time would tick without end.
        (next > time).then_some(next)
    }

    /// The first tick at a time or after it.
    pub fn next_from(&self, time: Timestamp) -> Option<Timestamp> {
        self.next_after(time.checked_sub_signed(TimeDelta::seconds(1))?)
    }
}

fn reason(error: &CronError) -> String {
    match error {
        CronError::EmptyPattern => "it is empty".into(),
        CronError::InvalidPattern(_) => "it must have five fields, or be a word like @daily".into(),
        CronError::IllegalCharacters(why) | CronError::ComponentError(why) => {
            why.trim_end_matches('.').into()
        }
        other => other.to_string(),
    }
}

fn unreadable(why: impl std::fmt::Display) -> Problem {
    Problem::new(
        Code::ScheduleInvalid,
        format!("the cron line cannot be read: {why}"),
        "write minute, hour, day of month, month and day of week, as in '30 3 * * MON-FRI'",
    )
    .with_field("cron")
}

fn unknown_zone() -> Problem {
    Problem::new(
        Code::ScheduleInvalid,
        "there is no such time zone",
        "write a name of the IANA time zone database, as in Europe/Amsterdam or UTC",
    )
    .with_field("zone")
}
