//! The table of requests that were answered.

use sea_orm::entity::prelude::*;

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "request")]
pub struct Model {
    /// Who asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub merchant: String,
    /// The client's id for the request, unique within the merchant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// SHA-256 of the method and the content, in hexadecimal.
    pub fingerprint: String,
    /// The id of what the request made or changed.
    pub outcome: String,
    /// When it was answered, in microseconds since 1970.
    pub at: i64,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
