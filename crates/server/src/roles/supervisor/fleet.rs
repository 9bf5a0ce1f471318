//! The worker processes of a supervisor: started, listened to, retired, and missed when they die.

use crate::config::Flags;
use crate::supervised::{RETIRE, Report};
use printmill_domain::scaling::Workers;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a worker is expected to boot before one has been seen to.
const BOOT_GUESS: Duration = Duration::from_secs(1);
/// The pause after a worker died, doubled with each that did, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// The pause after a worker left since the machine will be taken away: others would leave at once.
const NOTICE_PAUSE: Duration = Duration::from_secs(30);
/// A worker that lived so long died of something new.
const LONG_LIFE: Duration = Duration::from_secs(60);
/// Events of workers that wait to be read; who has more waits.
const EVENTS_MAX: usize = 64;

/// How to start a worker: this program, with the settings of this process.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This program as a worker, with the same file and flags.
    pub(crate) fn worker(file: Option<&Path>, flags: &Flags) -> std::io::Result<Self> {
        let mut arguments = vec![OsString::from("serve"), "--supervised".into()];
        if let Some(file) = file {
            arguments.extend(["--config".into(), file.into()]);
        }
        for (key, value) in flags.given() {
            if key != "roles" {
                arguments.push(format!("--{}={value}", key.replace('_', "-")).into());
            }
        }
        arguments.push("--roles=worker".into());
        Ok(Self { path: std::env::current_exe()?, arguments })
    }
}

/// What happened to a worker.
pub(super) enum Event {
    /// It said something.
    Said(Report),
    /// It is gone.
    Ended(std::io::Result<ExitStatus>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Booting,
    Idle { since: Instant },
    Busy,
    Draining,
}

struct Worker {
    pid: u32,
    /// Its end tells the worker to leave.
    stdin: ChildStdin,
    asked_for: Instant,
    state: State,
}

/// All workers of a supervisor.
pub(super) struct Fleet {
    program: Program,
    workers: BTreeMap<u64, Worker>,
    numbered: u64,
    sender: mpsc::Sender<(u64, Event)>,
    events: mpsc::Receiver<(u64, Event)>,
    boot: Duration,
    deaths: u32,
    start_after: Instant,
}

impl Fleet {
    /// Nobody yet.
    pub(super) fn new(program: Program) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        Self {
            program,
            workers: BTreeMap::new(),
            numbered: 0,
            sender,
            events,
            boot: BOOT_GUESS,
            deaths: 0,
            start_after: Instant::now(),
        }
    }

    /// Who there is.
    pub(super) fn workers(&self) -> Workers {
        let mut workers = Workers::default();
        for worker in self.workers.values() {
            *match worker.state {
                State::Booting => &mut workers.booting,
                State::Idle { .. } => &mut workers.idle,
                State::Busy => &mut workers.busy,
                State::Draining => &mut workers.draining,
            } += 1;
        }
        workers
    }

    /// How long booting takes, as seen lately.
    pub(super) fn boot(&self) -> Duration {
        self.boot
    }

    /// Whether there is nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// What happened next to one of the workers.
    pub(super) async fn event(&mut self) -> Option<(u64, Event)> {
        self.events.recv().await
    }

    /// Starts workers, unless some died lately.
    pub(super) fn start(&mut self, count: u32) {
        for _ in 0..count {
            if Instant::now() < self.start_after {
                return;
            }
            if let Err(error) = self.start_one() {
                self.back_off();
                tracing::error!(%error, "worker could not be started");
            }
        }
    }

