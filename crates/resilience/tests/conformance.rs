//! Guarded, the memory adapter's backends keep every contract.

use printmill_adapter_memory::{
    MemoryDatabase, MemoryQueue, SandboxGateway, gateway, memory_blobs,
};
use printmill_backend::{Database, PaymentGateway, Queue};
use printmill_conformance::{
    GatewayMethods, Subject, blobs_trials, database_trials, gateway_trials, queue_trials,
};
use printmill_resilience::{Limits, Resilience};
use prometheus::Registry;
use std::sync::Arc;
use std::time::Duration;

/// Few places, so that cases with many calls at once wait in the line.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(60), at_once: 8 };

fn resilience() -> anyhow::Result<Resilience> {
    Ok(Resilience::register(&Registry::new())?)
}

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let methods = GatewayMethods {
        pays: gateway::PAYS,
        declined: gateway::DECLINED,
        unreachable: Some(gateway::UNREACHABLE),
        take_money: false,
    };
    let mut trials = database_trials("guarded", async || {
        let database: Arc<dyn Database> = Arc::new(MemoryDatabase::new());
        Ok(Subject::of(resilience()?.database(database, LIMITS)))
    });
    trials.extend(queue_trials("guarded", async || queue()));
    trials.extend(blobs_trials("guarded", async || {
        Ok(Subject::blobs(resilience()?.blobs(memory_blobs(), LIMITS)))
    }));
    trials.extend(gateway_trials("guarded", methods, async || {
        Ok(Subject::of(gateway()?).opened_by(async || gateway()))
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn queue() -> anyhow::Result<Subject<dyn Queue>> {
    let queue = Arc::new(MemoryQueue::new());
    let guarded = resilience()?.queue(queue.clone(), LIMITS);
    let same = guarded.clone();
    Ok(Subject::of(guarded).wiped_by(move || {
        let (queue, guarded) = (queue.clone(), same.clone());
        async move {
            queue.wipe();
            Ok(guarded)
        }
    }))
}

fn gateway() -> anyhow::Result<Arc<dyn PaymentGateway>> {
    Ok(resilience()?.payments(Arc::new(SandboxGateway::new()), LIMITS))
}
