//! The demo's last page: what came out, what it took, what to try next.

use super::proof::Proof;
use crate::failure::Outcome;
use crate::output;
use console::style;
use printmill_client::v1::Order;
use printmill_client::{money, order_state};
use std::time::Duration;

/// How long each stage took.
#[derive(Debug, Default)]
pub(super) struct Measured {
    stages: Vec<(&'static str, Duration)>,
    /// Pages in the file.
    pub(super) pages: usize,
}

impl Measured {
    /// Adds a stage.
    pub(super) fn add(&mut self, stage: &'static str, took: Duration) {
        self.stages.push((stage, took));
    }

    /// Pages rendered and stored in a second.
    fn pages_per_second(&self) -> f64 {
        let render = self.stages.iter().find(|(stage, _)| stage.starts_with("render"));
        render.map_or(0.0, |(_, took)| self.pages as f64 / took.as_secs_f64().max(0.001))
    }
}

/// Shows it.
pub(super) fn show(order: &Order, proof: &Proof, measured: &Measured, json: bool) -> Outcome {
    if json {
        let stages: serde_json::Map<_, _> = measured
            .stages
            .iter()
            .map(|(stage, took)| ((*stage).to_owned(), (took.as_secs_f64() * 1000.0).into()))
            .collect();
        return output::json(&serde_json::json!({
            "order": order,
            "file": { "path": proof.path, "sha256": proof.sha256, "size": proof.size,
                      "pages": proof.pages, "images": proof.images },
            "milliseconds": stages,
            "pages_per_second": measured.pages_per_second(),
        }));
    }
    let total = order.total.as_ref().map(money).unwrap_or_default();
    let tracking = order.shipments.first().and_then(|shipment| shipment.tracking.clone());
    let tracking = tracking.unwrap_or_default();
    let mark = style("✓").green().bold();
    output::line(format!(
        "\n{mark} {} {}, {total}",
        style("Order").bold(),
        order_state(order.state)
    ));
    output::line(format!("  parcel    {} {}", tracking.carrier, tracking.number));
    output::line(format!("  file      {}", style(proof.path.display()).cyan()));
    output::line(format!("  SHA-256   {}", proof.sha256));
    output::line(format!("  read back {}", proof.checked));
    output::line("");
    let mut rows: Vec<Vec<String>> = measured
        .stages
        .iter()
        .map(|(stage, took)| vec![format!("  {stage}"), right(&duration(*took))])
        .collect();
    rows.push(vec!["  file size".into(), right(&output::bytes(proof.size))]);
    let speed = format!("{:.0} pages/s", measured.pages_per_second());
    rows.push(vec!["  render speed".into(), right(&speed)]);
    output::line(output::table(&["  MEASURED", ""], &rows));
    output::next_steps(&[
        ("printmill demo --photos DIR", "the same with your own photos"),
        ("printmill demo --keep", "leave the node running, and look around"),
        ("printmill up", "a node that stays; shows your API key on its first start"),
        ("printmill --help", "everything else"),
    ]);
    Ok(())
}

fn duration(took: Duration) -> String {
    match took.as_millis() {
        0..1_000 => format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        _ => format!("{:.2} s", took.as_secs_f64()),
    }
}

fn right(text: &str) -> String {
    format!("{text:>12}")
}
