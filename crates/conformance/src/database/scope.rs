//! A read finds only rows within its scope.

use super::Store;
use crate::samples::{event, events, id, log, merchant, new, record, records, request};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::Record;
use printmill_backend::database::{Database, EventQuery, Page, Scope};
use printmill_domain::aggregate::Kind;
use printmill_domain::ids::{FacilityId, MerchantId, OrderId};

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "scope",
        [
            a_merchant_finds_its_own_records_only,
            the_platform_is_a_merchant_like_others,
            a_facility_finds_what_is_assigned_to_it_only,
            a_page_is_filled_with_own_records,
            a_merchant_finds_its_own_requests_only,
            a_merchant_finds_its_own_events_only,
        ]
    );
}

/// Which of some records a scope finds, by each way of reading; all ways must agree.
async fn visible(
    database: &dyn Database,
    scope: Scope,
    kind: Kind,
    ids: &[String],
) -> anyhow::Result<Vec<String>> {
    let mut one_by_one = vec![];
    for id in ids {
        one_by_one.extend(database.get(scope, kind, id).await?.map(|record| record.id));
    }
    let together = database.get_many(scope, kind, ids).await?;
    let together: Vec<_> = together.into_iter().map(|record| record.id).collect();
    ensure!(one_by_one == together, "get finds {one_by_one:?}, get_many {together:?}");
    let page = Page { before: None, limit: 100, state: None };
    let listed = database.list(scope, kind, page).await?;
    let mut listed: Vec<_> = listed.into_iter().map(|record| record.id).collect();
    listed.reverse();
    ensure!(one_by_one == listed, "get finds {one_by_one:?}, list {listed:?}");
    Ok(listed)
}

async fn a_merchant_finds_its_own_records_only(subject: Store) -> anyhow::Result<()> {
    let (database, one, other) = (subject.handle()?, merchant(), merchant());
    let stored: Vec<Record> =
        (0..6).map(|n| record(if n % 2 == 0 { one } else { other }, &id(n))).collect();
    let ids: Vec<_> = stored.iter().map(|record| record.id.clone()).collect();
    for record in stored {
        database.commit(records(record.merchant, vec![new(record)])).await?;
    }
    for (merchant, own) in [(one, [0, 2, 4]), (other, [1, 3, 5])] {
        let found = visible(&*database, Scope::Merchant(merchant), Kind::Order, &ids).await?;
        ensure!(found == own.map(|n: usize| ids[n].clone()), "{found:?}");
    }
    let found = visible(&*database, Scope::Merchant(merchant()), Kind::Order, &ids).await?;
    ensure!(found.is_empty(), "a stranger finds {found:?}");
    Ok(())
}

async fn the_platform_is_a_merchant_like_others(subject: Store) -> anyhow::Result<()> {
    let (database, one) = (subject.handle()?, merchant());
    let stored = [record(one, &id(1)), record(MerchantId::PLATFORM, &id(2))];
    let ids = stored.clone().map(|record| record.id);
    for record in stored {
        database.commit(records(record.merchant, vec![new(record)])).await?;
    }
    let platform = Scope::Merchant(MerchantId::PLATFORM);
    let found = visible(&*database, platform, Kind::Order, &ids).await?;
    ensure!(found == ids[1..], "the platform finds {found:?}");
    Ok(())
}

async fn a_facility_finds_what_is_assigned_to_it_only(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let (near, far): (FacilityId, FacilityId) = (id(1), id(2));
    let mut ids = vec![];
    for (number, facility) in [(0, Some(near)), (1, Some(far)), (2, None)] {
        let order: OrderId = id(number);
        let job = Record { kind: Kind::PrintJob, facility, ..record(merchant, &order) };
        ids.push(job.id.clone());
        database.commit(records(merchant, vec![new(job)])).await?;
    }
    let scope = Scope::Facility(near);
    let found = visible(&*database, scope, Kind::PrintJob, &ids).await?;
    ensure!(found == ids[..1], "the facility finds {found:?}");
    let found = visible(&*database, Scope::Merchant(merchant), Kind::PrintJob, &ids).await?;
    ensure!(found == ids, "the merchant finds {found:?}");
    Ok(())
}

/// The limit counts what is found, not what is looked at.
async fn a_page_is_filled_with_own_records(subject: Store) -> anyhow::Result<()> {
    let (database, one, other) = (subject.handle()?, merchant(), merchant());
    for number in 0..12 {
        let merchant = if number < 3 { one } else { other };
        database.commit(records(merchant, vec![new(record(merchant, &id(number)))])).await?;
    }
    let page = Page { before: None, limit: 3, state: None };
    let found = database.list(Scope::Merchant(one), Kind::Order, page).await?;
    ensure!(found.len() == 3 && found.iter().all(|record| record.merchant == one), "{found:?}");
    Ok(())
}

async fn a_merchant_finds_its_own_requests_only(subject: Store) -> anyhow::Result<()> {
    let (database, one, other) = (subject.handle()?, merchant(), merchant());
    let answer = Some(request("one", "private"));
    database.commit(records(one, vec![]).answering(answer.clone())).await?;
    ensure!(database.request(one, "one").await? == answer, "its own is gone");
    let found = database.request(other, "one").await?;
    ensure!(found.is_none(), "another merchant finds {found:?}");
    Ok(())
}

async fn a_merchant_finds_its_own_events_only(subject: Store) -> anyhow::Result<()> {
    let (database, one, other) = (subject.handle()?, merchant(), merchant());
    let (mine, theirs): (OrderId, OrderId) = (id(1), id(2));
    database.commit(events(one, vec![event(&mine, 1)])).await?;
    database.commit(events(other, vec![event(&theirs, 1)])).await?;
    log(&*database).await?;
    let query = EventQuery { merchant: Some(one), limit: 100, ..EventQuery::default() };
    let found = database.events(query.clone()).await?;
    ensure!(found.len() == 1 && found[0].merchant == one, "{found:?}");
    let query = EventQuery { stream: Some(theirs.to_string()), ..query };
    let found = database.events(query).await?;
    ensure!(found.is_empty(), "another merchant's stream shows {found:?}");
    Ok(())
}
