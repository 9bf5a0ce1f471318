//! What is read from where, what wins, and what is said of what is wrong.

use super::*;
use std::io::Write;

struct Given {
    file: Option<tempfile::NamedTempFile>,
    variables: Vec<(String, String)>,
    flags: Flags,
}

impl Given {
    fn nothing() -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"").unwrap();
        Self { file: Some(file), variables: vec![], flags: Flags::default() }
    }

    fn file(mut self, text: &str) -> Self {
        self.file.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn read(&self) -> Outcome<Config> {
        let path = self.file.as_ref().map(|file| file.path());
        Config::read(path, self.variables.clone(), &self.flags)
    }

    fn refused(&self) -> Failure {
        let failure = self.read().unwrap_err();
        assert_eq!(failure.code, "CONFIGURATION_INVALID", "{failure:?}");
        assert!(!failure.advice.is_empty());
        failure
    }
}

#[test]
fn nothing_at_all_means_local_disk() {
    let config = Given::nothing().read().unwrap();
    let settings = &config.settings;
    let data = std::env::current_dir().unwrap().join("printmill-data");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:7070");
    assert_eq!(settings.database(), format!("sqlite://{}/printmill.db", data.display()));
    assert_eq!(settings.queue(), format!("sqlite://{}/queue.db", data.display()));
    assert_eq!(settings.blobs(), format!("file://{}/blobs", data.display()));
    assert!(settings.roles.are_all());
    assert_eq!(config.origin("listen"), "default");
}

#[test]
fn the_file_wins_over_defaults_the_environment_over_the_file_flags_over_all() {
    let mut given = Given::nothing().file("listen = \"127.0.0.1:1\"\ndrain_seconds = 5\n");
    let config = given.read().unwrap();
    assert_eq!((config.settings.listen.port(), config.settings.drain_seconds), (1, 5));
    assert!(config.origin("listen").starts_with('/'));

    given = given.variable("PRINTMILL_LISTEN", "127.0.0.1:2");
    let config = given.read().unwrap();
    assert_eq!(config.settings.listen.port(), 2);
    assert_eq!(config.origin("listen"), "PRINTMILL_LISTEN");

    given.flags.listen = Some("127.0.0.1:3".into());
    let config = given.read().unwrap();
    assert_eq!(config.settings.listen.port(), 3);
    assert_eq!(config.origin("listen"), "--listen");
    assert_eq!(config.settings.drain_seconds, 5);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let failure = Given::nothing().file("lisen = \"127.0.0.1:1\"").refused();
    assert!(failure.message.contains("no setting 'lisen'"), "{failure:?}");
    assert!(failure.advice.contains("did you mean 'listen'?"), "{failure:?}");
    let failure = Given::nothing().variable("PRINTMILL_QUEU", "memory://").refused();
    assert!(failure.message.contains("'queu'"), "{failure:?}");
    assert!(failure.message.contains("PRINTMILL_"), "{failure:?}");
}

#[test]
fn variables_of_the_client_commands_are_no_settings() {
    let given = Given::nothing()
        .variable("PRINTMILL_KEY", "pmk_x")
        .variable("PRINTMILL_SERVER", "http://127.0.0.1:1")
        .variable("HOME", "/");
    assert!(given.read().is_ok());
}

#[test]
fn a_wrong_value_is_named_with_what_the_setting_means() {
    let failure = Given::nothing().file("listen = \"localhost\"").refused();
    assert!(failure.message.contains("'listen'"), "{failure:?}");
    assert!(failure.advice.contains("listens on"), "{failure:?}");
    let failure = Given::nothing().variable("PRINTMILL_DRAIN_SECONDS", "soon").refused();
    assert!(failure.message.contains("PRINTMILL_DRAIN_SECONDS"), "{failure:?}");
    let failure = Given::nothing().file("listen = [").refused();
    assert!(failure.message.contains("cannot be read"), "{failure:?}");
    let failure = Given::nothing().file("drain_seconds = 4000").refused();
    assert!(failure.message.contains("drain_seconds"), "{failure:?}");
}

#[test]
fn limits_of_backends_have_bounds() {
    let config = Given::nothing().file("blobs_seconds = 5\nblobs_at_once = 2\n");
    let limits = config.read().unwrap().settings.backend_limits();
    assert_eq!((limits.blobs.timeout.as_secs(), limits.blobs.at_once), (5, 2));
    assert_eq!((limits.database.timeout.as_secs(), limits.database.at_once), (20, 256));
    for backend in ["database", "queue", "blobs", "payments"] {
        for wrong in ["seconds = 0", "seconds = 3601", "at_once = 0"] {
            let failure = Given::nothing().file(&format!("{backend}_{wrong}")).refused();
            assert!(failure.message.contains(&format!("'{backend}_")), "{failure:?}");
        }
    }
}

#[test]
fn memory_cannot_be_shared_between_processes() {
    for key in ["database", "queue", "blobs"] {
        let text = format!("{key} = \"memory://\"\nroles = [\"api\"]");
        let failure = Given::nothing().file(&text).refused();
        assert!(failure.message.contains(&format!("'{key}'")), "{failure:?}");
        assert!(failure.message.contains("'roles'"), "{failure:?}");
        assert!(Given::nothing().file(&format!("{key} = \"memory://\"")).read().is_ok());
    }
}

