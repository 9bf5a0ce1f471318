//! Configuration: defaults, then `printmill.toml`, then `PRINTMILL_…`, then flags.
//!
//! What can be set is in [`settings`]; here it is read, and what is wrong is said.

mod address;
mod backends;
mod settings;
mod sources;
mod supervision;
mod turns;

pub(crate) use address::without_password;
pub(crate) use settings::{Flags, LogFormat, Role, Roles, SETTINGS, Settings, Switch};

use crate::failure::{Failure, Outcome};
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use sources::Texts;
use std::path::{Path, PathBuf};

/// The file that is read when it is there and `--config` names no other.
const FILE: &str = "printmill.toml";
/// Variables with our prefix that are no settings of a node.
const OF_CLIENTS: [&str; 3] = ["server", "key", "operator_key"];

/// The settings as they take effect, and where each came from.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The settings.
    pub(crate) settings: Settings,
    figment: Figment,
}

impl Config {
    /// Reads the configuration of this process.
    pub(crate) fn load(file: Option<&Path>, flags: &Flags) -> Outcome<Self> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::read(file, variables, flags)
    }

    fn read(file: Option<&Path>, variables: Vec<(String, String)>, flags: &Flags) -> Outcome<Self> {
        let path = file.map_or_else(|| PathBuf::from(FILE), Path::to_owned);
        if file.is_some() && !path.is_file() {
            return Err(Failure::configuration(
                format!("there is no configuration file {}", path.display()),
                "check --config; without it, ./printmill.toml is read when it is there",
            ));
        }
        let mut figment = Figment::from(Serialized::defaults(Settings::default()));
        if path.is_file() {
            figment = figment.merge(Toml::file_exact(&path));
        }
        let figment = figment
            .merge(Texts::variables(variables, &OF_CLIENTS))
            .merge(Texts::flags(flags.given()));
        let settings: Settings = figment.extract().map_err(|error| explain(&error))?;
        let settings = settings.completed()?;
        Ok(Self { settings, figment })
    }

    /// Where a setting came from: `default`, a file, a variable or a flag.
    pub(crate) fn origin(&self, key: &str) -> String {
        let Some(metadata) = self.figment.find_metadata(key) else { return "default".into() };
        match &metadata.source {
            Some(figment::Source::File(path)) => path.display().to_string(),
            _ if metadata.name.contains("Settings") => "default".into(),
            _ => metadata.interpolate(&figment::Profile::Default, &[key]),
        }
    }
}

/// Says which setting is wrong, where, and what would be right.
fn explain(error: &figment::Error) -> Failure {
    let key = error.path.join(".");
    let place = error.metadata.as_ref().map(|metadata| match &metadata.source {
        Some(figment::Source::File(path)) => format!(" in {}", path.display()),
        _ => format!(" from {}", metadata.interpolate(&figment::Profile::Default, &[&key])),
    });
    let place = place.unwrap_or_default();
    let known = || SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>();
    match &error.kind {
        Kind::UnknownField(name, _) => {
            let near = nearest(name, &known());
            let hint = near.map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
            Failure::configuration(
                format!("there is no setting '{name}'{place}"),
                format!("{hint}the settings are: {}", known().join(", ")),
            )
        }
        Kind::Message(text) if key.is_empty() => Failure::configuration(
            format!("the configuration{place} cannot be read: {}", text.trim()),
            "correct the file at the place named",
        ),
        kind => Failure::configuration(
            format!("the setting '{key}'{place} is wrong: {kind}"),
            match SETTINGS.iter().find(|setting| setting.key == key) {
                Some(setting) => format!("{key}: {}", setting.doc),
                None => "see `printmill config --reference`".into(),
            },
        ),
    }
}

/// The known name that is at most two typing errors away.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let rated = known.iter().map(|other| (distance(name, other), *other));
    rated.filter(|(distance, _)| *distance <= 2).min().map(|(_, other)| other)
}

/// The number of letters to insert, remove or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests;
