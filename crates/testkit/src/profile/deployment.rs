//! Nodes on a profile's backends, in one process or in two for each role.

use super::Servers;
use crate::log::{Line, Log};
use crate::node::{Node, Place};
use anyhow::{Context, Result};
use futures::future::{FutureExt, select_all};
use std::time::Duration;

/// Who runs what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All roles in one process.
    OneProcess,
    /// Each role in two processes of its own. With servers as backends each has a data folder to
    /// itself, as on machines of their own.
    ByRole,
}

/// A process that can be killed and started again.
pub struct Seat {
    /// Its data folder and port.
    pub place: Place,
    arguments: Vec<&'static str>,
    node: Option<Node>,
    log: Log,
}

impl Seat {
    async fn start(place: Place, arguments: &[&'static str]) -> Result<Self> {
        let node = Node::spawn(&place, arguments)?;
        let log = node.log.clone();
        let seat = Self { place, arguments: arguments.to_vec(), node: Some(node), log };
        seat.ready().await?;
        Ok(seat)
    }

    /// What its present, or last, process logs.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.node.take().context("it runs")?.kill()
    }

    /// Starts it again, and waits until it serves if it does.
    pub async fn restart(&mut self) -> Result<()> {
        let node = Node::spawn(&self.place, &self.arguments)?;
        self.log = node.log.clone();
        self.node = Some(node);
        self.ready().await
    }

    async fn ready(&self) -> Result<()> {
        let serves = self.arguments.iter().any(|word| word.contains("api") || *word == "up");
        let Some(node) = self.node.as_ref().filter(|_| serves) else { return Ok(()) };
        node.wait_until_serving(&self.place).await
    }

    fn works(&self) -> bool {
        self.arguments.iter().any(|word| word.contains("worker") || *word == "up")
    }
}

/// A running Printmill.
pub struct Deployment {
    /// Its processes; the first serves clients.
    pub seats: Vec<Seat>,
    /// Its backends. They end after the processes.
    pub servers: Servers,
}

impl Deployment {
    /// Starts all processes of a layout on running servers.
    pub async fn start(servers: Servers, layout: Layout) -> Result<Self> {
        let mut place = Place::new()?;
        for (name, value) in servers.settings() {
            place.set(name, value);
        }
        place.set("PRINTMILL_SIGNING_KEY", "5e".repeat(32));
        let alone = servers.database.address().is_some();
        let mut seats = vec![];
        match layout {
            Layout::OneProcess => seats.push(Seat::start(place, &["up"]).await?),
            Layout::ByRole => {
                for (number, role) in ["api", "dispatcher", "worker"].iter().enumerate() {
                    for twin in 0..2 {
                        let folder = format!("{role}-{twin}");
                        let folder = if alone { folder.as_str() } else { "data" };
                        let own = place.neighbour(folder)?;
                        let arguments = ["serve", "--roles", role];
                        seats.push(Seat::start(own, &arguments).await?);
                    }
                    debug_assert_eq!(seats.len(), 2 * (number + 1));
                }
            }
        }
        Ok(Self { seats, servers })
    }

    /// Where the first process that serves clients is.
    pub fn place(&self) -> &Place {
        &self.seats[0].place
    }

    /// Where another process that serves clients is, if there is one.
    pub fn other_place(&self) -> &Place {
        &self.seats.get(1).unwrap_or(&self.seats[0]).place
    }

    /// How much each process has logged so far.
    pub fn seen(&self) -> Vec<usize> {
        self.seats.iter().map(|seat| seat.log.lines().len()).collect()
    }

    /// The first worker that logs a line that fits, after what was `seen`, and the line.
    pub async fn worker_that(
        &self,
        seen: &[usize],
        limit: Duration,
        fits: impl Fn(&Line) -> bool + Send + Sync,
    ) -> Result<(usize, Line)> {
        let fits = &fits;
        let workers = self.seats.iter().zip(seen).enumerate().filter(|(_, (seat, _))| seat.works());
        let waiting = workers.map(|(at, (seat, seen))| {
            let line = seat.log.wait_for(*seen, limit, fits);
            async move { line.await.map(|(_, line)| (at, line)) }.boxed()
        });
        let mut waiting: Vec<_> = waiting.collect();
        while !waiting.is_empty() {
            let (found, _, others) = select_all(waiting).await;
            if let Some(found) = found {
                return Ok(found);
            }
            waiting = others;
        }
        anyhow::bail!("no worker logged it within {limit:?}: {}", self.text())
    }

    /// What all processes logged last, for a failing test's message.
    pub fn text(&self) -> String {
        let of_seat = |seat: &Seat| {
            let name = seat.arguments.join(" ");
            format!("--- {name}\n{}", seat.log.text())
        };
        self.seats.iter().map(of_seat).collect()
    }
}
