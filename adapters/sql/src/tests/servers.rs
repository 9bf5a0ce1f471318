//! Servers: what they refuse, that they come back, and several handles at once.

use super::*;
use crate::{SqlDatabase, SqlQueue};
use anyhow::{Context, bail, ensure};
use printmill_backend::database::{EventQuery, Scope};
use printmill_backend::queue::{Message, Queue};
use printmill_backend::{BackendError, CommitError, Database, Fault};
use printmill_test_servers::{MariaDb, Postgres, Process};
use sea_orm::sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How soon a server that is back must serve again.
const BACK_WITHIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// A database of its own on a server that tests share.
pub(super) struct Place {
    pub(super) address: String,
    server: Server,
    name: String,
}

enum Server {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Place {
    async fn new(server: Server) -> Result<Self> {
        let name = format!("test_{:016x}", printmill_backend::fresh::token());
        let address = match &server {
            Server::Postgres(server) => server.database(&name),
            Server::MariaDb(server) => server.database(&name),
        };
        let place = Self { address, server, name };
        place.run(format!("CREATE DATABASE {}", place.name)).await?;
        Ok(place)
    }

    pub(super) async fn run(&self, statement: String) -> Result<()> {
        match &self.server {
            Server::Postgres(server) => {
                let mut connection = PgConnection::connect(&server.address).await?;
                connection.execute(AssertSqlSafe(statement)).await?;
            }
            Server::MariaDb(server) => {
                let mut connection = MySqlConnection::connect(&server.address).await?;
                connection.execute(AssertSqlSafe(statement)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn drop(self) -> Result<()> {
        let force = if matches!(self.server, Server::Postgres(_)) { " WITH (FORCE)" } else { "" };
        self.run(format!("DROP DATABASE {}{force}", self.name)).await
    }
}

/// A place on each server that is installed.
pub(super) async fn places() -> Result<Vec<Place>> {
    let mut places = Vec::new();
    if let Some(server) = Postgres::find()? {
        places.push(Place::new(Server::Postgres(server)).await?);
    }
    if let Some(server) = MariaDb::find()? {
        places.push(Place::new(Server::MariaDb(server)).await?);
    }
    Ok(places)
}

/// What opening fails with; the password is nowhere in it.
async fn refusal(address: &str) -> Result<BackendError> {
    let Err(error) = SqlDatabase::open(address).await else { bail!("{address} was opened") };
    let Err(of_queue) = SqlQueue::open(address).await else { bail!("{address} was opened") };
    ensure!(error.fault == of_queue.fault, "{error:?}, {of_queue:?}");
    for error in [&error, &of_queue] {
        ensure!(!format!("{error:?} {}", error.chain()).contains("printmill:"), "{error:?}");
        ensure!(!error.chain().contains("wrong"), "{error:?}");
    }
    Ok(error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_says_what_to_change() -> Result<()> {
    for place in places().await? {
        let (base, _) = place.address.rsplit_once('/').context("it has a database")?;
        let (who, at) = base.rsplit_once('@').context("it has a host")?;
        let (user, _) = who.rsplit_once(':').context("it has a password")?;
        let password = refusal(&format!("{user}:wrong@{at}/{}", place.name)).await?;
        ensure!(password.fault == Fault::Rejected, "{password:?}");
        ensure!(password.detail.contains("check the user and password"), "{password}");
        let missing = refusal(&format!("{base}/nowhere")).await?;
        ensure!(missing.fault == Fault::Rejected, "{missing:?}");
        ensure!(missing.detail.contains("create it"), "{missing}");
        let certificate = refusal(&format!("{}?sslmode=verify-full", place.address)).await?;
        ensure!(certificate.fault == Fault::Rejected, "{certificate:?}");
        ensure!(certificate.detail.contains("sslrootcert"), "{certificate}");
        let (host, _) = at.split_once(':').context("it has a port")?;
        let closed = refusal(&format!("{who}@{host}:1/{}", place.name)).await?;
        ensure!(closed.fault == Fault::Unavailable, "{closed:?}");
        place.drop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_refused() -> Result<()> {
    if let Some(server) = Postgres::start(&["default_transaction_read_only=on"])? {
        let error = refusal(&server.address).await?;
        ensure!(error.fault == Fault::ReadOnly, "{error:?}");
        ensure!(error.detail.contains("primary"), "{error}");
    }
    if let Some(server) = MariaDb::start(&["--read-only=1"])? {
        let error = refusal(&server.address).await?;
        ensure!(error.fault == Fault::ReadOnly, "{error:?}");
        ensure!(error.detail.contains("primary"), "{error}");
    }
    Ok(())
}

/// Makes a certificate for `localhost` in a server's data folder.
fn certify(data: &Path) -> Result<()> {
    let settings = data.join("certificate.conf");
    let extensions = "basicConstraints = critical,CA:FALSE\nsubjectAltName = DNS:localhost\n";
    let settings_text = format!(
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = more\n\
         [name]\nCN = localhost\n[more]\n{extensions}"
    );
    std::fs::write(&settings, settings_text)?;
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config"])
        .arg(&settings)
        .arg("-keyout")
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt"))
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The server's user must own its key.
    Command::new("chown").arg("--reference").arg(data).arg(data.join("server.key")).status()?;
    Command::new("chmod").arg("600").arg(data.join("server.key")).status()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_host_that_the_certificate_names_is_trusted() -> Result<()> {
    let Some(server) = Postgres::start_prepared(&["ssl=on"], certify)? else { return Ok(()) };
    let process = server.process.as_ref().context("it is the test's own")?;
    let root = process.folder().join("data/server.crt");
    let trusting =
        |mode: &str| format!("{}?sslmode={mode}&sslrootcert={}", server.address, root.display());
    let by_name = trusting("verify-full").replace("127.0.0.1", "localhost");
    let database = SqlDatabase::open(&by_name).await?;
    database.commit(placing(order(1))).await?;
    ensure!(SqlDatabase::open(&trusting("verify-ca")).await.is_ok());
    let other_name = refusal(&trusting("verify-full")).await?;
    ensure!(other_name.fault == Fault::Rejected, "{other_name:?}");
    let unknown =
        format!("{}?sslmode=verify-full", server.address.replace("127.0.0.1", "localhost"));
    let unknown = refusal(&unknown).await?;
    ensure!(unknown.fault == Fault::Rejected, "{unknown:?}");
    Ok(())
}

/// Commits until it succeeds again; every failure must say that trying again helps.
async fn commit_until_served(database: &SqlDatabase, number: u128) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        match database.commit(placing(order(number))).await {
            Ok(()) | Err(CommitError::Answered(_)) => return Ok(begun.elapsed()),
            Err(CommitError::Backend(error)) => ensure!(error.retryable(), "{error:?}"),
            Err(error) => return Err(error.into()),
        }
        ensure!(begun.elapsed() < PATIENCE, "it is not served again");
        tokio::task::yield_now().await;
    }
}

async fn survives_a_restart(
    address: &str,
    mut process: Process,
    stop: fn(&mut Process) -> Result<()>,
) -> Result<Process> {
    let (database, queue) = (SqlDatabase::open(address).await?, SqlQueue::open(address).await?);
    database.commit(placing(order(1))).await?;
    let mut commits = database.commits();
    let restarting = tokio::task::spawn_blocking(move || {
        stop(&mut process)?;
        process.resume()?;
        anyhow::Ok(process)
    });
    let process = restarting.await??;
    let took = commit_until_served(&database, 2).await?;
    ensure!(took < BACK_WITHIN, "commits came back after {took:?}");
    let begun = Instant::now();
    let message = Message { ticket: ticket(order(1)).id, trace: None, delay: Duration::ZERO };
    while queue.send(&Lane::express(), std::slice::from_ref(&message)).await[0].is_err() {
        ensure!(begun.elapsed() < BACK_WITHIN, "the queue does not come back");
    }
    let ids = [1, 2].map(|number| order(number).to_string());
    let scope = Scope::Merchant(merchant());
    let found = loop {
        match database.get_many(scope, Kind::Order, &ids).await {
            Ok(found) => break found,
            Err(error) => ensure!(error.retryable() && begun.elapsed() < BACK_WITHIN, "{error:?}"),
        }
    };
    ensure!(found.len() == 2, "{found:?}");
    // It also hears of others' commits again.
    let other = SqlDatabase::open(address).await?;
    commits.mark_unchanged();
    other.commit(placing(order(3))).await?;
    timeout(PATIENCE, commits.changed()).await??;
    Ok(process)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_comes_back_serves_again() -> Result<()> {
    let Some(mut server) = Postgres::start(&[])? else { return Ok(()) };
    let address = server.address.clone();
    let process = server.process.take().context("it is the test's own")?;
    server.process = Some(survives_a_restart(&address, process, Process::interrupt).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_that_comes_back_serves_again() -> Result<()> {
    let Some(mut server) = MariaDb::start(&[])? else { return Ok(()) };
    let address = server.address.clone();
    let process = server.process.take().context("it is the test's own")?;
    server.process = Some(survives_a_restart(&address, process, Process::kill).await?);
    Ok(())
}

/// Takes the places of a stream one after the other, in competition with others.
async fn race(database: SqlDatabase, streams: u128, places: u64) -> Result<u64> {
    let mut won = 0;
    for sequence in 1..=places {
        for stream in 1..=streams {
            let mut change = Change::new(merchant(), now());
            change.events = vec![event(order(stream), sequence)];
            match database.commit(change).await {
                Ok(()) => won += 1,
                Err(CommitError::Stale { kind: "event", .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(won)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_taken_once_also_while_it_moves_to_the_log() -> Result<()> {
    const STREAMS: u128 = 3;
    const PLACES: u64 = 30;
    for place in places().await? {
        let one = SqlDatabase::open(&place.address).await?;
        let other = SqlDatabase::open(&place.address).await?;
        let racing: Vec<_> = [&one, &other, &one, &other]
            .map(|database| tokio::spawn(race(database.clone(), STREAMS, PLACES)))
            .into();
        let numbering = [&one, &other].map(|database| {
            let database = database.clone();
            tokio::spawn(async move {
                loop {
                    database.sequence(4).await?;
                    tokio::task::yield_now().await;
                }
                #[expect(unreachable_code, reason = "it says what the loop fails with")]
                anyhow::Ok(())
            })
        });
        let mut won = 0;
        for racer in racing {
            won += racer.await??;
        }
        numbering.iter().for_each(tokio::task::JoinHandle::abort);
        while one.sequence(100).await? > 0 {}
        let all = PLACES * u64::try_from(STREAMS)?;
        let events = one.events(EventQuery { limit: 1000, ..EventQuery::default() }).await?;
        ensure!(won == all && events.len() as u64 == all, "{won} won, {} logged", events.len());
        let mut last: HashMap<String, u64> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            ensure!(event.seq == index as u64 + 1, "{event:?} at {index}");
            let before = last.insert(event.draft.stream.clone(), event.draft.sequence);
            ensure!(before.unwrap_or_default() + 1 == event.draft.sequence, "{event:?}");
        }
        place.drop().await?;
    }
    Ok(())
}

/// Makes tickets and claims every second of them.
async fn work(database: SqlDatabase, from: u128, count: u128) -> Result<()> {
    for number in from..from + count {
        let new = ticket(order(number));
        let queued = TicketWrite { ticket: new.clone(), guard: TicketGuard::New };
        let change = Change { tickets: vec![queued], ..Change::new(merchant(), now()) };
        database.commit(change).await?;
        if number % 2 == 0 {
            let claimed = new.claim("me", 7, chrono::TimeDelta::seconds(30), now())?;
            database.commit(Change::new(merchant(), now()).ticket(claimed, 1)).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_exact_however_many_write() -> Result<()> {
    const EACH: u128 = 30;
    for place in places().await? {
        let one = SqlDatabase::open(&place.address).await?;
        let other = SqlDatabase::open(&place.address).await?;
        let working: Vec<_> = (0..4_u128)
            .map(|worker| {
                let database = if worker % 2 == 0 { one.clone() } else { other.clone() };
                tokio::spawn(work(database, 1 + worker * EACH, EACH))
            })
            .collect();
        for worker in working {
            worker.await??;
        }
        let counts = one.ticket_counts().await?;
        let of = |stage: &str| {
            let of_stage = counts.iter().filter(|count| count.stage.name() == stage);
            of_stage.map(|count| count.count).sum::<u64>()
        };
        ensure!((of("waiting"), of("leased")) == (60, 60), "{counts:?}");
        place.drop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_processes_each_message_goes_to_one() -> Result<()> {
    const MESSAGES: u128 = 200;
    const LONG: Duration = Duration::from_secs(60);
    for place in places().await? {
        let one = SqlQueue::open(&place.address).await?;
        let queues = [one.clone(), SqlQueue::open(&place.address).await?, one.clone()];
        let messages: Vec<Message> = (1..=MESSAGES)
            .map(|number| ticket(order(number)).id)
            .map(|ticket| Message { ticket, trace: None, delay: Duration::ZERO })
            .collect();
        let consuming = queues.map(|queue| {
            tokio::spawn(async move {
                let mut got = Vec::new();
                loop {
                    let wait = Duration::from_secs(2);
                    let leased = queue.lease(&Lane::express(), 7, LONG, wait).await?;
                    if leased.is_empty() {
                        return anyhow::Ok(got);
                    }
                    for delivery in leased {
                        ensure!(delivery.attempt == 1, "{delivery:?}");
                        queue.ack(&delivery.receipt).await?;
                        got.push(delivery.ticket);
                    }
                }
            })
        });
        for part in messages.chunks(50) {
            for answer in one.send(&Lane::express(), part).await {
                answer?;
            }
        }
        let mut got = Vec::new();
        for consumer in consuming {
            got.extend(consumer.await??);
        }
        let distinct: HashSet<_> = got.iter().collect();
        ensure!(got.len() == 200 && distinct.len() == 200, "{} got {}", got.len(), distinct.len());
        place.drop().await?;
    }
    Ok(())
}
