//! What a supervisor shows to Prometheus, where its process has `/metrics`.

use printmill_domain::scaling::Workers;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

/// Its gauges.
pub(super) struct Gauges {
    wanted: IntGauge,
    workers: IntGaugeVec,
}

impl Gauges {
    /// Makes and registers them.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = Self {
            wanted: IntGauge::new(
                "printmill_workers_wanted",
                "Workers that there should be on this machine, by the scaling policy.",
            )?,
            workers: IntGaugeVec::new(
                Opts::new("printmill_workers", "Workers that the supervisor started, by state."),
                &["state"],
            )?,
        };
        registry.register(Box::new(gauges.wanted.clone()))?;
        registry.register(Box::new(gauges.workers.clone()))?;
        Ok(gauges)
    }

    /// Shows how many there should be, and are.
    pub(super) fn set(&self, wanted: u32, workers: Workers) {
        self.wanted.set(wanted.into());
        let Workers { idle, busy, booting, draining } = workers;
        let states = [("idle", idle), ("busy", busy), ("booting", booting), ("draining", draining)];
        for (state, count) in states {
            self.workers.with_label_values(&[state]).set(count.into());
        }
    }
}
