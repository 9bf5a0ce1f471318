//! The schema and how it came about, written once for all dialects.
//!
//! Servers came with the fourth migration: their tables begin as the first three left those of
//! SQLite.
//!
//! A migration only adds, so that nodes of the version before it go on beside newer ones: tables,
//! columns that may be empty or have a default, indexes. Its text never changes once it was released.
//! What nobody uses any more is removed one release later, by a migration whose name ends with
//! [`BREAKS_OLDER`]; nodes that do not know it then refuse the database.

use crate::schema_words::SchemaWords;
use crate::sqlite;
use printmill_domain::aggregate::Kind;
use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::*;

/// All migrations, the oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Foundation), Box::new(Lanes), Box::new(EventReaders), Box::new(ServerWrites)]
    }
}

/// The table of the migrations that were made.
pub(crate) const TABLE: &str = "seaql_migrations";
/// How the name of a migration ends after which versions that do not know it cannot use the
/// database.
pub const BREAKS_OLDER: &str = "_breaks_older";

/// Kinds that a facility may read.
const OF_FACILITIES: [Kind; 2] = [Kind::PrintJob, Kind::Facility];

/// Letters for an id: a prefix and 26 characters, with room.
const ID_LENGTH: u32 = 64;
/// Letters for what a client may choose.
const NAME_LENGTH: u32 = 255;

struct Foundation;

