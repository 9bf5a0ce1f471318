//! What is old is deleted, in parts, and nothing else.

use super::{Claims, Handle, Store};
use crate::samples::{
    at, event, events, log, merchant, queued, read_ticket, request, ticket, tickets,
};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use chrono::TimeDelta;
use printmill_backend::database::{EventQuery, Prunable, Scope};
use printmill_backend::{Change, Database, DatabaseExt, RequestRecord};
use printmill_domain::aggregate::Decided;
use printmill_domain::ids::{Id, MerchantId, OrderId, derive};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::worker::Worker;

pub(super) fn cases(suite: &mut Suite<dyn Database>, claims: Claims) {
    cases!(
        suite,
        "pruning",
        [
            an_empty_database_has_nothing_to_prune,
            old_requests_go_and_their_ids_are_free,
            of_old_tickets_only_the_done_ones_go,
            a_done_ticket_is_as_old_as_its_end,
            old_events_go_from_the_beginning_of_the_log,
            an_event_stays_as_long_as_one_before_it,
            of_workers_only_those_go_that_have_been_gone_for_long,
            the_last_event_stays_and_the_log_goes_on,
            a_limit_is_kept_and_the_last_call_says_so,
            others_commit_meanwhile,
        ]
    );
    cases!(suite, "pruning", if claims.reopens, [what_was_pruned_stays_away]);
}

async fn prune_all(database: &Handle, before: i64) -> anyhow::Result<[u32; 4]> {
    let mut counts = [0; 4];
    for (count, what) in counts.iter_mut().zip(Prunable::ALL) {
        loop {
            match database.prune(what, at(before), 100).await? {
                0 => break,
                pruned => *count += pruned,
            }
        }
    }
    Ok(counts)
}

async fn answer(
    database: &Handle,
    merchant: MerchantId,
    id: &str,
    when: i64,
) -> anyhow::Result<()> {
    let request = RequestRecord { at: at(when), ..request(id, "done") };
    database.commit(Change::new(merchant, at(when)).answering(Some(request))).await?;
    Ok(())
}

async fn happen(database: &Handle, stream: u32, sequence: u64, when: i64) -> anyhow::Result<()> {
    let stream: OrderId = derive(MerchantId::PLATFORM.uuid(), "stream", stream);
    let change = events(merchant(), vec![event(&stream, sequence)]);
    database.commit(Change { at: at(when), ..change }).await?;
    while database.sequence(100).await? > 0 {}
    Ok(())
}

async fn seqs(database: &Handle) -> anyhow::Result<Vec<u64>> {
    Ok(log(&**database).await?.iter().map(|event| event.seq).collect())
}

/// A ticket that came to a state at a time.
fn settled(state: TicketState, when: i64) -> Ticket {
    Ticket { state, updated_at: at(when), ..ticket(merchant()) }
}

async fn store(database: &Handle, all: &[Ticket]) -> anyhow::Result<()> {
    let writes = all.iter().cloned().map(queued).collect();
    Ok(database.commit(tickets(merchant(), writes)).await?)
}

async fn an_empty_database_has_nothing_to_prune(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    ensure!(prune_all(&database, 1_000_000).await? == [0, 0, 0, 0]);
    ensure!(database.head().await? == 0);
    Ok(())
}

async fn old_requests_go_and_their_ids_are_free(subject: Store) -> anyhow::Result<()> {
    let (database, one, other) = (subject.handle()?, merchant(), merchant());
    answer(&database, one, "old", 10).await?;
    answer(&database, other, "old", 10).await?;
    answer(&database, one, "young", 20).await?;
    ensure!(prune_all(&database, 20).await? == [2, 0, 0, 0]);
    ensure!(database.request(one, "old").await?.is_none(), "it is still there");
    ensure!(database.request(one, "young").await?.is_some(), "it is gone");
    answer(&database, one, "old", 30).await?;
    let again = database.request(one, "old").await?;
    ensure!(again.is_some_and(|request| request.at == at(30)), "its id is free");
    Ok(())
}

async fn of_old_tickets_only_the_done_ones_go(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let states = [TicketState::Queued, TicketState::Dead, TicketState::Done, TicketState::Done];
    let all = states.map(|state| settled(state, 5));
    let leased = ticket(merchant()).claim("w", 7, TimeDelta::seconds(1), at(5));
    store(&database, &all).await?;
    store(&database, &[leased?]).await?;
    ensure!(prune_all(&database, 1_000).await? == [0, 2, 0, 0]);
    for ticket in &all {
        let kept = read_ticket(&*database, ticket.id).await?;
        let expected = (ticket.state != TicketState::Done).then_some(ticket);
        ensure!(kept.as_ref() == expected, "{kept:?}");
    }
    let counts = database.ticket_counts().await?;
    ensure!(counts.iter().map(|of| of.count).sum::<u64>() == 3, "{counts:?}");
    Ok(())
}

async fn a_done_ticket_is_as_old_as_its_end(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    // Both are old; one took long.
    let (early, late) = (settled(TicketState::Done, 10), settled(TicketState::Done, 100));
    store(&database, &[early.clone(), late.clone()]).await?;
    ensure!(prune_all(&database, 10).await? == [0, 0, 0, 0], "within the same second it stays");
    ensure!(prune_all(&database, 100).await? == [0, 1, 0, 0]);
    ensure!(read_ticket(&*database, early.id).await?.is_none());
    ensure!(read_ticket(&*database, late.id).await? == Some(late));
    Ok(())
}

