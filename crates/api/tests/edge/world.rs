//! A served edge with two merchants, two facilities and their keys.

use crate::wire::Wire;
use chrono::TimeDelta;
use printmill_adapter_memory::{ManualClock, MemoryDatabase, MemoryQueue, memory_blobs};
use printmill_api::{ApiOptions, BuildError, Services, serve};
use printmill_assets::{Assets, Inspect};
use printmill_backend::database::Scope as Reads;
use printmill_backend::links::LinkSigner;
use printmill_backend::queue::{Message, Queue};
use printmill_backend::{Blobs, Change, Clock, Database, DatabaseExt, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided, Versioned};
use printmill_domain::api_key::{ApiKey, PresentedKey, Scope};
use printmill_domain::asset::{Asset, AssetCommand, BlobRef, Picture};
use printmill_domain::facility::starter_facilities;
use printmill_domain::ids::{FacilityId, KeyId, MerchantId, OrderId, PrintJobId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::order::Order;
use printmill_domain::order_command::OrderCommand;
use printmill_domain::payment::ChargeOutcome;
use printmill_domain::print_job::{PrintJob, PrintJobCommand, PrintJobState};
use printmill_domain::problem::Problem;
use printmill_domain::routing::Route;
use printmill_engine::budget::MemoryBudget;
use printmill_engine::command::Commands;
use printmill_engine::handler::Handlers;
use printmill_engine::housekeeping::{Housekeeping, Retention};
use printmill_engine::lease::Leases;
use printmill_engine::operations::Operations;
use printmill_engine::sequencer::Sequencer;
use printmill_engine::settle::Settling;
use printmill_fulfilment::{self as fulfilment, Fulfilment};
use printmill_orders::Orders;
use printmill_prints::Prints;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The bytes of the pictures that are uploaded here; nobody looks into them.
pub(crate) const PICTURE: &[u8] = b"\xff\xd8\xff not really a picture, but nobody looks";
/// What the edge says on `/metrics` by itself.
pub(crate) const METRICS: &str = "printmill_test 1\n";

/// Everything.
pub(crate) struct World {
    pub(crate) wire: Wire,
    pub(crate) database: Arc<MemoryDatabase>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) registry: prometheus::Registry,
    /// Two merchants with their keys.
    pub(crate) merchants: [(MerchantId, String); 2],
    /// Two facilities with their keys.
    pub(crate) facilities: [(FacilityId, String); 2],
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), BuildError>>,
}

/// What a merchant made, down to a print job that a facility can take.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) asset: String,
    pub(crate) print: String,
    pub(crate) quote: String,
    pub(crate) order: String,
    pub(crate) item: String,
    pub(crate) job: String,
}

impl World {
    /// A served edge.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A served edge with other options.
    pub(crate) async fn with(change: impl FnOnce(&mut ApiOptions)) -> Self {
        Self::built(change, |blobs| blobs).await
    }

    /// A served edge whose store signs links itself.
    pub(crate) async fn signing(signer: impl LinkSigner + 'static) -> Self {
        Self::built(|_| {}, |blobs| blobs.signing(Arc::new(signer))).await
    }

    async fn built(
        change: impl FnOnce(&mut ApiOptions),
        blobs: impl FnOnce(Blobs) -> Blobs,
    ) -> Self {
        let database = Arc::new(MemoryDatabase::new());
        let clock = Arc::new(ManualClock::default());
        let queue = Arc::new(MemoryQueue::new());
        let registry = prometheus::Registry::new();
        let mut services = services(&database, &clock, &queue);
        services.blobs = blobs(services.blobs);
        seed(&*database, clock.now()).await;
        tokio::spawn(Sequencer::new(database.clone()).run(std::future::pending()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/").parse().unwrap();
        let mut options = ApiOptions::new(url, [7; 32]);
        options.metrics_text = Some(Arc::new(|| METRICS.to_owned()));
        options.registry = Some(registry.clone());
        options.key_cache = Duration::ZERO;
        change(&mut options);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, services, options, async {
            let _ = stopped.await;
        }));
        let now = clock.now();
        let mut world = Self {
            wire: Wire::new(address),
            database,
            clock,
            queue,
            registry,
            merchants: std::array::from_fn(|_| (fresh::id(now), String::new())),
            facilities: std::array::from_fn(|at| (starter_facilities(now)[at].id, String::new())),
            stop: Some(stop),
            served,
        };
        for at in 0..2 {
            world.merchants[at].1 = world.key(Scope::Merchant(world.merchants[at].0)).await;
            world.facilities[at].1 = world.key(Scope::Facility(world.facilities[at].0)).await;
        }
        world
    }

