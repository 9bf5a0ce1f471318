//! Logs, traces and counters of a node.

#[cfg(feature = "otlp")]
mod otlp;

use crate::config::{LogFormat, Settings};
use crate::failure::{Failure, Outcome};
use printmill_api::{ContinueTrace, MetricsText};
use prometheus::{Encoder, Registry, TextEncoder};
use std::fs::File;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Where logs go.
pub(crate) enum LogTo {
    /// Standard error.
    StandardError,
    /// A file.
    File(File),
}

/// What must live as long as the node: dropping it sends the last traces.
pub(crate) struct Telemetry {
    /// Where the node's parts register their counters.
    pub(crate) registry: Registry,
    /// Ties a span to the trace of a request.
    pub(crate) continue_trace: Option<ContinueTrace>,
    #[cfg(feature = "otlp")]
    _exporter: Option<otlp::Exporter>,
}

/// Starts logging, and traces where a collector is named. Must be called inside a runtime.
pub(crate) fn start(settings: &Settings, to: LogTo) -> Outcome<Telemetry> {
    let filter = settings.log.parse::<EnvFilter>().map_err(|error| {
        let message = format!("the setting 'log' = {} is no filter: {error}", settings.log);
        Failure::configuration(message, "use error, warn, info, debug, trace, or CRATE=LEVEL,…")
    })?;
    let ansi = matches!(to, LogTo::StandardError) && console::colors_enabled_stderr();
    let writer = match to {
        LogTo::StandardError => BoxMakeWriter::new(std::io::stderr),
        LogTo::File(file) => BoxMakeWriter::new(Mutex::new(file)),
    };
    let logs = lines(settings.log_format, ansi, writer);
    let subscriber = tracing_subscriber::registry();
    #[cfg(feature = "otlp")]
    let exporter = settings.otlp_endpoint.as_deref().map(otlp::Exporter::new).transpose()?;
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(exporter.as_ref().map(otlp::Exporter::layer));
    #[cfg(not(feature = "otlp"))]
    if settings.otlp_endpoint.is_some() {
        return Err(Failure::new(
            printmill_domain::problem::Code::AdapterNotCompiled,
            "'otlp_endpoint' is set, but this binary was built without OpenTelemetry",
            "build it with `--features otlp` (or full), or remove the setting",
        ));
    }
    // A second node in the same process logs where the first does.
    let _ = subscriber.with(logs.with_filter(filter)).try_init();
    Ok(Telemetry {
        registry: Registry::new(),
        #[cfg(feature = "otlp")]
        continue_trace: exporter.as_ref().map(|_| otlp::continue_trace()),
        #[cfg(not(feature = "otlp"))]
        continue_trace: None,
        #[cfg(feature = "otlp")]
        _exporter: exporter,
    })
}

fn lines<S>(
    format: LogFormat,
    ansi: bool,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi);
    match format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

impl Telemetry {
    /// What gives the text of `/metrics`.
    pub(crate) fn metrics_text(&self) -> MetricsText {
        let registry = self.registry.clone();
        Arc::new(move || {
            let mut text = vec![];
            if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut text) {
                tracing::warn!(%error, "metrics could not be written");
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    }
}
