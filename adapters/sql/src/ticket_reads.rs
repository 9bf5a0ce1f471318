//! Reads of tickets: by id, by condition, in turn, and counted.

use crate::entity::{ticket, ticket_count};
use crate::error;
use crate::reads::{Reads, id, timestamp, unsigned};
use crate::sqlite::select;
use printmill_backend::BackendError;
use printmill_backend::database::{Alike, DeadQuery, OldestReady, StageCount, TicketQuery};
use printmill_domain::ids::TicketId;
use printmill_domain::lane::{Class, Lane};
use printmill_domain::ticket::{Stage, Ticket};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Select, Statement,
};

const COUNT: &str = "count tickets";

/// What `oldest_ready` selects.
#[derive(Debug, FromQueryResult)]
struct OldestRow {
    lane: String,
    merchant: String,
    due_at: i64,
}

impl Reads {
    pub(crate) async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<String> = ids.iter().map(TicketId::to_string).collect();
        let select =
            ticket::Entity::find().filter(select::id_among(ids.iter().map(String::as_str)));
        self.ticket_documents(select).await
    }

    pub(crate) async fn find_tickets(
        &self,
        query: TicketQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        let select = ticket::Entity::find()
            .filter(condition(query))
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
            .filter(select::first_of_each(of, each))
            .order_by_asc(ticket::Column::DueAt)
            .order_by_asc(ticket::Column::Id);
        self.ticket_documents(select).await
    }

    async fn ticket_documents(
        &self,
        select: Select<ticket::Entity>,
    ) -> Result<Vec<Ticket>, BackendError> {
        const READ: &str = "read tickets";
        let documents: Vec<String> = select
            .select_only()
            .column(ticket::Column::Document)
            .into_tuple()
            .all(self.connection())
            .await
            .map_err(|error| error::orm(READ, error))?;
        let read = |document: String| {
            serde_json::from_str(&document)
                .map_err(|error| error::corrupt(READ, "a ticket cannot be read").because(error))
        };
        documents.into_iter().map(read).collect()
    }

    pub(crate) async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError> {
        let rows = ticket_count::Entity::find()
            .filter(ticket_count::Column::Count.ne(0))
            .all(self.connection())
            .await
            .map_err(|error| error::orm(COUNT, error))?;
        let read = |row: ticket_count::Model| {
            let of = Alike {
                lane: lane(&row.lane)?,
                class: named(Class::from_name, &row.class)?,
                merchant: id(COUNT, &row.merchant)?,
                kind: row.kind,
            };
            let stage = named(Stage::from_name, &row.stage)?;
            Ok(StageCount { of, stage, count: unsigned(row.count) })
        };
        rows.into_iter().map(read).collect()
    }

    pub(crate) async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError> {
        let statement = Statement::from_string(sea_orm::DbBackend::Sqlite, select::OLDEST_READY);
        let rows = OldestRow::find_by_statement(statement)
            .all(self.connection())
            .await
            .map_err(|error| error::orm(COUNT, error))?;
        let read = |row: OldestRow| {
            Ok(OldestReady {
                lane: lane(&row.lane)?,
                merchant: id(COUNT, &row.merchant)?,
                due_at: timestamp(COUNT, row.due_at)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

fn lane(name: &str) -> Result<Lane, BackendError> {
    named(Lane::parse, name)
}

fn named<T>(read: impl Fn(&str) -> Option<T>, name: &str) -> Result<T, BackendError> {
    read(name).ok_or_else(|| error::corrupt(COUNT, format!("'{name}' is no name of a counter's")))
}

/// Stages are literals, because only so are the partial indexes used.
fn condition(query: TicketQuery) -> Condition {
    match query {
        TicketQuery::Waiting => Condition::all().add(Expr::cust("stage = 'waiting'")),
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
