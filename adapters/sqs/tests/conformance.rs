//! The queue keeps its contract in standard and FIFO queues of moto.

mod refusals;

use libtest_mimic::Trial;
use printmill_adapter_sqs::{Credentials, Kind, SqsConfig, SqsQueue};
use printmill_backend::Queue;
use printmill_conformance::{Subject, queue_trials};
use printmill_test_servers::Moto;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// moto looks at all messages of a queue at each call, several times.
const MOTO_HOLDS: usize = 300;

fn main() -> anyhow::Result<()> {
    let arguments = libtest_mimic::Arguments::from_args();
    // nextest runs each case in a process of its own, which need not start what others use.
    let only = arguments.filter.clone().filter(|_| arguments.exact);
    let wanted = |adapter: &str| only.as_deref().is_none_or(|name| name.starts_with(adapter));
    let mut trials = refusals::trials();
    for (adapter, kind) in [("sqs", Kind::Standard), ("sqs-fifo", Kind::Fifo)] {
        if wanted(&format!("{adapter}::")) {
            trials.extend(moto_trials(adapter, kind)?);
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn moto_trials(adapter: &str, kind: Kind) -> anyhow::Result<Vec<Trial>> {
    let Some(moto) = Moto::find()? else { return Ok(vec![]) };
    let moto = Arc::new(moto);
    Ok(queue_trials(adapter, move || {
        let moto = moto.clone();
        async move { Ok(subject(&moto.address, kind).await?.holding_at_most(MOTO_HOLDS).keeping(moto)) }
    }))
}

/// Queues with a prefix of their own.
async fn subject(address: &str, kind: Kind) -> anyhow::Result<Subject<dyn Queue>> {
    let prefix: String = std::iter::repeat_with(fastrand::alphanumeric).take(16).collect();
    let config = SqsConfig { kind, ..config(&format!("t-{prefix}"), address)? };
    let queue = SqsQueue::open_config(config.clone()).await?;
    let (survivor, endpoint) = (queue.clone(), address.to_owned());
    let again = move || {
        let config = config.clone();
        async move { Ok(Arc::new(SqsQueue::open_config(config).await?) as Arc<dyn Queue>) }
    };
    let wipe = move || {
        let (survivor, endpoint, prefix) = (survivor.clone(), endpoint.clone(), prefix.clone());
        async move {
            for lane in ["conformance", "other"] {
                let ending = if kind == Kind::Fifo { ".fifo" } else { "" };
                delete_queue(&endpoint, &format!("t-{prefix}-{lane}{ending}"))?;
            }
            // The handle that was open all the while finds its queues gone.
            Ok(Arc::new(survivor) as Arc<dyn Queue>)
        }
    };
    Ok(Subject::queue(queue).opened_by(again).wiped_by(wipe))
}

fn config(prefix: &str, endpoint: &str) -> anyhow::Result<SqsConfig> {
    let region = Some("eu-west-1".to_owned());
    let credentials =
        Credentials::Key { access_key_id: "ANY".into(), secret_access_key: "any".into() };
    let endpoint = Some(endpoint.parse()?);
    Ok(SqsConfig { region, endpoint, credentials, ..SqsConfig::new(prefix) })
}

/// Deletes a queue of moto, which checks no signatures. One that is not there is as good.
fn delete_queue(endpoint: &str, name: &str) -> anyhow::Result<()> {
    let host = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let url = format!("{endpoint}/123456789012/{name}");
    let body = format!("Action=DeleteQueue&Version=2012-11-05&QueueUrl={url}");
    let scope = "Credential=x/20260101/eu-west-1/sqs/aws4_request";
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\
         Authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=x\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let gone = answer.starts_with("HTTP/1.1 200") || answer.contains("NonExistentQueue");
    anyhow::ensure!(gone, "the queue {name} was not deleted: {answer}");
    Ok(())
}
