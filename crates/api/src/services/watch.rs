//! Watching an order: the events that are there, then those to come, until it is on its way.

use super::Edge;
use crate::convert::orders::event;
use crate::errors;
use futures::StreamExt;
use futures::stream::BoxStream;
use printmill_domain::event::Event;
use printmill_domain::ids::{MerchantId, OrderId};
use printmill_domain::order::OrderState;
use printmill_domain::problem::{Code, Problem};
use printmill_orders::Orders;
use printmill_proto::v1;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How often to look at least, also when no commit was told of.
const LOOK: Duration = Duration::from_secs(10);
/// How many events are read at once.
const BATCH: u32 = 100;

/// The stream that `WatchOrder` answers.
pub(crate) type Watching = BoxStream<'static, Result<v1::OrderEvent, Status>>;

/// Events of an order after a place in its history.
pub(crate) fn watch(
    edge: &Edge,
    merchant: MerchantId,
    order: OrderId,
    after: u64,
    place: OwnedSemaphorePermit,
) -> Watching {
    let watch = Watch {
        orders: edge.services.orders.clone(),
        merchant,
        order,
        after,
        commits: edge.services.database.commits(),
        stopping: edge.stopping.clone(),
        pending: VecDeque::new(),
        over: false,
        _place: place,
    };
    futures::stream::unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        let next = next.map_err(|problem| {
            watch.over = true;
            errors::status(&problem)
        });
        Some((next.map(|found| event(&found)), watch))
    })
    .boxed()
}

struct Watch {
    orders: Orders,
    merchant: MerchantId,
    order: OrderId,
    after: u64,
    commits: watch::Receiver<u64>,
    stopping: CancellationToken,
    pending: VecDeque<Event>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Event, Problem>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(event) = self.pending.pop_front() {
                self.after = event.draft.sequence;
                return Some(Ok(event));
            }
            // Marked before reading, so that a commit in between is not slept through.
            self.commits.borrow_and_update();
            match self.read().await {
                Err(problem) => return Some(Err(problem)),
                Ok(true) => return None,
                Ok(false) if !self.pending.is_empty() => {}
                Ok(false) => {
                    tokio::select! {
                        _ = self.commits.changed() => {}
                        () = tokio::time::sleep(LOOK) => {}
                        () = self.stopping.cancelled() => return Some(Err(leaving())),
                    }
                }
            }
        }
    }

    /// Reads what is new; says whether nothing more will come.
    async fn read(&mut self) -> Result<bool, Problem> {
        let order = self.orders.get(self.merchant, &self.order).await?;
        if order.sequence <= self.after {
            let states = [OrderState::Shipped, OrderState::Delivered, OrderState::Cancelled];
            return Ok(states.contains(&order.state));
        }
        let events = self.orders.events(self.merchant, &self.order, self.after, BATCH).await?;
        self.pending.extend(events);
        Ok(false)
    }
}

pub(super) fn leaving() -> Problem {
    Problem::new(
        Code::Cancelled,
        "the node is shutting down",
        "watch again from the last sequence that arrived",
    )
}
