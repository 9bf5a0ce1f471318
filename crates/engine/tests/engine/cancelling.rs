//! Cancelling and deadlines: work that nobody wants any more ends soon, and people see it. In paused time.

use crate::jobs::{Job, KIND};
use crate::site::{Running, Site, lane, merchant, pass, ticket_id};
use chrono::TimeDelta;
use printmill_backend::change::{Change, TicketGuard, TicketWrite};
use printmill_backend::{Clock, Database};
use printmill_domain::ids::MerchantId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::ticket_history::AttemptEnd;
use printmill_engine::HEARTBEAT;
use printmill_engine::cancel::{CancelTicket, cancel as engine_cancel};
use printmill_engine::handler::Handlers;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

fn why() -> Problem {
    Problem::new(Code::WorkCancelled, "the order was cancelled", "nothing")
}

/// A job that ends by itself never, and says when it was told to stop.
fn endless() -> (Job, Arc<Notify>) {
    let heard = Arc::new(Notify::new());
    let hears = heard.clone();
    let job = Job::quick().performing(move |work| {
        let hears = hears.clone();
        tokio::spawn(async move {
            work.cancelled().await;
            hears.notify_one();
        });
        std::future::pending()
    });
    (job, heard)
}

fn with_cancelling(site: &Site, handlers: Handlers) -> Handlers {
    handlers.clone().with(CancelTicket::new(site.database.clone(), handlers))
}

async fn ask_to_cancel(site: &Site, asking: MerchantId, number: u64) {
    let ticket = Ticket::cancelling(ticket_id(number), asking, &why(), site.now());
    let mut change = Change::new(asking, site.now());
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    site.database.commit(change).await.expect("it is asked for once");
}

async fn names(site: &Site) -> Vec<String> {
    site.effects().await.iter().map(|made| made.name.clone()).collect()
}

