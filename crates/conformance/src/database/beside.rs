//! Cases that may run beside a deployment in use, which neither sees nor heeds what they write.
//!
//! Their records are those of workers that are gone, of a merchant that nobody is; their tickets
//! are leased when they are made, and done at the end, in a lane that nobody serves. So no worker
//! takes them up, and housekeeping deletes all of it within the usual time. The log's events stay
//! as long as events do.

use super::{Claims, Handle, Store, expect_fence_lost, expect_stale};
use crate::samples::{lane, merchant};
use crate::suite::{Suite, cases};
use anyhow::{Context, bail, ensure};
use chrono::TimeDelta;
use printmill_backend::change::RecordWrite;
use printmill_backend::database::{EventQuery, Page, Scope, WAKE_WITHIN};
use printmill_backend::{
    Change, Clock, CommitError, Database, Expected, Record, RequestRecord, SystemClock,
    TicketGuard, TicketWrite, fresh,
};
use printmill_domain::aggregate::Kind;
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{Id, MerchantId, OrderId, TicketId, derive};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::worker::Worker;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const OWN: &str = "a few rows of a merchant of its own, which housekeeping deletes";
/// How long events may wait for their place while others get theirs, and how long news may take
/// beyond what is promised, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn cases(suite: &mut Suite<dyn Database>, claims: Claims) {
    cases!(
        suite,
        "beside",
        safe OWN,
        [
            a_whole_change_is_there,
            what_it_stores_comes_back_letter_by_letter,
            a_change_with_something_stale_leaves_nothing,
            a_repeated_request_is_answered,
            a_late_holder_leaves_nothing,
            of_concurrent_changes_one_is_committed,
            another_merchant_finds_nothing,
            events_get_their_places_in_order,
        ]
    );
    cases!(suite, "beside", safe OWN, if claims.shared, [
        another_connection_reads_what_was_committed,
        another_connection_hears_of_commits,
    ]);
}

/// A record of a worker that is gone, with that as its version.
fn worker() -> Record {
    let now = SystemClock.now();
    let worker = Worker::begin(fresh::id(now), "check".into(), 0, "0".into(), vec![], now);
    Record { merchant: merchant(), ..Record::of(&worker.leave(now), 1, now) }
}

fn new(record: &Record) -> RecordWrite {
    RecordWrite { record: record.clone(), expected: Expected::New }
}

fn change(of: &Record) -> Change {
    Change::new(of.merchant, SystemClock.now())
}

fn creating(record: &Record) -> Change {
    Change { records: vec![new(record)], ..change(record) }
}

/// A ticket that is held from its beginning.
fn held(of: &Record) -> anyhow::Result<Ticket> {
    let now = SystemClock.now();
    let id: TicketId = fresh::id(now);
    let ticket = Ticket::new(id, of.merchant, lane("check"), "check.nothing", json!({}), now);
    Ok(ticket.claim("check", fresh::token(), TimeDelta::minutes(1), now)?)
}

fn made(ticket: &Ticket) -> TicketWrite {
    TicketWrite { ticket: ticket.clone(), guard: TicketGuard::New }
}

/// Ends a ticket, as its holder does.
async fn settle(database: &Handle, of: &Record, ticket: &Ticket) -> anyhow::Result<()> {
    let fence = ticket.fence().context("it is held")?;
    let done = ticket.complete(&fence, SystemClock.now())?;
    Ok(database.commit(change(of).held(done, &fence)).await?)
}

fn request(outcome: &str) -> RequestRecord {
    let id = hex::encode(fresh::bytes::<12>());
    let fingerprint = hex::encode(fresh::bytes::<32>());
    RequestRecord { id, fingerprint, outcome: outcome.into(), at: SystemClock.now() }
}

async fn find(database: &Handle, record: &Record) -> anyhow::Result<Option<Record>> {
    let scope = Scope::Merchant(record.merchant);
    Ok(database.get(scope, Kind::Worker, &record.id).await?)
}

async fn state(database: &Handle, ticket: &Ticket) -> anyhow::Result<Option<TicketState>> {
    Ok(database.tickets(&[ticket.id]).await?.pop().map(|found| found.state))
}

