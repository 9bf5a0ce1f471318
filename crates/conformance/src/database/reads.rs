//! Reads see all commits that returned before, and give back what was committed.

use super::{Claims, Store};
use crate::samples::{
    at, event, events, id, log, merchant, new, next, queued, read, read_ticket, record, records,
    ticket, tickets,
};
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use chrono::TimeDelta;
use printmill_backend::database::{Database, DatabaseExt, Page, Scope, WAKE_WITHIN};
use printmill_backend::{Change, Record};
use printmill_domain::aggregate::{Decided, Kind, Versioned};
use printmill_domain::ids::{FacilityId, MerchantId, OrderId};
use printmill_domain::merchant::Merchant;

pub(super) fn cases(suite: &mut Suite<dyn Database>, claims: Claims) {
    cases!(
        suite,
        "reads",
        [
            a_record_of_each_kind_comes_back_as_it_was,
            kinds_are_kept_apart,
            long_documents_come_back_whole,
            several_come_in_the_order_asked,
            lists_go_from_the_newest_id_to_the_oldest,
            pages_join_without_gap_or_overlap,
            typed_reads_give_what_was_decided,
            the_counter_moves_after_a_commit,
        ]
    );
    cases!(
        suite,
        "reads",
        if claims.shared,
        [
            see_commits_through_another_handle,
            the_counter_moves_after_a_commit_through_another_handle,
        ]
    );
}

async fn a_record_of_each_kind_comes_back_as_it_was(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        let stored = Record {
            kind,
            facility: (number % 2 == 0).then(|| id::<FacilityId>(3)),
            updated_at: at(2) + TimeDelta::microseconds(1),
            ..record(merchant, &id(number as i64))
        };
        database.commit(records(merchant, vec![new(stored.clone())])).await?;
        let found = database.get(Scope::Merchant(merchant), kind, &stored.id).await?;
        ensure!(found.as_ref() == Some(&stored), "{found:?} is not {stored:?}");
    }
    Ok(())
}

async fn kinds_are_kept_apart(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let order = record(merchant, &id(1));
    let print = Record { kind: Kind::Print, ..order.clone() };
    database.commit(records(merchant, vec![new(order.clone())])).await?;
    let scope = Scope::Merchant(merchant);
    ensure!(database.get(scope, Kind::Print, &order.id).await?.is_none(), "it is no print");
    database.commit(records(merchant, vec![new(print.clone())])).await?;
    ensure!(database.get(scope, Kind::Print, &order.id).await? == Some(print), "not the print");
    ensure!(database.get(scope, Kind::Order, &order.id).await? == Some(order), "not the order");
    Ok(())
}

async fn long_documents_come_back_whole(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let text = "ünïcode ".repeat(64 * 1024);
    let stored = next(&record(merchant, &order), 0, &text).record;
    database.commit(records(merchant, vec![new(stored.clone())])).await?;
    let found = read(&*database, merchant, &order).await?.context("it is gone")?;
    ensure!(found.document == stored.document, "{} bytes came back", found.document.len());
    Ok(())
}

async fn several_come_in_the_order_asked(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let orders: Vec<String> = (0..4).map(|n| id::<OrderId>(n).to_string()).collect();
    for order in &orders[..3] {
        let stored = Record { id: order.clone(), ..record(merchant, &id(0)) };
        database.commit(records(merchant, vec![new(stored)])).await?;
    }
    let asked = [2, 3, 0, 1].map(|n: usize| orders[n].clone());
    let found = database.get_many(Scope::Merchant(merchant), Kind::Order, &asked).await?;
    let found: Vec<_> = found.into_iter().map(|record| record.id).collect();
    ensure!(found == [2, 0, 1].map(|n: usize| orders[n].clone()), "{found:?}");
    let none = database.get_many(Scope::Merchant(merchant), Kind::Order, &[]).await?;
    ensure!(none.is_empty(), "nothing was asked for, but {none:?} came");
    Ok(())
}

async fn fill(database: &dyn Database, merchant: MerchantId) -> anyhow::Result<Vec<String>> {
    let mut ids = vec![];
    // Committed in another order than that of their ids.
    for number in [3, 0, 4, 1, 6, 2, 5] {
        let state = if number % 2 == 0 { "even" } else { "odd" };
        let stored = Record { state: state.into(), ..record(merchant, &id(number)) };
        ids.push(stored.id.clone());
        database.commit(records(merchant, vec![new(stored)])).await?;
    }
    ids.sort_by(|one, other| other.cmp(one));
    Ok(ids)
}