    fn start_one(&mut self) -> std::io::Result<()> {
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the supervisor, which then lets its workers finish.
        command.process_group(0);
        let mut process = command.spawn()?;
        let (pid, stdin, stdout) = match (process.id(), process.stdin.take(), process.stdout.take())
        {
            (Some(pid), Some(stdin), Some(stdout)) => (pid, stdin, stdout),
            _ => return Err(std::io::Error::other("the worker has no pipes")),
        };
        self.numbered += 1;
        let (number, sender) = (self.numbered, self.sender.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(report) = serde_json::from_str(&line) {
                    let _ = sender.send((number, Event::Said(report))).await;
                }
            }
            let _ = sender.send((number, Event::Ended(process.wait().await))).await;
        });
        let worker = Worker { pid, stdin, asked_for: Instant::now(), state: State::Booting };
        self.workers.insert(number, worker);
        tracing::info!(worker = pid, "worker started");
        Ok(())
    }

    /// Retires workers that have nothing to do, those first that had nothing for the longest. One
    /// that takes a ticket before it hears of it finishes that first.
    pub(super) async fn retire_idle(&mut self, count: u32) {
        let mut idle: Vec<_> = self
            .workers
            .values_mut()
            .filter_map(|worker| match worker.state {
                State::Idle { since } => Some((since, worker)),
                _ => None,
            })
            .collect();
        idle.sort_by_key(|(since, _)| *since);
        for (_, worker) in idle.into_iter().take(count as usize) {
            worker.state = State::Draining;
            tracing::info!(worker = worker.pid, "worker retired");
            // If it cannot be told, it is ending already.
            let _ = worker.stdin.write_all(format!("{RETIRE}\n").as_bytes()).await;
        }
    }

    /// Takes note of what a worker said.
    pub(super) fn said(&mut self, number: u64, report: &Report) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        let now = Instant::now();
        if worker.state == State::Booting {
            // Half of what was believed, half of what was seen: machines change.
            self.boot = (self.boot + (now - worker.asked_for)) / 2;
            tracing::info!(worker = worker.pid, boot = ?(now - worker.asked_for), "worker ready");
        }
        if report.leaving {
            // No death, so the back-off stays as it is; but nobody is to follow it either.
            self.start_after = self.start_after.max(now + NOTICE_PAUSE);
            worker.state = State::Draining;
        }
        let worked = report.in_work > 0 || !report.done.is_empty();
        worker.state = match worker.state {
            State::Draining => State::Draining,
            _ if report.in_work > 0 => State::Busy,
            State::Idle { since } if !worked => State::Idle { since },
            _ => State::Idle { since: now },
        };
    }

    /// Takes note of a worker's end. One that was not asked to leave is missed: the next is started
    /// after a pause, which grows with each that dies.
    pub(super) fn ended(&mut self, number: u64, status: std::io::Result<ExitStatus>) {
        let Some(worker) = self.workers.remove(&number) else { return };
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        if worker.state == State::Draining {
            tracing::info!(worker = worker.pid, status, "worker ended");
            return;
        }
        if worker.asked_for.elapsed() >= LONG_LIFE {
            self.deaths = 0;
        }
        let pause = self.back_off();
        tracing::warn!(worker = worker.pid, status, ?pause, "worker died");
    }

    fn back_off(&mut self) -> Duration {
        let pause = BACKOFF.0.saturating_mul(1 << self.deaths.min(16)).min(BACKOFF.1);
        self.deaths = self.deaths.saturating_add(1);
        self.start_after = Instant::now() + pause;
        pause
    }

    /// Lets all workers drain, and waits until they are gone.
    pub(super) async fn leave(mut self) {
        let mut left = BTreeMap::new();
        for (number, worker) in std::mem::take(&mut self.workers) {
            // The end of its standard input.
            drop(worker.stdin);
            left.insert(number, worker.pid);
        }
        while !left.is_empty() {
            let Some((number, event)) = self.events.recv().await else { return };
            if let (Event::Ended(_), Some(pid)) = (event, left.get(&number)) {
                tracing::info!(worker = pid, "worker ended");
                left.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has a worker that writes these lines live and end; the fleet after that.
    async fn after_a_life_of(lines: &str) -> Fleet {
        let arguments = ["-c".into(), format!("printf '%s\\n' {lines}").into()];
        let mut fleet = Fleet::new(Program { path: "/bin/sh".into(), arguments: arguments.into() });
        fleet.start(1);
        while !fleet.is_empty() {
            match fleet.event().await.expect("the fleet itself can send") {
                (number, Event::Said(report)) => fleet.said(number, &report),
                (number, Event::Ended(status)) => fleet.ended(number, status),
            }
        }
        fleet
    }

    #[tokio::test]
    async fn a_worker_that_leaves_by_a_notice_has_not_died_but_nobody_follows_it_at_once() {
        let served = r#"'{"in_work":0,"done":[]}'"#;
        let left = r#"'{"in_work":0,"done":[],"leaving":true}'"#;
        let mut fleet = after_a_life_of(&format!("{served} {left}")).await;
        assert_eq!(fleet.deaths, 0);
        assert!(fleet.start_after > Instant::now() + BACKOFF.0);
        fleet.start(1);
        assert!(fleet.is_empty(), "the machine will be taken away");
        assert_eq!(after_a_life_of(served).await.deaths, 1, "one that just ends has died");
    }
}