    /// The first merchant's key.
    pub(crate) fn key_of(&self, merchant: usize) -> &str {
        &self.merchants[merchant].1
    }

    /// Makes a key.
    pub(crate) async fn key(&self, scope: Scope) -> String {
        let now = self.clock.now();
        let presented = PresentedKey::mint(fresh::id::<KeyId>(now), fresh::bytes());
        let key = ApiKey::new(&presented, "test", scope, now);
        let change = Change::new(MerchantId::PLATFORM, now).create(Decided::quiet(key));
        self.database.commit(change).await.unwrap();
        presented.reveal()
    }

    /// Revokes a key.
    pub(crate) async fn revoke(&self, key: &str) {
        let id = PresentedKey::parse(key).unwrap().id.to_string();
        let now = self.clock.now();
        self.change::<ApiKey>(MerchantId::PLATFORM, &id, |key| {
            Ok(Decided::quiet(ApiKey { revoked_at: Some(now), ..key.clone() }))
        })
        .await;
    }

    /// Changes something behind the edge's back.
    pub(crate) async fn change<A: Aggregate + PartialEq>(
        &self,
        merchant: MerchantId,
        id: &str,
        decide: impl FnOnce(&A) -> Result<Decided<A>, Problem>,
    ) {
        let scope = Reads::Merchant(merchant);
        let before: Versioned<A> = self.database.find(scope, id).await.unwrap().unwrap();
        let decided = decide(&before.value).unwrap();
        let change = Change::new(merchant, self.clock.now()).update(&before, decided);
        self.database.commit(change).await.unwrap();
    }

