//! `printmill demo`: an order from photos to shipped, on one machine, with nothing set up.

mod facilities;
mod journey;
mod photos;
mod proof;
mod screen;
mod summary;

use crate::bootstrap;
use crate::commands::keys;
use crate::config::{Config, Flags, Roles, Settings};
use crate::failure::{Failure, Outcome};
use crate::node::Node;
use crate::output;
use crate::signals::shutdown_on_signal;
use crate::telemetry::{self, LogTo};
use crate::wiring::Backends;
use clap::Args;
use facilities::Facilities;
use journey::Journey;
use printmill_backend::{Clock, Database, SystemClock};
use printmill_client::Client;
use printmill_domain::problem::Code;
use screen::Screen;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The pages of the book.
const PAGES: u32 = 24;
/// The product that is ordered.
const SKU: &str = "photobook-square-210-soft";

/// See an order go from photos to shipped, on this machine, with nothing set up.
#[derive(Debug, Args)]
#[command(after_help = "\
Starts a whole node on a free port, uploads photos, makes a 24-page photobook of them, orders and
pays it (a sandbox takes no money), renders the print-ready PDF, routes it to the nearest facility
that can make it, and lets that facility's client fetch, check, print and ship it. All of it goes
through the public API with API keys, as any other program would.

The PDF stays in the data folder under demo/. The exit code is 0 only if the order was shipped and
the PDF, read again, is valid. It can be run again and again.

With --server it plays on nodes that run already. Its simulated facilities take whatever print jobs
there are, so it is not for a deployment that prints.

Examples:
  printmill demo
  printmill demo --photos ~/Pictures/holiday
  printmill demo --keep                    leave the node running to look around
  printmill demo --server http://127.0.0.1:7070    on nodes that run with this configuration")]
pub(crate) struct DemoArgs {
    /// Your own photos (JPEG or PNG) instead of pictures that it makes itself.
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Nodes that run already, instead of one started here. The keys are made in the database of
    /// the configuration, and revoked afterwards.
    #[arg(long, value_name = "URL", conflicts_with = "keep")]
    server: Option<String>,
    /// Leave the node running afterwards, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Seconds that the simulated press takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=600))]
    press_time: u64,
    /// Seconds after which it gives up.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time_limit: u64,
}

/// Runs the demo.
pub(crate) async fn run(args: &DemoArgs, file: Option<&Path>, json: bool) -> Outcome {
    let flags = Flags {
        data: args.data.as_ref().map(|data| data.display().to_string()),
        listen: Some("127.0.0.1:0".into()),
        ..Flags::default()
    };
    let mut settings = Config::load(file, &flags)?.settings;
    settings.roles = Roles::all();
    settings.public_url = None;
    settings.status_listen = None;
    crate::wiring::make_data_folder(&settings)?;
    let folder = settings.data.join("demo");
    let made = std::fs::create_dir_all(&folder);
    made.map_err(|error| Failure::io("make the folder", &folder, &error))?;
    match &args.server {
        Some(server) => {
            let database = keys::open(file, &flags).await?;
            on_server(args, server, database, folder, json).await
        }
        None => on_own_node(args, settings, folder, json).await,
    }
}

/// Plays on nodes that run already.
async fn on_server(
    args: &DemoArgs,
    server: &str,
    database: Arc<dyn Database>,
    folder: PathBuf,
    json: bool,
) -> Outcome {
    let signalled = shutdown_on_signal()?;
    let screen = Screen::new(json);
    screen.title("Printmill demo: an order, from photos to shipped");
    screen.note(&format!("on the nodes at {server}"));
    let address = server.trim_end_matches('/').to_owned();
    let stage = Stage::prepare(args, address, database, Arc::new(SystemClock), folder).await?;
    let played = stage.play_within_limit(args, &screen, &signalled).await;
    screen.clear();
    stage.facilities.stop().await;
    played.and(stage.revoke_keys().await)
}

