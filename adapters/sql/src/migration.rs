//! The schema and how it came about, written once for all dialects.

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
        vec![Box::new(Foundation), Box::new(Lanes), Box::new(EventReaders)]
    }
}

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
        for kind in Kind::ALL {
            manager.create_table(record_table(kind)).await?;
            for index in record_indexes(kind) {
                manager.create_index(index).await?;
            }
        }
        manager.create_table(ticket_table()).await?;
        manager.create_table(event_table()).await?;
        for index in event_indexes() {
            manager.create_index(index).await?;
        }
        manager.create_table(request_table()).await?;
        if manager.get_database_backend() == DbBackend::Sqlite {
            for statement in sqlite::schema::TICKET_INDEXES {
                manager.get_connection().execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Counters and turns. Other dialects get theirs with their own claiming.
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
        let latest = column("latest").big_integer().not_null().default(0).to_owned();
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
        if manager.get_database_backend() == DbBackend::Sqlite {
            for statement in sqlite::schema::EVENTS_BY_ONE {
                manager.get_connection().execute_unprepared(statement).await?;
            }
        } else {
            manager.create_index(event_index("event_log_by_kind", &["kind", "seq"])).await?;
        }
        let columns = ["merchant", "kind", "seq"];
        manager.create_index(event_index("event_log_by_merchant_kind", &columns)).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Makes the tables of kinds of records that came after the foundation was laid.
pub(crate) async fn add_record_tables(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    for kind in Kind::ALL {
        let table = record_table(kind).if_not_exists().to_owned();
        connection.execute(&table).await?;
        for index in record_indexes(kind) {
            connection.execute(&index.clone().if_not_exists().to_owned()).await?;
        }
    }
    Ok(())
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn record_table(kind: Kind) -> TableCreateStatement {
    Table::create()
        .table(Alias::new(kind.name()))
        .col(column("id").string_len(ID_LENGTH).not_null().primary_key())
        .col(column("merchant").string_len(ID_LENGTH).not_null())
        .col(column("facility").string_len(ID_LENGTH))
        .col(column("version").big_integer().not_null())
        .col(column("state").string_len(ID_LENGTH).not_null())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .col(column("document").text().not_null())
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

fn ticket_table() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("ticket"))
        .col(column("id").string_len(ID_LENGTH).not_null().primary_key())
        .col(column("merchant").string_len(ID_LENGTH).not_null())
        .col(column("lane").string_len(ID_LENGTH).not_null())
        .col(column("kind").string_len(ID_LENGTH).not_null())
        .col(column("state").string_len(ID_LENGTH).not_null())
        .col(column("attempt").big_integer().not_null())
        .col(column("token").big_integer())
        .col(column("lease_until").big_integer())
        .col(column("due_at").big_integer().not_null())
        .col(column("sent_at").big_integer())
        .col(column("version").big_integer().not_null())
        .col(column("created_at").big_integer().not_null())
        .col(column("document").text().not_null())
        .to_owned()
}

fn event_table() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("event_log"))
        .col(column("seq").big_integer().not_null().primary_key())
        .col(column("merchant").string_len(ID_LENGTH).not_null())
        .col(column("stream").string_len(ID_LENGTH).not_null())
        .col(column("sequence").big_integer().not_null())
        .col(column("kind").string_len(ID_LENGTH).not_null())
        .col(column("subject").string_len(ID_LENGTH).not_null())
        .col(column("data").text().not_null())
        .col(column("at").big_integer().not_null())
        .col(column("trace").string_len(NAME_LENGTH))
        .to_owned()
}

fn event_index(name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(Alias::new("event_log")).to_owned();
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}

fn event_indexes() -> [IndexCreateStatement; 2] {
    [
        event_index("event_log_by_stream", &["stream", "sequence"]).unique().to_owned(),
        event_index("event_log_by_merchant", &["merchant", "seq"]),
    ]
}

fn request_table() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("request"))
        .col(column("merchant").string_len(ID_LENGTH).not_null())
        .col(column("id").string_len(NAME_LENGTH).not_null())
        .col(column("fingerprint").string_len(ID_LENGTH).not_null())
        .col(column("outcome").string_len(NAME_LENGTH).not_null())
        .col(column("at").big_integer().not_null())
        .primary_key(Index::create().col(Alias::new("merchant")).col(Alias::new("id")))
        .to_owned()
}
