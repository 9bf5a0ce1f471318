//! Reads of the event log: parts of it, where it begins and ends, and where a time is in it.

use crate::dialect::Dialect;
use crate::entity::event_log::{Column, Entity, Model};
use crate::error;
use crate::reads::{Reads, id, timestamp, unsigned};
use printmill_backend::BackendError;
use printmill_backend::database::EventQuery;
use printmill_domain::Timestamp;
use printmill_domain::event::{Event, EventDraft, event_id, stream_uuid};
use sea_orm::sea_query::{Alias, Order, Query, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

impl Reads {
    pub(crate) async fn events(&self, query: EventQuery) -> Result<Vec<Event>, BackendError> {
        let rows = select(self.dialect, &query)
            .all(&self.connection)
            .await
            .map_err(|error| self.failed("read events", error))?;
        rows.into_iter().map(event).collect()
    }

    pub(crate) async fn head(&self) -> Result<u64, BackendError> {
        let head = self.edge(Order::Desc).await?;
        Ok(head.unwrap_or_default())
    }

    pub(crate) async fn oldest(&self) -> Result<u64, BackendError> {
        Ok(self.edge(Order::Asc).await?.unwrap_or(1))
    }

    async fn edge(&self, order: Order) -> Result<Option<u64>, BackendError> {
        let seq: Option<i64> = Entity::find()
            .select_only()
            .column(Column::Seq)
            .order_by(Column::Seq, order)
            .limit(1)
            .into_tuple()
            .one(&self.connection)
            .await
            .map_err(|error| self.failed("read an end of the log", error))?;
        Ok(seq.map(unsigned))
    }

    /// Bisects the log: the latest time so far never goes back.
    pub(crate) async fn seq_at(&self, time: Timestamp) -> Result<u64, BackendError> {
        let time = time.timestamp_micros();
        let (mut low, mut high) = (self.oldest().await?, self.head().await? + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            // What is not there any more went from the front.
            match self.latest(middle).await? {
                Some(latest) if latest >= time => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok(low - 1)
    }

    async fn latest(&self, seq: u64) -> Result<Option<i64>, BackendError> {
        Entity::find_by_id(signed(seq))
            .select_only()
            .column(Column::Latest)
            .into_tuple()
            .one(&self.connection)
            .await
            .map_err(|error| self.failed("find a time in the log", error))
    }
}

/// The statement for a query, written so that an index leads to what it wants.
pub(crate) fn select(dialect: Dialect, query: &EventQuery) -> Select<Entity> {
    let limit = u64::from(query.limit);
    let all = Entity::find();
    if let Some(stream) = &query.stream {
        // A stream is short, and its own order is that of the log.
        return all
            .filter(Column::Stream.eq(stream))
            .filter(conditions(dialect, query))
            .filter(Condition::all().add_option(kinds(query)))
            .order_by_asc(Column::Sequence)
            .limit(limit);
    }
    if query.kinds.len() > 1 {
        return all
            .filter(Column::Seq.in_subquery(of_kinds(dialect, query)))
            .order_by_asc(Column::Seq)
            .limit(limit);
    }
    all.filter(conditions(dialect, query))
        .filter(Condition::all().add_option(kinds(query)))
        .order_by_asc(Column::Seq)
        .limit(limit)
}

/// The places of the first events of each kind: an index has each kind in order, but not several.
fn of_kinds(dialect: Dialect, query: &EventQuery) -> SelectStatement {
    let arms = query.kinds.iter().map(|kind| {
        let first = Query::select()
            .column(Column::Seq)
            .from(Entity)
            .cond_where(conditions(dialect, query).add(Column::Kind.eq(kind)))
            .order_by(Column::Seq, Order::Asc)
            .limit(u64::from(query.limit))
            .to_owned();
        Query::select().column(Column::Seq).from_subquery(first, Alias::new("first")).to_owned()
    });
    let union = arms.reduce(|mut all, arm| all.union(UnionType::All, arm).to_owned());
    union.unwrap_or_default()
}

fn kinds(query: &EventQuery) -> Option<sea_orm::sea_query::SimpleExpr> {
    match query.kinds.as_slice() {
        [] => None,
        [kind] => Some(Column::Kind.eq(kind)),
        kinds => Some(Column::Kind.is_in(kinds)),
    }
}

/// Everything but the stream and the kinds.
fn conditions(dialect: Dialect, query: &EventQuery) -> Condition {
    let merchant = query.merchant.map(|merchant| merchant.to_string());
    // The stream's index is the better one; the merchant must not lead to another.
    let of_merchant = merchant.map(|merchant| match query.stream {
        Some(_) => dialect.merchant_without_index(merchant),
        None => Column::Merchant.eq(merchant),
    });
    let alone = query.stream.is_none() && query.merchant.is_some() == query.kinds.is_empty();
    let until = query.until.map(|until| Column::Seq.lte(signed(until)));
    let streams =
        (!query.stream_kinds.is_empty()).then(|| dialect.stream_kind_among(&query.stream_kinds));
    let shard =
        query.shard.filter(|shard| !shard.is_whole()).map(|shard| dialect.stream_in_shard(shard));
    Condition::all()
        .add(Column::Seq.gt(signed(query.after)))
        .add_option(alone.then(|| dialect.by_one_alone()))
        .add_option(until)
        .add_option(of_merchant)
        .add_option(streams)
        .add_option(shard)
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn event(row: Model) -> Result<Event, BackendError> {
    const READ: &str = "read events";
    let data = serde_json::from_str(&row.data).map_err(|error| {
        error::corrupt(READ, format!("event {} cannot be read", row.seq)).because(error)
    })?;
    let sequence = unsigned(row.sequence);
    let stream = stream_uuid(&row.stream)
        .ok_or_else(|| error::corrupt(READ, format!("'{}' is no stream", row.stream)))?;
    Ok(Event {
        seq: unsigned(row.seq),
        id: event_id(stream, sequence),
        merchant: id(READ, &row.merchant)?,
        draft: EventDraft {
            stream: row.stream,
            sequence,
            kind: row.kind,
            subject: row.subject,
            data,
        },
        at: timestamp(READ, row.at)?,
        trace: row.trace,
    })
}