async fn a_whole_change_is_there(subject: Store) -> anyhow::Result<()> {
    let (database, record) = (subject.handle()?, worker());
    let (ticket, request) = (held(&record)?, request("made"));
    let mut whole = creating(&record).answering(Some(request.clone()));
    whole.tickets.push(made(&ticket));
    database.commit(whole).await?;
    let answered = database.request(record.merchant, &request.id).await?;
    let (found, kept) = (find(&database, &record).await?, state(&database, &ticket).await?);
    settle(&database, &record, &ticket).await?;
    ensure!(found.as_ref() == Some(&record), "{found:?} instead of {record:?}");
    ensure!(kept == Some(TicketState::Leased), "the ticket is {kept:?}");
    ensure!(answered.as_ref() == Some(&request), "{answered:?} instead of {request:?}");
    let settled = state(&database, &ticket).await?;
    ensure!(settled == Some(TicketState::Done), "the ticket became {settled:?}");
    Ok(())
}

/// Letters beyond the basic plane, and more of them than small columns and packets hold.
async fn what_it_stores_comes_back_letter_by_letter(subject: Store) -> anyhow::Result<()> {
    let (database, first) = (subject.handle()?, worker());
    database.commit(creating(&first)).await?;
    let mut document: serde_json::Value = serde_json::from_str(&first.document)?;
    document["host"] = "é, \"quoted\", 日本語 and 🖨️ \u{10FFFF}; ".repeat(4_000).into();
    let second = Record { version: 2, document: document.to_string(), ..first.clone() };
    let write = RecordWrite { record: second.clone(), expected: Expected::Version(1) };
    database.commit(Change { records: vec![write], ..change(&first) }).await?;
    let found = find(&database, &first).await?.context("it is not there")?;
    let (bytes, expected) = (found.document.len(), second.document.len());
    ensure!(found == second, "{bytes} bytes came back, {expected} were stored");
    Ok(())
}

async fn a_change_with_something_stale_leaves_nothing(subject: Store) -> anyhow::Result<()> {
    let (database, first) = (subject.handle()?, worker());
    database.commit(creating(&first)).await?;
    let other = Record { merchant: first.merchant, ..worker() };
    let next = Record { version: 8, ..first.clone() };
    let stale = RecordWrite { record: next, expected: Expected::Version(7) };
    let both = Change { records: vec![new(&other), stale], ..change(&first) };
    expect_stale(database.commit(both).await, "worker", &first.id)?;
    ensure!(find(&database, &other).await?.is_none(), "half of it was committed");
    ensure!(find(&database, &first).await? == Some(first), "it was written over");
    Ok(())
}

async fn a_repeated_request_is_answered(subject: Store) -> anyhow::Result<()> {
    let (database, record) = (subject.handle()?, worker());
    let request = request(&record.id);
    database.commit(creating(&record).answering(Some(request.clone()))).await?;
    let other = Record { merchant: record.merchant, ..worker() };
    match database.commit(creating(&other).answering(Some(request.clone()))).await {
        Err(CommitError::Answered(known)) if known == request => {}
        answer => bail!("it was not answered: {answer:?}"),
    }
    ensure!(find(&database, &other).await?.is_none(), "it was committed twice");
    Ok(())
}

async fn a_late_holder_leaves_nothing(subject: Store) -> anyhow::Result<()> {
    let (database, record) = (subject.handle()?, worker());
    let ticket = held(&record)?;
    let making = Change { tickets: vec![made(&ticket)], ..change(&record) };
    database.commit(making).await?;
    let mut fence = ticket.fence().context("it is held")?;
    let done = ticket.complete(&fence, SystemClock.now())?;
    fence.token = fence.token.wrapping_add(1) >> 1;
    let late = creating(&record).held(done, &fence);
    let answer = database.commit(late).await;
    let (found, kept) = (find(&database, &record).await?, state(&database, &ticket).await?);
    settle(&database, &record, &ticket).await?;
    expect_fence_lost(answer, &ticket.id.to_string())?;
    ensure!(found.is_none(), "its effect was committed");
    ensure!(kept == Some(TicketState::Leased), "the ticket became {kept:?}");
    Ok(())
}

