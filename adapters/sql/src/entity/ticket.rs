//! The table of tickets: what queries ask for in columns, the whole ticket as JSON beside them.

use sea_orm::entity::prelude::*;

/// A ticket.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ticket")]
pub struct Model {
    /// The id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose work it is.
    pub merchant: String,
    /// Where it queues.
    pub lane: String,
    /// What is to be done.
    pub kind: String,
    /// The name of its state.
    pub state: String,
    /// How many times it was claimed.
    pub attempt: i64,
    /// The bits of the present lease's token.
    pub token: Option<i64>,
    /// Until when it is leased, in microseconds since 1970.
    pub lease_until: Option<i64>,
    /// Not before this, in microseconds since 1970.
    pub due_at: i64,
    /// When it was last handed to the queue, in microseconds since 1970.
    pub sent_at: Option<i64>,
    /// Counts every change, from 1.
    pub version: i64,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// The name of its class.
    pub class: String,
    /// The name of its stage.
    pub stage: String,
    /// The whole ticket, as JSON.
    #[sea_orm(column_type = "Text")]
    pub document: String,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
