//! `printmill health`: whether the process that this configuration describes is well.

use crate::ask;
use crate::config::{Config, Flags, Role, Settings};
use crate::failure::{Failure, Outcome, chain};
use crate::output;
use clap::Args;
use http::Method;
use printmill_domain::problem::Code;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use url::Url;

/// Ask the process that this configuration describes whether it is well.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks `status_listen`, or else `listen`, on this machine, so it needs the settings of that process
and no key. The exit code is 0 if it is ready: it is not shutting down, and its database answers.
For health checks of containers, which have no other program in them.

Examples:
  printmill health
  printmill health --live                            only whether it answers at all
  printmill health --status-listen 127.0.0.1:7071    a worker that listens there
  printmill health http://node.example:7070          another node, from elsewhere")]
pub(crate) struct HealthArgs {
    /// Ask the node at this address instead.
    #[arg(value_name = "URL")]
    node: Option<Url>,
    /// Ask only whether it lives: also while it shuts down, and without its database.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Asks.
pub(crate) async fn run(args: &HealthArgs, file: Option<&Path>, json: bool) -> Outcome {
    let path = if args.live { "healthz" } else { "readyz" };
    let address = match &args.node {
        Some(node) => format!("{}/{path}", node.as_str().trim_end_matches('/')),
        None => {
            let settings = Config::load(file, &args.flags)?.settings;
            format!("http://{}/{path}", here(status_address(&settings)?))
        }
    };
    let unwell = |message: String| {
        let advice = "see what the process logs; `printmill config` shows where it should listen";
        Failure::new(Code::Unavailable, message, advice)
    };
    let asked = async {
        let answer = ask::send(Method::GET, &address, None).await?;
        let status = answer.status();
        Ok::<_, ask::AskError>((status, ask::read(answer).await?))
    };
    let (status, text) = asked.await.map_err(|error| {
        let mut failure = unwell(format!("nobody answers at {address}"));
        failure.causes = chain(&error);
        failure
    })?;
    let text = text.trim();
    if !status.is_success() {
        return Err(unwell(format!("{address} says: {text} ({})", status.as_u16())));
    }
    if json {
        return output::json(&serde_json::json!({ "address": address, "answer": text }));
    }
    output::line(text);
    Ok(())
}

/// Where the process tells how it is.
fn status_address(settings: &Settings) -> Outcome<SocketAddr> {
    match settings.status_listen {
        Some(address) => Ok(address),
        None if settings.roles.has(Role::Api) => Ok(settings.listen),
        None => Err(Failure::configuration(
            format!("a process with 'roles' = {} listens nowhere", settings.roles),
            "set 'status_listen' for it, as in 127.0.0.1:7071",
        )),
    }
}

/// An address that listens for all, as this machine reaches it.
fn here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_asked_on_this_machine() {
        for (listened, asked) in [
            ("0.0.0.0:7071", "127.0.0.1:7071"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.7:7071", "10.0.0.7:7071"),
        ] {
            assert_eq!(here(listened.parse().unwrap()).to_string(), asked);
        }
    }
}
