//! The contract of stored bytes.
use crate::subject::Subject;
use libtest_mimic::Trial;
use printmill_backend::Blobs;
use std::future::Future;
/// The cases of the contract of stored bytes.
pub fn blobs_trials<F, Fut>(_adapter: &str, _factory: F) -> Vec<Trial>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<Subject<Blobs>>> + Send + 'static,
{
    vec![]
}
