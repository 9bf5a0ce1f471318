//! The sequencer: gives committed events their place in the log.

use printmill_backend::Database;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How many events are numbered at once.
const BATCH: u32 = 512;
/// How often to look at least.
const LOOK: Duration = Duration::from_secs(10);
/// How long to wait after the database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);

/// Gives committed events their place in the log, for databases that do not in the commit.
pub struct Sequencer {
    database: Arc<dyn Database>,
}

impl Sequencer {
    /// A sequencer of a database.
    pub fn new(database: Arc<dyn Database>) -> Self {
        Self { database }
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        if self.database.caps().numbers_in_commit {
            return shutdown.await;
        }
        let mut commits = self.database.commits();
        tokio::pin!(shutdown);
        loop {
            commits.borrow_and_update();
            let pause = match self.database.sequence(BATCH).await {
                Ok(numbered) if numbered == BATCH => continue,
                Ok(_) => LOOK,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "events could not be numbered");
                    PAUSE_AFTER_ERROR
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                _ = commits.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
