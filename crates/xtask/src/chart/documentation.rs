//! The chart's README has a row for each value with what it is when nobody sets it, and no other;
//! the services that gRPC's Ingress leads to are those of the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{CHART, Tools};
use crate::report::Findings;

/// Values that have so many parts that they are shown as a whole.
const WHOLE: [&str; 10] = [
    "api.resources",
    "worker.resources",
    "dispatcher.resources",
    "migrations.resources",
    "ingress.annotations",
    "ingress.grpc.annotations",
    "keda.fallback",
    "keda.lanes",
    "worker.settings",
    "settings",
];
/// What a default that is longer is shown as.
const LONG: &str = "see `values.yaml`";
const LENGTH_MAX: usize = 40;

/// Compares README, values and contract.
pub(crate) fn check(tools: &Tools, root: &Path) -> Result<Findings> {
    let chart = root.join(CHART);
    let values = tools.documents(&chart.join("values.yaml"))?;
    let values = values.first().context("values.yaml has values")?;
    let readme = std::fs::read_to_string(chart.join("README.md"))?;
    let mut findings = table(values, &readme);
    let mut services = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("proto/printmill/v1"))? {
        let text = std::fs::read_to_string(entry?.path())?;
        let names =
            text.lines().filter_map(|line| line.strip_prefix("service ")?.split(' ').next());
        services.extend(names.map(|name| format!("printmill.v1.{name}")));
    }
    let listed = values["ingress"]["grpc"]["services"].as_array().into_iter().flatten();
    let listed: BTreeSet<String> =
        listed.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    if listed != services {
        findings.add(format!(
            "{CHART}/values.yaml: ingress.grpc.services must be those of proto/printmill/v1: {services:?}"
        ));
    }
    Ok(findings)
}

fn table(values: &Value, readme: &str) -> Findings {
    let mut findings = Findings::default();
    let wanted = leaves(values);
    let rows: BTreeMap<&str, &str> = readme.lines().filter_map(row).collect();
    for (path, default) in &wanted {
        match rows.get(path.as_str()) {
            None => {
                let row = format!("| `{path}` | … | {default} |");
                findings.add(format!("{CHART}/README.md: add a row: {row}"));
            }
            Some(shown) if shown != default => findings.add(format!(
                "{CHART}/README.md: `{path}` is {default} when nobody sets it, not {shown}"
            )),
            Some(_) => {}
        }
    }
    for path in rows.keys().filter(|path| !wanted.contains_key(**path)) {
        findings.add(format!("{CHART}/README.md: there is no value `{path}`"));
    }
    findings
}

/// A row of the table: the value's path, and what it is when nobody sets it.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ").collect();
    let [path, _, default] = cells[..] else { return None };
    let path = path.trim().strip_prefix('`')?.strip_suffix('`')?;
    Some((path, default.trim()))
}

/// All values, by their paths, with their defaults as they are shown.
fn leaves(values: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), values)];
    while let Some((path, value)) = open.pop() {
        let parts = value.as_object().filter(|parts| !parts.is_empty());
        match parts.filter(|_| !WHOLE.contains(&path.as_str())) {
            Some(parts) => open.extend(parts.iter().map(|(key, value)| {
                (if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value)
            })),
            None => {
                let text = match value {
                    Value::String(text) if text.is_empty() => String::new(),
                    Value::String(text) => format!("`{text}`"),
                    other => format!("`{other}`"),
                };
                let text = if text.len() > LENGTH_MAX { LONG.to_owned() } else { text };
                found.insert(path, text);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_that_says_something_else_is_found() {
        let values = json!({"a": {"b": 1, "c": ""}, "d": {}});
        let good = "| Value | Means | Unset |\n|---|---|---|\n| `a.b` | how many | `1` |\n\
                    | `a.c` | whose |  |\n| `d` | more | `{}` |\n";
        let faults = |readme: &str| table(&values, readme).faults().join("\n");
        assert_eq!(faults(good), "");
        assert!(faults(&good.replace("`1`", "`2`")).contains("`a.b` is `1`"));
        assert!(faults(&good.replace("`d`", "`e`")).contains("add a row: | `d`"));
        assert!(faults(&good.replace("`d`", "`e`")).contains("no value `e`"));
    }
}
