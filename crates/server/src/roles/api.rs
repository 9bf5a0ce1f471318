//! The api role: serves clients.

use crate::bootstrap;
use crate::config::{Settings, Switch};
use crate::failure::{Failure, Outcome};
use crate::telemetry::Telemetry;
use crate::wiring::Backends;
use printmill_api::{ApiOptions, Services};
use printmill_domain::problem::Code;
use printmill_engine::LEASE;
use printmill_engine::command::Commands;
use printmill_engine::lease::Leases;
use printmill_engine::operations::Operations;
use printmill_engine::settle::Settling;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Serves until `shutdown`, then lets requests under way finish within the drain time.
pub(crate) async fn run(
    settings: &Settings,
    backends: &Backends,
    telemetry: &Telemetry,
    public_url: &Url,
    listener: TcpListener,
    shutdown: &CancellationToken,
) -> Outcome {
    let Backends { database, queue, blobs, clock, .. } = backends.clone();
    let commands = Commands::new(database.clone(), clock.clone());
    let leases = Leases::new(database.clone(), queue, clock.clone(), LEASE);
    let services = Services {
        blobs,
        assets: printmill_assets::Assets::new(commands.clone()),
        prints: printmill_prints::Prints::new(commands.clone()),
        orders: printmill_orders::Orders::new(commands.clone()),
        fulfilment: printmill_fulfilment::Fulfilment::new(commands, leases.clone()),
        settling: Settling::new(leases.clone(), super::handlers::all(settings, backends)),
        leases,
        operations: Operations::new(database.clone(), clock.clone()),
        clock,
        database,
    };
    let mut options = ApiOptions::new(public_url.clone(), bootstrap::signing_key(settings)?);
    // Clients have no business with them where those who do have a port of their own.
    options.metrics_text = settings.status_listen.is_none().then(|| telemetry.metrics_text());
    options.registry = Some(telemetry.registry.clone());
    options.unanswered = Some(backends.unanswered());
    options.continue_trace = telemetry.continue_trace.clone();
    options.keda = settings.keda == Switch::On;
    options.drain_timeout = Duration::from_secs(settings.drain_seconds);
    let stopping = shutdown.clone().cancelled_owned();
    let served = printmill_api::serve(listener, services, options, stopping).await;
    served.map_err(|error| {
        Failure::new(Code::Internal, format!("the api cannot be served: {error}"), "report this")
    })
}
