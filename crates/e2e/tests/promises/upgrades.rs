//! During an upgrade, nodes of this version go on beside a newer one: they serve on its tables, leave
//! to it what they do not know, and say so when they cannot go on. And nodes that may not change
//! tables say which are missing.

use crate::run_facilities;
use anyhow::Context;
use printmill_adapter_sql::SqlDatabase;
use printmill_backend::change::{Expected, RecordWrite};
use printmill_backend::database::Scope;
use printmill_backend::{Change, Database, TicketGuard, TicketWrite, fresh};
use printmill_client::Client;
use printmill_client::v1::{GetTicketRequest, ListEventsRequest};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{Id, MerchantId, OrderId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use printmill_testkit::log::Line;
use printmill_testkit::{Node, Place, Shop, history};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

const LIMIT: Duration = Duration::from_secs(120);
/// What a newer version's migration might add.
const ADDED: [&str; 4] = [
    "ALTER TABLE ticket ADD COLUMN later TEXT",
    "ALTER TABLE \"order\" ADD COLUMN later INTEGER NOT NULL DEFAULT 7",
    "CREATE TABLE later (id TEXT PRIMARY KEY)",
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9000_later', 0)",
];

fn address(place: &Place) -> String {
    format!("sqlite://{}", place.data().join("printmill.db").display())
}

async fn run(place: &Place, statements: &[&str]) -> anyhow::Result<()> {
    let connection = sea_orm::Database::connect(address(place)).await?;
    for statement in statements {
        connection.execute_unprepared(statement).await?;
    }
    Ok(connection.close().await?)
}

/// What a newer version wrote.
struct Newer {
    database: SqlDatabase,
    merchant: MerchantId,
    ticket: TicketId,
    stream: OrderId,
}

impl Newer {
    /// Migrates, gives an order a field more, and commits a ticket and an event of new kinds.
    async fn writes(place: &Place, merchant: MerchantId, order: &str) -> anyhow::Result<Self> {
        run(place, &ADDED).await?;
        let database = SqlDatabase::open(&address(place)).await?;
        let now = Timestamp::from(SystemTime::now());
        let (ticket, stream): (TicketId, OrderId) = (fresh::id(now), fresh::id(now));
        let mut change = Change::new(merchant, now);
        let found = database.get(Scope::Merchant(merchant), Kind::Order, order).await?;
        let mut record = found.context("the order is there")?;
        let mut document: Value = serde_json::from_str(&record.document)?;
        document["later"] = json!({"wrapping": "gift"});
        record.document = document.to_string();
        let expected = Expected::Version(record.version);
        record.version += 1;
        change.records = vec![RecordWrite { record, expected }];
        change.events = vec![EventDraft {
            stream: stream.to_string(),
            sequence: 1,
            kind: "order.wrapped".into(),
            subject: stream.to_string(),
            data: json!({"paper": "red"}),
        }];
        let unknown = Ticket::new(
            ticket,
            merchant,
            Lane::express(),
            "gift.wrap",
            json!({"order": order}),
            now,
        );
        change.tickets = vec![TicketWrite { ticket: unknown, guard: TicketGuard::New }];
        database.commit(change).await?;
        Ok(Self { database, merchant, ticket, stream })
    }

    async fn document(&self, order: &str) -> anyhow::Result<Value> {
        let scope = Scope::Merchant(self.merchant);
        let found = self.database.get(scope, Kind::Order, order).await?;
        Ok(serde_json::from_str(&found.context("the order is there")?.document)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_beside_a_newer_version_and_leave_to_it_what_they_do_not_know()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let first = Node::serve(&place, "api,dispatcher").await?;
    let worker = Node::serve(&place, "worker").await?;
    let made = place.json(&["keys", "create", "--new-merchant", "Seller", "--json"])?;
    let key = made["key"].as_str().context("a key")?;
    let merchant = MerchantId::parse(made["scope"]["merchant"].as_str().context("whose it is")?)?;
    let shop = Shop::new(&place.address(), key)?;
    let photos = shop.upload_photos(&place.beside("photos"), 4).await?;
    let print = shop.photobook(photos, 24).await?;
    worker.stop().await?;
    let order = shop.order(&print.id, "before").await?;
    let newer = Newer::writes(&place, merchant, &order.id).await?;
    assert_eq!(newer.document(&order.id).await?["later"]["wrapping"], "gift");

    // Those that run go on, and one that starts only now joins them.
    let late = Node::serve(&place, "worker").await?;
    let _facilities = run_facilities(&place)?;
    let shipped = shop.shipped(&order.id, LIMIT).await?;
    history::check_shipped(&shop.client, &shipped).await?;
    // Whoever writes a record writes what it knows of it: docs/guides/upgrading.md says so.
    assert_eq!(newer.document(&order.id).await?["later"], Value::Null);

    // Another api and dispatcher start on what the newer one left.
    first.stop().await?;
    let _second = Node::serve(&place, "api,dispatcher").await?;
    let order = shop.order(&print.id, "after").await?;
    let shipped = shop.shipped(&order.id, LIMIT).await?;
    history::check_shipped(&shop.client, &shipped).await?;

    // The event is passed on as it is, and the ticket waits for a worker that knows its kind.
    let asked = ListEventsRequest { kinds: vec!["order.wrapped".into()], ..Default::default() };
    let events = shop.client.list_events(asked).await?.events;
    let streams: Vec<&str> = events.iter().map(|event| event.stream.as_str()).collect();
    assert_eq!(streams, [newer.stream.to_string()]);
    let unknown = |line: &Line| line.message() == "no handler for this kind of ticket";
    late.log.wait_for(0, LIMIT, unknown).await.with_context(|| late.log.text())?;
    late.stop().await?;
    let operator = Client::connect(&place.address(), Some(&place.operator_key()?))?;
    let asked = GetTicketRequest { ticket_id: newer.ticket.to_string() };
    let ticket = operator.get_ticket(asked).await?;
    assert_eq!((ticket.state.as_str(), ticket.failures, ticket.lost_leases), ("queued", 0, 0));
    let ends: Vec<&str> = ticket.history.iter().map(|attempt| attempt.end.as_str()).collect();
    assert!(!ends.is_empty() && ends.iter().all(|end| *end == "released"), "{ends:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_refuses_tables_that_it_cannot_use_any_more() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.json(&["migrate", "--json"])?;
    let made = "INSERT INTO seaql_migrations (version, applied_at) \
                VALUES ('m9001_one_ticket_table_breaks_older', 0)";
    run(&place, &[made]).await?;
    let (exit, log) = Node::spawn(&place, &["up"])?.ended().await?;
    let text = log.text();
    assert_ne!(exit, 0, "{text}");
    assert!(text.contains("CONFIGURATION_INVALID"), "{text}");
    assert!(text.contains("m9001_one_ticket_table_breaks_older"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_migrate_names_what_is_missing_until_somebody_migrates()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let words = ["serve", "--roles", "api,dispatcher", "--migrate", "off"];
    let (exit, log) = Node::spawn(&place, &words)?.ended().await?;
    let text = log.text();
    assert_ne!(exit, 0, "{text}");
    assert!(text.contains("m0001_foundation") && text.contains("printmill migrate"), "{text}");
    let made = place.json(&["migrate", "--json"])?;
    assert_eq!(made["migrations"][0], "m0001_foundation");
    assert_eq!(place.json(&["migrate", "--json"])?, json!({"migrations": []}));
    let node = Node::spawn(&place, &words)?;
    node.wait_until_serving(&place).await?;
    assert_eq!(node.stop().await?, 0);
    Ok(())
}
