//! Whose turn it is: tickets by sort, counters that every commit keeps, and what is given up.

use super::{Handle, Store};
use crate::samples::{at, id, lane, merchant, queued, ticket, tickets};
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use chrono::TimeDelta;
use printmill_backend::database::{
    Alike, Database, DeadQuery, OldestReady, StageCount, TicketQuery,
};
use printmill_backend::{Change, CommitError};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::{Class, Lane};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{RetryPolicy, Stage, Ticket};
use std::collections::BTreeMap;

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "turns",
        [
            the_next_of_each_sort_come_the_longest_due_first,
            counters_follow_a_ticket_through_its_life,
            counters_add_up_over_sorts_and_refused_changes_do_not_count,
            the_oldest_ready_is_found_by_lane_and_merchant,
            what_was_given_up_is_found_by_lane_kind_and_merchant_page_by_page,
        ]
    );
}

const LEASE: TimeDelta = TimeDelta::seconds(30);

fn due(merchant: MerchantId, seconds: i64) -> Ticket {
    Ticket { due_at: at(seconds), ..ticket(merchant) }
}

fn sort(ticket: &Ticket) -> Alike {
    let Ticket { lane, class, merchant, kind, .. } = ticket.clone();
    Alike { lane, class, merchant, kind }
}

async fn store(database: &Handle, stored: &Ticket) -> anyhow::Result<()> {
    database.commit(tickets(stored.merchant, vec![queued(stored.clone())])).await?;
    Ok(())
}

async fn the_next_of_each_sort_come_the_longest_due_first(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (one, other) = (merchant(), merchant());
    let bulk = |seconds| due(one, seconds).of_class(Class::Bulk);
    let elsewhere = Ticket { lane: lane("elsewhere"), ..due(one, 1) };
    let another_kind = Ticket { kind: "a.b".into(), ..due(one, 1) };
    let mine = [due(one, 4), due(one, 2), due(one, 3)];
    let late = due(one, 1).due(at(50));
    let sent = due(one, 1).sent(at(2));
    let others = [bulk(9), bulk(8), elsewhere, another_kind, due(other, 1), late, sent];
    for ticket in mine.iter().chain(&others) {
        store(&database, ticket).await?;
    }
    let wanted =
        [sort(&mine[0]), sort(&others[0]), sort(&Ticket { kind: "x.y".into(), ..due(one, 0) })];
    let found = database.next_tickets(&wanted, 2).await?;
    let found: Vec<TicketId> = found.into_iter().map(|ticket| ticket.id).collect();
    let expected = [&mine[1], &mine[2], &others[1], &others[0]].map(|ticket| ticket.id);
    ensure!(found == expected, "{found:?} instead of {expected:?}");
    ensure!(database.next_tickets(&[], 2).await?.is_empty(), "nothing was asked for");
    Ok(())
}

/// All counters, by sort and stage.
async fn counters(database: &Handle) -> anyhow::Result<BTreeMap<(Alike, Stage), u64>> {
    let counts = database.ticket_counts().await?;
    let all = counts.len();
    ensure!(counts.iter().all(|count| count.count > 0), "none is empty: {counts:?}");
    let counts: BTreeMap<_, _> =
        counts.into_iter().map(|StageCount { of, stage, count }| ((of, stage), count)).collect();
    ensure!(counts.len() == all, "each comes once");
    Ok(counts)
}

async fn counters_follow_a_ticket_through_its_life(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let mut ticket = due(merchant(), 0).due(at(9));
    let of = sort(&ticket);
    store(&database, &ticket).await?;
    let problem = || Problem::new(Code::RenderFailed, "it cannot be made", "change the design");
    let policy = RetryPolicy::default();
    for step in 0..10 {
        let stage = ticket.stage();
        let counters = counters(&database).await?;
        let expected = BTreeMap::from([((of.clone(), stage), 1)]);
        ensure!(counters == expected, "after step {step}: {counters:?} instead of {stage:?}");
        let now = at(1_000 * (step + 1));
        let fence = ticket.fence();
        let fence = || fence.as_ref().context("it is not held");
        let next = match step {
            0 => ticket.ripen(now).context("its time has come")?,
            1 => ticket.sent(now),
            2 | 4 | 6 | 8 => ticket.claim("one", 7, LEASE, now)?,
            3 => ticket.release(fence()?, now)?,
            5 => ticket.fail(fence()?, problem(), false, &policy, 500, now)?,
            7 => ticket.fail(fence()?, problem(), true, &policy, 500, now)?,
            _ => ticket.complete(fence()?, now)?,
        };
        let change = Change::new(ticket.merchant, now).ticket(next.clone(), ticket.version);
        database.commit(change).await?;
        ticket = next;
        if step == 7 {
            let dead = BTreeMap::from([((of.clone(), Stage::Dead), 1)]);
            ensure!(self::counters(&database).await? == dead, "it was given up");
            let replayed = ticket.replay(now)?;
            let change = Change::new(ticket.merchant, now).ticket(replayed.clone(), ticket.version);
            database.commit(change).await?;
            ticket = replayed;
        }
    }
    let left = counters(&database).await?;
    ensure!(left.is_empty(), "what is done is not counted: {left:?}");
    Ok(())
}

