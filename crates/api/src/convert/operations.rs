//! What operators see.

use super::{id, time};
use printmill_backend::database::DeadQuery;
use printmill_domain::lane::Lane;
use printmill_domain::problem::Problem;
use printmill_domain::ticket::Ticket;
use printmill_engine::cancel::no_longer_wanted;
use printmill_engine::operations::LaneLoad;
use printmill_proto::v1;

/// The most characters of the reason for a cancellation.
const REASON_MAX: usize = 200;

/// How much work a lane has.
pub(crate) fn lane_load(load: LaneLoad) -> v1::LaneLoad {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    v1::LaneLoad {
        lane: load.lane.to_string(),
        merchant_id: load.merchant.map(|id| id.to_string()).unwrap_or_default(),
        ready: count(load.ready),
        delayed: count(load.delayed),
        in_flight: count(load.in_flight),
        dead: count(load.dead),
        oldest_ready_time: load.oldest_ready.and_then(time),
    }
}

/// Which of the tickets that were given up.
pub(crate) fn dead_query(filter: Option<&v1::DeadTicketFilter>) -> Result<DeadQuery, Problem> {
    let Some(filter) = filter else { return Ok(DeadQuery::default()) };
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let lane = given(&filter.lane).map(|name| {
        let wrong = || Problem::invalid_field("filter.lane", "must be the name of a lane");
        Lane::parse(&name).ok_or_else(wrong)
    });
    let merchant = given(&filter.merchant_id).map(|text| id("filter.merchant_id", &text));
    Ok(DeadQuery {
        lane: lane.transpose()?,
        kind: given(&filter.kind),
        merchant: merchant.transpose()?,
        after: None,
    })
}

/// Why an operator cancels a ticket.
pub(crate) fn cancel_reason(reason: &str) -> Result<Problem, Problem> {
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        let description = format!("must be a sentence of at most {REASON_MAX} characters");
        return Err(Problem::invalid_field("reason", description));
    }
    let why = no_longer_wanted();
    let message = match reason {
        "" => "an operator cancelled the work".to_owned(),
        reason => format!("an operator cancelled the work: {reason}"),
    };
    Ok(Problem { message, ..why })
}

/// A ticket that was given up.
pub(crate) fn dead_ticket(ticket: &Ticket) -> v1::DeadTicket {
    let why = ticket.last_error.as_ref();
    v1::DeadTicket {
        id: ticket.id.to_string(),
        lane: ticket.lane.to_string(),
        kind: ticket.kind.clone(),
        merchant_id: ticket.merchant.to_string(),
        attempts: ticket.attempt,
        code: why.map(|problem| problem.code.text().to_owned()).unwrap_or_default(),
        message: why.map(|problem| problem.message.clone()).unwrap_or_default(),
        create_time: time(ticket.created_at),
        update_time: time(ticket.updated_at),
    }
}