impl MigrationName for Foundation {
    fn name(&self) -> &str {
        "m0001_foundation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Foundation {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let words = SchemaWords::of(connection).await?;
        for kind in Kind::ALL {
            words.create(connection, record_table(&words, kind), record_indexes(kind)).await?;
        }
        let on_server = words.backend() != DbBackend::Sqlite;
        let indexes = if words.backend() == DbBackend::MySql { ticket_indexes() } else { vec![] };
        words.create(connection, ticket_table(&words), indexes).await?;
        words.create(connection, event_table(&words), event_indexes(on_server)).await?;
        words.create(connection, request_table(&words), vec![]).await?;
        if !on_server {
            for statement in sqlite::schema::TICKET_INDEXES {
                connection.execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Counters and turns.
struct Lanes;

impl MigrationName for Lanes {
    fn name(&self) -> &str {
        "m0002_lanes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Lanes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            for statement in sqlite::schema::LANES {
                manager.get_connection().execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Reading the log by kind and from a time.
struct EventReaders;

impl MigrationName for EventReaders {
    fn name(&self) -> &str {
        "m0003_event_readers"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for EventReaders {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Sqlite {
            return Ok(());
        }
        let latest = ColumnDef::new("latest").big_integer().not_null().default(0).to_owned();
        let log = Alias::new("event_log");
        manager.alter_table(Table::alter().table(log).add_column(latest).to_owned()).await?;
        manager
            .get_connection()
            .execute_unprepared(
                "UPDATE event_log SET latest = so_far.latest FROM \
                 (SELECT seq, max(at) OVER (ORDER BY seq) AS latest FROM event_log) AS so_far \
                 WHERE so_far.seq = event_log.seq",
            )
            .await?;
        for statement in sqlite::schema::EVENTS_BY_ONE {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        manager.create_index(event_index("event_log_by_merchant_kind", &BY_MERCHANT_KIND)).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// What several writers at once need: an inbox of events, the log's head, counters in shards.
struct ServerWrites;

impl MigrationName for ServerWrites {
    fn name(&self) -> &str {
        "m0004_server_writes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ServerWrites {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in SchemaWords::of(connection).await?.server_writes() {
            connection.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Makes the tables of kinds of records that came after the foundation was laid.
pub(crate) async fn add_record_tables(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    let words = SchemaWords::of(connection).await?;
    for kind in Kind::ALL {
        words.create(connection, record_table(&words, kind), record_indexes(kind)).await?;
    }
    Ok(())
}

fn record_table(words: &SchemaWords, kind: Kind) -> TableCreateStatement {
    Table::create()
        .table(Alias::new(kind.name()))
        .col(words.text("id", ID_LENGTH).not_null().primary_key())
        .col(words.text("merchant", ID_LENGTH).not_null())
        .col(words.text("facility", ID_LENGTH))
        .col(words.number("version").not_null())
        .col(words.text("state", ID_LENGTH).not_null())
        .col(words.number("created_at").not_null())
        .col(words.number("updated_at").not_null())
        .col(words.document("document").not_null())
        .to_owned()
}

fn record_indexes(kind: Kind) -> Vec<IndexCreateStatement> {
    let index = |scope: &'static str| {
        Index::create()
            .name(format!("{}_by_{scope}", kind.name()))
            .table(Alias::new(kind.name()))
            .col(Alias::new(scope))
            .col(Alias::new("id"))
            .to_owned()
    };
    let mut indexes = vec![index("merchant")];
    if OF_FACILITIES.contains(&kind) {
        indexes.push(index("facility"));
    }
    indexes
}

fn ticket_table(words: &SchemaWords) -> TableCreateStatement {
    let mut table = Table::create()
        .table(Alias::new("ticket"))
        .col(words.text("id", ID_LENGTH).not_null().primary_key())
        .col(words.text("merchant", ID_LENGTH).not_null())
        .col(words.text("lane", ID_LENGTH).not_null())
        .col(words.text("kind", ID_LENGTH).not_null())
        .col(words.text("state", ID_LENGTH).not_null())
        .col(words.number("attempt").not_null())
        .col(words.number("token"))
        .col(words.number("lease_until"))
        .col(words.number("due_at").not_null())
        .col(words.number("sent_at"))
        .col(words.number("version").not_null())
        .col(words.number("created_at").not_null())
        .col(words.document("document").not_null())
        .to_owned();
    if words.backend() != DbBackend::Sqlite {
        table
            .col(words.text("class", ID_LENGTH).not_null())
            .col(words.text("stage", ID_LENGTH).not_null());
    }
    table
}

/// Indexes of tickets where an index cannot be of some rows only.
fn ticket_indexes() -> Vec<IndexCreateStatement> {
    let indexes: [(&str, &[&'static str]); 5] = [
        ("ticket_by_stage", &["stage", "due_at", "id"]),
        ("ticket_turns", &["stage", "lane", "class", "merchant", "kind", "due_at", "id"]),
        ("ticket_sent", &["stage", "lane", "sent_at"]),
        ("ticket_leased", &["stage", "lane", "lease_until"]),
        ("ticket_by_state", &["state", "due_at"]),
    ];
    indexes.into_iter().map(|(name, columns)| index("ticket", name, columns)).collect()
}

fn event_table(words: &SchemaWords) -> TableCreateStatement {
    let mut table = Table::create()
        .table(Alias::new("event_log"))
        .col(words.number("seq").not_null().primary_key())
        .col(words.text("merchant", ID_LENGTH).not_null())
        .col(words.text("stream", ID_LENGTH).not_null())
        .col(words.number("sequence").not_null())
        .col(words.text("kind", ID_LENGTH).not_null())
        .col(words.text("subject", ID_LENGTH).not_null())
        .col(words.document("data").not_null())
        .col(words.number("at").not_null())
        .col(words.text("trace", NAME_LENGTH))
        .to_owned();
    if words.backend() != DbBackend::Sqlite {
        table.col(words.number("latest").not_null());
    }
    table
}

fn index(table: &'static str, name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(Alias::new(table)).to_owned();
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}

fn event_index(name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    index("event_log", name, columns)
}

const BY_MERCHANT_KIND: [&str; 3] = ["merchant", "kind", "seq"];

fn event_indexes(on_server: bool) -> Vec<IndexCreateStatement> {
    let mut indexes = vec![
        event_index("event_log_by_stream", &["stream", "sequence"]).unique().to_owned(),
        event_index("event_log_by_merchant", &["merchant", "seq"]),
    ];
    if on_server {
        indexes.push(event_index("event_log_by_kind", &["kind", "seq"]));
        indexes.push(event_index("event_log_by_merchant_kind", &BY_MERCHANT_KIND));
    }
    indexes
}

fn request_table(words: &SchemaWords) -> TableCreateStatement {
    Table::create()
        .table(Alias::new("request"))
        .col(words.text("merchant", ID_LENGTH).not_null())
        .col(words.text("id", NAME_LENGTH).not_null())
        .col(words.text("fingerprint", ID_LENGTH).not_null())
        .col(words.text("outcome", NAME_LENGTH).not_null())
        .col(words.number("at").not_null())
        .primary_key(Index::create().col(Alias::new("merchant")).col(Alias::new("id")))
        .to_owned()
}
