//! Deleting what is old: found by a reader, deleted by the one task that writes, between its
//! batches.

use super::json_array::JsonArray;
use crate::entity::record::worker;
use crate::entity::{event_log, request, ticket};
use crate::error;
use printmill_backend::BackendError;
use printmill_backend::database::Prunable;
use printmill_domain::Timestamp;
use printmill_domain::worker::GONE;
use sea_orm::sea_query::Expr;
use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::SqliteConnection;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

const OPERATION: &str = "prune";

/// Rows to delete, none of which can change any more.
#[derive(Debug)]
pub(crate) struct Deletion {
    statement: &'static str,
    keys: String,
}

/// Finds up to `limit` rows that are old; nothing if there are none.
pub(crate) async fn find(
    connection: &DatabaseConnection,
    what: Prunable,
    before: Timestamp,
    limit: u32,
) -> Result<Option<Deletion>, BackendError> {
    let (before, limit) = (before.timestamp(), u64::from(limit));
    let found = match what {
        Prunable::Requests => requests(connection, before, limit).await,
        Prunable::DoneTickets => done_tickets(connection, before, limit).await,
        Prunable::Events => events(connection, before, limit).await,
        Prunable::GoneWorkers => gone_workers(connection, before, limit).await,
    };
    let (statement, keys) = found.map_err(|error| error::orm(OPERATION, error))?;
    let keys = keys.finish();
    Ok((keys != "[]").then_some(Deletion { statement, keys }))
}

type Found = Result<(&'static str, JsonArray), sea_orm::DbErr>;

/// Old requests are the first in their table, so only the last call looks at all of them.
async fn requests(connection: &DatabaseConnection, before: i64, limit: u64) -> Found {
    let old: Vec<(String, String)> = request::Entity::find()
        .select_only()
        .column(request::Column::Merchant)
        .column(request::Column::Id)
        .filter(request::Column::At.lt(before.saturating_mul(1_000_000)))
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await?;
    let mut keys = JsonArray::new();
    old.iter().for_each(|row| keys.push_row(row));
    let statement = "DELETE FROM request WHERE (merchant, id) IN \
                     (SELECT value ->> 0, value ->> 1 FROM json_each($1))";
    Ok((statement, keys))
}

/// Old tickets are the first in their table as well. When one was settled is in its document only;
/// it was due before that, so the documents of young ones are not looked into.
async fn done_tickets(connection: &DatabaseConnection, before: i64, limit: u64) -> Found {
    let second = Timestamp::from_timestamp(before, 0).unwrap_or_default();
    let second = second.format("%Y-%m-%dT%H:%M:%S").to_string();
    let settled = "substr(document ->> 'updated_at', 1, 19) < ?";
    let old: Vec<String> = ticket::Entity::find()
        .select_only()
        .column(ticket::Column::Id)
        .filter(Expr::cust("state = 'done'"))
        .filter(ticket::Column::DueAt.lt(before.saturating_mul(1_000_000)))
        .filter(Expr::cust_with_values(settled, [second]))
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await?;
    let mut keys = JsonArray::new();
    old.iter().for_each(|id| keys.push_row(id));
    let statement = "DELETE FROM ticket WHERE state = 'done' AND id IN \
                     (SELECT value FROM json_each($1))";
    Ok((statement, keys))
}

/// There are few, and housekeeping keeps it so. One that comes back meanwhile stays.
async fn gone_workers(connection: &DatabaseConnection, before: i64, limit: u64) -> Found {
    let old: Vec<(String, i64)> = worker::Entity::find()
        .select_only()
        .column(worker::Column::Id)
        .column(worker::Column::Version)
        .filter(worker::Column::State.eq(GONE))
        .filter(worker::Column::UpdatedAt.lt(before.saturating_mul(1_000_000)))
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await?;
    let mut keys = JsonArray::new();
    old.iter().for_each(|row| keys.push_row(row));
    let statement = "DELETE FROM worker WHERE (id, version) IN \
                     (SELECT value ->> 0, value ->> 1 FROM json_each($1))";
    Ok((statement, keys))
}

async fn events(connection: &DatabaseConnection, before: i64, limit: u64) -> Found {
    let first: Vec<(i64, i64)> = event_log::Entity::find()
        .select_only()
        .column(event_log::Column::Seq)
        .column(event_log::Column::At)
        .filter(Expr::cust("seq < (SELECT max(seq) FROM event_log)"))
        .order_by_asc(event_log::Column::Seq)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await?;
    let mut keys = JsonArray::new();
    let old = |at: i64| at < before.saturating_mul(1_000_000);
    first.iter().take_while(|(_, at)| old(*at)).for_each(|(seq, _)| keys.push_row(seq));
    Ok(("DELETE FROM event_log WHERE seq IN (SELECT value FROM json_each($1))", keys))
}

/// Deletes rows in one transaction; how many there were.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    deletion: &Deletion,
) -> Result<u32, BackendError> {
    let deleted = sqlx::query(deletion.statement)
        .bind(&deletion.keys)
        .execute(connection)
        .await
        .map_err(|error| error::driver(OPERATION, error))?;
    Ok(u32::try_from(deleted.rows_affected()).unwrap_or(u32::MAX))
}