/// Plays on a node that is started for it.
async fn on_own_node(args: &DemoArgs, settings: Settings, folder: PathBuf, json: bool) -> Outcome {
    let log_path = folder.join("demo.log");
    let log = std::fs::File::create(&log_path);
    let log = log.map_err(|error| Failure::io("write", &log_path, &error))?;
    let signalled = shutdown_on_signal()?;
    let telemetry = telemetry::start(&settings, LogTo::File(log))?;

    let screen = Screen::new(json);
    screen.title("Printmill demo: an order, from photos to shipped");
    let node = Node::open(settings, telemetry).await?;
    let stop = CancellationToken::new();
    let address = node.address().map(|address| format!("http://{address}")).unwrap_or_default();
    let Backends { database, clock, .. } = node.backends().clone();
    let stage = Stage::prepare(args, address, database, clock, folder).await?;
    screen.note(&format!("node up at {}, log in {}", stage.address, log_path.display()));
    let running = tokio::spawn(node.run(stop.clone()));

    let played = match stage.play_within_limit(args, &screen, &signalled).await {
        Ok(()) if args.keep => {
            stage.show_keys(json);
            signalled.cancelled().await;
            Ok(())
        }
        played => played,
    };
    screen.clear();
    stage.facilities.stop().await;
    let revoked = stage.revoke_keys().await;
    stop.cancel();
    let ran = running.await.unwrap_or_else(|error| {
        Err(Failure::new(Code::Internal, format!("the node broke: {error}"), "see its log"))
    });
    let log_hint = |mut failure: Failure| {
        failure.causes.push(format!("the node's log is {}", log_path.display()));
        failure
    };
    played.and(ran).and(revoked).map_err(log_hint)
}

/// Everything that the demo plays with.
struct Stage {
    address: String,
    folder: PathBuf,
    key: printmill_domain::api_key::PresentedKey,
    client: Client,
    facilities: Facilities,
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
}

impl Stage {
    async fn prepare(
        args: &DemoArgs,
        address: String,
        database: Arc<dyn Database>,
        clock: Arc<dyn Clock>,
        folder: PathBuf,
    ) -> Outcome<Self> {
        let key = bootstrap::demo_key(database.as_ref(), clock.now()).await?;
        let client = Client::connect(&address, Some(&key.reveal()))?;
        let press_time = Duration::from_secs(args.press_time);
        let spool = folder.join("spool");
        let facilities =
            Facilities::with_keys(database.as_ref(), clock.now(), press_time, spool).await?;
        Ok(Self { address, folder, key, client, facilities, database, clock })
    }

    async fn play_within_limit(
        &self,
        args: &DemoArgs,
        screen: &Screen,
        signalled: &CancellationToken,
    ) -> Outcome {
        tokio::select! {
            played = self.play(args, screen) => played,
            () = tokio::time::sleep(Duration::from_secs(args.time_limit)) => Err(too_slow(args)),
            () = signalled.cancelled() => Err(interrupted()),
        }
    }

    async fn play(&self, args: &DemoArgs, screen: &Screen) -> Outcome {
        self.facilities.start(&self.address, screen)?;
        let photos = match &args.photos {
            Some(folder) => photos::found(folder)?,
            None => photos::made(&self.folder.join("photos"), screen).await?,
        };
        let journey = Journey { client: &self.client, screen };
        let (order, mut measured) = journey.travel(&photos).await?;
        let proof = proof::fetch_and_check(&self.client, &order, &self.folder).await?;
        measured.pages = proof.pages;
        screen.clear();
        summary::show(&order, &proof, &measured, screen.json)
    }

    fn show_keys(&self, json: bool) {
        if json {
            return;
        }
        output::next_steps(&[
            (&format!("export PRINTMILL_SERVER={}", self.address), "talk to this node"),
            (&format!("export PRINTMILL_KEY={}", self.key.reveal()), "as the demo's merchant"),
            ("printmill orders list", "from another terminal; Ctrl-C here ends the node"),
        ]);
    }

    /// The demo's keys open nothing afterwards.
    async fn revoke_keys(&self) -> Outcome {
        let ids = self.facilities.key_ids().into_iter().chain([self.key.id.to_string()]);
        for id in ids {
            bootstrap::revoke_key(self.database.as_ref(), &id, self.clock.now()).await?;
        }
        Ok(())
    }
}

fn too_slow(args: &DemoArgs) -> Failure {
    Failure::new(
        Code::Cancelled,
        format!("the order was not shipped within {} s", args.time_limit),
        "see above how far it came; a slow machine may need more with --time-limit",
    )
}

fn interrupted() -> Failure {
    Failure::new(Code::Cancelled, "the demo was interrupted", "run it again when you like")
}
