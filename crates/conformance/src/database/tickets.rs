//! Tickets are found by id and by condition, the longest due first, and counted by lane.

use super::{Handle, Store};
use crate::samples::{at, id, lane, merchant, queued, read_ticket, ticket, tickets};
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use chrono::TimeDelta;
use printmill_backend::Change;
use printmill_backend::database::{Database, TicketQuery};
use printmill_domain::Timestamp;
use printmill_domain::ids::TicketId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::{Ticket, TicketState};

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "tickets",
        [
            a_ticket_comes_back_as_it_was_in_each_state,
            missing_ones_are_left_out,
            waiting_are_queued_due_and_not_handed_over,
            ripe_are_those_whose_time_has_come,
            overdue_were_handed_over_or_leased_before,
            tickets_in_a_state,
            the_longest_due_come_first_within_the_limit,
        ]
    );
}

const LEASE: TimeDelta = TimeDelta::seconds(30);

fn due(seconds: i64) -> Ticket {
    Ticket { due_at: at(seconds), ..ticket(merchant()) }
}

fn leased(now: i64) -> anyhow::Result<Ticket> {
    Ok(due(0).claim("one", 7, LEASE, at(now))?)
}

fn done(now: i64) -> anyhow::Result<Ticket> {
    let held = leased(now)?;
    Ok(held.complete(&held.fence().context("no fence")?, at(now + 1))?)
}

fn dead(now: i64) -> anyhow::Result<Ticket> {
    let held = leased(now)?;
    let problem = Problem::new(Code::RenderFailed, "it cannot be made", "change the design");
    let fence = held.fence().context("no fence")?;
    Ok(held.fail(&fence, problem, true, &RetryPolicy::default(), 500, at(now + 1))?)
}

async fn store<const N: usize>(
    database: &Handle,
    stored: [Ticket; N],
) -> anyhow::Result<[TicketId; N]> {
    for ticket in &stored {
        database.commit(tickets(ticket.merchant, vec![queued(ticket.clone())])).await?;
    }
    Ok(stored.map(|ticket| ticket.id))
}

async fn find(database: &Handle, query: TicketQuery, limit: u32) -> anyhow::Result<Vec<TicketId>> {
    let found = database.find_tickets(query, limit).await?;
    Ok(found.into_iter().map(|ticket| ticket.id).collect())
}

async fn a_ticket_comes_back_as_it_was_in_each_state(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let mut sent = due(1).sent(at(2));
    sent.trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let mut secret = leased(4)?;
    secret.token = Some((1 << 53) - 1);
    for stored in [due(1), sent, secret, done(4)?, dead(4)?] {
        store(&database, [stored.clone()]).await?;
        let found = read_ticket(&*database, stored.id).await?;
        ensure!(found.as_ref() == Some(&stored), "{found:?} is not {stored:?}");
    }
    Ok(())
}

async fn missing_ones_are_left_out(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let [one, other] = store(&database, [due(1), due(2)]).await?;
    let found = database.tickets(&[one, id(9), other]).await?;
    let mut found: Vec<_> = found.into_iter().map(|ticket| ticket.id).collect();
    found.sort();
    let mut expected = vec![one, other];
    expected.sort();
    ensure!(found == expected, "{found:?}");
    ensure!(database.tickets(&[]).await?.is_empty(), "nothing was asked for");
    Ok(())
}

async fn waiting_are_queued_due_and_not_handed_over(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let elsewhere = Ticket { lane: lane("elsewhere"), ..due(3) };
    let stored = [
        due(5),
        due(0).due(at(6)),
        due(1).sent(at(2)),
        leased(1)?,
        done(1)?,
        dead(1)?,
        elsewhere,
        due(4),
    ];
    let [last, _, sent, _, _, _, elsewhere, before] = store(&database, stored).await?;
    let found = find(&database, TicketQuery::Waiting, 100).await?;
    ensure!(found == [elsewhere, before, last], "{found:?}");
    let among = TicketQuery::WaitingAmong(vec![last, sent, before, id(1)]);
    let found = find(&database, among, 100).await?;
    ensure!(found == [before, last], "{found:?} among some");
    Ok(())
}

async fn ripe_are_those_whose_time_has_come(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let stored = [due(0).due(at(6)), due(0).due(at(5)), due(0).due(at(7)), due(1), leased(1)?];
    let [second, first, third, ..] = store(&database, stored).await?;
    let ripe = |due_by| TicketQuery::Ripe { due_by };
    let found = find(&database, ripe(at(6)), 100).await?;
    ensure!(found == [first, second], "{found:?}");
    let found = find(&database, ripe(at(4)), 100).await?;
    ensure!(found.is_empty(), "{found:?}");
    let waiting = read_ticket(&*database, first).await?.context("it is there")?;
    let ripened = waiting.ripen(at(6)).context("its time has come")?;
    let change = Change::new(waiting.merchant, at(6)).ticket(ripened, waiting.version);
    database.commit(change).await?;
    let found = find(&database, ripe(at(7)), 100).await?;
    ensure!(found == [second, third], "{found:?}");
    let found = find(&database, TicketQuery::Waiting, 1).await?;
    ensure!(found != [first], "the longest due comes first");
    Ok(())
}

async fn overdue_were_handed_over_or_leased_before(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let elsewhere = Ticket { lane: lane("elsewhere"), ..due(1).sent(at(2)) };
    let sent = due(1).sent(at(99));
    // A lease from 60 ends at 90, before 100; one from 70 ends at 100.
    let stored =
        [sent, due(2).sent(at(100)), leased(60)?, leased(70)?, due(3), elsewhere, done(1)?];
    let [sent, _, leased, ..] = store(&database, stored).await?;
    let before = |before: Timestamp| TicketQuery::Overdue { lane: lane("express"), before };
    let found = find(&database, before(at(100)), 100).await?;
    ensure!(found == [leased, sent], "{found:?}");
    let found = find(&database, before(at(1)), 100).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

async fn tickets_in_a_state(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let stored = [due(5), due(4).sent(at(9)), leased(1)?, done(1)?, dead(1)?];
    let [late, early, leased, done, dead] = store(&database, stored).await?;
    for (state, expected) in [
        (TicketState::Queued, vec![early, late]),
        (TicketState::Leased, vec![leased]),
        (TicketState::Done, vec![done]),
        (TicketState::Dead, vec![dead]),
    ] {
        let found = find(&database, TicketQuery::InState(state), 100).await?;
        ensure!(found == expected, "{state:?}: {found:?} instead of {expected:?}");
    }
    Ok(())
}

async fn the_longest_due_come_first_within_the_limit(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let [fourth, first, third, second] = store(&database, [due(4), due(1), due(3), due(2)]).await?;
    let found = find(&database, TicketQuery::Waiting, 100).await?;
    ensure!(found == [first, second, third, fourth], "{found:?}");
    let found = find(&database, TicketQuery::Waiting, 2).await?;
    ensure!(found == [first, second], "{found:?}");
    Ok(())
}
