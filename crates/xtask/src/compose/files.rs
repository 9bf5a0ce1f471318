//! Reading the compose files: what each project is when its overlays are laid on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// Turns the YAML files named into one JSON object, with anchors and merge keys followed.
const TO_JSON: &str = "\
import json, sys
from ruamel.yaml import YAML
files = {path: YAML(typ='safe').load(open(path)) for path in sys.argv[1:]}
json.dump(files, sys.stdout, default=str)
";

/// The services of one compose file, laid on its folder's `compose.yaml` if it is an overlay.
#[derive(Debug)]
pub(super) struct Project {
    /// The file.
    pub(super) path: String,
    /// Each service by its name, as it takes effect.
    pub(super) services: BTreeMap<String, Value>,
    /// The folder's `.env.example`, if it has one.
    pub(super) example: String,
}

/// All compose files, by their paths from the root.
pub(super) fn compose_files(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for folder in std::fs::read_dir(root.join("compose"))? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("compose") && name.ends_with(".yaml") {
                paths.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
            }
        }
    }
    paths.sort();
    if paths.is_empty() {
        bail!("there is no compose file");
    }
    Ok(paths)
}

/// Reads them, with a Python that knows YAML.
pub(super) fn read(root: &Path, paths: &[String], mut python: Command) -> Result<Vec<Project>> {
    let output =
        python.args(["-c", TO_JSON]).args(paths).output().context("cannot start Python")?;
    if !output.status.success() {
        bail!("the compose files cannot be read: {}", String::from_utf8_lossy(&output.stderr));
    }
    let files: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout)?;
    paths.iter().map(|path| project(root, &files, path)).collect()
}

fn project(root: &Path, files: &BTreeMap<String, Value>, path: &str) -> Result<Project> {
    let folder = Path::new(path).parent().context("a file is in a folder")?;
    let base = folder.join("compose.yaml").to_string_lossy().into_owned();
    let mut services = services(files.get(&base));
    if base != path {
        for (name, over) in self::services(files.get(path)) {
            let laid = services.entry(name).or_insert(Value::Null);
            *laid = merged(laid.take(), over);
        }
    }
    let example = std::fs::read_to_string(root.join(folder).join(".env.example"));
    Ok(Project { path: path.to_owned(), services, example: example.unwrap_or_default() })
}

fn services(file: Option<&Value>) -> BTreeMap<String, Value> {
    let services = file.and_then(|file| file["services"].as_object()).cloned().unwrap_or_default();
    services.into_iter().collect()
}

/// What a service is when an overlay is laid on it: maps are joined, all else is replaced.
fn merged(below: Value, over: Value) -> Value {
    match (below, over) {
        (Value::Object(below), Value::Object(over)) => {
            let mut joined: Map<String, Value> = below;
            for (key, value) in over {
                let old = joined.remove(&key).unwrap_or_default();
                joined.insert(key, merged(old, value));
            }
            Value::Object(joined)
        }
        (_, over) => over,
    }
}

/// Appends all Rust sources of a folder.
pub(super) fn append_sources(folder: &Path, text: &mut String) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            append_sources(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_overlay_joins_maps_and_replaces_the_rest() {
        let below = json!({"image": "a:1", "environment": {"A": "1", "B": "2"}, "command": ["x"]});
        let over = json!({"environment": {"B": "3"}, "command": ["y", "z"]});
        let both =
            json!({"image": "a:1", "environment": {"A": "1", "B": "3"}, "command": ["y", "z"]});
        assert_eq!(merged(below, over), both);
    }
}
