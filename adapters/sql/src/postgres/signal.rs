//! Hearing of other processes' work: LISTEN, and NOTIFY by a connection of its own.
//!
//! A commit that notifies takes a lock on the whole database while it waits for the disk. So no
//! commit of a change does: a separate connection notifies afterwards, at most once in a while,
//! and without waiting for the disk.

use super::connect::Target;
use printmill_backend::fresh;
use sea_orm::sqlx::postgres::{PgConnection, PgListener};
use sea_orm::sqlx::{self, Executor, Row};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::time::{Duration, MissedTickBehavior, interval, sleep};

/// The least time between two notifications.
const GATHER: Duration = Duration::from_millis(3);
/// How often to look whether anything was written, should a notification be lost.
const POLL: Duration = Duration::from_secs(1);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells other processes of what this one did (`local`), and moves `counter` when they tell.
///
/// Ends when nobody looks at the counter any more.
pub(crate) fn start(
    target: &Target,
    channel: &'static str,
    local: Arc<Notify>,
    counter: watch::Sender<u64>,
) {
    let me = format!("{:016x}", fresh::token());
    let telling = tell(target.clone(), channel, me.clone(), local, counter.clone());
    let hearing = hear(target.clone(), channel, me, counter.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = counter.closed() => {}
            () = telling => {}
            () = hearing => {}
        }
    });
}

async fn tell(
    target: Target,
    channel: &str,
    me: String,
    local: Arc<Notify>,
    counter: watch::Sender<u64>,
) {
    let mut connection: Option<PgConnection> = None;
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen: Option<String> = None;
    loop {
        let polls = tokio::select! {
            biased;
            () = local.notified() => false,
            _ = poll.tick() => true,
        };
        if connection.is_none() {
            connection = target.connect(&[("synchronous_commit", "off")]).await.ok();
        }
        let done = match &mut connection {
            None => false,
            Some(connection) if polls => match written(connection).await {
                Ok(now) => {
                    if seen.as_ref().is_some_and(|seen| *seen != now) {
                        counter.send_modify(|count| *count += 1);
                    }
                    seen = Some(now);
                    true
                }
                Err(_) => false,
            },
            Some(connection) => {
                let query = sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(&me);
                query.execute(connection).await.is_ok()
            }
        };
        if !done {
            // Others find out by looking.
            connection = None;
            sleep(PAUSE).await;
        } else if !polls {
            sleep(GATHER).await;
        }
    }
}

/// Something that changes with each transaction that writes, also of other databases.
async fn written(connection: &mut PgConnection) -> sqlx::Result<String> {
    let snapshot = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    connection.fetch_one(snapshot).await?.try_get(0)
}

async fn hear(target: Target, channel: &str, me: String, counter: watch::Sender<u64>) {
    loop {
        if let Err(error) = listen(&target, channel, &me, &counter).await {
            tracing::debug!(%error, "the database's notifications are not heard just now");
        }
        sleep(PAUSE).await;
    }
}

async fn listen(
    target: &Target,
    channel: &str,
    me: &str,
    counter: &watch::Sender<u64>,
) -> sqlx::Result<()> {
    let pool =
        target.single().await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(channel).await?;
    loop {
        // What happened before, or while the connection was lost, was not heard of.
        counter.send_modify(|count| *count += 1);
        while let Some(notification) = listener.try_recv().await? {
            if notification.payload() != me {
                counter.send_modify(|count| *count += 1);
            }
        }
    }
}
