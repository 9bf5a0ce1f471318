//! Traces to an OpenTelemetry collector, continued from the `traceparent` of requests and tickets.

use crate::failure::{Failure, Outcome};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, ContextGuard};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use printmill_api::ContinueTrace;
use std::cell::RefCell;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::{Context as LayerContext, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Sends spans to a collector. Dropping it sends the last ones.
pub(super) struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// An exporter to an endpoint, as in `http://127.0.0.1:4317`. Connects with the first spans.
    pub(super) fn new(endpoint: &str) -> Outcome<Self> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| {
                let message = format!("'otlp_endpoint' = {endpoint} cannot be used: {error}");
                Failure::configuration(message, "write it like http://127.0.0.1:4317")
            })?;
        let resource = Resource::builder().with_service_name("printmill").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// The layer that turns spans into OpenTelemetry's.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.provider.tracer("printmill");
        Enter.and_then(tracing_opentelemetry::layer().with_tracer(tracer)).and_then(Leave)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "last traces were not sent");
        }
    }
}

/// Ties a request's span to the trace that its `traceparent` names.
pub(super) fn continue_trace() -> ContinueTrace {
    Arc::new(|span, traceparent| {
        // It fails only for a span that no layer has seen.
        let _ = span.set_parent(context_of(traceparent));
    })
}

fn context_of(traceparent: &str) -> Context {
    struct One<'a>(&'a str);
    impl Extractor for One<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == "traceparent").then_some(self.0)
        }
        fn keys(&self) -> Vec<&str> {
            vec!["traceparent"]
        }
    }
    TraceContextPropagator::new().extract(&One(traceparent))
}

thread_local! {
    /// The trace that a span with a `traceparent` field is born into. It lives from `Enter` to
    /// `Leave`, which run one after the other, around the layer that makes the span.
    static BORN_INTO: RefCell<Option<ContextGuard>> = const { RefCell::new(None) };
}

/// Lets a new span with a `traceparent` field begin in that trace: tickets carry theirs.
struct Enter;

/// Ends what `Enter` began.
struct Leave;

impl<S: tracing::Subscriber> Layer<S> for Enter {
    fn on_new_span(&self, attributes: &Attributes<'_>, _id: &Id, _context: LayerContext<'_, S>) {
        let mut found = Traceparent(None);
        attributes.record(&mut found);
        if let Some(traceparent) = found.0.filter(|text| !text.is_empty()) {
            BORN_INTO.set(Some(context_of(&traceparent).attach()));
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Leave {
    fn on_new_span(&self, _attributes: &Attributes<'_>, _id: &Id, _context: LayerContext<'_, S>) {
        BORN_INTO.set(None);
    }
}

struct Traceparent(Option<String>);

impl Visit for Traceparent {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "traceparent" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};
    use std::sync::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Debug, Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Recorder {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn tickets_and_requests_go_on_in_the_trace_that_they_name_and_others_do_not() {
        const TICKETS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        const REQUESTS: &str = "00-11112222333344445555666677778888-00f067aa0ba902b7-01";
        let recorder = Recorder::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(recorder.clone()).build();
        let exporter = Exporter { provider };
        let subscriber = tracing_subscriber::registry().with(exporter.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("ticket", traceparent = TICKETS)
                .in_scope(|| tracing::info_span!("inner").in_scope(|| {}));
            let request = tracing::info_span!("request");
            continue_trace()(&request, REQUESTS);
            request.in_scope(|| {});
            drop(request);
            tracing::info_span!("alone", traceparent = "").in_scope(|| {});
        });
        drop(exporter);
        let spans = recorder.0.lock().unwrap();
        let trace = |name: &str| {
            let span = spans.iter().find(|span| span.name == name).unwrap();
            span.span_context.trace_id().to_string()
        };
        assert_eq!(trace("ticket"), TICKETS[3..35]);
        assert_eq!(trace("inner"), TICKETS[3..35]);
        assert_eq!(trace("request"), REQUESTS[3..35]);
        assert!(![TICKETS, REQUESTS].iter().any(|known| known.contains(&trace("alone"))));
    }
}
