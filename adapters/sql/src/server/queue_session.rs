//! A connection that works on a queue's table.

use crate::dialect::Dialect;
use crate::sqlite::claim::{Claimed, Hold};
use printmill_backend::BackendError;
use printmill_backend::queue::QueueStats;
use sea_orm::sqlx;
use std::collections::HashSet;
use std::future::Future;

/// Messages that somebody wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) lane: String,
    /// For how long, in microseconds.
    pub(crate) ttl: i64,
    pub(crate) count: i64,
}

/// What one transaction does. The first four are JSON arrays of JSON arrays, or nothing; no hold
/// is in more than one of them. Times are from now, by the server's clock: all processes have it.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// `[id, token]`
    pub(crate) acked: Option<String>,
    /// `[id, token, delay]`
    pub(crate) released: Option<String>,
    /// `[id, token, ttl]`
    pub(crate) extended: Option<String>,
    /// `[lane, ticket, state, visible_at, trace]`, by this process's clock.
    pub(crate) sent: Option<String>,
    /// This process's clock.
    pub(crate) now: i64,
    pub(crate) claims: Vec<Wanted>,
    /// Lanes of which to say when the next message becomes due, if they hold any.
    pub(crate) look_ahead: Vec<String>,
}

impl Work {
    /// Whether anything is settled, extended or sent.
    pub(crate) fn writes(&self) -> bool {
        let Self { acked, released, extended, sent, .. } = self;
        [acked, released, extended, sent].into_iter().any(Option::is_some)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Those of the holds to settle or extend that still were.
    pub(crate) held: HashSet<Hold>,
    /// What was claimed, for each that was wanted.
    pub(crate) claimed: Vec<Vec<Claimed>>,
    /// In how many microseconds the next message of a lane becomes due.
    pub(crate) due: Vec<(String, i64)>,
}

/// A connection that works on a queue's table.
pub(crate) trait QueueSession: Send + Sized + 'static {
    /// What is needed to connect.
    type Target: Clone + Send + Sync + 'static;
    /// Which SQL it speaks.
    const DIALECT: Dialect;

    /// Connects, and makes the table if there is none.
    fn connect(target: &Self::Target) -> impl Future<Output = Result<Self, BackendError>> + Send;

    /// Makes the table if there is none.
    fn make_table(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Does all of that in one transaction.
    fn work(&mut self, work: &Work) -> impl Future<Output = sqlx::Result<Done>> + Send;

    /// Undoes what a transaction did, if there is one.
    fn rollback(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Counts a lane.
    fn count(&mut self, lane: &str) -> impl Future<Output = sqlx::Result<QueueStats>> + Send;

    /// Whether the server undid a transaction because of another.
    fn is_busy(error: &sqlx::Error) -> bool;

    /// Whether the table is not there.
    fn is_missing(error: &sqlx::Error) -> bool;
}
