//! The relay: what is committed is sent, what is sent is marked, and a crash in between is harmless. In paused time.

use crate::jobs::{Job, KIND};
use crate::link::Link;
use crate::site::{Site, lane, merchant, pass, take, ticket_id};
use crate::wrapped_queue::WrappedQueue;
use printmill_backend::queue::Message;
use printmill_backend::{Change, Database, Queue};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::TicketState;
use printmill_engine::LEASE;
use printmill_engine::lease::Leases;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn committed_tickets_are_sent_and_marked_at_once() {
    let site = Site::new();
    let relay = site.start_relay();
    // Between two of the times when it would look by itself.
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let committed = site.now();
    let id = site.make(1, KIND).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(site.held().await, 1, "the commit wakes the relay");
    let ticket = site.until(id, |ticket| ticket.sent_at.is_some()).await;
    let marked = committed + chrono::TimeDelta::milliseconds(100);
    assert_eq!(ticket.sent_at, Some(marked), "nobody has claimed it for a while");
    assert_eq!((ticket.state, site.held().await), (TicketState::Queued, 1));
    pass(5).await;
    assert_eq!(site.ticket(id).await, ticket, "and it is sent once");
    assert_eq!(site.metrics.relayed.get(), 1);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backlog_waits_in_the_database_and_is_all_sent_in_the_end() {
    let site = Site::new();
    for number in 0..1_000 {
        site.make(number, KIND).await;
    }
    let relay = site.start_relay();
    pass(60).await;
    let held = site.held().await;
    assert!(held < 100, "{held} are with a queue from which nobody takes any");
    let worker = site.start_worker("a", Job::quick().handlers());
    for number in 0..1_000 {
        site.until_state(ticket_id(number), TicketState::Done).await;
    }
    assert_eq!((site.metrics.relayed.get(), site.effects().await.len()), (1_000, 1_000));
    worker.stop().await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_waits_is_not_sent_before_it_is_due() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let held = site.lease_now("a").await.remove(0);
    let policy = RetryPolicy { base: chrono::TimeDelta::seconds(100), ..RetryPolicy::default() };
    let problem = Problem::new(Code::Internal, "not now", "wait");
    let waiting = site.fail(&held, problem, &policy).await;
    assert_eq!(site.held().await, 0, "its message is settled");
    // A second message of it comes too early, and is of no use later.
    let early = Message { ticket: id, trace: None, delay: Duration::ZERO };
    site.queue.send(&lane(), &[early]).await.remove(0).unwrap();
    assert_eq!((site.lease_now("b").await, site.held().await), (vec![], 0));
    let relay = site.start_relay();
    let sent = site.until(id, |ticket| ticket.sent_at.is_some()).await;
    let late = sent.sent_at.unwrap() - waiting.due_at;
    assert!(late >= chrono::TimeDelta::zero() && late <= chrono::TimeDelta::seconds(1), "{late}");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_sending_and_marking_is_harmless() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    // This relay is gone after it has sent.
    site.relay().pump().await.unwrap();
    assert_eq!((site.held().await, site.ticket(id).await.sent_at), (1, None), "sent, not marked");
    // Somebody takes it before it is marked; the next relay cannot know.
    let relayed = site.ticket(id).await;
    let held = site.lease_now("a").await.remove(0);
    let unmarked = Change::new(merchant(), site.now());
    let stale = unmarked.ticket(relayed.sent(site.now()), relayed.version);
    site.database.commit(stale).await.unwrap_err();
    site.relay().pump().await.unwrap();
    let effect = crate::jobs::effect(&held.ticket, site.now());
    site.leases().complete(&held.ticket, &held.fence, &held.receipt, effect).await.unwrap();
    assert_eq!(site.held().await, 0);
    assert_eq!(site.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_sent_twice_is_done_once() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let job = Job::quick();
    let counts = job.counts();
    let worker = site.start_worker("a", job.handlers());
    site.until_state(id, TicketState::Done).await;
    // The second message, after the first was settled, as a queue without memory would have it.
    let message = Message { ticket: id, trace: None, delay: Duration::ZERO };
    site.queue.send(&lane(), &[message]).await.remove(0).unwrap();
    pass(60).await;
    assert_eq!((counts.performed(), site.effects().await.len()), (1, 1));
    assert_eq!(site.held().await, 0, "the useless message is gone");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn several_relays_at_once_are_harmless() {
    let site = Site::new();
    let relays = [site.start_relay(), site.start_relay(), site.start_relay()];
    let job = Job::quick();
    let counts = job.counts();
    let worker = site.start_worker("a", job.handlers());
    for number in 0..50 {
        site.make(number, KIND).await;
    }
    for number in 0..50 {
        site.until_state(ticket_id(number), TicketState::Done).await;
    }
    assert_eq!((counts.performed(), site.effects().await.len()), (50, 50));
    for relay in relays {
        relay.stop().await;
    }
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_meets_the_relays_mark_is_tried_again_at_once() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let begun = site.now();
    // The ticket is read as it was sent, and claimed when it is marked.
    let mark = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (ticket, now) = (site.ticket(id).await, site.now());
        let change = Change::new(merchant(), now).ticket(ticket.sent(now), ticket.version);
        site.database.commit(change).await
    };
    let leases = site.leases_through(Link::slow(&site.database, Duration::from_millis(20)));
    let lease = take(&leases, 1, Duration::from_secs(1), "a");
    let (marked, leased) = tokio::join!(mark, lease);
    marked.unwrap();
    assert_eq!(leased.unwrap().len(), 1);
    let took = (site.now() - begun).num_milliseconds();
    assert!(took < 50, "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_claimed_soon_is_never_marked() {
    let site = Site::new();
    let (relay, worker) = (site.start_relay(), site.start_worker("a", Job::quick().handlers()));
    let id = site.make(1, KIND).await;
    let done = site.until_state(id, TicketState::Done).await;
    // Made, claimed, done: no version for a mark.
    assert_eq!((done.version, done.sent_at), (3, None));
    worker.stop().await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_back_is_sent_again_however_fast_the_relay_is() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let held = site.lease_now("a").await.remove(0);
    let queue = Arc::new(WrappedQueue::outrun_by(&site.queue, site.relay()));
    let leases = Leases::new(site.database.clone(), queue.clone(), site.clock.clone(), LEASE);
    leases.release(&held.ticket, &held.fence, &held.receipt).await.unwrap();
    // It takes what it sent for delivered after a while, and what was delivered for in good hands.
    for _ in 0..3 {
        queue.look().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let again = site.lease_now("b").await;
    assert_eq!(again.len(), 1, "{id} waits until somebody misses it");
}
