//! The table of counters: how many tickets of a sort are at a stage.

use sea_orm::entity::prelude::*;

/// A counter. Commits keep it; those that reach 0 are removed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ticket_count")]
pub struct Model {
    /// Where they queue.
    #[sea_orm(primary_key, auto_increment = false)]
    pub lane: String,
    /// The name of their class.
    #[sea_orm(primary_key, auto_increment = false)]
    pub class: String,
    /// Whose they are.
    #[sea_orm(primary_key, auto_increment = false)]
    pub merchant: String,
    /// What is to be done.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The name of their stage.
    #[sea_orm(primary_key, auto_increment = false)]
    pub stage: String,
    /// How many.
    pub count: i64,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
