//! W3C trace context: continuing a caller's trace, or starting one.

use http::HeaderMap;
use printmill_backend::fresh;

/// Where a request stands in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The `traceparent` that came with the request, if it was a good one.
    pub(crate) incoming: Option<String>,
    /// The `traceparent` of the request itself, for all that it causes.
    pub(crate) own: String,
}

impl Trace {
    /// Reads the headers of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let incoming = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let incoming = incoming.filter(|text| trace_id(text).is_some());
        let id = incoming
            .and_then(trace_id)
            .map_or_else(|| hex::encode(fresh::bytes::<16>()), str::to_owned);
        let flags = incoming.map_or("01", |text| &text[53..55]);
        let span = hex::encode(fresh::bytes::<8>());
        Self { incoming: incoming.map(str::to_owned), own: format!("00-{id}-{span}-{flags}") }
    }

    /// The trace's id: 32 hexadecimal digits.
    pub(crate) fn id(&self) -> &str {
        &self.own[3..35]
    }
}

/// The trace id of a `traceparent` of version 00, if it is well-formed and not all zeros.
fn trace_id(text: &str) -> Option<&str> {
    let parts: Vec<_> = text.split('-').collect();
    let [version, trace, span, flags] = parts.as_slice() else {
        return None;
    };
    let lowercase_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let whole = *version == "00"
        && lowercase_hex(trace, 32)
        && lowercase_hex(span, 16)
        && lowercase_hex(flags, 2);
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    (whole && !zero(trace) && !zero(span)).then_some(*trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Trace {
        let value = http::HeaderValue::from_static(text);
        Trace::of(&HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), value)]))
    }

    #[test]
    fn a_good_trace_is_continued_under_a_new_span() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let trace = of(text);
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(trace.own.ends_with("-00") && trace.own != text);
        assert_eq!(trace_id(&trace.own), Some(trace.id()));
    }

    #[test]
    fn anything_else_starts_a_new_one() {
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for text in
            ["", "00-1-2-3", zero, "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
        {
            let trace = of(text);
            assert_eq!(trace.incoming, None, "{text}");
            assert!(trace_id(&trace.own).is_some());
        }
    }
}
