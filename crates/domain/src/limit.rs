//! Limits on work: how much of a kind, or of a merchant, may be in work at once or begin in a
//! minute.
//!
//! Written as text, as in `item.render each at_once=2 per_minute=60`: which kind (or `*` for
//! any), whose (`all` together, `each` merchant by itself, or one merchant's id), and how much.

use crate::Timestamp;
use crate::ids::{Id, MerchantId};
use crate::ticket_end::CANCEL;
use crate::worker::HEED;
use std::collections::HashMap;
use std::str::FromStr;

/// Of whom a limit counts the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Of all merchants together.
    All,
    /// Of each merchant by itself.
    Each,
    /// Of this merchant.
    One(MerchantId),
}

/// A limit on work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The kind of ticket, or any work. Tickets that tell workers what to do, or cancel others, are
    /// no work: if they waited for work to end, who would end it?
    pub kind: Option<String>,
    /// Whose.
    pub whose: Whose,
    /// How many may be handed out and not yet settled.
    pub at_once: Option<u32>,
    /// How many may be handed out in a minute, evenly, after a burst of as many at first.
    pub per_minute: Option<u32>,
}

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no limit: write it as in 'item.render each at_once=2 per_minute=60'")]
pub struct NoLimit {
    /// The text.
    pub text: String,
}

impl FromStr for Limit {
    type Err = NoLimit;

    fn from_str(text: &str) -> Result<Self, NoLimit> {
        let wrong = || NoLimit { text: text.chars().take(100).collect() };
        let mut words = text.split_whitespace();
        let kind = words.next().ok_or_else(wrong)?;
        let whose = match words.next().ok_or_else(wrong)? {
            "all" => Whose::All,
            "each" => Whose::Each,
            id => Whose::One(MerchantId::parse(id).map_err(|_| wrong())?),
        };
        let kind = (kind != "*").then(|| kind.to_owned());
        let mut limit = Self { kind, whose, at_once: None, per_minute: None };
        for word in words {
            let (name, number) = word.split_once('=').ok_or_else(wrong)?;
            let number: u32 = number.parse().ok().filter(|it| *it > 0).ok_or_else(wrong)?;
            match name {
                "at_once" => limit.at_once = Some(number),
                "per_minute" => limit.per_minute = Some(number),
                _ => return Err(wrong()),
            }
        }
        let limits = limit.at_once.is_some() || limit.per_minute.is_some();
        limits.then_some(limit).ok_or_else(wrong)
    }
}

impl Limit {
    /// Under which name it counts this work, if it does.
    fn counts(&self, kind: &str, merchant: MerchantId) -> Option<Option<MerchantId>> {
        match self.kind.as_deref() {
            None if [CANCEL, HEED].contains(&kind) => return None,
            Some(limited) if limited != kind => return None,
            _ => {}
        }
        match self.whose {
            Whose::All => Some(None),
            Whose::Each => Some(Some(merchant)),
            Whose::One(limited) => (limited == merchant).then_some(Some(merchant)),
        }
    }
}

/// Limits by their place in the list, and whose work they count.
type Counted = (usize, Option<MerchantId>);

/// What has been used of the limits by the minute: token buckets.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    limits: Vec<Limit>,
    /// What is left in a bucket, and when it was last filled up.
    buckets: HashMap<Counted, (f64, Timestamp)>,
}

impl Limits {
    /// Limits of which nothing has been used.
    pub fn new(limits: Vec<Limit>) -> Self {
        Self { limits, buckets: HashMap::new() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// A gate that knows how much is in work: so many of a kind, of a merchant.
    pub fn gate<'a>(
        &mut self,
        in_work: impl IntoIterator<Item = (&'a str, MerchantId, u64)>,
        now: Timestamp,
    ) -> Gate<'_> {
        let mut counts: HashMap<Counted, u64> = HashMap::new();
        for (kind, merchant, count) in in_work {
            for (place, limit) in self.limits.iter().enumerate() {
                if let Some(whose) = limit.counts(kind, merchant) {
                    *counts.entry((place, whose)).or_default() += count;
                }
            }
        }
        // A bucket that is full again need not be remembered.
        let limits = &self.limits;
        self.buckets.retain(|(place, _), (left, filled)| {
            let rate = limits[*place].per_minute.unwrap_or(1);
            refilled(*left, *filled, rate, now) < f64::from(rate)
        });
        Gate { limits: self, in_work: counts, now, turned_away: false }
    }
}

/// Lets work through as long as no limit is reached.
#[derive(Debug)]
pub struct Gate<'a> {
    limits: &'a mut Limits,
    in_work: HashMap<Counted, u64>,
    now: Timestamp,
    turned_away: bool,
}

