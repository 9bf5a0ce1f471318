//! Poison: a ticket that takes its whole process down each time is given up, and its neighbours
//! are not. In paused time.

use crate::jobs::{Job, KIND};
use crate::site::{Running, Site, ticket_id};
use printmill_domain::problem::Code;
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::TicketState;
use printmill_domain::ticket_history::AttemptEnd;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const POISON: u64 = 1;

/// A job whose ticket number 1 takes the process down a second after it began, while others take
/// five seconds.
fn deadly() -> (Job, Arc<Notify>) {
    let down = Arc::new(Notify::new());
    let takes_down = down.clone();
    let job = Job::quick().performing(move |work| {
        let takes_down = takes_down.clone();
        async move {
            if work.ticket.payload["number"] == POISON {
                tokio::time::sleep(Duration::from_secs(1)).await;
                takes_down.notify_one();
                std::future::pending::<Value>().await;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(json!("performed"))
        }
    });
    (job, down)
}

/// A process that is started again whenever it was taken down.
async fn restart_again_and_again(site: &Site, job: Job, down: Arc<Notify>) {
    for number in 0.. {
        let worker = site.start_worker(&format!("worker-{number}"), job.clone().handlers());
        down.notified().await;
        worker.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_takes_its_process_down_is_given_up_and_its_neighbours_are_done() {
    let site = Arc::new(Site::new());
    let relay = site.start_relay();
    let (job, down) = deadly();
    let counts = job.counts();
    for number in [POISON, 2, 3, 4] {
        site.make(number, KIND).await;
    }
    let supervised = site.clone();
    let supervisor = Running::start(|stop| async move {
        tokio::select! {
            () = restart_again_and_again(&supervised, job, down) => {}
            () = stop => {}
        }
    });
    let poison = site.until_state(ticket_id(POISON), TicketState::Dead).await;
    let limit = RetryPolicy::default().losses_max;
    assert_eq!((poison.lost_leases, poison.attempt), (limit, limit + 1));
    assert_eq!(poison.last_error.unwrap().code, Code::WorkerLost);
    let lost = poison.history.iter().filter(|attempt| attempt.end == Some(AttemptEnd::Lost));
    let holders: Vec<_> = lost.map(|attempt| attempt.holder.as_str()).collect();
    assert_eq!(holders, ["worker-0", "worker-1", "worker-2", "worker-3", "worker-4"]);
    for number in 2..=4 {
        let done = site.until_state(ticket_id(number), TicketState::Done).await;
        // Once suspected, a ticket never again runs beside the one that is to blame.
        assert!(done.lost_leases <= 2, "{done:?}");
        assert_eq!(done.failures, 0);
    }
    let names: Vec<_> = site.effects().await.iter().map(|made| made.name.clone()).collect();
    let given_up = names.iter().filter(|name| *name == "given up").count();
    assert_eq!((given_up, names.len()), (1, 4), "people see it, and each neighbour's effect");
    assert!(counts.performed() >= limit);
    supervisor.stop().await;
    relay.stop().await;
}