async fn old_events_go_from_the_beginning_of_the_log(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    for sequence in 1..=5 {
        happen(&database, 1, sequence, sequence as i64 * 10).await?;
    }
    ensure!(prune_all(&database, 30).await? == [0, 0, 2, 0]);
    ensure!(seqs(&database).await? == [3, 4, 5]);
    let part = |after, limit| EventQuery { after, limit, ..EventQuery::default() };
    let after_four = database.events(part(4, 10)).await?;
    ensure!(after_four.len() == 1 && after_four[0].seq == 5, "{after_four:?}");
    let first = database.events(part(0, 1)).await?;
    ensure!(first.len() == 1 && first[0].seq == 3, "{first:?}");
    let stream = Some(first[0].draft.stream.clone());
    let of_stream = database.events(EventQuery { stream, ..part(1, 10) }).await?;
    ensure!(of_stream.len() == 3, "{of_stream:?}");
    Ok(())
}

async fn an_event_stays_as_long_as_one_before_it(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    // The clock was ahead when the second was committed.
    for (sequence, when) in [(1, 10), (2, 500), (3, 20), (4, 30)] {
        happen(&database, 1, sequence, when).await?;
    }
    ensure!(prune_all(&database, 100).await? == [0, 0, 1, 0]);
    ensure!(seqs(&database).await? == [2, 3, 4]);
    Ok(())
}

async fn of_workers_only_those_go_that_have_been_gone_for_long(
    subject: Store,
) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let [here, long_gone, just_gone] = [(); 3].map(|()| worker());
    for (worker, when) in [(&here, 5), (&long_gone.give_up(), 10), (&just_gone.leave(at(20)), 20)] {
        let change = Change::new(MerchantId::PLATFORM, at(when));
        database.commit(change.create(Decided::quiet(worker.clone()))).await?;
    }
    ensure!(prune_all(&database, 20).await? == [0, 0, 0, 1], "to the second");
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let mut left = vec![];
    for worker in [&here, &long_gone, &just_gone] {
        left.push(database.find::<Worker>(scope, &worker.id.to_string()).await?.is_some());
    }
    ensure!(left == [true, false, true], "{left:?}");
    let again = Change::new(MerchantId::PLATFORM, at(30)).create(Decided::quiet(long_gone));
    database.commit(again).await?;
    ensure!(prune_all(&database, 1_000).await? == [0, 0, 0, 1], "those that are there stay");
    Ok(())
}

/// A worker that is there.
fn worker() -> Worker {
    let id = printmill_backend::fresh::id(at(5));
    Worker::begin(id, "host".into(), 1, "0".into(), vec![], at(5))
}

async fn the_last_event_stays_and_the_log_goes_on(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    for sequence in 1..=3 {
        happen(&database, 1, sequence, 10).await?;
    }
    ensure!(prune_all(&database, 1_000_000).await? == [0, 0, 2, 0]);
    ensure!(seqs(&database).await? == [3] && database.head().await? == 3);
    happen(&database, 2, 1, 20).await?;
    happen(&database, 1, 4, 20).await?;
    ensure!(seqs(&database).await? == [3, 4, 5] && database.head().await? == 5);
    Ok(())
}

async fn a_limit_is_kept_and_the_last_call_says_so(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let done: Vec<Ticket> = (0..5).map(|_| settled(TicketState::Done, 5)).collect();
    store(&database, &done).await?;
    for number in 0..5 {
        answer(&database, merchant(), &format!("request {number}"), 5).await?;
    }
    for sequence in 1..=6 {
        happen(&database, 1, sequence, 5).await?;
    }
    for _ in 0..5 {
        let gone = worker().leave(at(5));
        let change = Change::new(MerchantId::PLATFORM, at(5)).create(Decided::quiet(gone));
        database.commit(change).await?;
    }
    for what in Prunable::ALL {
        let mut counts = vec![];
        for _ in 0..4 {
            counts.push(database.prune(what, at(60), 2).await?);
        }
        ensure!(counts == [2, 2, 1, 0], "{what:?}: {counts:?}");
    }
    Ok(())
}

async fn others_commit_meanwhile(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let done: Vec<Ticket> = (0..200).map(|_| settled(TicketState::Done, 5)).collect();
    store(&database, &done).await?;
    let committing = async {
        for sequence in 1..=50 {
            happen(&database, 1, sequence, 100).await?;
        }
        anyhow::Ok(())
    };
    let pruning = async {
        let mut pruned = 0;
        loop {
            match database.prune(Prunable::DoneTickets, at(60), 7).await? {
                0 => return anyhow::Ok(pruned),
                count => pruned += count,
            }
        }
    };
    let ((), pruned) = tokio::try_join!(committing, pruning)?;
    ensure!(pruned == 200 && seqs(&database).await?.len() == 50, "{pruned} were pruned");
    Ok(())
}

async fn what_was_pruned_stays_away(mut subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (done, merchant) = (settled(TicketState::Done, 5), merchant());
    store(&database, std::slice::from_ref(&done)).await?;
    answer(&database, merchant, "old", 5).await?;
    happen(&database, 1, 1, 5).await?;
    happen(&database, 1, 2, 5).await?;
    ensure!(prune_all(&database, 60).await? == [1, 1, 1, 0]);
    drop(database);

    let database = subject.reopen().await?;
    ensure!(read_ticket(&*database, done.id).await?.is_none(), "the ticket is back");
    ensure!(database.request(merchant, "old").await?.is_none(), "the request is back");
    ensure!(seqs(&database).await? == [2] && database.head().await? == 2);
    Ok(())
}
