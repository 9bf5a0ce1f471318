//! JetStream keeps the queue's contract: the oldest server that will do, and the newest.

use printmill_adapter_nats::NatsQueue;
use printmill_backend::Queue;
use printmill_conformance::{Subject, queue_trials};
use printmill_test_servers::nats::{Version, program, store};
use printmill_test_servers::{Nats, Process};
use std::sync::{Arc, Mutex, PoisonError};

fn main() -> anyhow::Result<()> {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = vec![];
    for (name, version) in [("nats-2.9", Version::Debian), ("nats-2.15", Version::Newest)] {
        if program(version)?.is_some() {
            trials.extend(queue_trials(name, move || queue(version)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A queue on a server of its own, which takes no longer to start than a stream to be made.
async fn queue(version: Version) -> anyhow::Result<Subject<dyn Queue>> {
    let Some(Nats { address, process: Some(process) }) = Nats::start(version)? else {
        anyhow::bail!("the server was there before");
    };
    let process = Arc::new(Mutex::new(process));
    let handle = Arc::new(NatsQueue::open(&address).await?);
    let open = move || {
        let address = address.clone();
        async move { Ok(Arc::new(NatsQueue::open(&address).await?) as Arc<dyn Queue>) }
    };
    let (wiped, kept) = (process.clone(), handle.clone());
    // The server loses everything under a queue that stays open.
    let wipe = move || {
        let lost = again(&wiped, |server| Ok(std::fs::remove_dir_all(store(server.folder()))?));
        let kept = kept.clone() as Arc<dyn Queue>;
        async move { lost.map(|()| kept) }
    };
    let restarted = process.clone();
    let restart = move || {
        let done = again(&restarted, |_| Ok(()));
        async move { done }
    };
    let subject = Subject::of(handle as Arc<dyn Queue>);
    Ok(subject.opened_by(open).wiped_by(wipe).restarted_by(restart).keeping(process))
}

/// Stops the server, does something to it, and starts it again.
fn again(
    server: &Mutex<Process>,
    meanwhile: impl FnOnce(&Process) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    server.stop()?;
    meanwhile(&server)?;
    server.resume()
}