    /// Uploads a picture as a merchant, and has it found printable.
    pub(crate) async fn asset(&self, merchant: usize) -> String {
        let (id, key) = &self.merchants[merchant];
        let created =
            self.wire.post("/v1/assets", key, json!({ "fileName": "a.jpg" })).await.json();
        let url = created["upload"]["url"].as_str().unwrap();
        let answer = self.wire.put(url, PICTURE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let asset = created["asset"]["id"].as_str().unwrap().to_owned();
        let now = self.clock.now();
        self.change::<Asset>(*id, &asset, |asset| {
            asset.decide(
                AssetCommand::Accept(Picture {
                    media_type: "image/jpeg".into(),
                    width: 3000,
                    height: 3000,
                    orientation: 1,
                    has_icc_profile: false,
                    captured_at: None,
                }),
                now,
            )
        })
        .await;
        asset
    }

    /// A magazine with one picture.
    pub(crate) async fn print(&self, merchant: usize, asset: &str) -> String {
        let layout = json!({ "assetIds": [asset], "pageCount": 8 });
        let content = json!({ "sku": "magazine-a5-stapled", "title": "T", "autoLayout": layout });
        let body = json!({ "content": content });
        let print = self.wire.post("/v1/prints", self.key_of(merchant), body).await.json();
        print["id"].as_str().unwrap_or_else(|| panic!("{print}")).to_owned()
    }

    /// Everything that a merchant can make; the print job is the facility's.
    pub(crate) async fn made(&self, merchant: usize, facility: usize) -> Made {
        let made = self.made_unsent(merchant, facility).await;
        let ticket = PrintJob::ticket_id(made.job.parse().unwrap());
        self.send(&Lane::facility(&self.facilities[facility].0), ticket).await;
        made
    }

    /// The same, with a job that nobody can lease yet.
    pub(crate) async fn made_unsent(&self, merchant: usize, facility: usize) -> Made {
        let key = self.key_of(merchant);
        let asset = self.asset(merchant).await;
        let print = self.print(merchant, &asset).await;
        let items = json!([{ "printId": print, "quantity": 2 }]);
        let wanted = json!({ "items": items, "country": "DE" });
        let quote = self.wire.post("/v1/quotes", key, wanted).await.json();
        let wanted =
            json!({ "items": items, "recipient": recipient(), "paymentMethod": "sandbox" });
        let order = self.wire.post("/v1/orders", key, wanted).await.json();
        let text =
            |value: &Value| value.as_str().unwrap_or_else(|| panic!("{quote} {order}")).to_owned();
        let (order_id, item) = (text(&order["id"]), text(&order["items"][0]["id"]));
        let job = self.routed(merchant, facility, &order_id).await;
        Made { asset, print, quote: text(&quote["id"]), order: order_id, item, job }
    }

    /// Moves an order on as workers would, until its print job waits for the facility.
    async fn routed(&self, merchant: usize, facility: usize, order: &str) -> String {
        let (merchant, now) = (self.merchants[merchant].0, self.clock.now());
        let facility = self.facilities[facility].0;
        let order_id = order.parse::<OrderId>().unwrap();
        let found: Versioned<Order> =
            self.database.find(Reads::Merchant(merchant), order).await.unwrap().unwrap();
        let item = found.items[0].clone();
        // The very bytes that the asset was uploaded with: they are stored under that name.
        let sha256 = hex::encode(Sha256::digest(PICTURE));
        let file = BlobRef { sha256, size: PICTURE.len() as u64 };
        let paid = ChargeOutcome::Paid { reference: "test".into() };
        let route = Route { facility, reason: "it is near".into(), candidates: vec![] };
        for command in [
            OrderCommand::RecordPayment { payment: found.payments[0].id, outcome: paid },
            OrderCommand::Route { routes: vec![(item.id, route)] },
            OrderCommand::RecordFile { item: item.id, file: file.clone() },
        ] {
            self.change::<Order>(merchant, order, |order| order.decide(command, now)).await;
        }
        let job = PrintJob {
            class: Default::default(),
            id: PrintJob::id_for(item.id),
            merchant,
            order: order_id,
            item: item.id,
            facility,
            sku: item.line.sku.clone(),
            pages: item.line.pages,
            quantity: item.line.quantity,
            recipient: found.recipient.clone(),
            state: PrintJobState::Preparing,
            file: None,
            tracking: None,
            created_at: now,
        };
        let id: PrintJobId = job.id;
        let change = Change::new(merchant, now).create(Decided::quiet(job));
        self.database.commit(change).await.unwrap();
        self.change::<PrintJob>(merchant, &id.to_string(), |job| {
            job.decide(PrintJobCommand::Attach(file), now)
        })
        .await;
        id.to_string()
    }

    /// Puts a ticket's message into a lane, as the relay would.
    pub(crate) async fn send(&self, lane: &Lane, ticket: TicketId) {
        self.queue.ensure(lane).await.unwrap();
        let message = Message { ticket, trace: None, delay: Duration::ZERO };
        for sent in self.queue.send(lane, &[message]).await {
            sent.unwrap();
        }
    }

    /// Begins to shut the edge down; gives what `serve` answers.
    pub(crate) fn stop(&mut self) -> &mut JoinHandle<Result<(), BuildError>> {
        self.stop.take().unwrap().send(()).unwrap();
        &mut self.served
    }
}

/// Opens the facilities that every node starts with.
async fn seed(database: &dyn Database, now: Timestamp) {
    for facility in starter_facilities(now) {
        let change = Change::new(MerchantId::PLATFORM, now).create(Decided::quiet(facility));
        database.commit(change).await.unwrap();
    }
}

/// Somebody to send things to.
pub(crate) fn recipient() -> Value {
    json!({
        "name": "Ada", "lines": ["Weg 1"], "city": "Berlin", "postalCode": "10115", "country": "DE",
    })
}

fn services(
    database: &Arc<MemoryDatabase>,
    clock: &Arc<ManualClock>,
    queue: &Arc<MemoryQueue>,
) -> Services {
    let database: Arc<dyn Database> = database.clone();
    let clock: Arc<dyn Clock> = clock.clone();
    let queue: Arc<dyn Queue> = queue.clone();
    let commands = Commands::new(database.clone(), clock.clone());
    let lease = Duration::from_secs(10);
    let leases = Leases::new(database.clone(), queue, clock.clone(), lease);
    let (blobs, memory) = (memory_blobs(), MemoryBudget::new(1 << 20));
    let handlers = Handlers::default()
        .with(Inspect::new(database.clone(), blobs.clone(), memory))
        .with(fulfilment::Route::new(database.clone()))
        .with(fulfilment::Make::new(database.clone()))
        .with(Housekeeping::new(
            database.clone(),
            clock.clone(),
            Retention {
                requests: TimeDelta::days(30),
                done_tickets: TimeDelta::days(30),
                events: TimeDelta::days(365),
                gone_workers: TimeDelta::days(1),
            },
        ));
    Services {
        operations: Operations::new(database.clone(), clock.clone()),
        database,
        blobs,
        clock,
        assets: Assets::new(commands.clone()),
        prints: Prints::new(commands.clone()),
        orders: Orders::new(commands.clone()),
        fulfilment: Fulfilment::new(commands, leases.clone()),
        settling: Settling::new(leases.clone(), handlers),
        leases,
    }
}
