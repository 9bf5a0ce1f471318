//! Conditions for reads that SQLite answers with one prepared statement whatever their length.

use printmill_backend::database::Alike;
use printmill_domain::event::Shard;
use sea_orm::sea_query::{Alias, Expr, Query, SelectStatement, SimpleExpr};
use sea_orm::{DbBackend, Statement};

/// All that a query gives in a column of JSON, as one JSON array.
pub(crate) fn array_of(column: &'static str, query: SelectStatement) -> Statement {
    let array = Query::select()
        .expr(Expr::cust(format!("'[' || group_concat({column}, ',') || ']'")))
        .from_subquery(query, Alias::new("part"))
        .to_owned();
    DbBackend::Sqlite.build(&array)
}

/// Whether the id is one of several.
pub(crate) fn id_among<'a>(ids: impl Iterator<Item = &'a str>) -> SimpleExpr {
    let ids: Vec<&str> = ids.collect();
    let array = serde_json::Value::from(ids).to_string();
    Expr::cust_with_values("id IN (SELECT value FROM json_each(?))", [array])
}

/// Whether it is among the first `each` of one of these sorts that wait for their turn.
pub(crate) fn first_of_each(of: &[Alike], each: u32) -> SimpleExpr {
    let sorts = of.iter().map(|of| {
        let merchant = of.merchant.to_string();
        serde_json::json!([of.lane.as_str(), of.class.name(), merchant, of.kind])
    });
    let sorts = serde_json::Value::from_iter(sorts).to_string();
    // The cross join makes SQLite go through the sorts, and look into the index for each.
    Expr::cust_with_values(
        "id IN (SELECT h.id FROM json_each(?) AS w CROSS JOIN ticket AS h ON h.id IN (\
         SELECT n.id FROM ticket AS n WHERE n.stage = 'waiting' \
         AND n.lane = w.value ->> 0 AND n.class = w.value ->> 1 \
         AND n.merchant = w.value ->> 2 AND n.kind = w.value ->> 3 \
         ORDER BY n.due_at, n.id LIMIT ?))",
        [sea_orm::Value::from(sorts), sea_orm::Value::from(each)],
    )
}

/// What has been ready the longest, by lane and merchant, as one JSON array. Of what waits, one
/// look into the index for each counter; what was sent is never much.
pub(crate) const OLDEST_READY: &str = "
SELECT '[' || group_concat(json_array(lane, merchant, due_at), ',') || ']' FROM (
    SELECT lane, merchant, min(due_at) AS due_at FROM (
        SELECT c.lane, c.merchant, (
            SELECT t.due_at FROM ticket AS t WHERE t.stage = 'waiting' AND t.lane = c.lane
            AND t.class = c.class AND t.merchant = c.merchant AND t.kind = c.kind
            ORDER BY t.due_at LIMIT 1
        ) AS due_at FROM ticket_count AS c WHERE c.stage = 'waiting'
        UNION ALL
        SELECT lane, merchant, due_at FROM ticket WHERE stage = 'sent'
    ) WHERE due_at IS NOT NULL GROUP BY lane, merchant
)";

/// Whether an event is a merchant's, said so that SQLite does not look it up by that.
pub(crate) fn merchant_without_index(merchant: String) -> SimpleExpr {
    Expr::cust_with_values("+merchant = ?", [merchant])
}

/// Holds for every event, and lets SQLite look events up by kind alone, or by merchant alone.
pub(crate) fn by_one_alone() -> SimpleExpr {
    Expr::cust("seq > 0")
}

/// Whether a stream's id has one of several prefixes.
pub(crate) fn stream_kind_among(prefixes: &[String]) -> SimpleExpr {
    let array = serde_json::Value::from(prefixes).to_string();
    let prefix = "substr(stream, 1, instr(stream, '_') - 1) IN (SELECT value FROM json_each(?))";
    Expr::cust_with_values(prefix, [array])
}

/// Whether a stream is in a part of all streams.
pub(crate) fn stream_in_shard(shard: Shard) -> SimpleExpr {
    let letters: Vec<String> = shard.last_letters().map(String::from).collect();
    let array = serde_json::Value::from(letters).to_string();
    Expr::cust_with_values("substr(stream, -1) IN (SELECT value FROM json_each(?))", [array])
}
