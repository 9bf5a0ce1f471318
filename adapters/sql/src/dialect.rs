//! What SQL's dialects say differently in reads: batches of keys, parts of ids, documents.

use crate::sqlite::select as sqlite;
use printmill_backend::database::Alike;
use printmill_domain::event::Shard;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{DbBackend, Value};

/// Which SQL.
#[cfg_attr(
    not(all(feature = "postgres", feature = "mysql")),
    expect(dead_code, reason = "those that were left out are spoken of, but never opened")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

impl Dialect {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
            Dialect::MySql => "mysql",
        }
    }

    /// Its name in SeaORM.
    pub(crate) fn backend(self) -> DbBackend {
        match self {
            Dialect::Sqlite => DbBackend::Sqlite,
            Dialect::Postgres => DbBackend::Postgres,
            Dialect::MySql => DbBackend::MySql,
        }
    }

    /// Whether the id is one of several.
    pub(crate) fn id_among<'a>(self, ids: impl Iterator<Item = &'a str>) -> SimpleExpr {
        match self {
            Dialect::Sqlite => sqlite::id_among(ids),
            Dialect::Postgres | Dialect::MySql => self.among("id", ids.collect()),
        }
    }

    /// Whether an expression is one of several texts: one statement whatever their number.
    fn among(self, what: &str, texts: Vec<&str>) -> SimpleExpr {
        let array = serde_json::Value::from(texts).to_string();
        let condition = match self {
            Dialect::Sqlite => format!("{what} IN (SELECT value FROM json_each(?))"),
            Dialect::Postgres => {
                format!("{what} = ANY (SELECT jsonb_array_elements_text($1::jsonb))")
            }
            Dialect::MySql => format!(
                "{what} IN (SELECT wanted.value FROM \
                 JSON_TABLE(?, '$[*]' COLUMNS (value VARCHAR(255) CHARACTER SET utf8mb4 PATH '$')) AS wanted)"
            ),
        };
        Expr::cust_with_values(condition, [array])
    }

    /// Whether it is among the first `each` of one of these sorts that wait for their turn.
    pub(crate) fn first_of_each(self, of: &[Alike], each: u32) -> SimpleExpr {
        match self {
            Dialect::Sqlite => sqlite::first_of_each(of, each),
            Dialect::Postgres => {
                let sorts = serde_json::Value::from_iter(of.iter().map(sort)).to_string();
                Expr::cust_with_values(
                    "id IN (SELECT h.id FROM jsonb_array_elements($1::jsonb) AS w \
                     CROSS JOIN LATERAL (SELECT n.id FROM ticket AS n WHERE n.stage = 'waiting' \
                     AND n.lane = w ->> 0 AND n.class = w ->> 1 AND n.merchant = w ->> 2 \
                     AND n.kind = w ->> 3 ORDER BY n.due_at, n.id LIMIT $2) AS h)",
                    [Value::from(sorts), Value::from(i64::from(each))],
                )
            }
            Dialect::MySql => {
                let part = "(SELECT n.id FROM ticket AS n WHERE n.stage = 'waiting' \
                            AND n.lane = ? AND n.class = ? AND n.merchant = ? AND n.kind = ? \
                            ORDER BY n.due_at, n.id LIMIT ?)";
                let parts = vec![part; of.len()].join(" UNION ALL ");
                let values = of.iter().flat_map(|of| {
                    let sort = sort(of).map(Value::from);
                    sort.into_iter().chain([Value::from(u64::from(each))])
                });
                let condition = format!("id IN (SELECT h.id FROM ({parts}) AS h)");
                Expr::cust_with_values(condition, values.collect::<Vec<_>>())
            }
        }
    }

    /// What has been ready the longest, by lane and merchant: on SQLite one JSON array, elsewhere
    /// one for each.
    pub(crate) fn oldest_ready(self) -> String {
        let row = match self {
            Dialect::Sqlite => return sqlite::OLDEST_READY.into(),
            Dialect::Postgres | Dialect::MySql => self.json_row("lane, merchant, min(due_at)"),
        };
        // Of what waits, one look into the index for each counter; what was sent is never much.
        format!(
            "SELECT {row} FROM (SELECT c.lane, c.merchant, (\
             SELECT t.due_at FROM ticket AS t WHERE t.stage = 'waiting' AND t.lane = c.lane \
             AND t.class = c.class AND t.merchant = c.merchant AND t.kind = c.kind \
             ORDER BY t.due_at LIMIT 1) AS due_at \
             FROM ticket_count AS c WHERE c.stage = 'waiting' \
             UNION ALL SELECT lane, merchant, due_at FROM ticket WHERE stage = 'sent') AS ready \
             WHERE due_at IS NOT NULL GROUP BY lane, merchant"
        )
    }

    /// A row of these columns as a text with a JSON array.
    pub(crate) fn json_row(self, columns: &str) -> String {
        match self {
            Dialect::Sqlite => format!("json_array({columns})"),
            Dialect::Postgres => format!("json_build_array({columns})::text"),
            Dialect::MySql => format!("CAST(json_array({columns}) AS CHAR)"),
        }
    }

    /// Whether a ticket waits for its turn, said so that it is not looked up by that.
    pub(crate) fn waiting_without_index(self) -> SimpleExpr {
        match self {
            Dialect::Sqlite => Expr::cust("+stage = 'waiting'"),
            // They know better than that how few ids there are.
            Dialect::Postgres | Dialect::MySql => Expr::cust("stage = 'waiting'"),
        }
    }

    /// Whether an event is a merchant's, said so that it is not looked up by that.
    pub(crate) fn merchant_without_index(self, merchant: String) -> SimpleExpr {
        match self {
            Dialect::Sqlite => sqlite::merchant_without_index(merchant),
            Dialect::Postgres => Expr::cust_with_values("merchant || '' = $1", [merchant]),
            Dialect::MySql => Expr::cust_with_values("concat(merchant, '') = ?", [merchant]),
        }
    }

    /// Holds for every event, and lets events be looked up by kind alone, or by merchant alone.
    pub(crate) fn by_one_alone(self) -> SimpleExpr {
        sqlite::by_one_alone()
    }

    /// Whether a stream's id has one of several prefixes.
    pub(crate) fn stream_kind_among(self, prefixes: &[String]) -> SimpleExpr {
        let prefix = match self {
            Dialect::Sqlite => return sqlite::stream_kind_among(prefixes),
            Dialect::Postgres => "split_part(stream, '_', 1)",
            Dialect::MySql => "substring_index(stream, '_', 1)",
        };
        self.among(prefix, prefixes.iter().map(String::as_str).collect())
    }

    /// Whether a stream is in a part of all streams.
    pub(crate) fn stream_in_shard(self, shard: Shard) -> SimpleExpr {
        if self == Dialect::Sqlite {
            return sqlite::stream_in_shard(shard);
        }
        let letters: Vec<String> = shard.last_letters().map(String::from).collect();
        self.among("right(stream, 1)", letters.iter().map(String::as_str).collect())
    }
}

fn sort(of: &Alike) -> [String; 4] {
    [
        of.lane.as_str().to_owned(),
        of.class.name().to_owned(),
        of.merchant.to_string(),
        of.kind.clone(),
    ]
}
