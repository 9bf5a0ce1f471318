//! Who may import whom. The rules are pure: they look at a list of crates and name what is wrong.

use std::fmt;

use crate::workspace::Crate;

/// Where a crate stands in the house. Everything it may import follows from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Domain,
    Backend,
    Conformance,
    /// Bytes in, bytes out: `press` and `studio`.
    Pure,
    /// What guards calls to backends.
    Resilience,
    Engine,
    /// One thing that Printmill does: `orders`, `assets` and so on.
    Capability,
    Proto,
    Api,
    Client,
    Console,
    Server,
    Testkit,
    /// Other people's servers, for tests.
    TestServers,
    /// Whole-system tests and measurements: `e2e`, `simulation` and `bench`.
    Suite,
    Adapter,
    Xtask,
}

/// A rule of the house: what it forbids, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// How the rule is called in messages and reviews.
    pub(crate) name: &'static str,
    says: &'static str,
    remedy: &'static str,
}

const PLACED: Rule = Rule {
    name: "placed",
    says: "every crate has a place in the house",
    remedy: "if the crate is needed, give it a place in crates/xtask/src/rules.rs",
};
const NAMED: Rule = Rule {
    name: "named",
    says: "a crate is called printmill-<folder>, printmill-adapter-<folder>; server is printmill",
    remedy: "rename the package or the folder",
};
const DOMAIN_ALONE: Rule = Rule {
    name: "domain-alone",
    says: "domain imports nothing of ours",
    remedy: "pass what the decision needs as a value; the caller loads it",
};
const BACKEND_NARROW: Rule = Rule {
    name: "backend-narrow",
    says: "backend imports only domain",
    remedy: "a contract speaks of domain types and bytes; move the rest to who calls it",
};
const CONFORMANCE_NARROW: Rule = Rule {
    name: "conformance-narrow",
    says: "conformance imports only backend and domain",
    remedy: "test the contract's own words; what the product makes of them is tested in its crate",
};
const PURE_RENDERING: Rule = Rule {
    name: "pure-rendering",
    says: "press and studio import only domain",
    remedy: "take bytes or a reader and give back bytes; storage and queues are the caller's",
};
const RESILIENCE_NARROW: Rule = Rule {
    name: "resilience-narrow",
    says: "resilience imports only backend and domain: it knows no adapter",
    remedy: "guard the contract; what one adapter needs beside it belongs into the adapter",
};
const RESILIENCE_WIRED: Rule = Rule {
    name: "resilience-wired",
    says: "only server puts resilience around backends",
    remedy: "take the contract from backend; server/wiring guards what it opens",
};
const ENGINE_NARROW: Rule = Rule {
    name: "engine-narrow",
    says: "engine imports only backend and domain: it knows nothing of print",
    remedy: "implement engine's Handler in the capability crate instead",
};
const CAPABILITIES_APART: Rule = Rule {
    name: "capabilities-apart",
    says: "no capability crate imports another",
    remedy: "react to the other's events or tickets, or move the shared rule into domain",
};
const CAPABILITY_NARROW: Rule = Rule {
    name: "capability-narrow",
    says: "a capability crate imports only engine, backend, domain, press and studio",
    remedy: "the edge calls the capability, never the other way round",
};
const ADAPTER_NARROW: Rule = Rule {
    name: "adapter-narrow",
    says: "an adapter imports only backend and domain (test crates in its tests)",
    remedy: "fulfil the contract in backend; what several adapters need belongs in backend",
};
const ADAPTERS_UNNAMED: Rule = Rule {
    name: "adapters-unnamed",
    says: "only server, testkit, e2e, simulation and bench name an adapter (others: memory, in tests)",
    remedy: "take the contract from backend as a parameter; server/wiring picks the adapter",
};
const GENERATED_AT_THE_EDGE: Rule = Rule {
    name: "generated-at-the-edge",
    says: "only api and client (and testkit, e2e, bench) import printmill-proto",
    remedy: "translate to domain types in api; use printmill-client to call the API",
};
const EDGE_NARROW: Rule = Rule {
    name: "edge-narrow",
    says: "api imports the product's crates; client, console and proto stand outside of them",
    remedy: "a client knows the public contract only; what it lacks, the API should offer",
};
const TESTS_OUTSIDE: Rule = Rule {
    name: "tests-outside",
    says: "no product crate is built with test crates, server or xtask; server with conformance",
    remedy: "make it a dev-dependency (testkit, conformance) or drop it",
};
const FEATURES_ON_SERVER: Rule = Rule {
    name: "features-on-server",
    says: "cargo features exist only on server, on adapters with several kinds of backends, and on \
           conformance, which server takes without the test harness",
    remedy: "move the choice to server's features, which forward it, or to configuration",
};

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static Rule,
    /// What breaks it: `printmill-domain imports printmill-backend`.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { name, says, remedy } = self.rule;
        write!(formatter, "{}\n    rule {name}: {says}\n    instead: {remedy}", self.what)
    }
}

/// Everything in `crates` that breaks a rule.
pub(crate) fn violations(crates: &[Crate]) -> Vec<Violation> {
    let mut found = Vec::new();
    for importer in crates {
        found.extend(violations_of(importer, crates));
    }
    found
}

