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

/// Rows to write, each a JSON array of JSON arrays.
#[derive(Debug)]
pub(crate) struct Writes {
    /// `[id]`
    pub(crate) acked: String,
    /// `[id, visible_at]`
    pub(crate) extended: String,
    /// `[id, state, visible_at]`
    pub(crate) released: String,
    /// `[lane, ticket, state, visible_at, trace]`
    pub(crate) sent: String,
}

/// How many messages a lane has, and how many of them are due and not yet marked as ready.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) stats: QueueStats,
    pub(crate) overdue: u64,
}

static BEGIN: LazyLock<String> = LazyLock::new(|| {
    String::from(
        "BEGIN IMMEDIATE; \
         SELECT m.id, m.token FROM json_each($1) AS j CROSS JOIN message AS m \
         ON m.id = j.value ->> 0 AND m.token = j.value ->> 1",
    )
});

static WRITE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "DELETE FROM message WHERE id IN (SELECT value ->> 0 FROM json_each($1)); \
         UPDATE message SET state = {LEASED}, visible_at = j.value ->> 1 \
         FROM json_each($2) AS j WHERE message.id = j.value ->> 0; \
         UPDATE message SET state = j.value ->> 1, visible_at = j.value ->> 2, token = NULL \
         FROM json_each($3) AS j WHERE message.id = j.value ->> 0; \
         INSERT INTO message (lane, ticket, state, visible_at, trace) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 \
         FROM json_each($4) WHERE true ON CONFLICT DO NOTHING"
    )
});

/// Messages that may be claimed, those that wait the longest first. Each part is read in the
/// order of an index, so that a million waiting messages cost nothing.
static CLAIM: LazyLock<String> = LazyLock::new(|| {
    let part = |state: i64, due: &str| {
        format!(
            "SELECT * FROM (SELECT id, visible_at FROM message \
             WHERE lane = $1 AND state = {state} {due} ORDER BY visible_at LIMIT $4)"
        )
    };
    let due = "AND visible_at <= $2";
    format!(
        "UPDATE message SET state = {LEASED}, visible_at = $3, token = random(), \
         attempts = attempts + 1 WHERE id IN (SELECT id FROM ({} UNION ALL {} UNION ALL {}) \
         ORDER BY visible_at, id LIMIT $4) RETURNING id, token, ticket, attempts, trace",
        part(READY, ""),
        part(DELAYED, due),
        part(LEASED, due),
    )
});

static NEXT: LazyLock<String> = LazyLock::new(|| {
    let next = |state: i64| {
        format!("(SELECT min(visible_at) FROM message WHERE lane = j.value AND state = {state})")
    };
    format!("SELECT j.value, {}, {} FROM json_each($1) AS j", next(DELAYED), next(LEASED))
});

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

    /// Begins a transaction; which of the holds (`[id, token]`) still are.
    pub(crate) async fn begin(&mut self, holds: String) -> sqlx::Result<HashSet<Hold>> {
        let query = sqlx::query(BEGIN.as_str()).bind(holds);
        let rows = query.fetch_all(&mut self.connection).await?;
        let hold = |row: SqliteRow| {
            Ok(Hold { id: row.try_get_unchecked(0)?, token: row.try_get_unchecked(1)? })
        };
        rows.into_iter().map(hold).collect()
    }

    /// Writes all of that.
    pub(crate) async fn write(&mut self, writes: Writes) -> sqlx::Result<()> {
        let Writes { acked, extended, released, sent } = writes;
        let query =
            sqlx::query(WRITE.as_str()).bind(acked).bind(extended).bind(released).bind(sent);
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    /// Claims up to `count` messages of a lane that are due at `now`, until `until`.
    pub(crate) async fn claim(
        &mut self,
        lane: &str,
        now: i64,
        until: i64,
        count: i64,
    ) -> sqlx::Result<Vec<Claimed>> {
        let query =
            sqlx::query(CLAIM.as_str()).bind(lane.to_owned()).bind(now).bind(until).bind(count);
        let rows = query.fetch_all(&mut self.connection).await?;
        let claimed = |row: SqliteRow| {
            let hold = Hold { id: row.try_get_unchecked(0)?, token: row.try_get_unchecked(1)? };
            Ok(Claimed {
                hold,
                ticket: row.try_get_unchecked(2)?,
                attempts: row.try_get_unchecked(3)?,
                trace: row.try_get_unchecked(4)?,
            })
        };
        let mut claimed: Vec<Claimed> =
            rows.into_iter().map(claimed).collect::<sqlx::Result<_>>()?;
        claimed.sort_unstable_by_key(|it| it.hold.id);
        Ok(claimed)
    }

    /// Ends the transaction.
    pub(crate) async fn commit(&mut self) -> sqlx::Result<()> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Undoes what a transaction did, if there is one.
    pub(crate) async fn rollback(&mut self) {
        let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
    }

    /// When the next message of each lane (a JSON array of names) becomes due.
    pub(crate) async fn next_due(&mut self, lanes: String) -> sqlx::Result<Vec<(String, i64)>> {
        let query = sqlx::query(NEXT.as_str()).bind(lanes);
        let rows = query.fetch_all(&mut self.connection).await?;
        let mut due = Vec::new();
        for row in rows {
            let delayed: Option<i64> = row.try_get_unchecked(1)?;
            let leased: Option<i64> = row.try_get_unchecked(2)?;
            if let Some(next) = delayed.into_iter().chain(leased).min() {
                due.push((row.try_get_unchecked(0)?, next));
            }
        }
        Ok(due)
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
