//! One table per kind of record, all with the same columns.

use sea_orm::{DeriveIden, FromQueryResult};

/// The columns of every record's table.
#[derive(Debug, Clone, Copy, DeriveIden)]
pub enum Column {
    /// The id.
    Id,
    /// Whose it is.
    Merchant,
    /// The facility that may read it as well.
    Facility,
    /// The version, from 1.
    Version,
    /// The name of its state.
    State,
    /// When it was made, in microseconds since 1970.
    CreatedAt,
    /// When this version was committed, in microseconds since 1970.
    UpdatedAt,
    /// The whole aggregate, as JSON.
    Document,
}

/// A row of any record's table.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Row {
    /// The id.
    pub id: String,
    /// Whose it is.
    pub merchant: String,
    /// The facility that may read it as well.
    pub facility: Option<String>,
    /// The version, from 1.
    pub version: i64,
    /// The name of its state.
    pub state: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When this version was committed, in microseconds since 1970.
    pub updated_at: i64,
    /// The whole aggregate, as JSON.
    pub document: String,
}

macro_rules! record_tables {
    ($($(#[$doc:meta])* $module:ident = $table:literal;)*) => {$(
        $(#[$doc])*
        #[allow(missing_docs)]
        pub mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: String,
                pub merchant: String,
                pub facility: Option<String>,
                pub version: i64,
                pub state: String,
                pub created_at: i64,
                pub updated_at: i64,
                #[sea_orm(column_type = "Text")]
                pub document: String,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    )*};
}

record_tables! {
    /// Tenants.
    merchant = "merchant";
    /// API keys.
    api_key = "api_key";
    /// Uploaded files.
    asset = "asset";
    /// Designs.
    print = "print";
    /// Priced offers.
    quote = "quote";
    /// Orders.
    order = "order";
    /// Productions at facilities.
    print_job = "print_job";
    /// Print facilities.
    facility = "facility";
    /// Who leads.
    leadership = "leadership";
    /// Readers of the event log.
    consumer = "consumer";
    /// Counts of events by merchant and day.
    event_count = "event_count";
    /// What makes tickets when their time comes.
    schedule = "schedule";
    /// Processes that work on tickets.
    worker = "worker";
}

/// Runs an expression with `$entity` standing for the entity of a kind.
macro_rules! for_kind {
    ($kind:expr, $entity:ident => $body:expr) => {{
        use printmill_domain::aggregate::Kind;
        use $crate::entity::record;
        match $kind {
            Kind::Merchant => {
                type $entity = record::merchant::Entity;
                $body
            }
            Kind::ApiKey => {
                type $entity = record::api_key::Entity;
                $body
            }
            Kind::Asset => {
                type $entity = record::asset::Entity;
                $body
            }
            Kind::Print => {
                type $entity = record::print::Entity;
                $body
            }
            Kind::Quote => {
                type $entity = record::quote::Entity;
                $body
            }
            Kind::Order => {
                type $entity = record::order::Entity;
                $body
            }
            Kind::PrintJob => {
                type $entity = record::print_job::Entity;
                $body
            }
            Kind::Facility => {
                type $entity = record::facility::Entity;
                $body
            }
            Kind::Leadership => {
                type $entity = record::leadership::Entity;
                $body
            }
            Kind::Consumer => {
                type $entity = record::consumer::Entity;
                $body
            }
            Kind::EventCount => {
                type $entity = record::event_count::Entity;
                $body
            }
            Kind::Schedule => {
                type $entity = record::schedule::Entity;
                $body
            }
            Kind::Worker => {
                type $entity = record::worker::Entity;
                $body
            }
        }
    }};
}
pub(crate) use for_kind;
