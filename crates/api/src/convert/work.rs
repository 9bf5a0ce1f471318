//! Leases on the wire.

use super::{object, structure, time};
use crate::lease_token::LeaseToken;
use crate::links::Links;
use crate::sign::Signer;
use pbjson_types::Struct;
use printmill_domain::Timestamp;
use printmill_domain::ids::MerchantId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::MESSAGE_MAX as PROGRESS_MAX;
use printmill_domain::worker::Worker;
use printmill_engine::handler::{NeededFile, Needs};
use printmill_engine::lease::Leased;
use printmill_proto::v1;
use serde_json::Value;

/// The most characters that a worker's message may have.
const MESSAGE_MAX: usize = 500;

/// The largest result of a work, in bytes as JSON.
const RESULT_BYTES_MAX: usize = 64 * 1024;

/// A leased ticket, with the token that proves it and what the work needs.
pub(crate) fn lease(
    leased: &Leased,
    needs: &Needs,
    signer: &Signer,
    links: &Links,
    now: Timestamp,
) -> Result<v1::Lease, Problem> {
    let ticket = &leased.ticket;
    let token = LeaseToken::new(leased.fence.clone(), &ticket.kind, &leased.receipt);
    Ok(v1::Lease {
        ticket_id: ticket.id.to_string(),
        kind: ticket.kind.clone(),
        payload: structure(&ticket.payload),
        attempt: ticket.attempt,
        lease_token: token.seal(signer)?,
        expire_time: ticket.lease_until.and_then(time),
        traceparent: ticket.trace.clone().unwrap_or_default(),
        files: needs.files.iter().map(|file| needed(ticket.merchant, file, links, now)).collect(),
        details: structure(&needs.details),
        deadline: ticket.deadline.and_then(time),
    })
}

fn needed(merchant: MerchantId, file: &NeededFile, links: &Links, now: Timestamp) -> v1::WorkFile {
    let NeededFile { name, blob, media_type } = file;
    let link = links.download(merchant, blob, name, media_type, now);
    v1::WorkFile { name: name.clone(), link: Some(link) }
}

/// What is wanted of a worker.
pub(crate) fn orders(worker: &Worker) -> v1::WorkerOrders {
    let lanes = worker.lanes.iter().map(|served| v1::OrderedLane {
        lane: served.lane.to_string(),
        concurrency: worker.limit(&served.lane).unwrap_or_default().into(),
        paused: served.paused,
    });
    v1::WorkerOrders {
        revision: i64::try_from(worker.revision).unwrap_or(i64::MAX),
        draining: worker.draining,
        lanes: lanes.collect(),
    }
}

/// What a worker says that it is doing.
pub(crate) fn message(text: &str) -> Result<&str, Problem> {
    if text.chars().count() > PROGRESS_MAX {
        let description = format!("must have at most {PROGRESS_MAX} characters");
        return Err(Problem::invalid_field("message", description));
    }
    Ok(text)
}

/// What a worker answers.
pub(crate) fn result(given: Option<&Struct>) -> Result<Value, Problem> {
    let result = given.map(object).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let bytes = result.to_string().len();
    if bytes > RESULT_BYTES_MAX {
        return Err(Problem::new(
            Code::RequestTooLarge,
            format!("the result has {bytes} bytes, {RESULT_BYTES_MAX} are the most"),
            "upload what is large with CreateWorkUpload, and name it in the result",
        ));
    }
    Ok(result)
}

/// What a worker says went wrong.
pub(crate) fn failure(message: &str) -> Result<Problem, Problem> {
    let fits = (1..=MESSAGE_MAX).contains(&message.chars().count());
    if !fits || message.chars().any(char::is_control) {
        let description = format!("must be a sentence of at most {MESSAGE_MAX} characters");
        return Err(Problem::invalid_field("message", description));
    }
    let advice = "look at the worker's log; the ticket is tried again unless it is hopeless";
    Ok(Problem::new(Code::RenderFailed, message, advice))
}
