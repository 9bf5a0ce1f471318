//! Brokers: stopped, started again, and emptied while they are away.

use anyhow::{Context, Result};
use printmill_test_servers::proxy::Mode;
use printmill_test_servers::{Moto, Nats, Process, Proxy, RabbitMq, nats, rabbitmq};
use std::path::Path;

/// What holds the messages.
pub enum Broker {
    /// SQLite's file in the data folder.
    File,
    /// NATS.
    Nats(Nats),
    /// RabbitMQ.
    RabbitMq(RabbitMq),
    /// SQS: moto behind a proxy. A service that cannot be restarted can be out of reach.
    Sqs(Moto, Proxy),
}

impl Broker {
    pub(super) fn nats() -> Result<Option<Self>> {
        Ok(Nats::start(nats::Version::Newest)?.map(Self::Nats))
    }

    pub(super) fn rabbitmq() -> Result<Option<Self>> {
        Ok(RabbitMq::start()?.map(Self::RabbitMq))
    }

    pub(super) fn sqs() -> Result<Option<Self>> {
        let Some(moto) = Moto::start()? else { return Ok(None) };
        let port = moto.process.as_ref().context("it is the test's own")?.port();
        Ok(Some(Self::Sqs(moto, Proxy::start(port)?)))
    }

    pub(super) fn address(&self) -> Option<String> {
        match self {
            Self::File => None,
            Self::Nats(nats) => Some(nats.address.clone()),
            Self::RabbitMq(rabbitmq) => Some(rabbitmq.address.clone()),
            Self::Sqs(_, proxy) => {
                let endpoint = format!("http://127.0.0.1:{}", proxy.port());
                Some(format!("sqs://printmill?region=eu-west-1&endpoint={endpoint}"))
            }
        }
    }

    /// It dies, or is out of reach.
    pub fn stop(&mut self) -> Result<()> {
        match self {
            Self::File => Ok(()),
            Self::Nats(nats) => own(&mut nats.process)?.kill(),
            Self::RabbitMq(rabbitmq) => own(&mut rabbitmq.process)?.kill(),
            Self::Sqs(_, proxy) => {
                proxy.set(Mode::Cut);
                Ok(())
            }
        }
    }

    /// It comes back.
    pub fn resume(&mut self) -> Result<()> {
        match self {
            Self::File => Ok(()),
            Self::Nats(nats) => own(&mut nats.process)?.resume(),
            Self::RabbitMq(rabbitmq) => own(&mut rabbitmq.process)?.resume(),
            Self::Sqs(_, proxy) => {
                proxy.set(Mode::Passing);
                Ok(())
            }
        }
    }

    /// It loses everything while it is stopped.
    pub fn wipe(&mut self) -> Result<()> {
        match self {
            Self::File => Ok(()),
            Self::Nats(nats) => remove(&nats::store(own(&mut nats.process)?.folder())),
            Self::RabbitMq(rabbitmq) => {
                remove(&rabbitmq::store(own(&mut rabbitmq.process)?.folder()))
            }
            // It keeps everything in memory.
            Self::Sqs(moto, _) => {
                let process = own(&mut moto.process)?;
                process.kill()?;
                process.resume()
            }
        }
    }
}

pub(super) fn own(process: &mut Option<Process>) -> Result<&mut Process> {
    process.as_mut().context("the server is the test's own")
}

fn remove(store: &Path) -> Result<()> {
    std::fs::remove_dir_all(store).with_context(|| format!("{} is there", store.display()))
}
