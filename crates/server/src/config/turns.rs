//! The settings of whose turn it is: limits and weights, written as text.

use super::Settings;
use crate::failure::{Failure, Outcome};
use printmill_domain::ids::{Id, MerchantId};
use printmill_engine::relay::TurnPolicy;

/// No merchant gets more than so many times what another gets.
const WEIGHT_MAX: u32 = 1_000;

impl Settings {
    /// In which order, and within which limits, tickets are handed out.
    pub(crate) fn turn_policy(&self) -> Outcome<TurnPolicy> {
        let mut policy = TurnPolicy::default();
        for text in parts(self.limits.as_deref()) {
            let limit = text.parse().map_err(|error: printmill_domain::limit::NoLimit| {
                let advice = "write limits as KIND WHOSE at_once=N per_minute=N, with semicolons \
                              between them; WHOSE is each, all or a merchant's id";
                Failure::configuration(format!("'limits': {error}"), advice)
            })?;
            policy.limits.push(limit);
        }
        for text in parts(self.weights.as_deref()) {
            let read = text.split_once('=').and_then(|(merchant, weight)| {
                let merchant = MerchantId::parse(merchant.trim()).ok()?;
                let weight: u32 = weight.trim().parse().ok()?;
                (1..=WEIGHT_MAX).contains(&weight).then_some((merchant, weight))
            });
            let (merchant, weight) = read.ok_or_else(|| {
                let advice = "write weights as MERCHANT=WEIGHT, with semicolons between them; a \
                              weight is 1 to 1000";
                Failure::configuration(format!("'weights': '{text}' is no weight"), advice)
            })?;
            policy.weights.insert(merchant, weight);
        }
        Ok(policy)
    }
}

fn parts(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(';').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_weights_are_read_and_what_is_wrong_is_said() {
        let merchant = "mer_00000000000000000000000007";
        let settings = |limits: &str, weights: &str| Settings {
            limits: Some(limits.into()),
            weights: Some(weights.into()),
            ..Settings::default()
        };
        let read = settings("item.render each at_once=4; * all per_minute=9;", "");
        assert_eq!(read.turn_policy().unwrap().limits.len(), 2);
        let read = settings("", &format!("{merchant}=4"));
        assert_eq!(read.turn_policy().unwrap().weights.len(), 1);
        assert!(Settings::default().turn_policy().unwrap().limits.is_empty());
        for (limits, weights) in [("item.render", ""), ("", "mer=4"), ("", merchant)] {
            let failure = settings(limits, weights).turn_policy().unwrap_err();
            assert_eq!(failure.code, "CONFIGURATION_INVALID", "{limits} {weights}");
        }
    }
}
