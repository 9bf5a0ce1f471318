//! Tickets on the wire, for operators.

use super::time;
use printmill_domain::ticket::Ticket;
use printmill_domain::ticket_history::Attempt;
use printmill_proto::v1;

/// A ticket with its history.
pub(crate) fn ticket(ticket: &Ticket) -> v1::Ticket {
    v1::Ticket {
        id: ticket.id.to_string(),
        merchant_id: ticket.merchant.to_string(),
        lane: ticket.lane.to_string(),
        kind: ticket.kind.clone(),
        state: ticket.state.name().to_owned(),
        attempts: ticket.attempt,
        failures: ticket.failures,
        lost_leases: ticket.lost_leases,
        holder: ticket.holder.clone().unwrap_or_default(),
        lease_time: ticket.lease_until.and_then(time),
        due_time: time(ticket.due_at),
        deadline: ticket.deadline.and_then(time),
        progress: ticket.progress.into(),
        message: ticket.message.clone(),
        cancelled: ticket.cancel.is_some(),
        create_time: time(ticket.created_at),
        update_time: time(ticket.updated_at),
        traceparent: ticket.trace.clone().unwrap_or_default(),
        history: ticket.history.iter().map(attempt).collect(),
    }
}

fn attempt(attempt: &Attempt) -> v1::TicketAttempt {
    let problem = attempt.problem.as_ref();
    v1::TicketAttempt {
        attempt: attempt.attempt,
        holder: attempt.holder.clone(),
        begin_time: time(attempt.began_at),
        end_time: attempt.ended_at.and_then(time),
        end: attempt.end.map(|end| end.name().to_owned()).unwrap_or_default(),
        code: problem.map(|problem| problem.code.to_string()).unwrap_or_default(),
        message: problem.map(|problem| problem.message.clone()).unwrap_or_default(),
    }
}
