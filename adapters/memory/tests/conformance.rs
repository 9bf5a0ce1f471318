//! The memory adapter keeps every contract.

use printmill_adapter_memory::{
    ManualClock, MemoryDatabase, MemoryQueue, SandboxGateway, gateway, memory_blobs,
};
use printmill_backend::{Queue, SystemClock};
use printmill_conformance::{
    GatewayMethods, Subject, blobs_trials, clock_trials, database_trials, gateway_trials,
    queue_trials,
};
use std::sync::Arc;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let methods = GatewayMethods {
        pays: gateway::PAYS,
        declined: gateway::DECLINED,
        unreachable: Some(gateway::UNREACHABLE),
        take_money: false,
    };
    let mut trials =
        database_trials("memory", async || Ok(Subject::database(MemoryDatabase::new())));
    trials.extend(queue_trials("memory", async || Ok(queue())));
    trials.extend(blobs_trials("memory", async || Ok(Subject::blobs(memory_blobs()))));
    trials.extend(gateway_trials("sandbox", methods, async || Ok(gateway())));
    trials.extend(clock_trials("manual", Arc::new(ManualClock::default())));
    trials.extend(clock_trials("system", Arc::new(SystemClock)));
    libtest_mimic::run(&arguments, trials).exit();
}

fn queue() -> Subject<dyn Queue> {
    let queue = Arc::new(MemoryQueue::new());
    let store = queue.clone();
    Subject::of(queue as Arc<dyn Queue>).wiped_by(move || {
        let store = store.clone();
        async move {
            store.wipe();
            Ok(store as Arc<dyn Queue>)
        }
    })
}

fn gateway() -> Subject<dyn printmill_backend::PaymentGateway> {
    Subject::gateway(SandboxGateway::new())
        .opened_by(async || Ok(Arc::new(SandboxGateway::new()) as Arc<_>))
}
