//! The queue's statements: settling, sending and claiming, each for many messages at once.

use super::schema::{DELAYED, LEASED, READY};
use printmill_backend::queue::QueueStats;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteRow};
use sea_orm::sqlx::{self, Row};
use std::collections::HashSet;
use std::sync::LazyLock;

/// What proves that a message is held: its number and the token of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hold {
    pub(crate) id: i64,
    pub(crate) token: i64,
}

/// A message that was claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) hold: Hold,
    pub(crate) ticket: String,
    pub(crate) attempts: i64,
    pub(crate) trace: Option<String>,
}

/// Messages that somebody wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) lane: String,
    /// Until when they are held.
    pub(crate) until: i64,
    pub(crate) count: i64,
}

/// What one transaction does, in this order. The first four are JSON arrays of JSON arrays.
#[derive(Debug)]
pub(crate) struct Work {
    /// `[id, token]`
    pub(crate) acked: String,
    /// `[id, token, state, visible_at]`
    pub(crate) released: String,
    /// `[id, token, visible_at]`
    pub(crate) extended: String,
    /// `[lane, ticket, state, visible_at, trace]`
    pub(crate) sent: String,
    /// Whether there is any of those.
    pub(crate) writes: bool,
    pub(crate) claims: Vec<Wanted>,
    /// The time that says what is due.
    pub(crate) now: i64,
    /// Lanes of which to say when the next message becomes due, as a JSON array of names.
    pub(crate) look_ahead: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Those of the holds to settle or extend that still were.
    pub(crate) held: HashSet<Hold>,
    /// What was claimed, for each that was wanted.
    pub(crate) claimed: Vec<Vec<Claimed>>,
    /// When the next message of a lane becomes due.
    pub(crate) due: Vec<(String, i64)>,
}

/// How many messages a lane has, and how many of them are due and not yet marked as ready.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) stats: QueueStats,
    pub(crate) overdue: u64,
}

/// Rows of a transaction's script say in their first column what they are; numbers from `CLAIMED`
/// on say for which wish a message was claimed.
const HELD: i64 = 0;
const NEXT: i64 = 1;
const CLAIMED: i64 = 2;

/// Settles, extends and sends, with four parameters. What is not held any more is left alone.
static WRITES: LazyLock<String> = LazyLock::new(|| {
    let held = |parameter: &str| {
        format!(
            "SELECT m.id FROM json_each({parameter}) AS h CROSS JOIN message AS m \
             ON m.id = h.value ->> 0 AND m.token = h.value ->> 1"
        )
    };
    format!(
        "DELETE FROM message WHERE id IN ({}) RETURNING {HELD}, id, token; \
         SELECT {HELD}, m.id, m.token FROM json_each($2) AS h CROSS JOIN message AS m \
         ON m.id = h.value ->> 0 AND m.token = h.value ->> 1; \
         UPDATE message SET state = j.value ->> 2, visible_at = j.value ->> 3, token = NULL \
         FROM json_each($2) AS j WHERE message.id = j.value ->> 0 AND token = j.value ->> 1; \
         UPDATE message SET state = {LEASED}, visible_at = j.value ->> 2 \
         FROM json_each($3) AS j WHERE message.id = j.value ->> 0 AND token = j.value ->> 1 \
         RETURNING {HELD}, id, token; \
         INSERT INTO message (lane, ticket, state, visible_at, trace) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 \
         FROM json_each($4) WHERE true ON CONFLICT DO NOTHING; ",
        held("$1")
    )
});

/// The script of a transaction: with or without writes, for so many wishes. All of it goes to
/// SQLite at once, since each time costs more than what it does.
fn script(writes: bool, wishes: usize) -> String {
    let mut script = String::from("BEGIN IMMEDIATE; ");
    let mut parameter = 0;
    if writes {
        script.push_str(&WRITES);
        parameter = 4;
    }
    let (now, ahead) = (parameter + 1, parameter + 2);
    for (wish, number) in (CLAIMED..).take(wishes).enumerate() {
        let first = ahead + 1 + 3 * wish;
        script.push_str(&claim(number, now, first));
    }
    let next = |state: i64| {
        format!("(SELECT min(visible_at) FROM message WHERE lane = j.value AND state = {state})")
    };
    script.push_str(&format!(
        "SELECT {NEXT}, j.value, {}, {} FROM json_each(${ahead}) AS j; COMMIT",
        next(DELAYED),
        next(LEASED)
    ));
    script
}