fn violations_of(importer: &Crate, crates: &[Crate]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |rule: &'static Rule, what: String| found.push(Violation { rule, what });
    let name = &importer.name;
    let Some(place) = place(&importer.folder) else {
        report(&PLACED, format!("{name} lies in {}, which has no place", importer.folder));
        return found;
    };
    let expected = expected_name(&importer.folder);
    if *name != expected {
        report(&NAMED, format!("{name} in {} should be called {expected}", importer.folder));
    }
    let may_have = matches!(place, Place::Server | Place::Adapter | Place::Conformance);
    if !may_have && !importer.features.is_empty() {
        let features: Vec<&str> = importer.features.iter().map(String::as_str).collect();
        report(&FEATURES_ON_SERVER, format!("{name} has features: {}", features.join(", ")));
    }
    let folder_of = |imported: &str| {
        crates.iter().find(|other| other.name == imported).map(|other| other.folder.as_str())
    };
    for imported in &importer.imports {
        let Some(to) = folder_of(imported).and_then(self::place) else { continue };
        if let Some(rule) = forbidden(place, to) {
            report(rule, format!("{name} imports {imported}"));
        }
    }
    for imported in importer.test_imports.difference(&importer.imports) {
        if imported == name {
            // Its own features, which its tests need all of.
            continue;
        }
        let Some(folder) = folder_of(imported) else { continue };
        let Some(to) = self::place(folder) else { continue };
        if allowed_in_tests(place, to, folder) {
            continue;
        }
        if let Some(rule) = forbidden(place, to) {
            report(rule, format!("{name} imports {imported} in its tests"));
        }
    }
    found
}

fn place(folder: &str) -> Option<Place> {
    Some(match folder {
        "crates/domain" => Place::Domain,
        "crates/backend" => Place::Backend,
        "crates/conformance" => Place::Conformance,
        "crates/press" | "crates/studio" => Place::Pure,
        "crates/resilience" => Place::Resilience,
        "crates/engine" => Place::Engine,
        "crates/accounts" | "crates/assets" | "crates/prints" | "crates/orders"
        | "crates/payments" | "crates/fulfilment" => Place::Capability,
        "crates/proto" => Place::Proto,
        "crates/api" => Place::Api,
        "crates/client" => Place::Client,
        "crates/console" => Place::Console,
        "crates/server" => Place::Server,
        "crates/testkit" => Place::Testkit,
        "crates/test-servers" => Place::TestServers,
        "crates/e2e" | "crates/simulation" | "crates/bench" => Place::Suite,
        "crates/xtask" => Place::Xtask,
        _ if folder.starts_with("adapters/") => Place::Adapter,
        _ => return None,
    })
}

fn expected_name(folder: &str) -> String {
    match folder.split_once('/') {
        Some(("adapters", name)) => format!("printmill-adapter-{name}"),
        Some((_, "xtask")) => "xtask".to_owned(),
        Some((_, "server")) => "printmill".to_owned(),
        Some((_, name)) => format!("printmill-{name}"),
        None => format!("printmill-{folder}"),
    }
}

/// The rule against `from` being built with `to`, if there is one. The most telling rule first.
fn forbidden(from: Place, to: Place) -> Option<&'static Rule> {
    use Place::*;
    let foundation = matches!(to, Domain | Backend);
    match (from, to) {
        (Server | Testkit | Suite, Xtask) => Some(&TESTS_OUTSIDE),
        (Xtask, TestServers) => None,
        (Server, Testkit | TestServers | Suite) => Some(&TESTS_OUTSIDE),
        (Server, Proto) => Some(&GENERATED_AT_THE_EDGE),
        (Server | Testkit | Suite, _) => None,
        (Domain, _) => Some(&DOMAIN_ALONE),
        (Backend, _) => (to != Domain).then_some(&BACKEND_NARROW),
        (Adapter, _) => (!foundation).then_some(&ADAPTER_NARROW),
        (_, Adapter) => Some(&ADAPTERS_UNNAMED),
        (_, Server | Testkit | TestServers | Suite | Conformance | Xtask) => Some(&TESTS_OUTSIDE),
        (Pure, _) => (to != Domain).then_some(&PURE_RENDERING),
        (Api | Client, Proto) => None,
        (_, Proto) => Some(&GENERATED_AT_THE_EDGE),
        (Conformance, _) => (!foundation).then_some(&CONFORMANCE_NARROW),
        (Resilience, _) => (!foundation).then_some(&RESILIENCE_NARROW),
        (Engine, _) => (!foundation).then_some(&ENGINE_NARROW),
        (Capability, Capability) => Some(&CAPABILITIES_APART),
        (Capability, Resilience) => Some(&RESILIENCE_WIRED),
        (Capability, _) => {
            (!foundation && to != Engine && to != Pure).then_some(&CAPABILITY_NARROW)
        }
        (Api, Resilience) => Some(&RESILIENCE_WIRED),
        (Api, Client) => Some(&EDGE_NARROW),
        (Api, _) => None,
        (Client, _) => (to != Domain).then_some(&EDGE_NARROW),
        (Proto | Console | Xtask | TestServers, _) => Some(&EDGE_NARROW),
    }
}

/// What a crate's tests may use beyond what the crate itself is built with.
fn allowed_in_tests(from: Place, to: Place, folder: &str) -> bool {
    match to {
        Place::Testkit => from != Place::Domain && from != Place::Backend,
        Place::TestServers => matches!(from, Place::Adapter | Place::Server),
        Place::Conformance => from != Place::Domain,
        Place::Adapter => folder == "adapters/memory" && from != Place::Domain,
        Place::Client => from == Place::Api,
        Place::Proto => from == Place::Server,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
