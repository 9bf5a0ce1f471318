//! Claims and fences: of two holders only the last one's effect is committed.

use crate::jobs::{Job, KIND, effect};
use crate::link::Link;
use crate::site::{Site, pass, take};
use printmill_backend::{Change, CommitError, Database};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::TicketState;
use printmill_engine::handler::{Failure, Handlers, Work};
use printmill_engine::settle::{Outcome, Settling};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn an_old_holder_is_refused_and_none_of_its_effect_is_committed() {
    let site = Site::new();
    let leases = site.leases();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let old = site.lease_now("old").await.remove(0);
    assert_eq!((old.ticket.attempt, site.lease_now("new").await), (1, vec![]), "it is held");
    pass(11).await;
    let new = site.lease_now("new").await.remove(0);
    assert_eq!((new.ticket.id, new.ticket.attempt), (id, 2));

    let late = effect(&old.ticket, site.now());
    let refused = leases.complete(&old.ticket, &old.fence, &old.receipt, late).await;
    assert!(matches!(refused, Err(CommitError::FenceLost { .. })), "{refused:?}");
    let lost = |result: Result<(), Problem>| assert_eq!(result.unwrap_err().code, Code::LeaseLost);
    lost(leases.extend(&old.ticket, &old.fence, &old.receipt, 500, "").await.map(|_| ()));
    lost(leases.release(&old.ticket, &old.fence, &old.receipt).await);
    let problem = Problem::new(Code::Internal, "not now", "wait");
    let settling = Settling::new(leases.clone(), Handlers::default());
    let work = Work::new(old.ticket.clone(), CancellationToken::new());
    let failed = settling.fail(&work, &old, Failure::hopeless(problem)).await;
    assert_eq!(failed, Outcome::Lost);
    lost(leases.held(&old.fence).await.map(|_| ()));
    assert_eq!(site.effects().await, vec![]);
    assert_eq!(site.ticket(id).await, new.ticket, "nothing of it moved");

    let good = effect(&new.ticket, site.now());
    leases.complete(&new.ticket, &new.fence, &new.receipt, good).await.unwrap();
    assert_eq!(site.effects().await[0].name, "effect of attempt 2");
    assert_eq!(site.ticket(id).await.state, TicketState::Done);
    assert_eq!(site.held().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_effect_is_welcome_while_nobody_else_took_the_ticket() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let held = site.lease_now("slow").await.remove(0);
    pass(600).await;
    let late = effect(&held.ticket, site.now());
    site.leases().complete(&held.ticket, &held.fence, &held.receipt, late).await.unwrap();
    assert_eq!(site.ticket(id).await.state, TicketState::Done);
    assert_eq!(site.effects().await.len(), 1);
    pass(60).await;
    assert_eq!(site.lease_now("other").await, vec![]);
}

#[tokio::test(start_paused = true)]
async fn an_effect_is_committed_with_the_end_of_its_ticket_or_not_at_all() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let held = site.lease_now("a").await.remove(0);
    let taken = effect(&held.ticket, site.now());
    site.database.commit(taken.clone()).await.unwrap();
    let refused = site.leases().complete(&held.ticket, &held.fence, &held.receipt, taken).await;
    assert!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
    assert_eq!(site.ticket(id).await, held.ticket, "the ticket is still held");
    assert_eq!(site.held().await, 1, "and so is its message");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_loses_its_work_to_another() {
    let site = Site::new();
    let relay = site.start_relay();
    let link = Link::to(&site.database);
    let cut_off = Job::quick().performing(|work| async move {
        pass(60).await;
        assert!(!work.is_cancelled(), "a cancelled work is not awaited");
        Ok(json!("performed"))
    });
    let lost = cut_off.counts();
    let slow = site.start_worker_through(link.clone(), "cut off", cut_off.handlers());
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    link.cut();
    let other = site.start_worker("other", Job::quick().handlers());
    let done = site.until_state(id, TicketState::Done).await;
    assert_eq!(done.attempt, 2, "taken over when the lease ran out");
    link.mend();
    pass(120).await;
    assert_eq!((lost.performed(), lost.decided()), (1, 0), "the heartbeat told it");
    let names: Vec<_> = site.effects().await.iter().map(|made| made.name.clone()).collect();
    assert_eq!(names, ["effect of attempt 2"]);
    for running in [slow, other, relay] {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_who_want_the_same_tickets_each_is_held_by_one() {
    let site = Site::new();
    for number in 0..20 {
        site.make(number, KIND).await;
    }
    site.relay().pump().await.unwrap();
    let holders = (0..8).map(|n| {
        let leases = site.leases();
        let holder = format!("holder {n}");
        async move { take(&leases, 5, Duration::from_secs(1), &holder).await.unwrap() }
    });
    let leased: Vec<_> = futures::future::join_all(holders).await.into_iter().flatten().collect();
    let mut ids: Vec<_> = leased.iter().map(|held| held.ticket.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((leased.len(), ids.len()), (20, 20));
    for held in leased {
        assert_eq!(site.ticket(held.ticket.id).await.fence(), Some(held.fence));
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_may_know_an_older_version_of_its_ticket() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let held = site.lease_now("a").await.remove(0);
    // A heartbeat, and a relay that marks it, both after it was claimed.
    site.leases().extend(&held.ticket, &held.fence, &held.receipt, 300, "").await.unwrap();
    let now = site.ticket(id).await;
    let mark = Change::new(now.merchant, site.now()).ticket(now.sent(site.now()), now.version);
    site.database.commit(mark).await.unwrap();
    let good = effect(&held.ticket, site.now());
    site.leases().complete(&held.ticket, &held.fence, &held.receipt, good).await.unwrap();
    let done = site.ticket(id).await;
    assert_eq!((done.state, done.version), (TicketState::Done, now.version + 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_finds_no_database_goes_to_the_next_who_asks() {
    for breaking in [Link::cut, Link::fill] {
        let site = Site::new();
        let id = site.make(1, KIND).await;
        site.relay().pump().await.unwrap();
        let link = Link::to(&site.database);
        breaking(&link);
        let broken = site.leases_through(link);
        take(&broken, 10, Duration::ZERO, "broken").await.unwrap_err();
        assert_eq!(site.ticket(id).await.attempt, 0);
        let asked = site.now();
        let second = Duration::from_secs(1);
        let next = take(&site.leases(), 10, second, "next").await.unwrap();
        assert_eq!((next.len(), next[0].ticket.id), (1, id));
        assert!(site.now() - asked <= chrono::TimeDelta::milliseconds(100));
    }
}
