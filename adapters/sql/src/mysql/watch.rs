//! Hearing of other processes' commits, by looking at a counter that each commit moves.

use super::connect::Target;
use sea_orm::sqlx::mysql::MySqlConnection;
use sea_orm::sqlx::{self, Executor, Row};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

/// How often to look: while commits come, and when there was none for `QUIET`.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_QUIET: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(5);

/// Moves the counter after commits, until nobody looks at it any more.
pub(crate) fn start(target: &Target, counter: watch::Sender<u64>) {
    let target = target.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = counter.closed() => {}
            () = look(target, &counter) => {}
        }
    });
}

async fn look(target: Target, counter: &watch::Sender<u64>) {
    let mut connection: Option<MySqlConnection> = None;
    let (mut seen, mut moved) = (None, Instant::now());
    loop {
        if connection.is_none() {
            connection = target.connect().await.ok();
        }
        let found = match &mut connection {
            Some(connection) => commits(connection).await.ok(),
            None => None,
        };
        match found {
            // This process's own commits are told of once more.
            Some(_) if found != seen => {
                seen = found;
                moved = Instant::now();
                counter.send_modify(|count| *count += 1);
            }
            Some(_) => {}
            None => connection = None,
        }
        sleep(if moved.elapsed() < QUIET { LOOK } else { LOOK_QUIET }).await;
    }
}

async fn commits(connection: &mut MySqlConnection) -> sqlx::Result<i64> {
    let all = "SELECT CAST(coalesce(sum(`count`), 0) AS SIGNED) FROM commit_counter";
    connection.fetch_one(all).await?.try_get(0)
}
