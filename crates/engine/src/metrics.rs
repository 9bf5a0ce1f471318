//! What the engine counts, for Prometheus.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Counters of the engine. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    /// Tickets claimed, by kind.
    pub claimed: IntCounterVec,
    /// Tickets settled, by kind and outcome: done, retried, dead, released, lost.
    pub settled: IntCounterVec,
    /// Seconds from a ticket being due to its handler starting, by kind.
    pub wait_seconds: HistogramVec,
    /// Seconds that handlers took, by kind.
    pub work_seconds: HistogramVec,
    /// Tickets that the relay handed to the queue.
    pub relayed: IntCounter,
    /// Tickets that the reconciler handed to the queue again.
    pub resent: IntCounter,
    /// Open and dead tickets, by lane and stage, as a dispatcher last counted them.
    pub tickets: IntGaugeVec,
    /// Tickets that schedules made, by schedule.
    pub schedule_ticks: IntCounterVec,
    /// For how many seconds the ticket that is ready the longest has been due, by lane, as a
    /// dispatcher last looked; 0 where none is ready.
    pub oldest_ready_seconds: GaugeVec,
    /// Tickets in work now.
    pub in_work: IntGauge,
}

impl Metrics {
    /// Makes the counters and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        const FINE: [f64; 12] =
            [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];
        let metrics = Self {
            claimed: IntCounterVec::new(
                Opts::new("printmill_tickets_claimed_total", "Tickets claimed, by kind."),
                &["kind"],
            )?,
            settled: IntCounterVec::new(
                Opts::new("printmill_tickets_settled_total", "Tickets settled, by outcome."),
                &["kind", "outcome"],
            )?,
            wait_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "printmill_ticket_wait_seconds",
                    "From a ticket being due to its handler starting.",
                )
                .buckets(FINE.to_vec()),
                &["kind"],
            )?,
            work_seconds: HistogramVec::new(
                HistogramOpts::new("printmill_ticket_work_seconds", "What handlers took.")
                    .buckets(FINE.to_vec()),
                &["kind"],
            )?,
            relayed: IntCounter::new(
                "printmill_tickets_relayed_total",
                "Tickets handed to the queue.",
            )?,
            tickets: IntGaugeVec::new(
                Opts::new("printmill_tickets", "Open and dead tickets, by lane and stage."),
                &["lane", "stage"],
            )?,
            oldest_ready_seconds: GaugeVec::new(
                Opts::new(
                    "printmill_oldest_ready_seconds",
                    "How long the ticket that is ready the longest has been due, by lane.",
                ),
                &["lane"],
            )?,
            resent: IntCounter::new(
                "printmill_tickets_resent_total",
                "Tickets handed to the queue again, since it seemed to have lost them.",
            )?,
            schedule_ticks: IntCounterVec::new(
                Opts::new("printmill_schedule_ticks_total", "Ticks done, by schedule."),
                &["schedule"],
            )?,
            in_work: IntGauge::new("printmill_tickets_in_work", "Tickets in work now.")?,
        };
        registry.register(Box::new(metrics.claimed.clone()))?;
        registry.register(Box::new(metrics.settled.clone()))?;
        registry.register(Box::new(metrics.wait_seconds.clone()))?;
        registry.register(Box::new(metrics.work_seconds.clone()))?;
        registry.register(Box::new(metrics.relayed.clone()))?;
        registry.register(Box::new(metrics.resent.clone()))?;
        registry.register(Box::new(metrics.tickets.clone()))?;
        registry.register(Box::new(metrics.schedule_ticks.clone()))?;
        registry.register(Box::new(metrics.oldest_ready_seconds.clone()))?;
        registry.register(Box::new(metrics.in_work.clone()))?;
        Ok(metrics)
    }
}
