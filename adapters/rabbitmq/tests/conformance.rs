//! RabbitMQ keeps the queue's contract.

use printmill_adapter_rabbitmq::RabbitMqQueue;
use printmill_backend::Queue;
use printmill_conformance::{Subject, queue_trials, stops_its_store};
use printmill_test_servers::rabbitmq::{installed, store};
use printmill_test_servers::{Process, RabbitMq};
use std::sync::{Arc, Mutex, PoisonError};

fn main() -> anyhow::Result<()> {
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = if installed()? { queue_trials("rabbitmq", queue) } else { vec![] };
    libtest_mimic::run(&arguments, trials).exit();
}

/// A queue on the shared server, under names of its own; or on a server of its own, if there is
/// none or the case stops it.
async fn queue() -> anyhow::Result<Subject<dyn Queue>> {
    let server = if stops_its_store() { RabbitMq::start()? } else { RabbitMq::find()? };
    let Some(RabbitMq { address, process, mapper }) = server else {
        anyhow::bail!("the server was there before");
    };
    let names = printmill_backend::fresh::bytes::<8>();
    let prefix: String = names.iter().map(|byte| format!("{byte:02x}")).collect();
    let address = format!("{address}?prefix={prefix}");
    let handle: Arc<dyn Queue> = Arc::new(RabbitMqQueue::open(&address).await?);
    let process = Arc::new(Mutex::new(process));
    let open = move || {
        let address = address.clone();
        async move { Ok(Arc::new(RabbitMqQueue::open(&address).await?) as Arc<dyn Queue>) }
    };
    let (wiped, kept) = (process.clone(), handle.clone());
    let wipe = move || {
        let lost = again(&wiped, |server| Ok(std::fs::remove_dir_all(store(server.folder()))?));
        let kept = kept.clone();
        async move { lost.map(|()| kept) }
    };
    let restarted = process.clone();
    let restart = move || {
        let done = again(&restarted, |_| Ok(()));
        async move { done }
    };
    let subject = Subject::of(handle).opened_by(open).wiped_by(wipe).restarted_by(restart);
    Ok(subject.keeping(mapper).keeping(process))
}

/// Stops the server, does something to it, and starts it again.
fn again(
    server: &Mutex<Option<Process>>,
    meanwhile: impl FnOnce(&Process) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = server.as_mut() else { anyhow::bail!("the server is shared") };
    server.stop()?;
    meanwhile(server)?;
    server.resume()
}
