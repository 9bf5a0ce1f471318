//! What a call costs on its way through the stack that guards a backend.

use crate::table;
use clap::Args;
use printmill_backend::payment_gateway::Charge;
use printmill_backend::{BackendError, PaymentGateway, fresh};
use printmill_domain::Timestamp;
use printmill_domain::ids::MerchantId;
use printmill_domain::money::{Currency, Money};
use printmill_domain::payment::ChargeOutcome;
use printmill_resilience::{Limits, Resilience};
use prometheus::Registry;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Calls of each kind, in each of ten rounds that take turns.
    #[arg(long, default_value_t = 100_000)]
    calls: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { calls: 100_000 }
    }
}

/// A gateway that does nothing: at once, or when it is polled for the second time.
struct Nothing {
    yields: bool,
}

#[async_trait::async_trait]
impl PaymentGateway for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    async fn charge(&self, _: &Charge) -> Result<ChargeOutcome, BackendError> {
        if self.yields {
            tokio::task::yield_now().await;
        }
        Ok(ChargeOutcome::Declined { reason: String::new() })
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut rows = vec![];
    for (what, yields) in [("answered at once", false), ("answered after a wake-up", true)] {
        let plain: Arc<dyn PaymentGateway> = Arc::new(Nothing { yields });
        let limits = Limits { timeout: Duration::from_secs(20), at_once: 256 };
        let guarded = Resilience::register(&Registry::new())?.payments(plain.clone(), limits);
        let (mut least_plain, mut least_guarded) = (f64::MAX, f64::MAX);
        for _ in 0..10 {
            least_plain = least_plain.min(nanoseconds(plain.as_ref(), options.calls).await?);
            least_guarded = least_guarded.min(nanoseconds(guarded.as_ref(), options.calls).await?);
        }
        rows.push(vec![
            what.to_owned(),
            format!("{least_plain:.0}"),
            format!("{least_guarded:.0}"),
            format!("{:.0}", least_guarded - least_plain),
        ]);
    }
    let header = ["Call", "plain, ns", "guarded, ns", "the guard, ns"];
    table::print("What guarding a call costs", &header, &rows);
    Ok(())
}

/// What one of so many calls takes, one after the other.
async fn nanoseconds(gateway: &dyn PaymentGateway, calls: u32) -> anyhow::Result<f64> {
    let charge = Charge {
        payment: fresh::id(Timestamp::default()),
        merchant: MerchantId::PLATFORM,
        method: String::new(),
        amount: Money { currency: Currency::Eur, minor: 1 },
    };
    let begun = Instant::now();
    for _ in 0..calls {
        gateway.charge(&charge).await?;
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(calls))
}
