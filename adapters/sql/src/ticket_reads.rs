//! Reads of tickets: by id, by condition, in turn, and counted.

use crate::dialect::Dialect;
use crate::entity::{ticket, ticket_count};
use crate::error;
use crate::reads::{Reads, id, timestamp};
use crate::sqlite::select;
use printmill_backend::BackendError;
use printmill_backend::database::{Alike, DeadQuery, OldestReady, StageCount, TicketQuery};
use printmill_domain::ids::TicketId;
use printmill_domain::lane::{Class, Lane};
use printmill_domain::ticket::{Stage, Ticket};
use sea_orm::sea_query::{Expr, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait, Select, Statement,
};
use serde::de::DeserializeOwned;

const COUNT: &str = "count tickets";

impl Reads {
    pub(crate) async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<String> = ids.iter().map(TicketId::to_string).collect();
        let select =
            ticket::Entity::find().filter(self.dialect.id_among(ids.iter().map(String::as_str)));
        self.ticket_documents(select).await
    }

    pub(crate) async fn find_tickets(
        &self,
        query: TicketQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        let select = ticket::Entity::find()
            .filter(condition(self.dialect, query))
            .order_by_asc(ticket::Column::DueAt)
            .order_by_asc(ticket::Column::Id)
            .limit(u64::from(limit));
        self.ticket_documents(select).await
    }

    pub(crate) async fn next_tickets(
        &self,
        of: &[Alike],
        each: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        if of.is_empty() {
            return Ok(vec![]);
        }
        let select = ticket::Entity::find()
            .filter(self.dialect.first_of_each(of, each))
            .order_by_asc(ticket::Column::DueAt)
            .order_by_asc(ticket::Column::Id);
        self.ticket_documents(select).await
    }

    /// The tickets that are selected, the longest due first.
    async fn ticket_documents(
        &self,
        select: Select<ticket::Entity>,
    ) -> Result<Vec<Ticket>, BackendError> {
        const READ: &str = "read tickets";
        let documents = select.select_only().column(ticket::Column::Document).into_query();
        let mut tickets: Vec<Ticket> = self.json(READ, "document", documents).await?;
        tickets.sort_by_key(|ticket| (ticket.due_at, ticket.id));
        Ok(tickets)
    }

    /// What a query gives in a column of JSON.
    async fn json<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        column: &'static str,
        query: SelectStatement,
    ) -> Result<Vec<T>, BackendError> {
        match self.dialect {
            Dialect::Sqlite => self.array(operation, select::array_of(column, query)).await,
            dialect => self.json_rows(operation, dialect.backend().build(&query)).await,
        }
    }

    /// What a query gives as rows of one column, of JSON.
    async fn json_rows<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        query: Statement,
    ) -> Result<Vec<T>, BackendError> {
        let rows = self.connection().query_all_raw(query).await;
        let rows = rows.map_err(|error| self.failed(operation, error))?;
        let read = |row: QueryResult| {
            let row: String =
                row.try_get_by_index(0).map_err(|error| self.failed(operation, error))?;
            serde_json::from_str(&row)
                .map_err(|error| error::corrupt(operation, "a row cannot be read").because(error))
        };
        rows.into_iter().map(read).collect()
    }

    /// What a query gives as one JSON array. Each row of an answer crosses threads by itself, so
    /// that one long row comes much sooner than many short ones.
    async fn array<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        query: Statement,
    ) -> Result<Vec<T>, BackendError> {
        let row = self.connection().query_one_raw(query).await;
        let row = row.map_err(|error| self.failed(operation, error))?;
        let array: Option<String> = match row {
            Some(row) => row.try_get_by_index(0).map_err(|error| self.failed(operation, error))?,
            None => None,
        };
        let Some(array) = array else { return Ok(vec![]) };
        serde_json::from_str(&array)
            .map_err(|error| error::corrupt(operation, "a row cannot be read").because(error))
    }

    pub(crate) async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError> {
        type Row = (String, String, String, String, String, u64);
        let columns = self.dialect.json_row("lane, class, merchant, kind, stage, count");
        let counters = ticket_count::Entity::find()
            .filter(ticket_count::Column::Count.ne(0))
            .select_only()
            .expr_as(Expr::cust(columns), "counter")
            .into_query();
        let rows: Vec<Row> = self.json(COUNT, "counter", counters).await?;
        let read = |(lane, class, merchant, kind, stage, count): Row| {
            let of = Alike {
                lane: named(Lane::parse, &lane)?,
                class: named(Class::from_name, &class)?,
                merchant: id(COUNT, &merchant)?,
                kind,
            };
            Ok(StageCount { of, stage: named(Stage::from_name, &stage)?, count })
        };
        rows.into_iter().map(read).collect()
    }

    pub(crate) async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError> {
        let dialect = self.dialect;
        let oldest = Statement::from_string(dialect.backend(), dialect.oldest_ready());
        let rows: Vec<(String, String, i64)> = match dialect {
            Dialect::Sqlite => self.array(COUNT, oldest).await?,
            Dialect::Postgres | Dialect::MySql => self.json_rows(COUNT, oldest).await?,
        };
        let read = |(lane, merchant, due_at): (String, String, i64)| {
            Ok(OldestReady {
                lane: named(Lane::parse, &lane)?,
                merchant: id(COUNT, &merchant)?,
                due_at: timestamp(COUNT, due_at)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

fn named<T>(read: impl Fn(&str) -> Option<T>, name: &str) -> Result<T, BackendError> {
    read(name).ok_or_else(|| error::corrupt(COUNT, format!("'{name}' is no name of a counter's")))
}

/// Stages are literals, because only so are the partial indexes used.
fn condition(dialect: Dialect, query: TicketQuery) -> Condition {
    match query {
        TicketQuery::Waiting => Condition::all().add(Expr::cust("stage = 'waiting'")),
        TicketQuery::WaitingAmong(ids) => {
            let ids: Vec<String> = ids.iter().map(TicketId::to_string).collect();
            Condition::all()
                .add(dialect.id_among(ids.iter().map(String::as_str)))
                .add(dialect.waiting_without_index())
        }
        TicketQuery::Ripe { due_by } => Condition::all()
            .add(Expr::cust("stage = 'delayed'"))
            .add(ticket::Column::DueAt.lte(due_by.timestamp_micros())),
        TicketQuery::Overdue { lane, before } => {
            let before = before.timestamp_micros();
            let in_lane = || Condition::all().add(ticket::Column::Lane.eq(lane.as_str()));
            Condition::any()
                .add(
                    in_lane()
                        .add(Expr::cust("stage = 'sent'"))
                        .add(ticket::Column::SentAt.lt(before)),
                )
                .add(
                    in_lane()
                        .add(Expr::cust("stage = 'leased'"))
                        .add(ticket::Column::LeaseUntil.lt(before)),
                )
        }
        TicketQuery::InState(state) => Condition::all().add(ticket::Column::State.eq(state.name())),
        TicketQuery::Dead(wanted) => dead(wanted),
    }
}

fn dead(wanted: DeadQuery) -> Condition {
    let after = wanted.after.map(|(due_at, id)| {
        let due_at = due_at.timestamp_micros();
        let same_time = Condition::all()
            .add(ticket::Column::DueAt.eq(due_at))
            .add(ticket::Column::Id.gt(id.to_string()));
        Condition::any().add(ticket::Column::DueAt.gt(due_at)).add(same_time)
    });
    Condition::all()
        .add(Expr::cust("stage = 'dead'"))
        .add_option(wanted.lane.map(|lane| ticket::Column::Lane.eq(lane.as_str())))
        .add_option(wanted.kind.map(|kind| ticket::Column::Kind.eq(kind)))
        .add_option(wanted.merchant.map(|it| ticket::Column::Merchant.eq(it.to_string())))
        .add_option(after)
}
