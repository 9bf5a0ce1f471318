//! Blobs keep the contract in a directory, in moto, in s3s-fs (which verifies signatures) and in
//! Azurite.

mod stores;

use printmill_adapter_objects::open;
use printmill_backend::Blobs;
use printmill_conformance::{Subject, blobs_trials};
use std::sync::Arc;

fn main() -> anyhow::Result<()> {
    let arguments = libtest_mimic::Arguments::from_args();
    // nextest runs each case in a process of its own, which need not start what others use.
    let only = arguments.filter.clone().filter(|_| arguments.exact);
    let wanted = |adapter: &str| only.as_deref().is_none_or(|name| name.starts_with(adapter));
    let mut trials = stores::refusals::trials();
    if wanted("disk::") {
        trials.extend(blobs_trials("disk", directory));
    }
    if wanted("s3-moto::") {
        trials.extend(stores::moto_trials()?);
    }
    if wanted("s3-s3s::") {
        trials.extend(stores::s3s_trials()?);
    }
    if wanted("azurite::") {
        trials.extend(stores::azurite_trials()?);
    }
    libtest_mimic::run(&arguments, trials).exit();
}

async fn directory() -> anyhow::Result<Subject<Blobs>> {
    let directory = tempfile::tempdir()?;
    let address = format!("file://{}", directory.path().display());
    let blobs = open(&address).await?;
    let again = move || {
        let address = address.clone();
        async move { Ok(Arc::new(open(&address).await?)) }
    };
    Ok(Subject::blobs(blobs).opened_by(again).keeping(directory))
}
