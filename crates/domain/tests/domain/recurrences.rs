//! Cron lines on the clocks of the world, put forward and back.

use crate::cases;
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use printmill_domain::Timestamp;
use printmill_domain::problem::Code;
use printmill_domain::schedule::Recurrence;
use proptest::prelude::*;

fn time(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

/// All ticks after `from`, up to `until`, as hours and minutes in UTC.
fn ticks(line: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let recurrence = Recurrence::parse(line, zone).expect("a good line");
    let until = time(until);
    std::iter::successors(recurrence.next_after(time(from)), |tick| recurrence.next_after(*tick))
        .take_while(|tick| *tick <= until)
        .map(|tick| tick.format("%dT%H:%M").to_string())
        .collect()
}

#[test]
fn a_time_that_does_not_exist_ticks_at_the_first_moment_that_does() {
    // On 29 March 2026 the clocks of Amsterdam go from 02:00 to 03:00, at 01:00 UTC.
    let night =
        |line| ticks(line, "Europe/Amsterdam", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(night("30 2 * * *"), ["29T01:00", "30T00:30"]);
    assert_eq!(night("0 2 * * *"), ["29T01:00", "30T00:00"]);
    assert_eq!(night("30 1 * * *"), ["29T00:30", "29T23:30"]);
    assert_eq!(night("0 3 * * *"), ["29T01:00", "30T01:00"]);
    // Only where the day is meant: this night does not come on a Monday.
    assert_eq!(night("30 2 * * MON"), ["30T00:30"]);
}

#[test]
fn a_time_that_happens_twice_ticks_the_first_time() {
    // On 25 October 2026 the clocks of Amsterdam go from 03:00 to 02:00, at 01:00 UTC.
    let night =
        |line| ticks(line, "Europe/Amsterdam", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(night("30 2 * * *"), ["25T00:30", "26T01:30"]);
    assert_eq!(night("0 3 * * *"), ["25T02:00", "26T02:00"]);
    // Asked in between, when it is 02:45 for the first time, or 02:15 for the second.
    for from in ["2026-10-25T00:45:00Z", "2026-10-25T01:15:00Z"] {
        let until = "2026-10-26T12:00:00Z";
        assert_eq!(ticks("30 2 * * *", "Europe/Amsterdam", from, until), ["26T01:30"]);
    }
}

#[test]
fn lines_with_several_times_of_day_follow_the_clock() {
    let spring =
        |line| ticks(line, "Europe/Amsterdam", "2026-03-28T23:59:00Z", "2026-03-29T02:00:00Z");
    assert_eq!(spring("0 * * * *"), ["29T00:00", "29T01:00", "29T02:00"]);
    assert_eq!(spring("30 1,2,3 * * *"), ["29T00:30", "29T01:30"]);
    let autumn =
        |line| ticks(line, "Europe/Amsterdam", "2026-10-24T23:59:00Z", "2026-10-25T02:00:00Z");
    assert_eq!(autumn("0 * * * *"), ["25T00:00", "25T01:00", "25T02:00"]);
    assert_eq!(autumn("30 1,2,3 * * *"), ["25T00:30", "25T01:30"]);
}

#[test]
fn odd_clocks_are_kept_as_well() {
    // Half an hour at 02:00 on Lord Howe Island; a midnight that does not exist in Cairo.
    let howe =
        ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T10:00:00Z", "2026-10-05T10:00:00Z");
    assert_eq!(howe, ["03T15:30", "04T15:15"]);
    let cairo = ticks("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-25T12:00:00Z");
    assert_eq!(cairo, ["23T22:00", "24T21:00"]);
}

#[test]
fn lines_that_never_fire_are_refused_and_rare_ones_are_not() {
    for line in ["0 0 30 2 *", "0 0 30 FEB +MON", "0 0 31 4,6,9,11 *", "59 23 30-31 2 *"] {
        let problem = Recurrence::parse(line, "Asia/Tokyo").expect_err(line);
        assert_eq!(problem.code, Code::ScheduleNeverFires, "{line}: {problem:?}");
        assert_eq!(problem.violations[0].field, "cron");
    }
    let rare = Recurrence::parse("0 12 29 2 +SUN", "UTC").expect("a day every 28 years");
    let first = rare.next_after(time("2026-01-01T00:00:00Z"));
    assert_eq!(first, Some(time("2032-02-29T12:00:00Z")));
}

#[test]
fn what_cannot_be_read_is_refused_with_the_field_at_fault() {
    let wrong = [
        "",
        " ",
        "* * * *",
        "* * * * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "a * * * *",
        "@sometimes",
        "*/0 * * * *",
        "5-1 * * * *",
        "\0 * * * *",
        "30 3 * * MON-FRY",
        "é * * * *",
    ];
    for line in wrong {
        let problem = Recurrence::parse(line, "UTC").expect_err(line);
        assert_eq!(
            (problem.code, &*problem.violations[0].field),
            (Code::ScheduleInvalid, "cron"),
            "{line}"
        );
    }
    let long = "1,".repeat(400) + "1 * * * *";
    assert_eq!(Recurrence::parse(&long, "UTC").expect_err("long").code, Code::ScheduleInvalid);
    for zone in ["", "Europe/Amsterdm", "europe/amsterdam", "CEST", "+02:00", "\0", "../etc/passwd"]
    {
        let problem = Recurrence::parse("0 0 * * *", zone).expect_err(zone);
        assert_eq!(
            (problem.code, &*problem.violations[0].field),
            (Code::ScheduleInvalid, "zone"),
            "{zone}"
        );
    }
    for word in
        ["@daily", "@hourly", "@weekly", "@monthly", "@yearly", "0 3 l * ?", "0 3 * jan mon#2"]
    {
        Recurrence::parse(word, "UTC").expect(word);
    }
}

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(TZ_VARIANTS.to_vec())
}

/// A line of any kind.
fn line() -> impl Strategy<Value = String> {
    let field = |low: u32, high: u32| {
        let few = prop::collection::btree_set(low..=high, 1..4)
            .prop_map(|values| values.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
        prop_oneof![
            4 => (low..=high).prop_map(|value| value.to_string()),
            2 => Just("*".to_owned()),
            1 => (2..=high / 2).prop_map(|step| format!("*/{step}")),
            1 => few,
        ]
    };
    let day = prop_oneof![6 => Just("*".to_owned()), 1 => Just("L".to_owned()), 1 => field(1, 28)];
    let month = prop_oneof![6 => Just("*".to_owned()), 1 => field(1, 12)];
    let weekday = prop_oneof![4 => Just("*".to_owned()), 1 => field(0, 6)];
    (field(0, 59), field(0, 23), day, month, weekday).prop_map(
        |(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"),
    )
}

/// A moment within ten years, often near one when clocks change.
fn moment() -> impl Strategy<Value = Timestamp> {
    (1_767_225_600_000_000..2_082_758_400_000_000i64)
        .prop_map(|micros| Timestamp::from_timestamp_micros(micros).expect("near enough"))
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_time_of_day_ticks_exactly_once_on_each_day(zone in zone(), minute in 0..60u32, hour in 0..24u32, year in 2025..2036i32) {
        let recurrence = Recurrence::parse(&format!("{minute} {hour} * * *"), zone.name()).unwrap();
        let first_day = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        let before = zone.from_utc_datetime(&first_day.pred_opt().unwrap().and_hms_opt(0, 0, 0).unwrap());
        let mut tick = before.to_utc();
        let mut expected = None;
        for _ in 0..400 {
            tick = recurrence.next_after(tick).unwrap();
            let local = tick.with_timezone(&zone);
            if let Some(expected) = expected {
                prop_assert_eq!(local.date_naive(), expected, "{}: no day is left out or comes twice", local);
            }
            expected = local.date_naive().succ_opt();
            let wanted = local.date_naive().and_hms_opt(hour, minute, 0).unwrap();
            match zone.from_local_datetime(&wanted).earliest() {
                Some(exact) => prop_assert_eq!(local, exact),
                // It does not exist: a moment before, the clock showed less than that.
                None => {
                    let moment_before = (tick - TimeDelta::seconds(1)).with_timezone(&zone);
                    prop_assert!(moment_before.naive_local() < wanted && wanted < local.naive_local());
                }
            }
        }
    }

    #[test]
    fn ticks_are_the_same_from_wherever_one_asks(line in line(), zone in zone(), from in moment(), shares in prop::collection::vec(0..1_000i64, 8)) {
        let Ok(recurrence) = Recurrence::parse(&line, zone.name()) else { return Ok(()) };
        let mut tick = recurrence.next_after(from).unwrap();
        prop_assert!(tick > from);
        for share in shares {
            let next = recurrence.next_after(tick).unwrap();
            prop_assert!(next > tick && next.second() == 0 && next.nanosecond() == 0);
            let gap = next - tick;
            let between = tick + TimeDelta::microseconds(gap.num_microseconds().unwrap() / 1_000 * share);
            prop_assert_eq!(recurrence.next_after(between).unwrap(), next, "asked at {}", between);
            prop_assert_eq!(recurrence.next_from(tick), Some(tick));
            tick = next;
        }
    }

    #[test]
    fn no_text_panics(line in ".{0,40}", almost in "[0-9*/,LW#?+@ -]{0,24}", zone in "[A-Za-z/_+-]{0,20}") {
        let _ = Recurrence::parse(&line, "UTC");
        let _ = Recurrence::parse(&format!("{almost} *"), "UTC");
        let _ = Recurrence::parse(&almost, &zone);
    }
}

#[test]
fn at_the_ends_of_time_there_is_no_next_tick_and_no_panic() {
    let recurrence = Recurrence::parse("0 0 * * *", "Europe/Amsterdam").expect("a good line");
    for end in [Timestamp::MAX_UTC, Timestamp::MIN_UTC] {
        let _ = recurrence.next_after(end);
        let _ = recurrence.next_from(end);
    }
    let far = Utc.with_ymd_and_hms(2150, 7, 1, 0, 0, 0).single().expect("a time");
    let next = recurrence.next_after(far).expect("a tick");
    assert_eq!((next.year(), next.day()), (2150, 1));
}
