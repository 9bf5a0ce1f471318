//! A running deployment with a seller and facilities, and every order that was placed in it.

use crate::run_facilities_that_tell;
use anyhow::{Context, Result, bail, ensure};
use printmill_client::facility::FacilityNote;
use printmill_client::v1::{Event, ListEventsRequest, ListLanesRequest, ListOrdersRequest};
use printmill_client::{Client, ClientError};
use printmill_testkit::log::Line;
use printmill_testkit::profile::{Deployment, Layout, Servers};
use printmill_testkit::shop::order_request;
use printmill_testkit::{Node, Shop, history};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;

/// For everything that must happen, and about whose time nothing is promised.
pub(super) const LIMIT: Duration = Duration::from_secs(180);
/// How many orders are under way for each process that renders when something goes wrong: more
/// than it works on at once, so that others wait in the broker.
const ORDERS: usize = 8;

/// How many tickets wait in the broker at least when something goes wrong.
const WAITING: i64 = 4;
/// How often to order until they do.
const ROUNDS_MAX: usize = 8;

/// A deployment, who uses it, and what was ordered.
pub(super) struct Run {
    pub(super) deployment: Deployment,
    pub(super) shop: Shop,
    operator: Client,
    /// How many orders are under way when something goes wrong.
    under_way: usize,
    facilities: Option<DropGuard>,
    /// What facilities tell.
    pub(super) told: UnboundedReceiver<FacilityNote>,
    placed: usize,
    /// A print that takes a moment to render.
    pub(super) print: String,
}

impl Run {
    pub(super) async fn start(servers: Servers, layout: Layout) -> Result<Self> {
        let deployment = Deployment::start(servers, layout).await?;
        let place = deployment.place();
        let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
        let picture = shop.upload_slow_picture(&place.beside("slow.png"), 900).await?;
        let print = shop.photobook(vec![picture], 24).await?.id;
        let operator = Client::connect(&place.address(), Some(&place.operator_key()?))?;
        let under_way = match layout {
            Layout::OneProcess => ORDERS,
            Layout::ByRole => 2 * ORDERS,
        };
        let (_, told) = unbounded_channel();
        let (facilities, placed) = (None, 0);
        let mut run =
            Self { deployment, shop, operator, under_way, facilities, told, placed, print };
        run.open_facilities()?;
        Ok(run)
    }

    /// Facilities begin to take on jobs. They use the other api, where there are two.
    pub(super) fn open_facilities(&mut self) -> Result<()> {
        let (tells, told) = unbounded_channel();
        let facilities = run_facilities_that_tell(self.deployment.other_place(), move |note| {
            let _ = tells.send(note);
        })?;
        (self.facilities, self.told) = (Some(facilities), told);
        Ok(())
    }

    /// Facilities take on nothing more.
    pub(super) fn close_facilities(&mut self) {
        self.facilities = None;
    }

    /// Goes through a scenario, and says what it took.
    pub(super) async fn scenario(
        &mut self,
        name: &str,
        scenario: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        scenario(self).await.with_context(|| format!("scenario: {name}"))?;
        println!("{name}: {:.1?}", begun.elapsed());
        Ok(())
    }

    /// Orders so many copies at the same time, each again until it is answered; their ids.
    pub(super) async fn place_orders(&mut self, count: usize) -> Result<Vec<String>> {
        let mut placing = JoinSet::new();
        for _ in 0..count {
            self.placed += 1;
            placing.spawn(place_order(self.shop.clone(), self.print.clone(), self.placed));
        }
        let mut placed = vec![];
        while let Some(order) = placing.join_next().await {
            placed.push(order??);
        }
        Ok(placed)
    }

    /// Orders, until one is being rendered and others wait for their turn.
    pub(super) async fn orders_under_way(&mut self) -> Result<Vec<String>> {
        let mut orders = vec![];
        for _ in 0..ROUNDS_MAX {
            let seen = self.deployment.seen();
            orders.extend(self.place_orders(self.under_way).await?);
            self.deployment.worker_that(&seen, LIMIT, render_started).await?;
            if self.waiting_tickets().await? >= WAITING {
                return Ok(orders);
            }
        }
        bail!("workers are faster than orders can be placed")
    }

    /// How many tickets are due and nobody works on them; of so few all were sent to the broker.
    pub(super) async fn waiting_tickets(&self) -> Result<i64> {
        let lanes = self.operator.list_lanes(ListLanesRequest::default()).await?.lanes;
        Ok(lanes.iter().map(|lane| lane.ready).sum())
    }

    /// Waits until all of these are shipped, and checks each one's history.
    pub(super) async fn all_shipped(&self, orders: &[String]) -> Result<()> {
        for order in orders {
            self.shipped(order).await?;
        }
        Ok(())
    }

