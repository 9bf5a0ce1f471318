//! What happened to an order, one line for each event.

use console::style;
use printmill_client::v1::OrderEvent;
use serde_json::Value;

/// An event as a line: its time, a mark, and what happened.
pub(crate) fn line(event: &OrderEvent) -> String {
    let time = event.time.as_ref().and_then(|time| serde_json::to_value(time).ok());
    let time = time.as_ref().and_then(Value::as_str).and_then(|text| text.get(11..23));
    let mark = match event.kind.as_str() {
        "payment.declined" | "item.needs_attention" | "order.cancelled" => style("✗").red(),
        "order.shipped" | "shipment.delivered" => style("✓").green().bold(),
        _ => style("●").cyan(),
    };
    let time = time.unwrap_or("            ").trim_end_matches('Z');
    format!("  {} {mark} {}", style(format!("{time:12}")).dim(), text(event))
}

/// What happened, in words.
fn text(event: &OrderEvent) -> String {
    let data = event.data.as_ref().and_then(|data| serde_json::to_value(data).ok());
    let data = data.unwrap_or(Value::Null);
    let of = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    match event.kind.as_str() {
        "order.placed" => format!("order placed, {}", amount(&data["total"])),
        "payment.requested" => format!("payment asked for by {}", of("method")),
        "payment.paid" => format!("payment made, {}", of("reference")),
        "payment.declined" => format!("payment declined: {}", of("reason")),
        "order.paid" => "order paid".into(),
        "item.routed" => format!("routed: {}", of("reason").replace("; ", "\n                 ")),
        "item.rendered" => format!("print-ready file made, SHA-256 {}…", cut(&of("sha256"))),
        "item.needs_attention" => format!("a person must look: {} ({})", of("message"), of("code")),
        "print_job.accepted" => "facility has the file and took the job on".into(),
        "print_job.printing" => "on the press".into(),
        "print_job.shipped" => format!("with {}, tracking {}", of("carrier"), of("number")),
        "order.shipped" => "order shipped".into(),
        "order.cancelled" => "order cancelled".into(),
        "shipment.delivered" => "delivered".into(),
        other => format!("{other} {}", event.subject),
    }
}

fn cut(text: &str) -> &str {
    text.get(..12).unwrap_or(text)
}

fn amount(money: &Value) -> String {
    match (&money["minor"], &money["currency"]) {
        (Value::Number(minor), Value::String(currency)) => {
            let minor = minor.as_f64().unwrap_or(0.0);
            format!("{:.2} {currency}", minor / 100.0)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: Value) -> String {
        let mut json = serde_json::json!({ "kind": kind, "subject": "itm_1", "data": data });
        json["time"] = "2025-06-15T15:06:40.123Z".into();
        console::set_colors_enabled(false);
        line(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn events_read_as_sentences() {
        let reason = "Berlin Print House is in the recipient's country and can make it";
        let routed = event("item.routed", serde_json::json!({ "reason": reason }));
        assert_eq!(routed, format!("  15:06:40.123 ● routed: {reason}"));
        let total = serde_json::json!({ "total": { "minor": 2140, "currency": "EUR" } });
        assert!(event("order.placed", total).ends_with("order placed, 21.40 EUR"));
    }

    #[test]
    fn an_event_of_a_newer_server_is_shown_by_its_name() {
        assert!(event("item.gift_wrapped", Value::Null).ends_with("item.gift_wrapped itm_1"));
    }
}
