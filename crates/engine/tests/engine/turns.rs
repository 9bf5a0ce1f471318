//! Whose turn it is: classes, shares, limits, and one relay that leads. In paused time.

use crate::jobs::{Job, KIND};
use crate::site::{Running, Site, lane, pass, ticket_id};
use printmill_backend::Database;
use printmill_backend::change::{Change, TicketGuard, TicketWrite};
use printmill_domain::ids::{Id, MerchantId};
use printmill_domain::lane::Class;
use printmill_domain::ticket::{Stage, Ticket, TicketState};
use printmill_engine::relay::TurnPolicy;
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

fn merchant(number: u128) -> MerchantId {
    MerchantId::from_uuid(Uuid::from_u128(number))
}

/// Commits tickets of one merchant and class.
async fn make(site: &Site, numbers: std::ops::Range<u64>, merchant: MerchantId, class: Class) {
    let now = site.now();
    let mut change = Change::new(merchant, now);
    for number in numbers {
        let (id, payload) = (ticket_id(number), json!({ "number": number }));
        let ticket = Ticket::new(id, merchant, lane(), KIND, payload, now).of_class(class);
        change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    }
    site.database.commit(change).await.expect("new tickets");
}

/// Takes everything from the queue and lets it be done, pump by pump; whose it was, in order.
async fn drain(site: &Site, policy: TurnPolicy) -> Vec<(MerchantId, Class)> {
    let mut relay = site.relay().with_policy(policy);
    let mut order = vec![];
    loop {
        let pumped = relay.pump().await.expect("memory");
        let mut leased = site.lease_now("a").await;
        if leased.is_empty() && pumped.waiting == 0 {
            return order;
        }
        while !leased.is_empty() {
            for one in leased {
                order.push((one.ticket.merchant, one.ticket.class));
                let effect = crate::jobs::effect(&one.ticket, site.now());
                let (ticket, fence, receipt) = (&one.ticket, &one.fence, &one.receipt);
                site.leases().complete(ticket, fence, receipt, effect).await.expect("it is held");
            }
            leased = site.lease_now("a").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_merchant_with_one_ticket_does_not_wait_for_one_with_thousands() {
    let site = Site::new();
    make(&site, 0..3_000, merchant(1), Class::Standard).await;
    make(&site, 3_000..3_001, merchant(2), Class::Standard).await;
    let order = drain(&site, TurnPolicy::default()).await;
    assert_eq!(order.len(), 3_001);
    let place = order.iter().position(|(whose, _)| *whose == merchant(2)).unwrap();
    assert!(place <= 64, "it came as number {place}");
}

#[tokio::test(start_paused = true)]
async fn shares_follow_the_weights_and_urgent_work_goes_first() {
    let site = Site::new();
    make(&site, 0..1_000, merchant(1), Class::Standard).await;
    make(&site, 1_000..2_000, merchant(2), Class::Standard).await;
    make(&site, 2_000..2_100, merchant(3), Class::Urgent).await;
    let weights = BTreeMap::from([(merchant(2), 3)]);
    let order = drain(&site, TurnPolicy { weights, limits: vec![] }).await;
    assert!(order[..100].iter().all(|(_, class)| *class == Class::Urgent));
    let shared = &order[100..500];
    let of_two = shared.iter().filter(|(whose, _)| *whose == merchant(2)).count();
    assert_eq!(of_two, 300, "three of four");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_in_work_than_the_limit_allows_and_all_are_done_in_the_end() {
    let site = Site::new();
    let limits = vec![format!("{KIND} each at_once=3").parse().unwrap()];
    let policy = TurnPolicy { limits, ..TurnPolicy::default() };
    let relay = site.relay().with_policy(policy);
    let relay = Running::start(|stop| relay.run(stop));
    make(&site, 0..40, merchant(1), Class::Standard).await;
    make(&site, 40..50, merchant(2), Class::Standard).await;
    let job = Job::quick().performing(|_| async {
        pass(1).await;
        Ok(json!("performed"))
    });
    let workers: Vec<_> = (0..5)
        .map(|number| site.start_worker(&format!("worker {number}"), job.clone().handlers()))
        .collect();
    let mut commits = site.database.commits();
    let mut most = BTreeMap::new();
    loop {
        commits.borrow_and_update();
        let mut busy: BTreeMap<MerchantId, u64> = BTreeMap::new();
        let mut open = 0;
        for count in site.database.ticket_counts().await.unwrap() {
            open += count.count;
            if matches!(count.stage, Stage::Sent | Stage::Leased) {
                *busy.entry(count.of.merchant).or_default() += count.count;
            }
        }
        for (merchant, count) in busy {
            let most: &mut u64 = most.entry(merchant).or_default();
            *most = count.max(*most);
        }
        if open == 0 {
            break;
        }
        commits.changed().await.unwrap();
    }
    assert_eq!(most, BTreeMap::from([(merchant(1), 3), (merchant(2), 3)]));
    for running in workers.into_iter().chain([relay]) {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_waits_for_its_time_is_counted_so_and_sent_when_it_has_come() {
    let site = Site::new();
    let relay = site.start_relay();
    let now = site.now();
    let late = now + chrono::TimeDelta::hours(2);
    let id = ticket_id(1);
    let ticket = Ticket::new(id, merchant(1), lane(), KIND, json!({}), now).due(late);
    let mut change = Change::new(merchant(1), now);
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    site.database.commit(change).await.unwrap();
    let worker = site.start_worker("a", Job::quick().handlers());
    pass(7_100).await;
    assert_eq!(site.ticket(id).await.stage(), Stage::Delayed);
    let done = site.until_state(id, TicketState::Done).await;
    let late = done.updated_at - late;
    assert!(late >= chrono::TimeDelta::zero() && late <= chrono::TimeDelta::seconds(1), "{late}");
    worker.stop().await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_relay_leads_and_another_takes_over_within_seconds() {
    let site = Site::new();
    let first = site.start_relay();
    site.make(0, KIND).await;
    pass(1).await;
    assert_eq!(site.metrics.relayed.get(), 1);
    let second = site.start_relay();
    pass(1).await;
    site.make(1, KIND).await;
    pass(1).await;
    assert_eq!(site.metrics.relayed.get(), 2, "sent by one of them");
    first.crash().await;
    let crashed = site.now();
    let id = site.make(2, KIND).await;
    let sent = site.until(id, |ticket| ticket.sent_at.is_some()).await;
    let took = sent.sent_at.unwrap() - crashed;
    assert!(took <= chrono::TimeDelta::milliseconds(3_500), "{took}");
    second.stop().await;
    // One that stops says so, and nobody waits for it.
    let third = site.start_relay();
    let stopped = site.now();
    let id = site.make(3, KIND).await;
    let sent = site.until(id, |ticket| ticket.sent_at.is_some()).await;
    assert!(sent.sent_at.unwrap() - stopped <= chrono::TimeDelta::seconds(1));
    third.stop().await;
}
