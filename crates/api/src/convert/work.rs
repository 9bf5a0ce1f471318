//! Leases on the wire.

use super::{structure, time};
use crate::lease_token::LeaseToken;
use crate::sign::Signer;
use printmill_domain::problem::{Code, Problem};
use printmill_engine::lease::Leased;
use printmill_proto::v1;

/// The most characters that a worker's message may have.
const MESSAGE_MAX: usize = 500;

/// A leased ticket, with the token that proves it.
pub(crate) fn lease(leased: &Leased, signer: &Signer) -> Result<v1::Lease, Problem> {
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
    })
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