#[test]
fn listening_everywhere_needs_an_address_for_links() {
    let given = Given::nothing().file("listen = \"0.0.0.0:7070\"\n");
    assert!(given.refused().advice.contains("public_url"));
    assert!(given.file("public_url = \"https://print.example\"\n").read().is_ok());
    let failure = Given::nothing().file("public_url = \"print.example\"").refused();
    assert!(failure.message.contains("public_url"));
}

#[test]
fn roles_come_as_a_list_or_as_text() {
    let text = Given::nothing().variable("PRINTMILL_ROLES", "worker, api").read().unwrap();
    let list = Given::nothing().file("roles = [\"api\", \"worker\", \"api\"]").read().unwrap();
    assert_eq!(text.settings.roles, list.settings.roles);
    assert_eq!(text.settings.roles.to_string(), "api,worker");
    let failure = Given::nothing().variable("PRINTMILL_ROLES", "apy").refused();
    assert!(failure.message.contains("'apy'"), "{failure:?}");
    Given::nothing().file("roles = []").refused();
}

#[test]
fn a_supervisor_starts_processes_and_so_needs_backends_that_they_share() {
    let roles = "roles = [\"api\", \"worker\", \"dispatcher\", \"supervisor\"]\n";
    let config = Given::nothing().file(roles).read().unwrap();
    assert!(!config.settings.roles.are_all());
    let failure = Given::nothing().file(roles).file("queue = \"memory://\"").refused();
    assert!(failure.message.contains("'queue'"), "{failure:?}");
}

#[test]
fn there_are_bounds_on_workers_and_none_are_kept_unless_asked_for() {
    let policy = Given::nothing().read().unwrap().settings.scaling_policy(4);
    assert_eq!((policy.workers_min, policy.concurrency), (0, 4));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(policy.workers_max as usize, cores.min(256));
    let given = Given::nothing().file("workers_min = 200\ntarget_wait_seconds = 7");
    let policy = given.read().unwrap().settings.scaling_policy(1);
    assert!(policy.workers_max >= 200 && policy.target_wait.as_secs() == 7, "{policy:?}");
    for wrong in [
        "workers_max = 0",
        "workers_max = 257",
        "workers_min = 257",
        "workers_min = 3\nworkers_max = 2",
        "target_wait_seconds = 86401",
    ] {
        let failure = Given::nothing().file(wrong).refused();
        assert!(failure.message.contains(wrong.split(' ').next().unwrap()), "{failure:?}");
    }
}

#[test]
fn a_signing_key_has_32_bytes() {
    let good = format!("signing_key = \"{}\"", "0f".repeat(32));
    assert!(Given::nothing().file(&good).read().is_ok());
    let failure = Given::nothing().file("signing_key = \"hunter2\"").refused();
    assert!(!failure.message.contains("hunter2"), "{failure:?}");
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_named() {
    let missing = Path::new("/nonexistent/printmill.toml");
    let failure = Config::read(Some(missing), vec![], &Flags::default()).unwrap_err();
    assert!(failure.message.contains("/nonexistent/printmill.toml"));
    assert!(Config::read(None, vec![], &Flags::default()).is_ok());
}

#[test]
fn every_setting_is_described() {
    let serialized = serde_json::to_value(Settings::default()).unwrap();
    let keys: Vec<&String> = serialized.as_object().unwrap().keys().collect();
    for key in &keys {
        assert!(SETTINGS.iter().any(|setting| setting.key == key.as_str()), "{key}");
    }
    assert_eq!(keys.len(), SETTINGS.len());
    for setting in SETTINGS {
        assert!(!setting.doc.ends_with('.') && !setting.doc.contains("  "), "{}", setting.key);
    }
}

#[test]
fn a_cron_line_or_zone_that_is_wrong_is_refused_with_its_own_code() {
    let wrong = [
        ("housekeeping_cron = \"30 25 * * *\"", "SCHEDULE_INVALID"),
        ("housekeeping_zone = \"Europe/Amsterdm\"", "SCHEDULE_INVALID"),
        ("housekeeping_cron = \"0 3 30 2 *\"", "SCHEDULE_NEVER_FIRES"),
        ("keep_events_days = 6", "CONFIGURATION_INVALID"),
        ("keep_requests_days = 0", "CONFIGURATION_INVALID"),
    ];
    for (text, code) in wrong {
        let failure = Given::nothing().file(text).read().unwrap_err();
        assert_eq!(failure.code, code, "{text}: {failure:?}");
        assert!(!failure.advice.is_empty());
    }
}

/// What the Helm chart sets from values of its own, or from Secrets.
const OF_THE_CHART: [&str; 11] = [
    "data",
    "listen",
    "status_listen",
    "public_url",
    "roles",
    "database",
    "queue",
    "blobs",
    "keda",
    "migrate",
    "signing_key",
];

#[test]
fn the_chart_takes_each_setting_and_no_other() {
    let schema = include_str!("../../../../helm/printmill/values.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let taken = schema["definitions"]["settings"]["properties"].as_object().unwrap();
    let keys = SETTINGS.iter().map(|setting| setting.key);
    let mut settings: Vec<&str> = keys.filter(|key| !OF_THE_CHART.contains(key)).collect();
    settings.sort_unstable();
    let mut taken: Vec<&str> = taken.keys().map(String::as_str).collect();
    taken.sort_unstable();
    assert_eq!(taken, settings, "in definitions.settings of helm/printmill/values.schema.json");
}
