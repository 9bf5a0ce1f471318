//! Everything that can be set, what it means, and what it is when nobody sets it.

use crate::failure::{Failure, Outcome};
use chrono::TimeDelta;
use clap::Args;
use printmill_domain::schedule::Recurrence;
use printmill_engine::housekeeping::Retention;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::net::SocketAddr;
use std::path::PathBuf;
use url::Url;

/// What a setting is called and what it means.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key in the file. The variable is `PRINTMILL_` and the key in capitals; the flag is
    /// the key with hyphens.
    pub(crate) key: &'static str,
    /// What it means.
    pub(crate) doc: &'static str,
    /// An example, as TOML.
    pub(crate) example: &'static str,
    /// Whether it is a number.
    pub(crate) number: bool,
}

macro_rules! settings {
    ($($key:ident: $type:ty, $number:literal, $example:literal, $doc:literal;)*) => {
        /// All settings, in the order in which they are shown.
        pub(crate) const SETTINGS: &[Setting] = &[
            $(Setting {
                key: stringify!($key), doc: $doc, example: $example, number: $number,
            },)*
            Setting { key: "signing_key", doc: SIGNING_KEY, example: "\"64 hex digits\"", number: false },
        ];

        /// The settings as they take effect.
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Settings {
            $(#[doc = $doc] pub(crate) $key: $type,)*
            /// Signs links and lease tokens.
            pub(crate) signing_key: Option<String>,
        }

        /// Settings that are given as flags.
        #[derive(Debug, Clone, Default, Args)]
        #[command(next_help_heading = "Settings")]
        pub(crate) struct Flags {
            $(#[doc = $doc] #[arg(long, value_name = "VALUE")] pub(crate) $key: Option<String>,)*
        }

        impl Flags {
            /// The flags that were given.
            pub(crate) fn given(&self) -> Vec<(&'static str, String)> {
                let all = [$((stringify!($key), self.$key.clone()),)*];
                all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
            }
        }
    };
}

const SIGNING_KEY: &str = "The secret that signs links and lease tokens: 64 hexadecimal digits, \
    the same on all nodes behind one address. Unset: made on the first start and kept in the data \
    folder, readable for this user only";

settings! {
    data: PathBuf, false, "\"./printmill-data\"",
        "The folder for everything that has no address of its own: database, queue, blobs, \
         signing key, files being made";
    listen: SocketAddr, false, "\"127.0.0.1:7070\"",
        "The address and port that the api role listens on";
    status_listen: Option<SocketAddr>, false, "\"127.0.0.1:7071\"",
        "An address and port for those who look after the process, with /healthz, /readyz and \
         /metrics only, whatever its roles. Unset: the api role has them on its own port, and \
         other roles have none";
    public_url: Option<String>, false, "\"https://print.example\"",
        "How clients reach this node; signed links begin with it. Unset: http:// and the address \
         listened on";
    roles: Roles, false, "[\"api\", \"worker\", \"dispatcher\"]",
        "What this process does: any of api, worker, dispatcher, supervisor. As text: api,worker";
    database: Option<String>, false, "\"sqlite:///var/lib/printmill/printmill.db\"",
        "The address of the database: sqlite:///PATH, postgres://USER:PASSWORD@HOST/DATABASE, \
         mysql:// likewise, or memory:// to keep nothing. Unset: printmill.db in the data folder";
    queue: Option<String>, false, "\"sqlite:///var/lib/printmill/queue.db\"",
        "The address of the queue: sqlite:///PATH, nats://, amqp:// (RabbitMQ), sqs://, \
         postgres://, mysql:// or memory://; docs/backends has a page for each. Unset: \
         queue.db in the data folder";
    blobs: Option<String>, false, "\"file:///var/lib/printmill/blobs\"",
        "The address of the store of files: file:///PATH, s3://BUCKET, az://CONTAINER, \
         gs://BUCKET or memory://. Unset: blobs in the data \
         folder";
    shared_files: Switch, false, "\"on\"",
        "Whether every process of this deployment sees the same files at the same paths, since all \
         run on this machine or the folder is a shared file system (never for SQLite): on or off. \
         Needed only for some roles with a path beside an address that other machines reach";
    payments: String, false, "\"sandbox://\"",
        "The payment gateway: sandbox:// takes no money, and declines the method sandbox-declined";
    database_seconds: u64, true, "20",
        "How long the database may take to answer, 1 to 3600. What was not answered may have been \
         done; whoever asked is told to try again";
    database_at_once: u64, true, "256",
        "How many reads of the database may be under way at once, and as many commits, 1 to 65536. \
         Four times as many may wait; more are refused";
    queue_seconds: u64, true, "15",
        "How long the queue may take to answer, 1 to 3600, beyond waiting for messages";
    queue_at_once: u64, true, "256",
        "How many calls to the queue may be under way at once, 1 to 65536, and 16 times as many that \
         wait for messages";
    blobs_seconds: u64, true, "15",
        "How long the store of files may stand still, 1 to 3600. What is sent to it has in addition a \
         second for each 64 KiB, and what it copies or puts together 8 times as long";
    blobs_at_once: u64, true, "64",
        "How many calls to the store of files may be under way at once, 1 to 65536";
    payments_seconds: u64, true, "30",
        "How long the payment gateway may take to answer, 1 to 3600";
    payments_at_once: u64, true, "16",
        "How many charges may be under way at once, 1 to 65536";
    render_concurrency: Option<u64>, true, "2",
        "Files rendered at the same time, 1 to 256. Unset: one for each core, and one in each \
         worker that a supervisor starts";
    workers_min: u64, true, "1",
        "Workers that a supervisor always keeps, 0 to 256";
    workers_max: Option<u64>, true, "8",
        "Workers that a supervisor starts at most, 1 to 256. Unset: one for each core";
    target_wait_seconds: u64, true, "60",
        "A supervisor starts workers so that tickets begin within this time, 0 to 86400";
    limits: Option<String>, false, "\"item.render each at_once=4; payment.charge all per_minute=600\"",
        "How much work may be in work at once or begin in a minute, as KIND WHOSE at_once=N \
         per_minute=N, with semicolons between; KIND may be *, and WHOSE is each (merchant by \
         itself), all (together) or a merchant's id. Unset: no limits";
    weights: Option<String>, false, "\"mer_01kf0000000000000000000000=4\"",
        "How many tickets a round a merchant gets while several wait, as MERCHANT=WEIGHT, with \
         semicolons between. Unset: one each";
    keda: Switch, false, "\"on\"",
        "Whether the api role answers KEDA's external scalers: on or off. They can send no key, so \
         whoever reaches the node learns how many workers it wants";
    migrate: Switch, false, "\"off\"",
        "Whether a node brings the tables of its database up to date when it starts: on or off. If \
         off, a node whose tables are older than it needs does not start, and `printmill migrate` \
         brings them up to date";
    drain_seconds: u64, true, "20",
        "How long running work may go on after the first signal to stop, 0 to 3600";
    spot_notice: Option<String>, false, "\"aws\"",
        "What says that this machine will be taken away soon; the worker role then hands its work \
         back at once. aws and gcp ask the cloud's metadata service, file:///PATH waits for that \
         file, http://… for an answer that is a success. Unset: nothing says so";
    keep_requests_days: u64, true, "30",
        "How long request ids are remembered, 1 to 3650 days; one that comes again later is a new \
         request";
    keep_tickets_days: u64, true, "30",
        "How long tickets that are done are kept, 1 to 3650 days; those that were given up are not \
         deleted";
    keep_events_days: u64, true, "365",
        "How long the event log goes back, 7 to 36500 days";
    keep_workers_days: u64, true, "1",
        "How long workers that are gone stay in the list, 1 to 3650 days";
    housekeeping_cron: String, false, "\"30 3 * * *\"",
        "When that is deleted which is older: minute, hour, day of month, month, day of week";
    housekeeping_zone: String, false, "\"Europe/Amsterdam\"",
        "The time zone of that, by its name in the IANA time zone database";
    log: String, false, "\"info\"",
        "What is logged, as a filter: info, debug, or printmill_engine=debug,warn";
    log_format: LogFormat, false, "\"human\"",
        "How it is logged: human or json";
    otlp_endpoint: Option<String>, false, "\"http://127.0.0.1:4317\"",
        "The OpenTelemetry collector that traces go to, by OTLP over gRPC. Unset: none";
}

/// A part of a node that can run by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Serves clients.
    Api,
    /// Charges, inspects, routes and renders.
    Worker,
    /// Brings tickets to the queue and events into order.
    Dispatcher,
    /// Starts and stops workers on this machine.
    Supervisor,
}

impl Role {
    const ALL: [Role; 4] = [Role::Api, Role::Worker, Role::Dispatcher, Role::Supervisor];
    /// Those that are a node; a supervisor starts more processes.
    const WHOLE: [Role; 3] = [Role::Api, Role::Worker, Role::Dispatcher];

    /// The name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Api => "api",
            Role::Worker => "worker",
            Role::Dispatcher => "dispatcher",
            Role::Supervisor => "supervisor",
        }
    }
}

