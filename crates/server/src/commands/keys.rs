//! `printmill keys`: API keys, straight in the configured database.

use crate::bootstrap;
use crate::config::{Config, Flags};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::wiring;
use clap::{Args, Subcommand};
use console::style;
use printmill_backend::{Clock, Database, SystemClock};
use printmill_domain::api_key::{ApiKey, Scope};
use printmill_domain::ids::{FacilityId, MerchantId};
use std::path::Path;
use std::sync::Arc;

/// API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key, and show it this once.
    Create(CreateArgs),
    /// List all keys, without their secrets.
    List(ListArgs),
    /// Revoke a key: from now on it opens nothing.
    Revoke(RevokeArgs),
}

/// Make a key, and show it this once.
#[derive(Debug, Args)]
#[command(after_help = "\
A key is good for one merchant, one facility, leasing some kinds of work, or operating the
deployment. Only its hash is stored. Nothing needs to be restarted.

Examples:
  printmill keys create --name shop                       for the only merchant there is
  printmill keys create --new-merchant 'Second Shop'      a new merchant and its first key
  printmill keys create --facility fac_… --name berlin    for `printmill facility run`
  printmill keys create --worker item.render --name gpu   for workers of your own
  printmill keys create --operator --name laptop          for `printmill queues` and the like")]
pub(crate) struct CreateArgs {
    /// What people call the key.
    #[arg(long, default_value = "key")]
    name: String,
    /// For this merchant.
    #[arg(long, value_name = "MERCHANT", group = "scope")]
    merchant: Option<MerchantId>,
    /// For a new merchant with this name.
    #[arg(long, value_name = "NAME", group = "scope")]
    new_merchant: Option<String>,
    /// For this facility; see `printmill facility list`.
    #[arg(long, value_name = "FACILITY", group = "scope")]
    facility: Option<FacilityId>,
    /// For leasing these kinds of work, as in item.render.
    #[arg(long, value_name = "KIND", group = "scope", value_delimiter = ',')]
    worker: Vec<String>,
    /// Only from these lanes; all of them when left out.
    #[arg(long, value_name = "LANE", requires = "worker", value_delimiter = ',')]
    lane: Vec<String>,
    /// For looking into the deployment and steering it.
    #[arg(long, group = "scope")]
    operator: bool,
    #[command(flatten)]
    flags: Flags,
}

/// List all keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  printmill keys list
  printmill keys list --json")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    flags: Flags,
}

/// Revoke a key.
#[derive(Debug, Args)]
#[command(after_help = "\
A running node may accept a key for a few more seconds after it was revoked.

Examples:
  printmill keys revoke key_…")]
pub(crate) struct RevokeArgs {
    /// The key's id; see `printmill keys list`.
    #[arg(value_name = "KEY")]
    id: String,
    #[command(flatten)]
    flags: Flags,
}

/// Runs one of them.
pub(crate) async fn run(command: &KeysCommand, file: Option<&Path>, json: bool) -> Outcome {
    match command {
        KeysCommand::Create(args) => create(args, file, json).await,
        KeysCommand::List(args) => list(args, file, json).await,
        KeysCommand::Revoke(args) => {
            let database = open(file, &args.flags).await?;
            let key = bootstrap::revoke_key(database.as_ref(), &args.id, SystemClock.now()).await?;
            if json {
                return output::json(&shown(&key));
            }
            output::line(format!("{} ({}) is revoked", key.id, key.name));
            Ok(())
        }
    }
}

/// The configured database, with the facilities that every node has.
pub(crate) async fn open(file: Option<&Path>, flags: &Flags) -> Outcome<Arc<dyn Database>> {
    let settings = Config::load(file, flags)?.settings;
    if settings.database().starts_with("memory:") {
        return Err(Failure::configuration(
            "'database' = memory:// is another process's own",
            "use this command with a database that lasts, as sqlite://",
        ));
    }
    wiring::make_data_folder(&settings)?;
    let database = wiring::open_database(&settings).await?;
    bootstrap::seed_facilities(database.as_ref(), SystemClock.now()).await?;
    Ok(database)
}

