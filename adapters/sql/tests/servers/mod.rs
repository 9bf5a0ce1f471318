//! Stores on servers: each case has a database to itself. One that a case has left is emptied for
//! the next: making and dropping databases takes longer than most cases do.

pub(crate) mod mariadb;
pub(crate) mod postgres;

use std::sync::Mutex;

/// A server that all cases of this process share; it ends with the process's `main`.
pub(crate) struct Shared<S> {
    server: Mutex<Option<S>>,
}

impl<S> Shared<S> {
    pub(crate) const fn new() -> Self {
        Self { server: Mutex::new(None) }
    }

    /// Does something with the server, which is started when it is first needed. Fails where
    /// there is none.
    pub(crate) fn with<T>(
        &self,
        find: impl FnOnce() -> anyhow::Result<Option<S>>,
        then: impl FnOnce(&S) -> T,
    ) -> anyhow::Result<T> {
        let mut server = self.server.lock().map_err(|_| anyhow::anyhow!("a case panicked"))?;
        if server.is_none() {
            *server = find()?;
        }
        server.as_ref().map(then).ok_or_else(|| anyhow::anyhow!("the server is not installed"))
    }

    /// Whether there is a server.
    pub(crate) fn exists(&self, find: impl FnOnce() -> anyhow::Result<Option<S>>) -> bool {
        match self.with(find, |_| ()) {
            Ok(()) => true,
            Err(error) => {
                // Where nothing may be skipped, cases run, and say why they cannot.
                println!("SKIPPED: {error}");
                std::env::var_os("CI").is_some_and(|value| value != "false" && value != "0")
            }
        }
    }

    /// Ends the server.
    pub(crate) fn end(&self) {
        if let Ok(mut server) = self.server.lock() {
            server.take();
        }
    }
}

/// A name that no other case has.
pub(crate) fn fresh_name() -> String {
    format!("case_{:016x}", printmill_backend::fresh::token())
}

/// Something to do when a case is over.
pub(crate) struct Afterwards(Option<Box<dyn FnOnce() + Send>>);

impl Afterwards {
    pub(crate) fn new(last: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(last)))
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}

/// Runs to its end on a thread of its own, also where asynchronous code must not wait.
pub(crate) fn finish(work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work)
    });
    if let Ok(Err(error)) = thread.join() {
        println!("a case's database was not emptied: {error:?}");
    }
}
