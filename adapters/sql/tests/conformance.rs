//! The SQL adapter keeps the contracts of the database and the queue, in every dialect.

mod servers;

use printmill_adapter_sql::{SqlDatabase, SqlQueue};
use printmill_backend::{Database, Queue};
use printmill_conformance::{Subject, database_trials, queue_trials};
use std::sync::Arc;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    // Run one by one, trials need not know the other dialects' servers.
    let one = arguments.filter.as_deref().filter(|_| arguments.exact);
    let wanted = |suite: &str| one.is_none_or(|name| name.starts_with(suite));
    let mut trials = vec![];
    if wanted("sqlite::database") {
        trials.extend(database_trials("sqlite", database));
    }
    if wanted("sqlite::queue") {
        trials.extend(queue_trials("sqlite", queue));
    }
    if wanted("postgres::database") && servers::postgres::is_there() {
        trials.extend(database_trials("postgres", servers::postgres::database));
    }
    if wanted("postgres::queue") && servers::postgres::is_there() {
        trials.extend(queue_trials("postgres", servers::postgres::queue));
    }
    if wanted("mariadb::database") && servers::mariadb::is_there() {
        trials.extend(database_trials("mariadb", servers::mariadb::database));
    }
    if wanted("mariadb::queue") && servers::mariadb::is_there() {
        trials.extend(queue_trials("mariadb", servers::mariadb::queue));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    servers::postgres::SERVER.end();
    servers::mariadb::SERVER.end();
    conclusion.exit();
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