async fn create(args: &CreateArgs, file: Option<&Path>, json: bool) -> Outcome {
    let database = open(file, &args.flags).await?;
    let (database, now) = (database.as_ref(), SystemClock.now());
    let (scope, key) = if let Some(name) = &args.new_merchant {
        let (merchant, key) = bootstrap::new_merchant(database, name, &args.name, now).await?;
        (Scope::Merchant(merchant.id), key)
    } else {
        let scope = scope(args, database).await?;
        let key = bootstrap::new_key(database, &args.name, scope.clone(), now).await?;
        (scope, key)
    };
    let whose = whose(&scope);
    if json {
        let secret = key.reveal();
        return output::json(&serde_json::json!({
            "id": key.id, "name": args.name, "scope": scope, "key": secret,
        }));
    }
    output::line(format!("key of {whose}, shown this once:\n"));
    output::line(format!("  {}", style(key.reveal()).green().bold()));
    let next = match scope {
        Scope::Facility(_) => "printmill facility run --key KEY",
        Scope::Operator => "export PRINTMILL_OPERATOR_KEY=KEY",
        _ => "export PRINTMILL_KEY=KEY",
    };
    output::next_steps(&[(next, "use it")]);
    Ok(())
}

/// What the key shall be good for; it must exist.
async fn scope(args: &CreateArgs, database: &dyn Database) -> Outcome<Scope> {
    let invalid = |message: String, advice: &str| {
        Failure::new(printmill_domain::problem::Code::InvalidArgument, message, advice)
    };
    if let Some(id) = args.facility {
        let known = bootstrap::facilities(database).await?;
        if known.iter().all(|known| known.id != id) {
            let advice = "see `printmill facility list`";
            return Err(invalid(format!("there is no facility {id}"), advice));
        }
        return Ok(Scope::Facility(id));
    }
    if args.operator {
        return Ok(Scope::Operator);
    }
    if !args.worker.is_empty() {
        return Ok(Scope::Worker { kinds: args.worker.clone(), lanes: args.lane.clone() });
    }
    let known = bootstrap::merchants(database).await?;
    let advice = "name one with --merchant, or make one with --new-merchant NAME";
    match (args.merchant, known.as_slice()) {
        (Some(id), known) if known.iter().any(|known| known.id == id) => Ok(Scope::Merchant(id)),
        (Some(id), _) => Err(invalid(format!("there is no merchant {id}"), advice)),
        (None, [only]) => Ok(Scope::Merchant(only.id)),
        (None, []) => Err(invalid("there is no merchant yet".into(), advice)),
        (None, several) => {
            let ids: Vec<_> =
                several.iter().map(|one| format!("{} ({})", one.id, one.name)).collect();
            Err(invalid(format!("there are several merchants: {}", ids.join(", ")), advice))
        }
    }
}

async fn list(args: &ListArgs, file: Option<&Path>, json: bool) -> Outcome {
    let database = open(file, &args.flags).await?;
    let keys = bootstrap::keys(database.as_ref()).await?;
    if json {
        return output::json(&keys.iter().map(shown).collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let state = key.revoked_at.map_or("active", |_| "revoked");
            let made = key.created_at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
            vec![key.id.to_string(), key.name.clone(), whose(&key.scope), state.into(), made]
        })
        .collect();
    output::line(output::table(&["KEY", "NAME", "GOOD FOR", "STATE", "MADE"], &rows));
    Ok(())
}

/// A key without its hash.
fn shown(key: &ApiKey) -> serde_json::Value {
    serde_json::json!({
        "id": key.id, "name": key.name, "scope": key.scope,
        "created_at": key.created_at, "revoked_at": key.revoked_at,
    })
}

fn whose(scope: &Scope) -> String {
    match scope {
        Scope::Merchant(id) => id.to_string(),
        Scope::Facility(id) => id.to_string(),
        Scope::Worker { kinds, lanes } if lanes.is_empty() => format!("work: {}", kinds.join(", ")),
        Scope::Worker { kinds, lanes } => {
            format!("work: {} in {}", kinds.join(", "), lanes.join(", "))
        }
        Scope::Operator => "operators".into(),
    }
}
