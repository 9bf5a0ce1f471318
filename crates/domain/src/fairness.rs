//! Whose turn it is: which of the tickets that wait in a lane go next.
//!
//! The more urgent class goes first, strictly. Within a class, merchants take turns by deficit
//! round-robin (Shreedhar and Varghese, 1995), each with as many tickets a round as its weight.
//! One that has waited for [`AGEING`] counts as one class more urgent, so that what is not urgent
//! always moves.

use crate::Timestamp;
use crate::ids::MerchantId;
use crate::lane::Class;
use chrono::TimeDelta;
use std::collections::{BTreeMap, VecDeque};

/// After each such time a ticket counts as one class more urgent.
pub const AGEING: TimeDelta = TimeDelta::minutes(5);

/// What waits of one merchant in one class of a lane, the longest due first.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<T> {
    /// Whose it is.
    pub merchant: MerchantId,
    /// How urgent it is.
    pub class: Class,
    /// How many tickets a round, against the others'; at least 1.
    pub weight: u32,
    /// What waits, and since when it has been due.
    pub waiting: VecDeque<(Timestamp, T)>,
}

impl<T> Group<T> {
    /// The class that the first one counts as, from 0.
    fn rank(&self, now: Timestamp) -> Option<u8> {
        let (due, _) = self.waiting.front()?;
        let steps = (now - *due).num_milliseconds() / AGEING.num_milliseconds();
        let steps = u8::try_from(steps.clamp(0, i64::from(u8::MAX))).unwrap_or(u8::MAX);
        Some(self.class.rank().saturating_sub(steps))
    }
}

/// Remembers, from one time to the next, who had less than its share in a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turns {
    /// What each merchant may still take of its round.
    deficits: BTreeMap<MerchantId, u32>,
    /// Who was last served: the next one begins the next time.
    last: Option<MerchantId>,
}

impl Turns {
    /// Takes up to `count` tickets in their fair order. `admit` may turn a ticket away, as when
    /// its merchant has enough in work; then it and what waits behind it in its group stay.
    pub fn take<T>(
        &mut self,
        mut groups: Vec<Group<T>>,
        count: usize,
        now: Timestamp,
        mut admit: impl FnMut(&T) -> bool,
    ) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let Some(rank) = groups.iter().filter_map(|group| group.rank(now)).min() else { break };
            let Some(merchant) = self.next_merchant(&groups, rank, now) else { break };
            // Of one merchant's groups that count alike, the longest due goes first.
            let mine = groups.iter_mut().filter(|group| group.merchant == merchant);
            let mine = mine.filter(|group| group.rank(now) == Some(rank));
            let Some(group) = mine.min_by_key(|group| group.waiting.front().map(|(due, _)| *due))
            else {
                break;
            };
            let Some((_, ticket)) = group.waiting.pop_front() else { break };
            if admit(&ticket) {
                if let Some(deficit) = self.deficits.get_mut(&merchant) {
                    *deficit = deficit.saturating_sub(1);
                }
                taken.push(ticket);
            } else {
                group.waiting.clear();
            }
        }
        // Who has nothing waiting saves nothing up.
        self.deficits.retain(|merchant, _| {
            groups.iter().any(|group| group.merchant == *merchant && !group.waiting.is_empty())
        });
        taken
    }

    /// Who is served next among those with something of this rank: the last one, as long as its
    /// round is not used up, or else the one after it.
    fn next_merchant<T>(
        &mut self,
        groups: &[Group<T>],
        rank: u8,
        now: Timestamp,
    ) -> Option<MerchantId> {
        let mut present: BTreeMap<MerchantId, u32> = BTreeMap::new();
        for group in groups.iter().filter(|group| group.rank(now) == Some(rank)) {
            let weight = present.entry(group.merchant).or_default();
            *weight = (*weight).max(group.weight.max(1));
        }
        let going_on = self.last.filter(|last| {
            present.contains_key(last) && self.deficits.get(last).is_some_and(|left| *left > 0)
        });
        if going_on.is_some() {
            return going_on;
        }
        let after = self.last.and_then(|last| {
            use std::ops::Bound::{Excluded, Unbounded};
            present.range((Excluded(last), Unbounded)).next()
        });
        let (merchant, weight) = after.or_else(|| present.first_key_value())?;
        let (merchant, weight) = (*merchant, *weight);
        let deficit = self.deficits.entry(merchant).or_default();
        *deficit = deficit.saturating_add(weight).min(weight.saturating_mul(2));
        self.last = Some(merchant);
        Some(merchant)
    }
}
