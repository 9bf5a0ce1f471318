//! The facility's client against the edge: no job that it accepted stays behind.

use crate::world::World;
use printmill_client::Client;
use printmill_client::facility::{FacilityClient, FacilityNote, FacilityOptions, SimulatedPress};
use printmill_domain::ids::MerchantId;
use printmill_domain::order::Order;
use printmill_domain::order_command::OrderCommand;
use printmill_domain::print_job::{PrintJob, PrintJobCommand};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// An acceptance takes effect, and nobody in the facility knows.
async fn accept_unheard(world: &World, merchant: MerchantId, order: &str, job: &str, item: &str) {
    let now = printmill_backend::Clock::now(&*world.clock);
    let item = item.parse().unwrap();
    let accept = OrderCommand::RecordAccepted { item };
    world.change::<Order>(merchant, order, |order| order.decide(accept, now)).await;
    let accept = PrintJobCommand::Accept;
    world.change::<PrintJob>(merchant, job, |job| job.decide(accept, now)).await;
}

#[tokio::test]
async fn a_running_client_takes_up_a_job_whose_acceptance_it_never_heard_of() {
    let world = World::new().await;
    let spool = tempfile::tempdir().unwrap();
    let server = format!("http://{}", world.wire.address);
    let client = Client::connect(&server, Some(&world.facilities[0].1)).unwrap();
    let mut options = FacilityOptions::new(spool.path().to_owned(), "test");
    options.resume = Duration::from_millis(20);
    let press = Arc::new(SimulatedPress { time: Duration::ZERO });
    let (notes, mut heard) = mpsc::unbounded_channel();
    let facility = FacilityClient::new(client, options, press, move |note| {
        let _ = notes.send(note);
    });
    let stop = CancellationToken::new();
    let running = tokio::spawn(facility.run(stop.clone()));
    // The first job says that the client is past its start.
    let first = world.made(0, 0).await;
    let shipped = async |heard: &mut mpsc::UnboundedReceiver<FacilityNote>| loop {
        if let FacilityNote::Shipped(job, _) = heard.recv().await.unwrap() {
            return job.id;
        }
    };
    assert_eq!(shipped(&mut heard).await, first.job);
    let unheard = world.made_unsent(0, 0).await;
    let merchant = world.merchants[0].0;
    accept_unheard(&world, merchant, &unheard.order, &unheard.job, &unheard.item).await;
    assert_eq!(shipped(&mut heard).await, unheard.job);
    stop.cancel();
    running.await.unwrap().unwrap();
}
