//! Random lives of quotes.

use crate::cases;
use crate::fixtures::{at, id, merchant, price_of};
use crate::history::{History, Life, Outcome};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Decided;
use printmill_domain::ids::OrderId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::quote::{QUOTE_HOURS, Quote, QuoteState};
use proptest::prelude::*;

/// An attempt to accept a quote.
#[derive(Debug, Clone)]
pub(crate) struct Accept {
    order: OrderId,
    country: &'static str,
}

impl Life for Quote {
    type Command = Accept;

    fn decide(&self, command: Accept, now: Timestamp) -> Result<Decided<Self>, Problem> {
        self.accept(command.order, command.country, now)
    }

    fn sequence(&self) -> Option<u64> {
        Some(self.sequence)
    }

    fn check(&self) {
        assert_eq!(self.order.is_some(), self.state == QuoteState::Accepted);
        assert!(self.expires_at > self.created_at);
    }

    fn check_step(&self, next: &Self) {
        assert!(self.state < next.state);
        let offer = |q: &Quote| (q.price.clone(), q.country.clone(), q.expires_at);
        assert_eq!(offer(self), offer(next), "an offer stays what it was");
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn a_quote_is_good_for_one_order_in_its_country_in_its_time(
        attempts in prop::collection::vec(
            (0..3u64, prop_oneof![4 => Just("DE"), 1 => Just("AT")], 80_000..90_000i64),
            0..12,
        ),
    ) {
        let facilities = vec!["Rotterdam".into()];
        let made = Quote::offer(id(1), merchant(), price_of(2), "DE".into(), facilities, at(0));
        let mut history = History::begin(made, at(0));
        let mut taken = None;
        for (order, country, seconds) in attempts {
            let order: OrderId = id(100 + order);
            let outcome = history.apply(Accept { order, country }, at(seconds));
            let in_time = seconds <= QUOTE_HOURS * 3_600;
            match (taken, outcome) {
                (Some(first), Outcome::Quiet) => prop_assert_eq!(first, order),
                (Some(first), Outcome::Refused(why)) => {
                    prop_assert_ne!(first, order);
                    prop_assert_eq!(why.code, Code::QuoteUsed);
                }
                (None, Outcome::Done) => {
                    prop_assert!(in_time && country == "DE");
                    taken = Some(order);
                }
                (None, Outcome::Refused(why)) if in_time => {
                    prop_assert_eq!((why.code, country), (Code::InvalidArgument, "AT"));
                }
                (None, Outcome::Refused(why)) => prop_assert_eq!(why.code, Code::QuoteExpired),
                (taken, outcome) => prop_assert!(false, "{taken:?} {outcome:?}"),
            }
            prop_assert_eq!(history.state.order, taken);
        }
    }
}