impl Gate<'_> {
    /// Whether this work may begin; if so it counts from now on.
    pub fn admit(&mut self, kind: &str, merchant: MerchantId) -> bool {
        let Limits { limits, buckets } = &mut *self.limits;
        let counted: Vec<(Counted, &Limit)> = limits
            .iter()
            .enumerate()
            .filter_map(|(place, limit)| {
                limit.counts(kind, merchant).map(|whose| ((place, whose), limit))
            })
            .collect();
        let now = self.now;
        let in_work = &self.in_work;
        let left = |key: &Counted, rate: u32, buckets: &HashMap<Counted, (f64, Timestamp)>| {
            let full = (f64::from(rate), now);
            let (left, filled) = buckets.get(key).copied().unwrap_or(full);
            refilled(left, filled, rate, now)
        };
        let free = counted.iter().all(|(key, limit)| {
            let busy = in_work.get(key).copied().unwrap_or_default();
            limit.at_once.is_none_or(|most| busy < u64::from(most))
                && limit.per_minute.is_none_or(|rate| left(key, rate, buckets) >= 1.0)
        });
        if !free {
            self.turned_away = true;
            return false;
        }
        for (key, limit) in counted {
            *self.in_work.entry(key).or_default() += 1;
            if let Some(rate) = limit.per_minute {
                let left = left(&key, rate, buckets) - 1.0;
                buckets.insert(key, (left, now));
            }
        }
        true
    }

    /// Whether anything was turned away.
    pub fn has_turned_away(&self) -> bool {
        self.turned_away
    }
}

fn refilled(left: f64, filled: Timestamp, rate: u32, now: Timestamp) -> f64 {
    let seconds = (now - filled).as_seconds_f64().max(0.0);
    (left + seconds * f64::from(rate) / 60.0).min(f64::from(rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use uuid::Uuid;

    fn merchant(number: u128) -> MerchantId {
        MerchantId::from_uuid(Uuid::from_u128(number))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn limits(texts: &[&str]) -> Limits {
        Limits::new(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn limits_are_read_and_what_is_none_is_refused() {
        let one = format!("* {} per_minute=9", merchant(1));
        let read: Limit = one.parse().unwrap();
        assert_eq!((read.kind, read.whose), (None, Whose::One(merchant(1))));
        let read: Limit = "item.render each at_once=2 per_minute=60".parse().unwrap();
        assert_eq!((read.at_once, read.per_minute), (Some(2), Some(60)));
        for wrong in ["", "a", "a all", "a some at_once=1", "a all at_once=0", "a all x=1"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_more_than_so_many_are_in_work_of_each_or_of_all() {
        let mut limits = limits(&["a each at_once=2", "* all at_once=5"]);
        let busy = [("a", merchant(1), 1), ("b", merchant(2), 1)];
        let mut gate = limits.gate(busy, at(0));
        assert!(gate.admit("a", merchant(1)) && !gate.admit("a", merchant(1)));
        assert!(gate.has_turned_away());
        assert!(gate.admit("a", merchant(2)), "each has its own");
        assert!(gate.admit("b", merchant(1)), "another kind");
        assert!(!gate.admit("b", merchant(3)), "all together have five by now");
    }

    #[test]
    fn a_limit_of_all_work_holds_up_no_command_and_one_of_commands_does() {
        let mut any = limits(&["* all at_once=1", "* each per_minute=1"]);
        let mut gate = any.gate([(HEED, merchant(1), 3)], at(0));
        assert!(gate.admit("a", merchant(1)), "commands are no work");
        assert!(!gate.admit("a", merchant(1)));
        for _ in 0..3 {
            assert!(gate.admit(CANCEL, merchant(1)) && gate.admit(HEED, merchant(1)));
        }
        let mut named = limits(&["ticket.cancel all at_once=1"]);
        let mut gate = named.gate([], at(0));
        assert!(gate.admit(CANCEL, merchant(1)) && !gate.admit(CANCEL, merchant(2)));
    }

    #[test]
    fn no_more_than_so_many_begin_in_any_minute_after_the_first_burst() {
        let mut limits = limits(&["a all per_minute=6"]);
        let mut begun = vec![];
        for second in 0..180 {
            let mut gate = limits.gate([], at(second));
            while gate.admit("a", merchant(1)) {
                begun.push(second);
            }
            assert!(limits.gate([], at(second)).admit("b", merchant(1)), "another kind");
        }
        assert_eq!(begun.iter().filter(|second| **second == 0).count(), 6, "a burst");
        for from in 1..120 {
            let within = begun.iter().filter(|second| (from..from + 60).contains(*second)).count();
            assert!((5..=7).contains(&within), "{within} in the minute from {from}");
        }
    }
}
