//! Blobs in a directory keep the contract.

use printmill_adapter_objects::open;
use printmill_backend::Blobs;
use printmill_conformance::{Subject, blobs_trials};
use std::sync::Arc;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, blobs_trials("disk", async || directory())).exit();
}

fn directory() -> anyhow::Result<Subject<Blobs>> {
    let directory = tempfile::tempdir()?;
    let address = format!("file://{}", directory.path().display());
    let blobs = open(&address)?;
    let again = move || {
        let opened = open(&address);
        async move { Ok(Arc::new(opened?)) }
    };
    Ok(Subject::blobs(blobs).opened_by(again).keeping(directory))
}
