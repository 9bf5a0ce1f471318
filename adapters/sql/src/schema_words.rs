//! How each dialect says what tables are made of. Keys are compared byte by byte everywhere.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::prelude::*;

/// A dialect's words for tables.
#[derive(Debug)]
pub(crate) struct SchemaWords {
    backend: DbBackend,
    /// How MySQL or MariaDB compares text, trailing spaces included.
    collation: &'static str,
}

impl SchemaWords {
    /// The words that a connection's server understands.
    pub(crate) async fn of(connection: &impl ConnectionTrait) -> Result<Self, DbErr> {
        let backend = connection.get_database_backend();
        let mut collation = "";
        if backend == DbBackend::MySql {
            let asked = sea_orm::Statement::from_string(backend, "SELECT version() AS version");
            let row = connection.query_one_raw(asked).await?;
            let version: String = match row {
                Some(row) => row.try_get("", "version")?,
                None => String::new(),
            };
            let maria = version.contains("MariaDB");
            collation = if maria { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        }
        Ok(Self { backend, collation })
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// A column for text that may be a key, of so many letters at most where that must be said.
    pub(crate) fn text(&self, name: &'static str, length: u32) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.backend {
            DbBackend::Postgres => column.custom("TEXT COLLATE \"C\""),
            _ => column.string_len(length),
        };
        column
    }

    /// A column for text of any length.
    pub(crate) fn document(&self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.backend {
            DbBackend::MySql => column.custom("LONGTEXT"),
            _ => column.text(),
        };
        column
    }

    /// A column for numbers, and for times in microseconds since 1970.
    pub(crate) fn number(&self, name: &'static str) -> ColumnDef {
        ColumnDef::new(name).big_integer().to_owned()
    }

    /// Makes a table with its indexes, unless it is there.
    pub(crate) async fn create(
        &self,
        connection: &impl ConnectionTrait,
        mut table: TableCreateStatement,
        mut indexes: Vec<IndexCreateStatement>,
    ) -> Result<(), DbErr> {
        table.if_not_exists();
        if self.backend == DbBackend::MySql {
            // There a migration that breaks off is not undone: a table comes whole or not at all.
            table.engine("InnoDB").character_set("utf8mb4").collate(self.collation);
            for index in &mut indexes {
                table.index(index);
            }
            connection.execute(&table).await?;
            return Ok(());
        }
        connection.execute(&table).await?;
        for index in &mut indexes {
            connection.execute(index.if_not_exists()).await?;
        }
        Ok(())
    }

    /// What only servers have, as each of them says it.
    pub(crate) fn server_writes(&self) -> Vec<String> {
        match self.backend {
            #[cfg(feature = "postgres")]
            DbBackend::Postgres => {
                crate::postgres::schema::WRITES.iter().map(ToString::to_string).collect()
            }
            #[cfg(feature = "mysql")]
            DbBackend::MySql => crate::mysql::schema::writes(self.collation),
            _ => vec![],
        }
    }
}
