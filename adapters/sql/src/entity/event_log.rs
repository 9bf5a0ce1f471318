//! The table of events, in the order of the log.

use sea_orm::entity::prelude::*;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_log")]
pub struct Model {
    /// The place in the log, from 1, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Whose it is.
    pub merchant: String,
    /// The id of the thing whose history this is.
    pub stream: String,
    /// The place in that history, from 1.
    pub sequence: i64,
    /// What happened.
    pub kind: String,
    /// The id of the very thing that it happened to.
    pub subject: String,
    /// Details, as JSON.
    #[sea_orm(column_type = "Text")]
    pub data: String,
    /// When it was decided, in microseconds since 1970.
    pub at: i64,
    /// The `traceparent` of what caused it.
    pub trace: Option<String>,
    /// The latest `at` of this and all events before it. It never goes back, so that the first
    /// event since a time is found by bisection.
    pub latest: i64,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
