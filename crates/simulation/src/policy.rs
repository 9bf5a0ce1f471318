//! Limits and weights of a site: drawn with the weather, and the same for all of its relays.

use crate::chance::Chance;
use crate::chores;
use printmill_domain::ids::MerchantId;
use printmill_domain::limit::Limit;
use printmill_engine::relay::TurnPolicy;

/// Limits and weights for some of these merchants; none in half of the seeds.
pub(crate) fn draw(chance: &Chance, merchants: &[MerchantId]) -> anyhow::Result<TurnPolicy> {
    const KINDS: [&str; 5] = ["*", "item.render", "payment.charge", chores::KIND, chores::KIND];
    let mut policy = TurnPolicy::default();
    if chance.strikes(500) {
        return Ok(policy);
    }
    for merchant in merchants {
        let weight = u32::try_from(chance.between(1..=4))?;
        policy.weights.insert(*merchant, weight);
    }
    for _ in 0..chance.between(1..=2) {
        let kind = KINDS[chance.index(KINDS.len())];
        let whose = match chance.between(0..=3) {
            0 | 1 => "all".to_owned(),
            2 => "each".to_owned(),
            _ => merchants[chance.index(merchants.len())].to_string(),
        };
        let mut limit = format!("{kind} {whose} at_once={}", chance.between(1..=3));
        if chance.strikes(250) {
            limit.push_str(&format!(" per_minute={}", chance.between(20..=90)));
        }
        policy.limits.push(limit.parse::<Limit>()?);
    }
    Ok(policy)
}
