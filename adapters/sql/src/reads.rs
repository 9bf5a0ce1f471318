//! All reads of the database, by SeaORM, the same for every dialect.

use crate::dialect::Dialect;
use crate::entity::record::{Column, Row, for_kind};
use crate::entity::request;
use crate::error;
use crate::sqlite::prune::{self, Deletion};
use chrono::DateTime;
use printmill_backend::BackendError;
use printmill_backend::change::{Record, RequestRecord};
use printmill_backend::database::{Page, Prunable, Scope};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::ids::{FacilityId, Id, MerchantId};
use sea_orm::sea_query::{Expr, ExprTrait, Order};
use sea_orm::{
    ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use std::collections::HashMap;

/// The connections for reading.
#[derive(Debug, Clone)]
pub(crate) struct Reads {
    pub(crate) connection: DatabaseConnection,
    pub(crate) dialect: Dialect,
}

impl Reads {
    pub(crate) fn new(connection: DatabaseConnection, dialect: Dialect) -> Self {
        Self { connection, dialect }
    }

    pub(crate) fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// A failure of a read.
    pub(crate) fn failed(&self, operation: &'static str, error: DbErr) -> BackendError {
        error::orm_of(self.dialect, operation, error)
    }

    pub(crate) async fn record(
        &self,
        scope: Scope,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Record>, BackendError> {
        const READ: &str = "read a record";
        let row = for_kind!(kind, Entity => {
            within(Entity::find(), scope)
                .filter(Expr::col(Column::Id).eq(id))
                .into_model::<Row>()
                .one(&self.connection)
                .await
        });
        row.map_err(|error| self.failed(READ, error))?.map(|row| record(kind, row)).transpose()
    }

    pub(crate) async fn records(
        &self,
        scope: Scope,
        kind: Kind,
        ids: &[String],
    ) -> Result<Vec<Record>, BackendError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let rows = for_kind!(kind, Entity => {
            within(Entity::find(), scope)
                .filter(self.dialect.id_among(ids.iter().map(String::as_str)))
                .into_model::<Row>()
                .all(&self.connection)
                .await
        });
        let rows = rows.map_err(|error| self.failed("read records", error))?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            found.insert(row.id.clone(), record(kind, row)?);
        }
        Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
    }

    pub(crate) async fn page(
        &self,
        scope: Scope,
        kind: Kind,
        page: Page,
    ) -> Result<Vec<Record>, BackendError> {
        let wanted = Condition::all()
            .add_option(page.before.map(|before| Expr::col(Column::Id).lt(before)))
            .add_option(page.state.map(|state| Expr::col(Column::State).eq(state)));
        let rows = for_kind!(kind, Entity => {
            within(Entity::find(), scope)
                .filter(wanted)
                .order_by(Expr::col(Column::Id), Order::Desc)
                .limit(u64::from(page.limit))
                .into_model::<Row>()
                .all(&self.connection)
                .await
        });
        let rows = rows.map_err(|error| self.failed("list records", error))?;
        rows.into_iter().map(|row| record(kind, row)).collect()
    }

    pub(crate) async fn request(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<RequestRecord>, BackendError> {
        const READ: &str = "read a request";
        let found = request::Entity::find()
            .filter(request::Column::Merchant.eq(merchant.to_string()))
            .filter(request::Column::Id.eq(id))
            .one(&self.connection)
            .await
            .map_err(|error| self.failed(READ, error))?;
        found
            .map(|row| {
                Ok(RequestRecord {
                    id: row.id,
                    fingerprint: row.fingerprint,
                    outcome: row.outcome,
                    at: timestamp(READ, row.at)?,
                })
            })
            .transpose()
    }

    pub(crate) async fn prunable(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<Option<Deletion>, BackendError> {
        prune::find(&self.connection, what, before, limit).await
    }
}

fn within<E: EntityTrait>(select: Select<E>, scope: Scope) -> Select<E> {
    match scope {
        Scope::Merchant(merchant) => {
            select.filter(Expr::col(Column::Merchant).eq(merchant.to_string()))
        }
        Scope::Facility(facility) => {
            select.filter(Expr::col(Column::Facility).eq(facility.to_string()))
        }
    }
}

fn record(kind: Kind, row: Row) -> Result<Record, BackendError> {
    const READ: &str = "read a record";
    let facility = row.facility.as_deref().map(|text| id::<FacilityId>(READ, text)).transpose()?;
    Ok(Record {
        kind,
        merchant: id(READ, &row.merchant)?,
        facility,
        version: unsigned(row.version),
        state: row.state,
        created_at: timestamp(READ, row.created_at)?,
        updated_at: timestamp(READ, row.updated_at)?,
        document: row.document,
        id: row.id,
    })
}

pub(crate) fn id<T: Id>(operation: &'static str, text: &str) -> Result<T, BackendError> {
    T::parse(text).map_err(|error| {
        error::corrupt(operation, "an id that is stored cannot be read").because(error)
    })
}

pub(crate) fn timestamp(operation: &'static str, micros: i64) -> Result<Timestamp, BackendError> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| error::corrupt(operation, format!("{micros} is no time")))
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