async fn lists_go_from_the_newest_id_to_the_oldest(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let newest_first = fill(&*database, merchant).await?;
    let list = |state: Option<&str>, limit| {
        let page = Page { before: None, limit, state: state.map(str::to_owned) };
        database.list(Scope::Merchant(merchant), Kind::Order, page)
    };
    let found: Vec<_> = list(None, 100).await?.into_iter().map(|record| record.id).collect();
    ensure!(found == newest_first, "{found:?} instead of {newest_first:?}");
    let found: Vec<_> = list(None, 3).await?.into_iter().map(|record| record.id).collect();
    ensure!(found == newest_first[..3], "the first three are {found:?}");
    let odd: Vec<_> = list(Some("odd"), 100).await?.into_iter().map(|record| record.id).collect();
    let expected: Vec<_> = [1, 3, 5].map(|n: usize| newest_first[n].clone()).into();
    ensure!(odd == expected, "the odd ones are {odd:?} instead of {expected:?}");
    ensure!(list(Some("nowhere"), 100).await?.is_empty(), "none is in that state");
    Ok(())
}

async fn pages_join_without_gap_or_overlap(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let newest_first = fill(&*database, merchant).await?;
    let (mut joined, mut before) = (vec![], None);
    loop {
        let page = Page { before: before.clone(), limit: 3, state: None };
        let found = database.list(Scope::Merchant(merchant), Kind::Order, page).await?;
        let Some(last) = found.last() else { break };
        ensure!(found.len() <= 3 && joined.len() < 7, "a page too much: {found:?}");
        before = Some(last.id.clone());
        joined.extend(found.into_iter().map(|record| record.id));
    }
    ensure!(joined == newest_first, "{joined:?} instead of {newest_first:?}");
    Ok(())
}

async fn typed_reads_give_what_was_decided(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let first = Merchant { id: id(1), name: "Ünder \"Press\"".into(), created_at: at(1) };
    let create = Change::new(MerchantId::PLATFORM, at(1)).create(Decided::quiet(first.clone()));
    database.commit(create).await?;
    let before = database.find::<Merchant>(scope, &first.id.to_string()).await?;
    let before = before.context("it is gone")?;
    ensure!(before == Versioned { version: 1, value: first.clone() }, "{before:?}");
    let renamed = Merchant { name: "Renamed".into(), ..first };
    let update = Change::new(MerchantId::PLATFORM, at(2));
    database.commit(update.update(&before, Decided::quiet(renamed.clone()))).await?;
    let page = Page { before: None, limit: 10, state: Some("active".into()) };
    let found = database.page::<Merchant>(scope, page).await?;
    ensure!(found == [Versioned { version: 2, value: renamed }], "{found:?}");
    Ok(())
}

async fn the_counter_moves_after_a_commit(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let mut commits = database.commits();
    commits.mark_unchanged();
    ensure!(!commits.has_changed()?, "nothing was committed");
    database.commit(tickets(merchant, vec![queued(ticket(merchant))])).await?;
    ensure!(commits.has_changed()?, "a commit was not announced");
    Ok(())
}

async fn the_counter_moves_after_a_commit_through_another_handle(
    subject: Store,
) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    let merchant = merchant();
    let mut commits = one.commits();
    for _ in 0..3 {
        commits.mark_unchanged();
        other.commit(tickets(merchant, vec![queued(ticket(merchant))])).await?;
        // A machine under test may be far busier than one in use.
        let told = tokio::time::timeout(10 * WAKE_WITHIN, commits.changed()).await;
        told.context("a commit of another handle was not announced")??;
    }
    Ok(())
}

async fn see_commits_through_another_handle(subject: Store) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    let (merchant, order) = (merchant(), id::<OrderId>(1));
    for version in 0..10 {
        let write = match version {
            0 => new(record(merchant, &order)),
            _ => next(&record(merchant, &order), version, "changed"),
        };
        let (writer, reader) = if version % 2 == 0 { (&one, &other) } else { (&other, &one) };
        writer.commit(records(merchant, vec![write])).await?;
        let found = read(&**reader, merchant, &order).await?.context("it is not seen")?;
        ensure!(found.version == version + 1, "version {} is seen", found.version);
    }
    let ticket = ticket(merchant);
    one.commit(tickets(merchant, vec![queued(ticket.clone())])).await?;
    ensure!(read_ticket(&*other, ticket.id).await?.is_some(), "the ticket is not seen");
    one.commit(events(merchant, vec![event(&order, 1)])).await?;
    ensure!(log(&*other).await?.len() == 1, "the event is not seen");
    Ok(())
}
