//! What a queue's callers want done, gathered into one transaction, and what they are answered.

use super::queue_session::{Done, Wanted, Work};
use crate::sqlite::claim::{Claimed, Hold};
use crate::sqlite::json_array::JsonArray;
use crate::sqlite::queue_worker::{Lease, again, now_micros};
use printmill_backend::BackendError;
use printmill_backend::queue::SettleError;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::oneshot;

type Settled = oneshot::Sender<Result<(), SettleError>>;

/// Operations sorted by what they are.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) sends: Vec<(String, oneshot::Sender<Result<(), BackendError>>)>,
    pub(crate) extends: Vec<(Hold, Duration, Settled)>,
    pub(crate) acks: Vec<(Hold, Settled)>,
    pub(crate) releases: Vec<(Hold, Duration, Option<Settled>)>,
    pub(crate) leases: Vec<Lease>,
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn some(array: JsonArray) -> Option<String> {
    let array = array.finish();
    (array != "[]").then_some(array)
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.extends.is_empty()
            && self.acks.is_empty()
            && self.releases.is_empty()
            && self.leases.is_empty()
    }

    /// The transaction, and which leases each of its claims is for. Of several that settle the
    /// same hold the first does, and what is settled is not extended.
    pub(crate) fn work(&self) -> (Work, Vec<Vec<usize>>) {
        let [mut acked, mut released, mut extended, mut sent] =
            std::array::from_fn(|_| JsonArray::new());
        let mut taken = HashSet::new();
        for (hold, _) in &self.acks {
            if taken.insert(*hold) {
                acked.push_row(&(hold.id, hold.token));
            }
        }
        for (hold, delay, _) in &self.releases {
            if taken.insert(*hold) {
                released.push_row(&(hold.id, hold.token, micros(*delay)));
            }
        }
        let mut last: Vec<&(Hold, Duration, Settled)> = self.extends.iter().rev().collect();
        last.retain(|(hold, _, _)| taken.insert(*hold));
        for (hold, ttl, _) in last {
            extended.push_row(&(hold.id, hold.token, micros(*ttl)));
        }
        for (rows, _) in &self.sends {
            sent.push(rows);
        }
        let (claims, groups) = self.claims();
        let lanes = claims.iter().map(|wanted| wanted.lane.clone());
        let mut look_ahead: Vec<String> = lanes.collect();
        look_ahead.sort_unstable();
        look_ahead.dedup();
        let work = Work {
            acked: some(acked),
            released: some(released),
            extended: some(extended),
            sent: some(sent),
            now: now_micros(),
            claims,
            look_ahead,
        };
        (work, groups)
    }

    /// Leases that are alike are claimed together.
    fn claims(&self) -> (Vec<Wanted>, Vec<Vec<usize>>) {
        let mut claims: Vec<Wanted> = Vec::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (index, lease) in self.leases.iter().enumerate() {
            let ttl = micros(lease.ttl);
            let same = claims.iter().position(|it| it.lane == lease.lane && it.ttl == ttl);
            match same {
                Some(place) => {
                    claims[place].count += i64::from(lease.count);
                    groups[place].push(index);
                }
                None => {
                    let count = i64::from(lease.count);
                    claims.push(Wanted { lane: lease.lane.clone(), ttl, count });
                    groups.push(vec![index]);
                }
            }
        }
        (claims, groups)
    }

    /// Tells everybody what came of it. Who got nothing goes on waiting; what nobody takes any
    /// more is returned.
    pub(crate) fn answer(
        self,
        done: Done,
        groups: &[Vec<usize>],
        waiting: &mut Vec<Lease>,
    ) -> Vec<Hold> {
        let Done { held, claimed, .. } = done;
        let mut gone = HashSet::new();
        let lost = |held: bool| if held { Ok(()) } else { Err(SettleError::Lost) };
        for (hold, answer) in self.acks {
            let _ = answer.send(lost(held.contains(&hold) && gone.insert(hold)));
        }
        for (hold, _, answer) in self.releases {
            let settled = held.contains(&hold) && gone.insert(hold);
            if let Some(answer) = answer {
                let _ = answer.send(lost(settled));
            }
        }
        for (hold, _, answer) in self.extends {
            let _ = answer.send(lost(held.contains(&hold) && !gone.contains(&hold)));
        }
        for (_, answer) in self.sends {
            let _ = answer.send(Ok(()));
        }
        let mut shares: Vec<Vec<Claimed>> = self.leases.iter().map(|_| vec![]).collect();
        for (group, claimed) in groups.iter().zip(claimed) {
            let mut claimed = claimed.into_iter();
            for index in group {
                let count = usize::from(self.leases[*index].count);
                shares[*index] = claimed.by_ref().take(count).collect();
            }
        }
        let mut orphans = Vec::new();
        for (lease, share) in self.leases.into_iter().zip(shares) {
            if share.is_empty() {
                waiting.push(lease);
            } else if let Err(Ok(share)) = lease.answer.send(Ok(share)) {
                orphans.extend(share.iter().map(|it| it.hold));
            }
        }
        orphans
    }
}

/// Gives everybody in a batch the same error.
pub(crate) fn refuse(batch: Batch, error: &BackendError) {
    tracing::warn!(error = %error.chain(), "the queue failed");
    for (_, answer) in batch.sends {
        let _ = answer.send(Err(again(error)));
    }
    let releases = batch.releases.into_iter().filter_map(|(_, _, answer)| answer);
    let settles = batch.acks.into_iter().map(|(_, answer)| answer);
    let extends = batch.extends.into_iter().map(|(_, _, answer)| answer);
    for answer in settles.chain(releases).chain(extends) {
        let _ = answer.send(Err(again(error).into()));
    }
    for lease in batch.leases {
        let _ = lease.answer.send(Err(again(error)));
    }
}
