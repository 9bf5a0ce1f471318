//! Workers that leave: what they hold starts elsewhere, with no lease to wait for.

use crate::run_facilities;
use anyhow::Context;
use printmill_client::Client;
use printmill_client::v1::{GetTicketRequest, TicketAttempt};
use printmill_testkit::log::Line;
use printmill_testkit::{Node, Place, Shop, history};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMIT: Duration = Duration::from_secs(90);
/// From being told to the ticket being handed back.
const HAND_BACK_LIMIT_MS: i64 = 1_000;
/// From there to somewhere else. Processes on SQLite look for each other's commits once a second
/// when they have nothing to do, first the dispatcher, then the worker. A lost lease takes 10 s.
const ELSEWHERE_LIMIT_MS: i64 = 3_000;

fn render_started(line: &Line) -> bool {
    line.message() == "ticket started"
        && line.field("kind").is_some_and(|kind| kind == "item.render")
}

fn now_ms() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

fn ms(time: Option<&pbjson_types::Timestamp>) -> anyhow::Result<i64> {
    let time = time.context("the history has a time")?;
    Ok(time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000)
}

/// Lets one worker begin to render, starts another beside it, and tells the first to go; how the
/// ticket went, and when the first was told.
async fn leave_mid_render(
    arguments: &[&str],
    tell: impl AsyncFnOnce(&Place, Node) -> anyhow::Result<i64>,
) -> anyhow::Result<(i64, Vec<TicketAttempt>)> {
    let place = Place::new()?;
    let _rest = Node::serve(&place, "api,dispatcher").await?;
    let notice = format!("file://{}", place.beside("notice").display());
    let words: Vec<&str> = ["serve", "--roles", "worker", "--spot-notice", &notice]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let leaving = Node::spawn(&place, &words)?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(&place)?;
    let picture = shop.upload_slow_picture(&place.beside("slow.png"), 4_000).await?;
    let print = shop.photobook(vec![picture], 24).await?;
    let order = shop.order(&print.id, "leaving").await?;
    let started = leaving.log.wait_for(0, LIMIT, render_started).await;
    let (_, started) = started.with_context(|| leaving.log.text())?;
    let ticket = started.field("id").and_then(|id| id.as_str()).context("it is named")?.to_owned();
    // The other one sees the notice of its own machine only.
    let staying = Node::serve(&place, "worker").await?;
    let told = tell(&place, leaving).await?;
    let again = staying.log.wait_for(0, LIMIT, render_started).await;
    again.with_context(|| staying.log.text())?;
    let order = shop.shipped(&order.id, LIMIT).await?;
    history::check_shipped(&shop.client, &order).await?;
    let operator = Client::connect(&place.address(), Some(&place.operator_key()?))?;
    let ticket = operator.get_ticket(GetTicketRequest { ticket_id: ticket }).await?;
    assert_eq!((ticket.state.as_str(), ticket.lost_leases), ("done", 0));
    Ok((told, ticket.history))
}

fn check(what: &str, told: i64, history: &[TicketAttempt]) -> anyhow::Result<()> {
    let [first, second] = history else { anyhow::bail!("{history:?}") };
    assert_eq!((first.end.as_str(), second.end.as_str()), ("released", "done"));
    let back = ms(first.end_time.as_ref())? - told;
    let elsewhere = ms(second.begin_time.as_ref())? - ms(first.end_time.as_ref())?;
    println!("{what}: handed back after {back} ms, claimed elsewhere {elsewhere} ms later");
    assert!(back <= HAND_BACK_LIMIT_MS, "{back} ms");
    assert!(elsewhere <= ELSEWHERE_LIMIT_MS, "{elsewhere} ms");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_drain_time_work_is_handed_back_at_once() -> anyhow::Result<()> {
    let told = async |_: &Place, leaving: Node| {
        let told = now_ms()?;
        leaving.stop().await?;
        Ok(told)
    };
    let (told, history) = leave_mid_render(&["--drain-seconds", "0"], told).await?;
    check("SIGTERM", told, &history)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_spot_notice_work_is_handed_back_at_once_whatever_the_drain_time()
-> anyhow::Result<()> {
    let told = async |place: &Place, leaving: Node| {
        let seen = leaving.log.lines().len();
        std::fs::write(place.beside("notice"), "")?;
        let noticed = |line: &Line| line.message().starts_with("spot notice");
        let (_, line) =
            leaving.log.wait_for(seen, LIMIT, noticed).await.context("it is noticed")?;
        let told = line.value["timestamp"].as_str().context("lines have a time")?;
        let told: pbjson_types::Timestamp = serde_json::from_value(told.into())?;
        let (code, _) = leaving.ended().await?;
        anyhow::ensure!(code == 0, "it left in peace");
        ms(Some(&told))
    };
    let (told, history) = leave_mid_render(&["--drain-seconds", "600"], told).await?;
    check("spot notice", told, &history)
}
