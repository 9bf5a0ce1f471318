//! The contract's values in words that people read.

use crate::google::r#type::Money;
use crate::v1::{ItemState, OrderState, PrintJobState};

/// An amount, as in `28.40 EUR`. Thousandths and less are cut off.
pub fn money(money: &Money) -> String {
    let sign = if money.units < 0 || money.nanos < 0 { "-" } else { "" };
    let cents = money.nanos.unsigned_abs() / 10_000_000;
    format!("{sign}{}.{cents:02} {}", money.units.unsigned_abs(), money.currency_code)
}

/// An order's state, as in `in production`.
pub fn order_state(state: i32) -> String {
    let name = OrderState::try_from(state).map_or("UNKNOWN", |state| state.as_str_name());
    words(name, "ORDER_STATE_")
}

/// An item's state, as in `rendered`.
pub fn item_state(state: i32) -> String {
    let name = ItemState::try_from(state).map_or("UNKNOWN", |state| state.as_str_name());
    words(name, "ITEM_STATE_")
}

/// A print job's state, as in `accepted`.
pub fn print_job_state(state: i32) -> String {
    let name = PrintJobState::try_from(state).map_or("UNKNOWN", |state| state.as_str_name());
    words(name, "PRINT_JOB_STATE_")
}

/// A point in time in RFC 3339, UTC, to the second; empty when there is none.
pub fn time(time: Option<&pbjson_types::Timestamp>) -> String {
    let text = time.and_then(|time| serde_json::to_value(time).ok());
    let text = text.as_ref().and_then(|text| text.as_str()).unwrap_or_default();
    let seconds = text.get(..19).unwrap_or(text);
    if seconds.is_empty() { String::new() } else { format!("{seconds}Z") }
}

fn words(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        let amount = |units, nanos| Money { currency_code: "EUR".into(), units, nanos };
        assert_eq!(money(&amount(28, 400_000_000)), "28.40 EUR");
        assert_eq!(money(&amount(0, 50_000_000)), "0.05 EUR");
        assert_eq!(money(&amount(-1, -500_000_000)), "-1.50 EUR");
        assert_eq!(money(&amount(0, -10_000_000)), "-0.01 EUR");
    }

    #[test]
    fn states_read_as_words() {
        assert_eq!(order_state(OrderState::InProduction as i32), "in production");
        assert_eq!(item_state(ItemState::AwaitingPayment as i32), "awaiting payment");
        assert_eq!(print_job_state(99), "unknown");
    }

    #[test]
    fn times_are_utc_to_the_second() {
        let moment = pbjson_types::Timestamp { seconds: 1_750_000_000, nanos: 123_456_000 };
        assert_eq!(time(Some(&moment)), "2025-06-15T15:06:40Z");
        assert_eq!(time(None), "");
    }
}
