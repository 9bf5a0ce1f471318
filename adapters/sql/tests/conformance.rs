//! The SQL adapter keeps the contracts of the database and the queue, on SQLite.

use printmill_adapter_sql::{SqlDatabase, SqlQueue};
use printmill_backend::{Database, Queue};
use printmill_conformance::{Subject, database_trials, queue_trials};
use std::sync::Arc;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = database_trials("sqlite", database);
    trials.extend(queue_trials("sqlite", queue));
    libtest_mimic::run(&arguments, trials).exit();
}

async fn database() -> anyhow::Result<Subject<dyn Database>> {
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}", directory.path().join("printmill.db").display());
    let handle = Arc::new(SqlDatabase::open(&url).await?);
    let open = move || {
        let url = url.clone();
        async move { Ok(Arc::new(SqlDatabase::open(&url).await?) as Arc<dyn Database>) }
    };
    Ok(Subject::of(handle as Arc<dyn Database>).opened_by(open).keeping(directory))
}

async fn queue() -> anyhow::Result<Subject<dyn Queue>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("queue.db");
    let url = format!("sqlite://{}", path.display());
    let queue = SqlQueue::open(&url).await?;
    // Files are deleted under a queue that stays open.
    let kept = queue.clone();
    let open = move || {
        let url = url.clone();
        async move { Ok(Arc::new(SqlQueue::open(&url).await?) as Arc<dyn Queue>) }
    };
    let wipe = move || {
        let removed = std::fs::remove_file(&path);
        let kept = Arc::new(kept.clone()) as Arc<dyn Queue>;
        async move { Ok(removed.map(|()| kept)?) }
    };
    Ok(Subject::queue(queue).opened_by(open).wiped_by(wipe).keeping(directory))
}
