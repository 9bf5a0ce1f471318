//! Each rule against a made-up house that breaks it, and a house that breaks none.

use super::*;

/// A crate in `folder`, named as it should be, importing the crates in the folders given.
fn house_crate(folder: &str, imports: &[&str]) -> Crate {
    Crate {
        name: expected_name(folder),
        folder: folder.to_owned(),
        imports: imports.iter().map(|folder| expected_name(folder)).collect(),
        ..Crate::default()
    }
}

fn with_test_imports(mut it: Crate, imports: &[&str]) -> Crate {
    it.test_imports = imports.iter().map(|folder| expected_name(folder)).collect();
    it
}

/// A whole house in order: every kind of crate with all that it may import.
fn sound_house() -> Vec<Crate> {
    let tested = |folder, imports: &[&str]| {
        with_test_imports(
            house_crate(folder, imports),
            &["adapters/memory", "crates/conformance", "crates/testkit"],
        )
    };
    let mut server = house_crate(
        "crates/server",
        &[
            "adapters/memory",
            "adapters/sql",
            "crates/api",
            "crates/client",
            "crates/conformance",
            "crates/resilience",
        ],
    );
    server.features.insert("full".to_owned());
    vec![
        house_crate("crates/domain", &[]),
        with_test_imports(house_crate("crates/backend", &["crates/domain"]), &["adapters/memory"]),
        house_crate("crates/conformance", &["crates/backend", "crates/domain"]),
        house_crate("crates/press", &["crates/domain"]),
        house_crate("crates/studio", &[]),
        tested("crates/engine", &["crates/backend", "crates/domain"]),
        tested("crates/resilience", &["crates/backend", "crates/domain"]),
        tested("crates/assets", &["crates/engine", "crates/backend", "crates/press"]),
        tested("crates/orders", &["crates/engine", "crates/backend", "crates/domain"]),
        house_crate("crates/proto", &[]),
        with_test_imports(
            house_crate("crates/api", &["crates/proto", "crates/orders", "crates/assets"]),
            &["crates/client", "adapters/memory"],
        ),
        house_crate("crates/client", &["crates/proto", "crates/domain"]),
        server,
        house_crate("crates/testkit", &["crates/server", "adapters/sql", "crates/proto"]),
        house_crate("crates/e2e", &["crates/testkit", "crates/proto", "crates/client"]),
        house_crate("crates/bench", &["crates/testkit", "adapters/memory"]),
        house_crate("crates/xtask", &[]),
        tested("adapters/memory", &["crates/backend", "crates/domain"]),
        tested("adapters/sql", &["crates/backend", "crates/domain"]),
    ]
}

/// Puts `changed` in its place in a sound house and gives back the names of the rules it breaks.
fn broken_by(changed: Crate) -> Vec<&'static str> {
    let mut house = sound_house();
    house.retain(|it| it.folder != changed.folder);
    house.push(changed);
    violations(&house).into_iter().map(|violation| violation.rule.name).collect()
}

#[test]
fn a_sound_house_breaks_no_rule() {
    assert_eq!(violations(&sound_house()), vec![]);
}

#[test]
fn crates_that_do_not_exist_yet_are_no_violation() {
    assert_eq!(violations(&sound_house()[..2]), vec![]);
}

#[test]
fn every_forbidden_import_names_its_rule() {
    let cases = [
        ("crates/domain", "crates/press", "domain-alone"),
        ("crates/domain", "adapters/sql", "domain-alone"),
        ("crates/resilience", "crates/engine", "resilience-narrow"),
        ("crates/resilience", "adapters/sql", "adapters-unnamed"),
        ("crates/orders", "crates/resilience", "resilience-wired"),
        ("crates/api", "crates/resilience", "resilience-wired"),
        ("crates/backend", "crates/engine", "backend-narrow"),
        ("crates/conformance", "crates/engine", "conformance-narrow"),
        ("crates/press", "crates/backend", "pure-rendering"),
        ("crates/studio", "crates/press", "pure-rendering"),
        ("crates/engine", "crates/press", "engine-narrow"),
        ("crates/engine", "crates/orders", "engine-narrow"),
        ("crates/orders", "crates/assets", "capabilities-apart"),
        ("crates/orders", "crates/api", "capability-narrow"),
        ("crates/orders", "crates/proto", "generated-at-the-edge"),
        ("crates/server", "crates/proto", "generated-at-the-edge"),
        ("crates/orders", "adapters/memory", "adapters-unnamed"),
        ("crates/api", "adapters/sql", "adapters-unnamed"),
        ("crates/conformance", "adapters/memory", "adapters-unnamed"),
        ("adapters/sql", "adapters/memory", "adapter-narrow"),
        ("adapters/sql", "crates/engine", "adapter-narrow"),
        ("crates/client", "crates/engine", "edge-narrow"),
        ("crates/proto", "crates/domain", "edge-narrow"),
        ("crates/api", "crates/client", "edge-narrow"),
        ("crates/xtask", "crates/domain", "edge-narrow"),
        ("crates/api", "crates/testkit", "tests-outside"),
        ("crates/server", "crates/testkit", "tests-outside"),
        ("crates/engine", "crates/conformance", "tests-outside"),
        ("crates/e2e", "crates/xtask", "tests-outside"),
    ];
    for (from, to, rule) in cases {
        assert_eq!(broken_by(house_crate(from, &[to])), [rule], "{from} imports {to}");
    }
}

#[test]
fn test_imports_are_held_to_the_rules_too() {
    let cases = [
        ("crates/domain", "adapters/memory", "domain-alone"),
        ("crates/orders", "adapters/sql", "adapters-unnamed"),
        ("crates/orders", "crates/assets", "capabilities-apart"),
        ("crates/press", "crates/engine", "pure-rendering"),
    ];
    for (from, to, rule) in cases {
        let changed = with_test_imports(house_crate(from, &[]), &[to]);
        assert_eq!(broken_by(changed), [rule], "{from} imports {to} in its tests");
    }
}

#[test]
fn only_server_and_adapters_have_features() {
    let mut engine = house_crate("crates/engine", &[]);
    engine.features.insert("turbo".to_owned());
    assert_eq!(broken_by(engine), ["features-on-server"]);
}

#[test]
fn a_crate_without_a_place_is_asked_for_one() {
    assert_eq!(broken_by(house_crate("crates/misc", &[])), ["placed"]);
}

#[test]
fn a_crate_is_called_after_its_folder() {
    let mut studio = house_crate("crates/studio", &[]);
    studio.name = "sound".to_owned();
    assert_eq!(broken_by(studio), ["named"]);
}

#[test]
fn a_violation_says_what_the_rule_is_and_what_to_do() {
    let mut house = sound_house();
    house.push(house_crate("crates/payments", &["crates/orders"]));
    let message = violations(&house)[0].to_string();
    assert!(message.contains("printmill-payments imports printmill-orders"), "{message}");
    assert!(message.contains("rule capabilities-apart"), "{message}");
    assert!(message.contains("instead: react to"), "{message}");
}
