//! Conditions for reads that SQLite answers with one prepared statement whatever their length.

use sea_orm::sea_query::{Expr, SimpleExpr};

/// Whether the id is one of several.
pub(crate) fn id_among<'a>(ids: impl Iterator<Item = &'a str>) -> SimpleExpr {
    let ids: Vec<&str> = ids.collect();
    let array = serde_json::Value::from(ids).to_string();
    Expr::cust_with_values("id IN (SELECT value FROM json_each(?))", [array])
}