/// Claims messages of a lane, those that wait the longest first. Each part is read in the order
/// of an index, so that a million waiting messages cost nothing.
fn claim(number: i64, now: usize, first: usize) -> String {
    let (lane, until, count) = (first, first + 1, first + 2);
    let part = |state: i64, due: &str| {
        format!(
            "SELECT * FROM (SELECT id, visible_at FROM message \
             WHERE lane = ${lane} AND state = {state} {due} ORDER BY visible_at LIMIT ${count})"
        )
    };
    let due = format!("AND visible_at <= ${now}");
    format!(
        "UPDATE message SET state = {LEASED}, visible_at = ${until}, token = random(), \
         attempts = attempts + 1 WHERE id IN (SELECT id FROM ({} UNION ALL {} UNION ALL {}) \
         ORDER BY visible_at, id LIMIT ${count}) \
         RETURNING {number}, id, token, ticket, attempts, trace; ",
        part(READY, ""),
        part(DELAYED, &due),
        part(LEASED, &due),
    )
}

static COUNT: LazyLock<String> = LazyLock::new(|| {
    let all =
        |state: i64| format!("(SELECT count FROM lane_count WHERE lane = $1 AND state = {state})");
    let due = |state: i64| {
        format!(
            "(SELECT count(*) FROM message \
             WHERE lane = $1 AND state = {state} AND visible_at <= $2)"
        )
    };
    format!(
        "SELECT {}, {}, {}, {}, {}",
        all(READY),
        all(DELAYED),
        all(LEASED),
        due(DELAYED),
        due(LEASED)
    )
});

/// The token stays: a holder whose lease ran out may settle until somebody else claims it.
static PROMOTE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE message SET state = {READY} WHERE id IN (SELECT id FROM message \
         WHERE lane = $1 AND state IN ({DELAYED}, {LEASED}) AND visible_at <= $2 LIMIT 4096)"
    )
});

/// The connection that the queue's task works with.
#[derive(Debug)]
pub(crate) struct Claims {
    connection: SqliteConnection,
}

impl Claims {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self { connection }
    }

    /// Does all of that in one transaction.
    pub(crate) async fn transact(&mut self, work: Work) -> sqlx::Result<Done> {
        let wishes = work.claims.len();
        let script = sqlx::AssertSqlSafe(script(work.writes, wishes));
        let mut query = sqlx::query(script);
        if work.writes {
            query = query.bind(work.acked).bind(work.released).bind(work.extended).bind(work.sent);
        }
        query = query.bind(work.now).bind(work.look_ahead);
        for Wanted { lane, until, count } in work.claims {
            query = query.bind(lane).bind(until).bind(count);
        }
        let mut done = Done::default();
        done.claimed.resize_with(wishes, Vec::new);
        for row in query.fetch_all(&mut self.connection).await? {
            take(&mut done, &row)?;
        }
        for claimed in &mut done.claimed {
            claimed.sort_unstable_by_key(|it| it.hold.id);
        }
        Ok(done)
    }

    /// Undoes what a transaction did, if there is one.
    pub(crate) async fn rollback(&mut self) {
        let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
    }

    /// Counts a lane at `now`.
    pub(crate) async fn count(&mut self, lane: &str, now: i64) -> sqlx::Result<Counted> {
        let query = sqlx::query(COUNT.as_str()).bind(lane.to_owned()).bind(now);
        let row = query.fetch_one(&mut self.connection).await?;
        let number = |index: usize| -> sqlx::Result<u64> {
            let number: Option<i64> = row.try_get_unchecked(index)?;
            Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default())
        };
        let (due, expired) = (number(3)?, number(4)?);
        let stats = QueueStats {
            ready: number(0)? + due + expired,
            in_flight: number(2)?.saturating_sub(expired),
            delayed: number(1)?.saturating_sub(due),
        };
        Ok(Counted { stats, overdue: due + expired })
    }

    /// Marks some messages of a lane as ready that are due, so that counting stays cheap.
    pub(crate) async fn promote(&mut self, lane: &str, now: i64) -> sqlx::Result<()> {
        let query = sqlx::query(PROMOTE.as_str()).bind(lane.to_owned()).bind(now);
        query.execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Takes what one row of a script says.
fn take(done: &mut Done, row: &SqliteRow) -> sqlx::Result<()> {
    let hold = || -> sqlx::Result<Hold> {
        Ok(Hold { id: row.try_get_unchecked(1)?, token: row.try_get_unchecked(2)? })
    };
    match row.try_get_unchecked(0)? {
        HELD => {
            done.held.insert(hold()?);
        }
        NEXT => {
            let delayed: Option<i64> = row.try_get_unchecked(2)?;
            let leased: Option<i64> = row.try_get_unchecked(3)?;
            if let Some(next) = delayed.into_iter().chain(leased).min() {
                done.due.push((row.try_get_unchecked(1)?, next));
            }
        }
        number => {
            let claimed = Claimed {
                hold: hold()?,
                ticket: row.try_get_unchecked(3)?,
                attempts: row.try_get_unchecked(4)?,
                trace: row.try_get_unchecked(5)?,
            };
            let wish = usize::try_from(number - CLAIMED).ok();
            let wish = wish.and_then(|wish| done.claimed.get_mut(wish));
            wish.unwrap_or(&mut vec![]).push(claimed);
        }
    }
    Ok(())
}
