//! The peer of the intake on PostgreSQL: pgbench, which inserts the same rows in one transaction for
//! each order. No rules, no checks.

use crate::raw_sqlite::{ORDER_BYTES, TICKET_BYTES};
use crate::table::Times;
use anyhow::{Context, ensure};
use printmill_test_servers::find::program_below;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS raw_order (id text PRIMARY KEY, merchant text, version bigint, state text,
    created_at bigint, updated_at bigint, document text);
CREATE TABLE IF NOT EXISTS raw_event (seq bigserial PRIMARY KEY, stream text, sequence bigint,
    kind text, subject text, data text, at bigint, UNIQUE (stream, sequence));
CREATE TABLE IF NOT EXISTS raw_ticket (id text PRIMARY KEY, merchant text, lane text, state text,
    due_at bigint, document text);
CREATE TABLE IF NOT EXISTS raw_request (merchant text, id text, fingerprint text, outcome text,
    at bigint, PRIMARY KEY (merchant, id));
";

/// What one order is.
fn transaction() -> String {
    let (order, ticket) = ("x".repeat(ORDER_BYTES), "x".repeat(TICKET_BYTES));
    let id = "gen_random_uuid()::text";
    let mut script = String::from("BEGIN;\n");
    let mut insert = |table: &str, values: &str| {
        let _ = writeln!(script, "INSERT INTO {table} VALUES ({values});");
    };
    insert("raw_order", &format!("'ord_' || {id}, 'mer_0', 1, 'placed', 1, 1, '{order}'"));
    let event = "raw_event (stream, sequence, kind, subject, data, at)";
    insert(event, &format!("'ord_' || {id}, 1, 'order.placed', 'x', '{{}}', 1"));
    insert(event, &format!("'ord_' || {id}, 2, 'payment.requested', 'x', '{{}}', 1"));
    insert("raw_ticket", &format!("'tkt_' || {id}, 'mer_0', 'express', 'queued', 1, '{ticket}'"));
    insert("raw_request", &format!("'mer_0', {id}, {id}, 'x', 1"));
    script + "COMMIT;\n"
}

/// Clients that insert one order after the other for so long.
pub(crate) fn round(address: &str, clients: usize, length: Duration) -> anyhow::Result<Times> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("order.sql");
    std::fs::write(&script, transaction())?;
    let tables = folder.path().join("tables.sql");
    std::fs::write(&tables, TABLES)?;
    run(Command::new(program("psql")?).args(["-q", "-f"]).arg(&tables).arg(address))?;
    let mut command = Command::new(program("pgbench")?);
    command.current_dir(folder.path()).args(["-n", "-l", "-M", "prepared", "-j", "2", "-f"]);
    command.arg(&script).args(["-c", &clients.to_string(), "-T", &length.as_secs().to_string()]);
    run(command.arg(address))?;
    let mut times = Times::default();
    for entry in std::fs::read_dir(folder.path())? {
        let path = entry?.path();
        if is_log(&path) {
            // A line for each transaction: client, number, microseconds, script, and when it ended.
            for line in std::fs::read_to_string(&path)?.lines() {
                let micros = line.split(' ').nth(2).context("pgbench logs how long it took")?;
                times.push(Duration::from_micros(micros.parse()?));
            }
        }
    }
    ensure!(times.len() > 0, "pgbench did nothing");
    Ok(times)
}

fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgbench_log"))
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let found = program_below(Path::new("/usr/lib/postgresql"), "bin", name);
    found.with_context(|| format!("{name} comes with PostgreSQL's server"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
