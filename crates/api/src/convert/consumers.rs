//! Consumers of the event log on the wire.

use super::events::{after, seq, since};
use super::{problem, time};
use printmill_domain::problem::Problem;
use printmill_domain::subscription::Consumer;
use printmill_engine::subscription::From;
use printmill_proto::v1;

/// A consumer on the wire.
pub(crate) fn consumer(consumer: &Consumer) -> v1::Consumer {
    let waiting = consumer.held.iter().map(|(stream, held)| v1::WaitingStream {
        stream: stream.clone(),
        seq: seq(held.from),
        failures: held.failures,
        due_time: held.due_at.and_then(time),
        problem: Some(problem(&held.problem)),
        since_time: time(held.since),
    });
    v1::Consumer {
        name: consumer.name.clone(),
        shard: consumer.shard.index().into(),
        shard_count: consumer.shard.count().into(),
        cursor: seq(consumer.cursor),
        run: consumer.run,
        holder: consumer.lease.as_ref().map(|lease| lease.holder.clone()).unwrap_or_default(),
        waiting: waiting.collect(),
        create_time: time(consumer.created_at),
    }
}

/// Where a replay begins.
pub(crate) fn from(request: &v1::ReplayConsumerRequest) -> Result<From, Problem> {
    match (request.after_seq, &request.since) {
        (Some(place), None) => after(place).map(From::Seq),
        (None, Some(time)) => since(time).map(From::Time),
        _ => Err(Problem::invalid_field("after_seq", "must be given, or since; not both")),
    }
}
