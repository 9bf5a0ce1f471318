//! Each backend: opened as a node opens it, tried in a namespace of its own, and tidied.

use super::Kind;
use super::cases::{self, Watch};
use super::report::{BackendReport, Caps};
use crate::config::{Settings, without_password};
use crate::failure::{Failure, Outcome};
use crate::wiring;
use anyhow::anyhow;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use printmill_backend::{Blobs, Database, PaymentGateway, Queue};
use printmill_conformance::{
    OwnLanes, Subject, blobs_cases, database_cases, gateway_cases, queue_cases,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the lanes may take to be emptied after a case.
const EMPTY_LIMIT: Duration = Duration::from_secs(20);
/// How many files a case may leave behind at most; beyond it, somebody else is at work.
const FILES_MAX: usize = 1000;

/// Checks those that are wanted, at the same time.
pub(super) async fn check(
    settings: &Settings,
    name: &str,
    wanted: &impl Fn(Kind) -> bool,
    watch: &Watch,
) -> Vec<BackendReport> {
    let (database, queue, blobs, payments) = tokio::join!(
        async { if wanted(Kind::Database) { Some(database(settings, watch).await) } else { None } },
        async { if wanted(Kind::Queue) { Some(queue(settings, name, watch).await) } else { None } },
        async { if wanted(Kind::Blobs) { Some(blobs(settings, name, watch).await) } else { None } },
        async { if wanted(Kind::Payments) { Some(payments(settings, watch).await) } else { None } },
    );
    [database, queue, blobs, payments].into_iter().flatten().collect()
}

/// A report of a backend that could not be opened, or of what its cases said.
async fn reported(
    kind: Kind,
    address: &str,
    checked: impl Future<Output = Outcome<Checked>>,
) -> BackendReport {
    let began = Instant::now();
    let checked = checked.await;
    let (caps, cases, left, error) = match checked {
        Ok(Checked { caps, cases, left }) => (Some(caps), cases, left, None),
        Err(error) => (None, vec![], vec![], Some(error)),
    };
    let passed = error.is_none() && cases.iter().all(|case| case.ending.passed());
    BackendReport {
        backend: kind,
        address: without_password(address).into_owned(),
        passed,
        seconds: began.elapsed().as_secs_f64(),
        caps,
        cases,
        left,
        error,
    }
}

/// What came of a backend that could be opened.
struct Checked {
    caps: Caps,
    cases: Vec<super::report::CaseReport>,
    left: Vec<String>,
}

fn unsuited(error: anyhow::Error) -> Failure {
    Failure::new(
        printmill_domain::problem::Code::Internal,
        format!("the cases cannot be gathered: {error:#}"),
        "report this",
    )
}

async fn database(settings: &Settings, watch: &Watch) -> BackendReport {
    let checked = async {
        let database = wiring::open_database(settings).await?;
        let make = || {
            let again = settings.clone();
            let subject: Subject<dyn Database> = Subject::of(database.clone());
            subject.opened_by(move || {
                let settings = again.clone();
                async move { wiring::open_database(&settings).await.map_err(plain) }
            })
        };
        let cases = database_cases(&make()).map_err(unsuited)?;
        let cases = cases::run("database", cases, watch, make, async || ()).await;
        Ok(Checked { caps: Caps::Database(database.caps().clone()), cases, left: vec![] })
    };
    reported(Kind::Database, settings.database(), checked).await
}

async fn queue(settings: &Settings, name: &str, watch: &Watch) -> BackendReport {
    let checked = async {
        let queue = wiring::open_queue(settings).await?;
        let lanes = Arc::new(OwnLanes::new(queue.clone(), name));
        // What a check of the same name left there when it was killed is none of this one's cases'.
        let made = lanes.make().await;
        made.map_err(|error| Failure::backend("queue", settings.queue(), &error))?;
        lanes.empty(EMPTY_LIMIT).await;
        let make = || {
            let (again, own) = (settings.clone(), lanes.clone());
            let subject: Subject<dyn Queue> = Subject::of(lanes.clone());
            subject.opened_by(move || {
                let (settings, own) = (again.clone(), own.clone());
                async move {
                    let another = wiring::open_queue(&settings).await.map_err(plain)?;
                    Ok(Arc::new(own.by(another)) as Arc<dyn Queue>)
                }
            })
        };
        let cases = queue_cases(&make()).map_err(unsuited)?;
        let left = std::cell::Cell::new(0);
        let tidy = async || left.set(left.get() + lanes.tidy(EMPTY_LIMIT).await);
        let cases = cases::run("queue", cases, watch, make, tidy).await;
        let left = match left.get() + lanes.empty(EMPTY_LIMIT).await {
            0 => vec![],
            count => vec![format!("{count} messages in lanes that begin with {name}")],
        };
        Ok(Checked { caps: Caps::Queue(queue.caps().clone()), cases, left })
    };
    reported(Kind::Queue, settings.queue(), checked).await
}

async fn blobs(settings: &Settings, name: &str, watch: &Watch) -> BackendReport {
    // What a check that was killed leaves there is swept as uploads that broke off are.
    let place: Path = ["quarantine", name].into_iter().collect();
    let checked = async {
        let opened = wiring::open_blobs(settings).await?;
        let probed = opened.probe().await;
        probed.map_err(|error| Failure::backend("blobs", settings.blobs(), &error))?;
        let own = Arc::new(opened.below(&place));
        let make = || {
            let (again, place) = (settings.clone(), place.clone());
            let subject: Subject<Blobs> = Subject::of(own.clone());
            subject.opened_by(move || {
                let (settings, place) = (again.clone(), place.clone());
                async move {
                    let opened = wiring::open_blobs(&settings).await.map_err(plain)?;
                    Ok(Arc::new(opened.below(&place)))
                }
            })
        };
        let cases = blobs_cases(&make()).map_err(unsuited)?;
        let cases = cases::run("blobs", cases, watch, make, async || remove_all(&own).await).await;
        if let Some(folder) = crate::setup::place::file(settings.blobs()) {
            // Directories are no files: they would stay.
            let _ = tokio::fs::remove_dir_all(folder.join("quarantine").join(name)).await;
        }
        let left = match own.store().list(None).next().await {
            None => vec![],
            Some(_) => vec![format!("files below {place}, which are swept after a day")],
        };
        let signs = opened.signs();
        Ok(Checked { caps: Caps::Blobs { caps: opened.caps().clone(), signs }, cases, left })
    };
    reported(Kind::Blobs, settings.blobs(), checked).await
}

/// Removes what is below a place of one's own.
async fn remove_all(own: &Blobs) {
    let listed = own.store().list(None).take(FILES_MAX).map_ok(|found| found.location);
    let listed: Result<Vec<Path>, _> = listed.try_collect().await;
    for path in listed.unwrap_or_default() {
        // What cannot be removed is reported as left behind.
        let _ = own.store().delete(&path).await;
    }
}

async fn payments(settings: &Settings, watch: &Watch) -> BackendReport {
    let address = settings.payments.as_str();
    let checked = async {
        let gateway = wiring::open_payments(address)?;
        let make = || -> Subject<dyn PaymentGateway> { Subject::of(gateway.clone()) };
        let methods = wiring::methods_without_money(address);
        let cases = methods.map(|methods| gateway_cases(methods, false)).unwrap_or_default();
        let cases = cases::run("payments", cases, watch, make, async || ()).await;
        Ok(Checked { caps: Caps::Payments(gateway.name()), cases, left: vec![] })
    };
    reported(Kind::Payments, address, checked).await
}

fn plain(failure: Failure) -> anyhow::Error {
    let causes = failure.causes.into_iter().map(|cause| format!(": {cause}"));
    anyhow!("{}{}", failure.message, causes.collect::<String>())
}
