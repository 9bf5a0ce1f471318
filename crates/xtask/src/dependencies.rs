//! The dependency rules against the real workspace, and the committed picture of the graph.

use std::path::Path;

use anyhow::{Context, Result};

use crate::report::Findings;
use crate::rules;
use crate::workspace::{self, Crate};

/// Where the graph is committed, so that a change of it shows in review.
const SNAPSHOT: &str = "crates/xtask/dependencies.txt";

/// Every broken dependency rule, and whether the graph is the committed one.
/// With `bless`, the committed graph is written anew.
pub(crate) fn check(root: &Path, bless: bool) -> Result<Findings> {
    let crates = workspace::crates(root)?;
    let mut findings = Findings::default();
    for violation in rules::violations(&crates) {
        findings.add(violation);
    }
    let actual = graph(&crates);
    let snapshot = root.join(SNAPSHOT);
    if bless {
        std::fs::write(&snapshot, &actual).with_context(|| format!("cannot write {SNAPSHOT}"))?;
    }
    let committed = std::fs::read_to_string(&snapshot).unwrap_or_default();
    let changes = changes(&committed, &actual);
    if !changes.is_empty() {
        findings.add(format!(
            "{SNAPSHOT} is not the graph any more:\n    {}\n    \
             if the change is wanted: cargo xtask dependencies --bless",
            changes.join("\n    ")
        ));
    }
    Ok(findings)
}

/// The graph as text: a line per crate, sorted, with the crates that it is built with.
fn graph(crates: &[Crate]) -> String {
    let mut lines: Vec<String> = crates
        .iter()
        .map(|it| {
            let imports: Vec<&str> = it.imports.iter().map(String::as_str).collect();
            format!("{} -> {}", it.name, imports.join(" ")).trim_end().to_owned()
        })
        .collect();
    lines.sort();
    lines.join("\n") + "\n"
}

/// The lines that left (`-`) and came (`+`).
fn changes(committed: &str, actual: &str) -> Vec<String> {
    let gone = committed.lines().filter(|line| !actual.lines().any(|other| other == *line));
    let new = actual.lines().filter(|line| !committed.lines().any(|other| other == *line));
    gone.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house_crate(name: &str, imports: &[&str]) -> Crate {
        Crate {
            name: name.to_owned(),
            imports: imports.iter().map(|&it| it.to_owned()).collect(),
            ..Crate::default()
        }
    }

    #[test]
    fn the_graph_is_sorted_text() {
        let crates = [house_crate("b", &["z", "a"]), house_crate("a", &[])];
        assert_eq!(graph(&crates), "a ->\nb -> a z\n");
    }

    #[test]
    fn a_changed_line_shows_before_and_after() {
        assert_eq!(changes("a ->\nb -> a\n", "a ->\nb -> a c\n"), ["- b -> a", "+ b -> a c"]);
        assert_eq!(changes("a ->\n", "a ->\n"), [""; 0]);
    }

    #[test]
    fn the_workspace_keeps_its_dependency_rules() -> Result<()> {
        check(&workspace::root(), false)?.into_result()
    }
}