async fn counters_add_up_over_sorts_and_refused_changes_do_not_count(
    subject: Store,
) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (one, other) = (merchant(), merchant());
    let stored = [
        due(one, 1),
        due(one, 2),
        due(one, 3).of_class(Class::Urgent),
        due(other, 1),
        Ticket { lane: lane("elsewhere"), ..due(other, 1) },
        Ticket { kind: "a.b".into(), ..due(other, 1) },
    ];
    let all: Vec<_> = stored.iter().map(|ticket| queued(ticket.clone())).collect();
    database.commit(tickets(one, all)).await?;
    let refused =
        database.commit(tickets(one, vec![queued(due(one, 9)), queued(stored[0].clone())]));
    let refused = refused.await;
    ensure!(matches!(refused, Err(CommitError::FenceLost { .. })), "{refused:?}");
    let counters = counters(&database).await?;
    let expected: BTreeMap<_, _> = stored
        .iter()
        .map(|ticket| {
            let alike = stored.iter().filter(|other| sort(other) == sort(ticket)).count();
            ((sort(ticket), Stage::Waiting), alike as u64)
        })
        .collect();
    ensure!(counters == expected, "{counters:?}");
    Ok(())
}

async fn the_oldest_ready_is_found_by_lane_and_merchant(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    ensure!(database.oldest_ready().await?.is_empty(), "nothing is ready");
    let (one, other) = (merchant(), merchant());
    let held = due(one, 1).claim("one", 7, LEASE, at(2))?;
    let stored = [
        held,
        due(one, 0).due(at(3)),
        due(one, 6).of_class(Class::Bulk),
        due(one, 7),
        due(one, 5).sent(at(8)),
        due(other, 9),
        Ticket { lane: lane("elsewhere"), ..due(other, 4) },
    ];
    for ticket in &stored {
        store(&database, ticket).await?;
    }
    let mut found = database.oldest_ready().await?;
    found.sort_by_key(|oldest| oldest.due_at);
    let oldest =
        |name: Lane, merchant, seconds| OldestReady { lane: name, merchant, due_at: at(seconds) };
    let expected = [
        oldest(lane("elsewhere"), other, 4),
        oldest(Lane::express(), one, 5),
        oldest(Lane::express(), other, 9),
    ];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

async fn what_was_given_up_is_found_by_lane_kind_and_merchant_page_by_page(
    subject: Store,
) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (one, other) = (merchant(), merchant());
    let dead = |ticket: Ticket| -> anyhow::Result<Ticket> {
        let held = ticket.claim("one", 7, LEASE, at(20))?;
        let problem = Problem::new(Code::RenderFailed, "it cannot be made", "change the design");
        let fence = held.fence().context("no fence")?;
        Ok(held.fail(&fence, problem, true, &RetryPolicy::default(), 500, at(21))?)
    };
    let stored = [
        dead(due(one, 1))?,
        dead(due(one, 2))?,
        dead(Ticket { lane: lane("elsewhere"), ..due(one, 3) })?,
        dead(Ticket { kind: "a.b".into(), ..due(one, 4) })?,
        dead(due(other, 5))?,
        due(one, 0),
    ];
    for ticket in &stored {
        store(&database, ticket).await?;
    }
    let any = DeadQuery::default;
    let last = Some((stored[1].due_at, stored[1].id));
    for (wanted, expected) in [
        (any(), vec![0, 1, 2, 3, 4]),
        (DeadQuery { lane: Some(Lane::express()), ..any() }, vec![0, 1, 3, 4]),
        (DeadQuery { kind: Some("a.b".into()), ..any() }, vec![3]),
        (DeadQuery { merchant: Some(other), ..any() }, vec![4]),
        (DeadQuery { merchant: Some(id(9)), ..any() }, vec![]),
        (DeadQuery { after: last, ..any() }, vec![2, 3, 4]),
    ] {
        let found = database.find_tickets(TicketQuery::Dead(wanted.clone()), 100).await?;
        let found: Vec<TicketId> = found.into_iter().map(|ticket| ticket.id).collect();
        let expected: Vec<TicketId> = expected.into_iter().map(|at: usize| stored[at].id).collect();
        ensure!(found == expected, "{wanted:?}: {found:?}");
    }
    Ok(())
}
