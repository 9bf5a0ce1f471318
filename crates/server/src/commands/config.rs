//! `printmill config`: the configuration as it takes effect.

use crate::config::{Config, Flags, SETTINGS, without_password};
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use serde_json::Value;

/// Show the configuration as it takes effect, secrets left out.
#[derive(Debug, Args)]
#[command(after_help = "\
Each setting can be given in ./printmill.toml (or --config FILE), as a variable (PRINTMILL_LISTEN
for 'listen') or as a flag (--listen). Flags win over variables, variables over the file.

Examples:
  printmill config                            what takes effect, and where it came from
  printmill config --reference                all settings and what they mean, as a file to edit
  PRINTMILL_LISTEN=127.0.0.1:8080 printmill config")]
pub(crate) struct ConfigArgs {
    /// Print all settings with what they mean, as a printmill.toml to edit.
    #[arg(long)]
    reference: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Prints the configuration.
pub(crate) fn run(args: &ConfigArgs, file: Option<&std::path::Path>, json: bool) -> Outcome {
    if args.reference {
        for setting in SETTINGS {
            output::line(format!("# {}.", setting.doc));
            output::line(format!("#{} = {}\n", setting.key, setting.example));
        }
        return Ok(());
    }
    let config = Config::load(file, &args.flags)?;
    let mut values = serde_json::json!(config.settings);
    if let Some(values) = values.as_object_mut() {
        for (key, value) in values.iter_mut() {
            redact(key, value);
        }
    }
    if json {
        return output::json(&values);
    }
    let rows: Vec<(String, String)> = SETTINGS
        .iter()
        .map(|setting| {
            let value = &values[setting.key];
            let shown = format!("{} = {value}", setting.key);
            // TOML has no null; a setting that is not there is left out.
            let shown =
                if value.is_null() { format!("#{} is not set", setting.key) } else { shown };
            (shown, config.origin(setting.key))
        })
        .collect();
    let width = rows.iter().map(|(shown, _)| shown.chars().count()).max().unwrap_or(0);
    for (shown, origin) in rows {
        output::line(format!("{shown:width$}  # {origin}"));
    }
    Ok(())
}

/// Hides what nobody may read over a shoulder.
fn redact(key: &str, value: &mut Value) {
    let Some(text) = value.as_str() else { return };
    if key == "signing_key" {
        *value = "(hidden)".into();
    } else {
        *value = without_password(text).into_owned().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        let shown = |key: &str, text: &str| {
            let mut value = Value::from(text);
            redact(key, &mut value);
            value.as_str().unwrap().to_owned()
        };
        assert_eq!(shown("signing_key", "0f0f"), "(hidden)");
        assert_eq!(shown("database", "postgres://me:word@host/x"), "postgres://me:hidden@host/x");
        assert_eq!(shown("database", "mysql://me:wo@r/d@h:x/y"), "mysql://me:hidden@h:x/y");
        assert_eq!(shown("database", "postgres://me@host/x"), "postgres://me@host/x");
        assert_eq!(shown("queue", "nats://s3cret@host"), "nats://token:hidden@host");
        assert_eq!(shown("database", "sqlite:///a/b.db"), "sqlite:///a/b.db");
    }
}