async fn of_concurrent_changes_one_is_committed(subject: Store) -> anyhow::Result<()> {
    let (database, record) = (subject.handle()?, worker());
    let mut commits = JoinSet::new();
    for _ in 0..8 {
        let (database, change) = (database.clone(), creating(&record));
        commits.spawn(async move { database.commit(change).await });
    }
    let mut committed = 0;
    while let Some(answer) = commits.join_next().await {
        match answer? {
            Ok(()) => committed += 1,
            Err(CommitError::Stale { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    ensure!(committed == 1, "{committed} of 8 were committed");
    Ok(())
}

async fn another_merchant_finds_nothing(subject: Store) -> anyhow::Result<()> {
    let (database, record) = (subject.handle()?, worker());
    let request = request("private");
    database.commit(creating(&record).answering(Some(request.clone()))).await?;
    let stranger = merchant();
    let scope = Scope::Merchant(stranger);
    let ids = [record.id.clone()];
    let page = Page { before: None, limit: 10, state: None };
    let found = [
        database.get(scope, Kind::Worker, &record.id).await?.is_some(),
        !database.get_many(scope, Kind::Worker, &ids).await?.is_empty(),
        !database.list(scope, Kind::Worker, page.clone()).await?.is_empty(),
        database.request(stranger, &request.id).await?.is_some(),
    ];
    ensure!(found == [false; 4], "it finds by get, get_many, list, request: {found:?}");
    let own = database.list(Scope::Merchant(record.merchant), Kind::Worker, page).await?;
    ensure!(own == [record], "its own merchant finds {own:?}");
    Ok(())
}

/// All events of such cases are of one merchant, so that counts by merchant do not grow with them.
async fn events_get_their_places_in_order(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let owner: MerchantId = derive(MerchantId::PLATFORM.uuid(), "check", 0);
    let order: OrderId = fresh::id(SystemClock.now());
    let stream = order.to_string().replacen("ord", "chk", 1);
    let event = |sequence| EventDraft {
        stream: stream.clone(),
        sequence,
        kind: "check.noted".into(),
        subject: stream.clone(),
        data: json!({ "sequence": sequence }),
    };
    let commit = |events| {
        let change = Change { events, ..Change::new(owner, SystemClock.now()) };
        database.commit(change)
    };
    commit(vec![event(1), event(2)]).await?;
    commit(vec![event(3)]).await?;
    expect_stale(commit(vec![event(3)]).await, "event", &stream)?;
    let query = EventQuery {
        merchant: Some(owner),
        stream: Some(stream.clone()),
        limit: 10,
        ..EventQuery::default()
    };
    let began = Instant::now();
    let events = loop {
        database.sequence(100).await?;
        let events = database.events(query.clone()).await?;
        if events.len() >= 3 || began.elapsed() > PATIENCE {
            break events;
        }
        tokio::task::yield_now().await;
    };
    let order: Vec<u64> = events.iter().map(|event| event.draft.sequence).collect();
    ensure!(order == [1, 2, 3], "the log has {order:?}");
    ensure!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "{events:?}");
    let head = database.head().await?;
    ensure!(events[2].seq <= head, "{} is beyond the head, {head}", events[2].seq);
    Ok(())
}

/// Also where connections go to several servers, or through something that spreads them.
async fn another_connection_reads_what_was_committed(subject: Store) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    for turn in 0..10 {
        let (writer, reader) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let record = worker();
        writer.commit(creating(&record)).await?;
        let found = find(reader, &record).await?;
        ensure!(found == Some(record), "the other one finds {found:?}");
    }
    Ok(())
}

async fn another_connection_hears_of_commits(subject: Store) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    let mut commits = other.commits();
    commits.mark_unchanged();
    one.commit(creating(&worker())).await?;
    let heard = tokio::time::timeout(WAKE_WITHIN + PATIENCE, commits.changed()).await;
    heard.context("it heard nothing")??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_housekeeping_deletes_and_nobody_else_reads() {
        let record = worker();
        assert_eq!(record.state, printmill_domain::worker::GONE);
        assert_ne!(record.merchant, MerchantId::PLATFORM);
        assert!(serde_json::from_str::<Worker>(&record.document).is_ok());
        assert!(printmill_domain::ids::WorkerId::parse(&record.id).is_ok());
        let ticket = held(&record).unwrap();
        assert_eq!(ticket.state, TicketState::Leased);
        assert!(ticket.lease_until.is_some_and(|until| until > SystemClock.now()));
    }
}