/// The roles of a process: at least one, each once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Roles(Vec<Role>);

impl Roles {
    /// The roles of a whole node in one process.
    pub(crate) fn all() -> Self {
        Self(Role::WHOLE.to_vec())
    }

    /// Whether a role is one of them.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether they are a whole node, and start no other process.
    pub(crate) fn are_all(&self) -> bool {
        self.0 == Role::WHOLE
    }

    fn named<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut roles = vec![];
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            let role = Role::ALL.into_iter().find(|role| role.name() == name);
            roles.push(role.ok_or_else(|| format!("there is no role '{name}'"))?);
        }
        roles.sort();
        roles.dedup();
        if roles.is_empty() { Err("there is no role in it".into()) } else { Ok(Self(roles)) }
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(|role| role.name()).collect::<Vec<_>>().join(","))
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Roles;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("roles as a list, or as text with commas")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Roles, E> {
                Roles::named(text.split(',')).map_err(E::custom)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Roles, A::Error> {
                let mut names = vec![];
                while let Some(name) = list.next_element::<String>()? {
                    names.push(name);
                }
                Roles::named(names.iter().map(String::as_str)).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object on each line.
    Json,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "./printmill-data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            status_listen: None,
            public_url: None,
            roles: Roles::all(),
            database: None,
            queue: None,
            blobs: None,
            shared_files: Switch::Off,
            payments: "sandbox://".into(),
            database_seconds: 20,
            database_at_once: 256,
            queue_seconds: 15,
            queue_at_once: 256,
            blobs_seconds: 15,
            blobs_at_once: 64,
            payments_seconds: 30,
            payments_at_once: 16,
            render_concurrency: None,
            workers_min: 0,
            workers_max: None,
            target_wait_seconds: 10,
            limits: None,
            weights: None,
            keda: Switch::Off,
            migrate: Switch::On,
            drain_seconds: 20,
            spot_notice: None,
            keep_requests_days: 30,
            keep_tickets_days: 30,
            keep_events_days: 365,
            keep_workers_days: 1,
            housekeeping_cron: "30 3 * * *".into(),
            housekeeping_zone: "UTC".into(),
            log: "info".into(),
            log_format: LogFormat::Human,
            otlp_endpoint: None,
            signing_key: None,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Settings {
    /// The settings with what follows from others filled in, and checked against each other.
    pub(super) fn completed(mut self) -> Outcome<Self> {
        self.data = std::path::absolute(&self.data).map_err(|error| {
            Failure::configuration(format!("'data' is no path: {error}"), "name a folder")
        })?;
        let below = |name: &str| format!("{}/{name}", self.data.display());
        let defaults = [
            (&mut self.database, format!("sqlite://{}", below("printmill.db"))),
            (&mut self.queue, format!("sqlite://{}", below("queue.db"))),
            (&mut self.blobs, format!("file://{}", below("blobs"))),
        ];
        for (setting, default) in defaults {
            setting.get_or_insert(default);
        }
        self.check()?;
        Ok(self)
    }

    /// The address of the database.
    pub(crate) fn database(&self) -> &str {
        self.database.as_deref().unwrap_or_default()
    }

    /// The address of the queue.
    pub(crate) fn queue(&self) -> &str {
        self.queue.as_deref().unwrap_or_default()
    }

    /// The address of the store of files.
    pub(crate) fn blobs(&self) -> &str {
        self.blobs.as_deref().unwrap_or_default()
    }

    /// How long things are kept when they are over.
    pub(crate) fn retention(&self) -> Retention {
        let days = |days: u64| TimeDelta::days(i64::try_from(days).unwrap_or(i64::from(u16::MAX)));
        Retention {
            requests: days(self.keep_requests_days),
            done_tickets: days(self.keep_tickets_days),
            events: days(self.keep_events_days),
            gone_workers: days(self.keep_workers_days),
        }
    }

    fn check_housekeeping(&self) -> Outcome {
        let ranges = [
            ("keep_requests_days", self.keep_requests_days, 1..=3_650),
            ("keep_tickets_days", self.keep_tickets_days, 1..=3_650),
            ("keep_events_days", self.keep_events_days, 7..=36_500),
            ("keep_workers_days", self.keep_workers_days, 1..=3_650),
        ];
        for (key, days, range) in ranges {
            if !range.contains(&days) {
                let advice = format!("use {} to {}", range.start(), range.end());
                return Err(Failure::configuration(format!("'{key}' is out of range"), advice));
            }
        }
        Recurrence::parse(&self.housekeeping_cron, &self.housekeeping_zone)?;
        Ok(())
    }

    fn check(&self) -> Outcome {
        let wrong = |message: String, advice: &str| Err(Failure::configuration(message, advice));
        let addresses =
            [("database", self.database()), ("queue", self.queue()), ("blobs", self.blobs())];
        for (key, address) in addresses {
            if address.starts_with("memory:") && !self.roles.are_all() {
                return wrong(
                    format!(
                        "'{key}' = {address} is one process's own, but 'roles' = {} leaves \
                        work to others",
                        self.roles
                    ),
                    "give the processes an address that they share, or run all roles in one",
                );
            }
        }
        if let Some(url) = &self.public_url {
            let parsed = Url::parse(url);
            if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
                let advice = "write it as clients see it, like https://print.example";
                return wrong(format!("'public_url' = {url} is no web address"), advice);
            }
        }
        if self.roles.has(Role::Api)
            && self.listen.ip().is_unspecified()
            && self.public_url.is_none()
        {
            return wrong(
                format!("'listen' = {} is every address, so links cannot name one", self.listen),
                "set 'public_url' to how clients reach this node",
            );
        }
        if self.render_concurrency.is_some_and(|count| !(1..=256).contains(&count)) {
            return wrong("'render_concurrency' is out of range".into(), "use 1 to 256");
        }
        if self.drain_seconds > 3600 {
            return wrong("'drain_seconds' is out of range".into(), "use 0 to 3600");
        }
        if let Some(notice) = &self.spot_notice
            && crate::spot::Notice::parse(notice).is_none()
        {
            let advice = "write aws, gcp, file:///PATH or an http:// address";
            return wrong(format!("'spot_notice' = {notice} is nothing to ask"), advice);
        }
        self.check_backend_limits()?;
        self.check_supervision()?;
        self.turn_policy()?;
        self.check_housekeeping()?;
        if let Some(key) = &self.signing_key
            && !hex::decode(key).is_ok_and(|bytes| bytes.len() == 32)
        {
            let advice = "write 64 hexadecimal digits, as `openssl rand -hex 32` gives them";
            return wrong("'signing_key' is no key".into(), advice);
        }
        Ok(())
    }
}
