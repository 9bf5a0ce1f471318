//! Settings that come as text: from the environment, and from flags.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

const PREFIX: &str = "PRINTMILL_";

/// Settings as text, by key.
pub(super) struct Texts {
    kind: Kind,
    values: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Variables,
    Flags,
}

impl Texts {
    /// The variables with our prefix, those left out that mean something else.
    pub(super) fn variables(variables: Vec<(String, String)>, other: &[&str]) -> Self {
        let named = variables.into_iter().filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX)?.to_lowercase();
            (!other.contains(&key.as_str())).then_some((key, value))
        });
        Self { kind: Kind::Variables, values: named.collect() }
    }

    /// Flags that were given.
    pub(super) fn flags(given: Vec<(&'static str, String)>) -> Self {
        let values = given.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { kind: Kind::Flags, values }
    }
}

impl Provider for Texts {
    fn metadata(&self) -> Metadata {
        match self.kind {
            Kind::Variables => Metadata::named("environment")
                .interpolater(|_, keys| format!("{PREFIX}{}", keys.join("_").to_uppercase())),
            Kind::Flags => Metadata::named("flags")
                .interpolater(|_, keys| format!("--{}", keys.join("-").replace('_', "-"))),
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let values = self.values.iter().map(|(key, text)| {
            // Only what is a number in TOML is one here; an address may look like anything.
            let number = super::SETTINGS.iter().any(|known| known.key == key && known.number);
            let value = match text.parse::<u64>() {
                Ok(count) if number => Value::from(count),
                _ => Value::from(text.clone()),
            };
            (key.clone(), value)
        });
        Ok(Profile::Default.collect(values.collect()))
    }
}