    async fn shipped(&self, order: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let shipped = self.shop.shipped(order, LIMIT.saturating_sub(begun.elapsed())).await;
            match shipped {
                Ok(order) => return history::check_shipped(&self.shop.client, &order).await,
                // A server may be away for longer than a client tries.
                Err(error) if passes(&error) && begun.elapsed() < LIMIT => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until something happens to each of these orders, unless it is shipped already.
    pub(super) async fn all_go_on(
        &self,
        orders: &[String],
        stood: &BTreeMap<String, i64>,
        limit: Duration,
    ) -> Result<()> {
        let begun = Instant::now();
        for order in orders {
            let mut watch = self.shop.client.watch_order(order, stood[order]);
            let next = tokio::time::timeout(limit.saturating_sub(begun.elapsed()), watch.next());
            let next = next.await.with_context(|| format!("{order} stands still"))?;
            next.with_context(|| format!("{order} cannot be watched"))?;
        }
        Ok(())
    }

    /// How far each order's history goes.
    pub(super) async fn histories(&self, orders: &[String]) -> Result<BTreeMap<String, i64>> {
        let mut stands = BTreeMap::new();
        for order in orders {
            let events = history::of_order(&self.shop.client, order).await?;
            stands.insert(order.clone(), events.last().map_or(0, |event| event.sequence));
        }
        Ok(stands)
    }

    /// Asks for orders until there is an answer; how long that took.
    pub(super) async fn served(&self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let request = ListOrdersRequest { page_size: 1, ..Default::default() };
            let left = limit.saturating_sub(begun.elapsed());
            match tokio::time::timeout(left, self.shop.client.list_orders(request)).await {
                Ok(Ok(_)) => return Ok(begun.elapsed()),
                Ok(Err(error)) if error.retryable => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => bail!("orders are not listed within {limit:?}"),
            }
        }
    }

    /// A node that starts while a backend is away says so and ends.
    pub(super) async fn cannot_start(&self, backend: &str) -> Result<()> {
        let place = self.deployment.place().neighbour("late")?;
        let node = Node::spawn(&place, &["serve", "--roles", "worker"])?;
        let ended = tokio::time::timeout(LIMIT, node.ended()).await;
        let (exit, log) = ended.context("a node hangs that starts without a backend")??;
        let text = log.text();
        ensure!(exit != 0, "a node starts without its {backend}: {text}");
        ensure!(text.contains(&format!("'{backend}' =")), "'{backend}' is not named: {text}");
        ensure!(text.contains("help"), "no advice in: {text}");
        Ok(())
    }
}

/// Places an order, with the same request id until it is answered.
async fn place_order(shop: Shop, print: String, number: usize) -> Result<String> {
    let mut request = order_request(&print, &format!("order {number}"));
    request.request_id = format!("request {number}");
    let begun = Instant::now();
    loop {
        match shop.client.create_order(request.clone()).await {
            Ok(order) => return Ok(order.id),
            Err(error) if error.retryable && begun.elapsed() < LIMIT => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn passes(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &ClientError| error.retryable)
}

pub(super) fn render_started(line: &Line) -> bool {
    line.message() == "ticket started"
        && line.field("kind").is_some_and(|kind| kind == "item.render")
}

/// Every order that was answered is there once, and the log of events has each event of each order
/// once, in order.
pub(super) async fn nothing_lost_nothing_twice(run: &mut Run) -> Result<()> {
    history::check_all_once(&run.shop.client, run.placed).await?;
    let mut streams: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    let mut after_seq = 0;
    loop {
        let request = ListEventsRequest { after_seq, page_size: 100, ..Default::default() };
        let page = run.shop.client.list_events(request).await?;
        for event in page.events {
            ensure!(event.seq > after_seq, "{} comes again or out of order", event.seq);
            after_seq = event.seq;
            streams.entry(event.stream.clone()).or_default().push(event);
        }
        if !page.more {
            break;
        }
        after_seq = after_seq.max(page.seq);
    }
    let mut orders = 0;
    for (stream, events) in &streams {
        for (index, event) in events.iter().enumerate() {
            ensure!(event.sequence == index as i64 + 1, "{stream} has a gap: {events:?}");
        }
        if events.iter().any(|event| event.kind == "order.placed") {
            orders += 1;
            let last = events.last().map(|event| event.kind.as_str());
            ensure!(last == Some("order.shipped"), "{stream} ends in the log with {last:?}");
        }
    }
    ensure!(orders == run.placed, "the log has {orders} of {} orders", run.placed);
    Ok(())
}
