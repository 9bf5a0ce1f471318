//! What an event in the log says, and where it may stand in its stream.

use super::{Store, expect_stale};
use crate::samples::{at, event, events, id, log, merchant};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::Database;
use printmill_backend::database::EventQuery;
use printmill_domain::event::{Event, event_id};
use printmill_domain::ids::{Id, OrderId};

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "events",
        [
            a_place_is_taken_once,
            a_place_is_taken_once_within_a_change,
            events_are_logged_as_they_were_committed,
            sequence_stays_within_its_limit,
            the_head_is_the_last_seq,
            queries_take_a_part_of_the_log,
        ]
    );
}

async fn a_place_is_taken_once(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    database.commit(events(merchant, vec![event(&order, 1), event(&order, 2)])).await?;
    // Both before and after they were given their seq.
    for _ in 0..2 {
        for sequence in [1, 2] {
            let answer = database.commit(events(merchant, vec![event(&order, sequence)])).await;
            expect_stale(answer, "event", &order.to_string())?;
        }
        ensure!(log(&*database).await?.len() == 2, "there are other events");
    }
    database.commit(events(merchant, vec![event(&order, 3)])).await?;
    ensure!(log(&*database).await?.len() == 3, "the next place was free");
    Ok(())
}

async fn a_place_is_taken_once_within_a_change(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let twice = events(merchant, vec![event(&order, 1), event(&order, 1)]);
    expect_stale(database.commit(twice).await, "event", &order.to_string())?;
    ensure!(log(&*database).await?.is_empty(), "one of them was logged");
    Ok(())
}

async fn events_are_logged_as_they_were_committed(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let change = events(merchant, vec![event(&order, 1)]).traced(Some(trace.clone()));
    database.commit(change).await?;
    let expected = Event {
        seq: 1,
        id: event_id(order.uuid(), 1),
        merchant,
        draft: event(&order, 1),
        at: at(3),
        trace: Some(trace),
    };
    let logged = log(&*database).await?;
    ensure!(logged == [expected.clone()], "{logged:?} is not {expected:?}");
    Ok(())
}

async fn sequence_stays_within_its_limit(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    database.commit(events(merchant, (1..=5).map(|n| event(&order, n)).collect())).await?;
    let mut numbered = vec![];
    loop {
        match database.sequence(2).await? {
            0 => break,
            count => numbered.push(count),
        }
    }
    let in_the_commit = numbered.is_empty();
    ensure!(in_the_commit || numbered.iter().sum::<u32>() == 5, "numbered {numbered:?}");
    ensure!(numbered.iter().all(|count| *count <= 2), "numbered {numbered:?}");
    ensure!(database.head().await? == 5, "the head is {}", database.head().await?);
    Ok(())
}

async fn the_head_is_the_last_seq(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    ensure!(database.head().await? == 0, "an empty log has a head");
    for number in 1..=3 {
        database.commit(events(merchant, vec![event(&order, number)])).await?;
        let last = log(&*database).await?.last().map(|event| event.seq);
        let head = database.head().await?;
        ensure!(last == Some(number) && head == number, "last {last:?}, head {head}");
    }
    Ok(())
}

async fn queries_take_a_part_of_the_log(subject: Store) -> anyhow::Result<()> {
    let (database, one, other) = (subject.handle()?, merchant(), merchant());
    let (first, second): (OrderId, OrderId) = (id(1), id(2));
    database.commit(events(one, vec![event(&first, 1), event(&second, 1)])).await?;
    database.commit(events(other, vec![event(&id(3), 1)])).await?;
    database.commit(events(one, vec![event(&first, 2), event(&first, 3)])).await?;
    log(&*database).await?;
    let all = EventQuery { limit: 100, ..EventQuery::default() };
    let queries = [
        (all.clone(), vec![1, 2, 3, 4, 5]),
        (EventQuery { after: 3, ..all.clone() }, vec![4, 5]),
        (EventQuery { after: 5, ..all.clone() }, vec![]),
        (EventQuery { after: 1, limit: 2, ..all.clone() }, vec![2, 3]),
        (EventQuery { merchant: Some(one), ..all.clone() }, vec![1, 2, 4, 5]),
        (EventQuery { stream: Some(first.to_string()), ..all.clone() }, vec![1, 4, 5]),
        (
            EventQuery {
                after: 1,
                limit: 1,
                merchant: Some(one),
                stream: Some(first.to_string()),
                ..EventQuery::default()
            },
            vec![4],
        ),
    ];
    for (query, expected) in queries {
        let found: Vec<u64> =
            database.events(query.clone()).await?.iter().map(|event| event.seq).collect();
        ensure!(found == expected, "{query:?} found {found:?}");
    }
    Ok(())
}