async fn stop(running: impl IntoIterator<Item = Running>) {
    for one in running {
        one.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_handler_hears_of_its_cancellation_within_a_heartbeat() {
    let site = Site::new();
    let (job, heard) = endless();
    let handlers = with_cancelling(&site, job.handlers());
    let running = [site.start_relay(), site.start_worker("a", handlers)];
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    pass(20).await;
    ask_to_cancel(&site, merchant(), 1).await;
    let asked = site.until(id, |ticket| ticket.cancel.is_some()).await;
    assert_eq!(asked.state, TicketState::Leased, "its holder does not know yet");
    let set = site.now();
    heard.notified().await;
    let late = (site.now() - set).to_std().unwrap();
    assert!(late <= HEARTBEAT, "{late:?}");
    let ended = site.until(id, |ticket| ticket.state.is_final()).await;
    assert_eq!((ended.state, ended.failures), (TicketState::Cancelled, 0));
    assert_eq!(ended.history[0].end, Some(AttemptEnd::Cancelled));
    assert_eq!(ended.history[0].problem, Some(why()));
    assert_eq!(names(&site).await, ["given up"], "people see it");
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn an_operators_cancellation_reaches_a_running_handler_within_a_heartbeat() {
    let site = Site::new();
    let (job, heard) = endless();
    let handlers = job.handlers();
    let running = [site.start_relay(), site.start_worker("a", handlers.clone())];
    let cancel =
        async |id| engine_cancel(&*site.database, &*site.clock, &handlers, id, &why()).await;
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    pass(20).await;
    let (asked, set) = (cancel(id).await.unwrap(), site.now());
    assert_eq!((asked.state, asked.cancel), (TicketState::Leased, Some(why())));
    heard.notified().await;
    assert!((site.now() - set).to_std().unwrap() <= HEARTBEAT);
    let ended = site.until(id, |ticket| ticket.state.is_final()).await;
    assert_eq!(
        (ended.state, names(&site).await),
        (TicketState::Cancelled, vec!["given up".into()])
    );
    assert_eq!(cancel(id).await.unwrap(), ended, "asking again changes nothing");
    stop(running).await;

    let waiting = site.make(2, KIND).await;
    let ended = cancel(waiting).await.unwrap();
    assert_eq!((ended.state, ended.attempt), (TicketState::Cancelled, 0));
    assert_eq!(names(&site).await.len(), 2, "people see that, too");
}

#[tokio::test(start_paused = true)]
async fn a_queued_ticket_is_cancelled_at_once_and_never_worked_on() {
    let site = Site::new();
    let job = Job::quick();
    let counts = job.counts();
    let (id, due) = (ticket_id(1), site.now() + TimeDelta::hours(1));
    let ticket = Ticket::new(id, merchant(), lane(), KIND, json!({}), site.now());
    let ticket = Ticket { due_at: due, ..ticket };
    let mut change = Change::new(merchant(), site.now());
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    site.database.commit(change).await.unwrap();
    let handlers = with_cancelling(&site, job.handlers());
    let running = [site.start_relay(), site.start_worker("a", handlers)];
    ask_to_cancel(&site, merchant(), 1).await;
    let ended = site.until(id, |ticket| ticket.state.is_final()).await;
    assert_eq!((ended.state, ended.attempt), (TicketState::Cancelled, 0));
    assert!(site.now() < due);
    pass(4_000).await;
    assert_eq!((counts.performed(), names(&site).await), (0, vec!["given up".to_owned()]));
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_cancels_another_merchants_ticket() {
    let site = Site::new();
    let stranger = crate::site::stranger();
    let handlers = with_cancelling(&site, Job::quick().handlers());
    let id = site.make(1, KIND).await;
    ask_to_cancel(&site, stranger, 1).await;
    let asking = Ticket::cancelling(id, stranger, &why(), site.now()).id;
    let running = [site.start_relay(), site.start_worker("a", handlers)];
    let refused = site.until(asking, |ticket| ticket.state.is_final()).await;
    assert_eq!(refused.state, TicketState::Dead);
    assert_eq!(refused.last_error.unwrap().code, Code::NotFound);
    assert_eq!(site.until_state(id, TicketState::Done).await.cancel, None);
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_cancel_that_comes_between_two_heartbeats_is_not_overwritten() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let held = site.lease_now("a").await.remove(0);
    let stored = site.ticket(id).await;
    let next = stored.cancel(why(), site.now()).unwrap();
    let change = Change::new(merchant(), site.now()).ticket(next, stored.version);
    site.database.commit(change).await.unwrap();
    let leases = site.leases();
    let extended =
        leases.extend(&held.ticket, &held.fence, &held.receipt, 5, "at page 3").await.unwrap();
    assert_eq!((extended.cancel, extended.message.as_str()), (Some(why()), "at page 3"));
    // Handing it back is the end of it: nobody wants it.
    leases.release(&held.ticket, &held.fence, &held.receipt).await.unwrap();
    assert_eq!(site.ticket(id).await.state, TicketState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn work_beyond_its_deadline_is_broken_off_and_given_up_with_a_clear_code() {
    let site = Site::new();
    let (job, heard) = endless();
    let counts = job.counts();
    let id = ticket_id(1);
    let deadline = site.now() + TimeDelta::seconds(30);
    let ticket = Ticket::new(id, merchant(), lane(), KIND, json!({}), site.now());
    let mut change = Change::new(merchant(), site.now());
    let ticket = ticket.with_deadline(deadline);
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    site.database.commit(change).await.unwrap();
    let running = [site.start_relay(), site.start_worker("a", job.handlers())];
    heard.notified().await;
    let dead = site.until(id, |ticket| ticket.state.is_final()).await;
    assert!(site.clock.now() - deadline < TimeDelta::seconds(1));
    assert_eq!((dead.state, dead.attempt), (TicketState::Dead, 1));
    assert_eq!(dead.last_error.unwrap().code, Code::WorkOverdue);
    assert_eq!((counts.performed(), names(&site).await), (1, vec!["given up".to_owned()]));
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_performed_too_late_is_not_committed() {
    let site = Site::new();
    let id = ticket_id(1);
    let ticket = Ticket::new(id, merchant(), lane(), KIND, json!({}), site.now())
        .with_deadline(site.now() + TimeDelta::seconds(5));
    let mut change = Change::new(merchant(), site.now());
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    site.database.commit(change).await.unwrap();
    // Nobody works until it is too late.
    pass(6).await;
    let job = Job::quick();
    let counts = job.counts();
    let running = [site.start_relay(), site.start_worker("a", job.handlers())];
    let dead = site.until_state(id, TicketState::Dead).await;
    assert_eq!((dead.last_error.unwrap().code, counts.performed()), (Code::WorkOverdue, 0));
    stop(running).await;
}
