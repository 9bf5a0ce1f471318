//! Parts of the log by condition, its oldest event, and the place of a time in it.

use super::Store;
use crate::samples::{at, event, events, id, log, merchant};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use chrono::TimeDelta;
use printmill_backend::change::Change;
use printmill_backend::database::{Database, EventQuery};
use printmill_domain::event::{EventDraft, Shard};
use printmill_domain::ids::{AssetId, OrderId};

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "events",
        [
            queries_take_exactly_what_meets_every_condition,
            shards_part_the_streams_and_keep_each_whole,
            what_is_read_up_to_a_place_stays_the_same,
            a_time_has_its_place_also_when_clocks_go_back,
            times_of_an_empty_log_are_at_its_beginning,
            the_oldest_event_is_the_first_that_can_be_read,
        ]
    );
}

fn all() -> EventQuery {
    EventQuery { limit: 1_000, ..EventQuery::default() }
}

async fn seqs(database: &dyn Database, query: EventQuery) -> anyhow::Result<Vec<u64>> {
    Ok(database.events(query).await?.iter().map(|event| event.seq).collect())
}

fn of_kind(stream: impl std::fmt::Display, sequence: u64, kind: &str) -> EventDraft {
    let draft = event(&id(0), sequence);
    let stream = stream.to_string();
    EventDraft { subject: stream.clone(), stream, kind: kind.into(), ..draft }
}

async fn queries_take_exactly_what_meets_every_condition(subject: Store) -> anyhow::Result<()> {
    let (database, merchants) = (subject.handle()?, [merchant(), merchant()]);
    let (order, asset): (OrderId, AssetId) = (id(1), id(2));
    let kinds = ["order.placed", "order.paid", "asset.ready"];
    let mut places = [1_u64; 2];
    for number in 0..24_usize {
        let of_order = number % 3 != 2;
        let place = &mut places[usize::from(of_order)];
        let stream = if of_order { order.to_string() } else { asset.to_string() };
        let draft = of_kind(stream, *place, kinds[number % 3]);
        *place += 1;
        database.commit(events(merchants[number / 2 % 2], vec![draft])).await?;
    }
    let whole = log(&*database).await?;
    ensure!(whole.len() == 24, "{} events", whole.len());
    let some = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let kind_sets =
        [some(&[]), some(&["order.paid"]), some(&["order.paid", "asset.ready"]), some(&["none"])];
    for kinds in kind_sets {
        for stream_kinds in [some(&[]), some(&["ord"]), some(&["ast", "ord"]), some(&["prt"])] {
            for merchant in [None, Some(merchants[0])] {
                for stream in [None, Some(order.to_string())] {
                    for (after, until, limit) in [(0, None, 100), (5, Some(19), 100), (5, None, 3)]
                    {
                        let query = EventQuery {
                            after,
                            until,
                            limit,
                            merchant,
                            stream: stream.clone(),
                            kinds: kinds.clone(),
                            stream_kinds: stream_kinds.clone(),
                            shard: None,
                        };
                        let prefix = |stream: &str| stream.split('_').next().map(str::to_owned);
                        let expected = whole.iter().filter(|event| {
                            event.seq > after
                                && until.is_none_or(|until| event.seq <= until)
                                && merchant.is_none_or(|merchant| event.merchant == merchant)
                                && stream.as_ref().is_none_or(|it| event.draft.stream == *it)
                                && (kinds.is_empty() || kinds.contains(&event.draft.kind))
                                && (stream_kinds.is_empty()
                                    || prefix(&event.draft.stream)
                                        .is_some_and(|it| stream_kinds.contains(&it)))
                        });
                        let expected: Vec<_> =
                            expected.take(limit as usize).map(|event| event.seq).collect();
                        let found = seqs(&*database, query.clone()).await?;
                        ensure!(found == expected, "{query:?}: {found:?} is not {expected:?}");
                    }
                }
            }
        }
    }
    Ok(())
}

async fn shards_part_the_streams_and_keep_each_whole(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    for number in 0..40 {
        let order: OrderId = id(number);
        database.commit(events(merchant, vec![event(&order, 1), event(&order, 2)])).await?;
    }
    let whole = log(&*database).await?;
    for count in [1, 3, 4, Shard::COUNT_MAX] {
        let mut found = vec![];
        for index in 0..count {
            let shard = Shard::new(index, count);
            let part = database.events(EventQuery { shard, ..all() }).await?;
            let held =
                part.iter().all(|event| shard.is_some_and(|it| it.holds(&event.draft.stream)));
            ensure!(held, "shard {index} of {count} has another's streams");
            ensure!(part.is_sorted_by_key(|event| event.seq), "shard {index} is out of order");
            found.extend(part);
        }
        found.sort_by_key(|event| event.seq);
        ensure!(found == whole, "{count} shards have {} of {} events", found.len(), whole.len());
    }
    Ok(())
}

async fn what_is_read_up_to_a_place_stays_the_same(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    database.commit(events(merchant, vec![event(&order, 1), event(&order, 2)])).await?;
    log(&*database).await?;
    let query = EventQuery { until: Some(database.head().await?), ..all() };
    let before = seqs(&*database, query.clone()).await?;
    database.commit(events(merchant, vec![event(&order, 3)])).await?;
    log(&*database).await?;
    let after = seqs(&*database, query).await?;
    ensure!(before == [1, 2] && after == before, "{before:?}, then {after:?}");
    Ok(())
}

async fn a_time_has_its_place_also_when_clocks_go_back(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    // In batches of different sizes, one of them decided long before it was committed.
    let times = [10, 20, 20, 15, 30, 5, 30, 40, 39, 41];
    for (index, seconds) in times.into_iter().enumerate() {
        let draft = event(&order, index as u64 + 1);
        let change = Change { events: vec![draft], ..Change::new(merchant, at(seconds)) };
        database.commit(change).await?;
    }
    log(&*database).await?;
    for seconds in 0..45 {
        for time in [at(seconds), at(seconds) + TimeDelta::microseconds(1)] {
            let first = times.iter().position(|it| at(*it) >= time);
            let expected = first.unwrap_or(times.len()) as u64;
            let found = database.seq_at(time).await?;
            ensure!(found == expected, "{time} is at {found}, not {expected}");
        }
    }
    Ok(())
}

async fn times_of_an_empty_log_are_at_its_beginning(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    ensure!(database.seq_at(at(0)).await? == 0, "the place of a time in an empty log");
    Ok(())
}

async fn the_oldest_event_is_the_first_that_can_be_read(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    ensure!(database.oldest().await? == 1, "an empty log begins at 1");
    database.commit(events(merchant, vec![event(&id(1), 1), event(&id(1), 2)])).await?;
    let first = log(&*database).await?.first().map(|event| event.seq);
    let oldest = database.oldest().await?;
    ensure!(first == Some(oldest), "{first:?} is read first, {oldest} is the oldest");
    Ok(())
}
