//! A running node: its roles on one set of backends, in one process.

use crate::bootstrap;
use crate::config::{Role, Settings};
use crate::failure::{Failure, Outcome};
use crate::roles;
use crate::roles::supervisor::Program;
use crate::supervised::Parent;
use crate::telemetry::Telemetry;
use crate::wiring::Backends;
use printmill_domain::problem::Code;
use printmill_engine::metrics::Metrics;
use printmill_engine::subscription::SubscriptionMetrics;
use printmill_resilience::Resilience;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

/// A node that has its port and its backends, and is ready to run.
pub(crate) struct Node {
    settings: Settings,
    backends: Backends,
    telemetry: Telemetry,
    listener: Option<TcpListener>,
    status: Option<TcpListener>,
    public_url: Url,
    parent: Option<Parent>,
    program: Option<Program>,
}

impl Node {
    /// Takes the port, opens the backends and puts in what every node needs.
    pub(crate) async fn open(settings: Settings, telemetry: Telemetry) -> Outcome<Self> {
        let listener = match settings.roles.has(Role::Api) {
            true => Some(listen("listen", settings.listen).await?),
            false => None,
        };
        let status = match settings.status_listen {
            Some(address) => Some(listen("status_listen", address).await?),
            None => None,
        };
        let resilience = Resilience::register(&telemetry.registry).map_err(unregistered)?;
        let backends = crate::wiring::open(&settings, resilience).await?;
        bootstrap::seed_facilities(backends.database.as_ref(), backends.clock.now()).await?;
        bootstrap::seed_schedules(&settings, backends.database.as_ref(), backends.clock.now())
            .await?;
        let bound = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let public_url = match &settings.public_url {
            Some(url) => url.clone(),
            None => format!("http://{}", bound.unwrap_or(settings.listen)),
        };
        let public_url = Url::parse(&public_url).map_err(|error| {
            let message = format!("the setting 'public_url' = {public_url} is wrong: {error}");
            Failure::configuration(message, "write it like https://print.example")
        })?;
        let (parent, program) = (None, None);
        Ok(Self { settings, backends, telemetry, listener, status, public_url, parent, program })
    }

    /// A supervisor started it.
    pub(crate) fn supervised_by(self, parent: Option<Parent>) -> Self {
        Self { parent, ..self }
    }

    /// How its supervisor, if it runs that role, starts workers.
    pub(crate) fn supervising(self, program: Option<Program>) -> Self {
        Self { program, ..self }
    }

    /// The address that it listens on, if it serves clients.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Its backends.
    pub(crate) fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Runs its roles until `shutdown`, then drains. A role that fails stops the others.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Outcome {
        let registry = &self.telemetry.registry;
        let metrics = Metrics::register(registry).map_err(unregistered)?;
        let consumed = SubscriptionMetrics::register(registry).map_err(unregistered)?;
        let (listener, status) = (self.listener.take(), self.status.take());
        let serving = async {
            let Some(listener) = listener else { return Ok(()) };
            let Self { settings, backends, telemetry, public_url, .. } = &self;
            let served =
                roles::api::run(settings, backends, telemetry, public_url, listener, &shutdown);
            let served = served.await;
            shutdown.cancel();
            served
        };
        let turns = self.settings.turn_policy()?;
        let working = async {
            if self.settings.roles.has(Role::Worker) {
                let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
                let Self { settings, backends, parent, .. } = &self;
                roles::worker::run(settings, backends, metrics, parent.as_ref(), shutdown).await;
            }
        };
        let dispatching = async {
            if self.settings.roles.has(Role::Dispatcher) {
                let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
                let consumed = consumed.clone();
                roles::dispatcher::run(&self.backends, turns, metrics, consumed, shutdown).await;
            }
        };
        let supervising = async {
            let Some(program) = self.program.clone() else { return Ok(()) };
            let Self { settings, backends, telemetry, .. } = &self;
            let (registry, stopping) = (&telemetry.registry, shutdown.clone());
            let supervised =
                roles::supervisor::run(settings, backends, program, registry, stopping).await;
            shutdown.cancel();
            supervised
        };
        let roles = async {
            let (served, (), (), supervised) =
                tokio::join!(serving, working, dispatching, supervising);
            served.and(supervised)
        };
        let ended = CancellationToken::new();
        let status = async {
            let Some(listener) = status else { return };
            let (database, text) = (self.backends.database.clone(), self.telemetry.metrics_text());
            let (stopping, ended) = (shutdown.clone(), ended.clone().cancelled_owned());
            let unanswered = Some(self.backends.unanswered());
            printmill_api::serve_status(listener, database, text, unanswered, stopping, ended)
                .await;
        };
        let outcome = async {
            let _ended = ended.clone().drop_guard();
            roles.await
        };
        tokio::join!(outcome, status).0
    }
}

fn unregistered(error: prometheus::Error) -> Failure {
    let message = format!("the counters cannot be registered: {error}");
    Failure::new(Code::Internal, message, "report this")
}

async fn listen(setting: &str, address: SocketAddr) -> Outcome<TcpListener> {
    let (flag, variable) = (setting.replace('_', "-"), setting.to_uppercase());
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::new(
            Code::AddressInUse,
            format!("another program listens on {address}"),
            format!(
                "stop it, or listen elsewhere with --{flag} 127.0.0.1:PORT (PRINTMILL_{variable}); \
                 port 0 takes a free one"
            ),
        ),
        _ => Failure::configuration(
            format!("cannot listen on '{setting}' = {address}: {error}"),
            "use an address of this machine and a port that this user may take",
        ),
    })
}
