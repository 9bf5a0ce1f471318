//! Stores of files, reached through a proxy that can be broken.

use anyhow::Result;
use printmill_test_servers::proxy::Mode;
use printmill_test_servers::{Moto, Proxy, S3sFs, s3s_fs};
use std::any::Any;

const BUCKET: &str = "printmill";

/// What holds files.
pub enum Store {
    /// Files in the data folder.
    Disk,
    /// S3 behind a proxy.
    S3 {
        /// The way to it.
        proxy: Proxy,
        /// What ends the server when it is dropped.
        server: Box<dyn Any + Send + Sync>,
    },
}

impl Store {
    pub(super) fn s3s_fs() -> Result<Option<Self>> {
        let Some(server) = S3sFs::start(&[BUCKET])? else { return Ok(None) };
        let proxy = Proxy::start(server.process.port())?;
        Ok(Some(Self::S3 { proxy, server: Box::new(server) }))
    }

    pub(super) fn moto() -> Result<Option<Self>> {
        let Some(server) = Moto::start()? else { return Ok(None) };
        server.make_bucket(BUCKET)?;
        let port = server.address.rsplit(':').next().unwrap_or_default().parse()?;
        Ok(Some(Self::S3 { proxy: Proxy::start(port)?, server: Box::new(server) }))
    }

    pub(super) fn address(&self) -> Option<String> {
        let Self::S3 { proxy, .. } = self else { return None };
        let endpoint = format!("http://127.0.0.1:{}", proxy.port());
        // Requests that hang or fail do so sooner than by default.
        let limits = "timeout_seconds=10&retries=2&retry_seconds=5";
        Some(format!("s3://{BUCKET}?region=eu-west-1&endpoint={endpoint}&{limits}"))
    }

    /// What becomes of requests from now on. All that are under way are cut.
    pub fn set(&self, mode: Mode) {
        if let Self::S3 { proxy, .. } = self {
            proxy.set(mode);
        }
    }
}

/// The key that s3s-fs knows; moto takes any.
pub(super) fn credentials() -> [(&'static str, String); 2] {
    [
        ("AWS_ACCESS_KEY_ID", s3s_fs::ACCESS_KEY_ID.into()),
        ("AWS_SECRET_ACCESS_KEY", s3s_fs::SECRET_ACCESS_KEY.into()),
    ]
}
