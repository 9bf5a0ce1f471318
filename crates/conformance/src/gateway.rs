//! The payment gateway's contract.

use crate::samples::{id, merchant};
use crate::subject::Subject;
use crate::suite::{Case, Suite};
use anyhow::ensure;
use printmill_backend::payment_gateway::{Charge, PaymentGateway};
use printmill_domain::ids::PaymentId;
use printmill_domain::money::{Currency, Money};
use printmill_domain::payment::ChargeOutcome;
use std::sync::Arc;

/// Methods by which a gateway can be made to answer in a known way.
#[derive(Debug, Clone, Copy)]
pub struct GatewayMethods {
    /// It pays.
    pub pays: &'static str,
    /// It is refused.
    pub declined: &'static str,
    /// The gateway does not answer, if there is such a method.
    pub unreachable: Option<&'static str>,
    /// Whether somebody pays in the end.
    pub take_money: bool,
}

type Gateway = Arc<dyn PaymentGateway>;

/// The cases of the payment gateway's contract.
#[cfg(feature = "trials")]
pub fn gateway_trials<F, Fut>(
    adapter: &str,
    methods: GatewayMethods,
    factory: F,
) -> Vec<libtest_mimic::Trial>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: std::future::Future<Output = anyhow::Result<Subject<dyn PaymentGateway>>> + Send + 'static,
{
    let stores = crate::trials::Stores::made_by(factory);
    let opens = stores.probe(true, |subject, _| subject.opens());
    stores.trials(adapter, "payment_gateway", gateway_cases(methods, opens))
}

/// The cases of the payment gateway's contract, of one that can be opened again or not.
///
/// They charge, so they are safe beside a deployment in use only with methods that take no money.
pub fn gateway_cases(methods: GatewayMethods, opens: bool) -> Vec<Case<dyn PaymentGateway>> {
    let mut suite = Suite::new();
    let safe = (!methods.take_money).then_some("these methods take no money");
    let GatewayMethods { pays, declined, unreachable, .. } = methods;
    suite.case("idempotency::every_answer_is_the_same", true, safe, move |subject| async move {
        every_answer_is_the_same(&subject.handle()?, pays).await?;
        every_answer_is_the_same(&subject.handle()?, declined).await
    });
    suite.case("idempotency::payments_are_kept_apart", true, safe, move |subject| async move {
        payments_are_kept_apart(&subject.handle()?, pays).await
    });
    suite.case("idempotency::the_answer_outlives_the_process", opens, None, move |subject| {
        the_answer_outlives_the_process(subject, pays)
    });
    suite.case("errors::a_refusal_is_an_answer", true, safe, move |subject| async move {
        let outcome = subject.handle()?.charge(&charge(declined)).await?;
        ensure!(matches!(outcome, ChargeOutcome::Declined { .. }), "{outcome:?}");
        Ok(())
    });
    let answers = unreachable.is_some();
    suite.case("errors::silence_is_an_error", answers, safe, move |subject| async move {
        let charge = charge(unreachable.unwrap_or_default());
        let answer = subject.handle()?.charge(&charge).await;
        ensure!(answer.is_err_and(|error| error.retryable()), "the outcome cannot be known");
        Ok(())
    });
    suite.finish()
}

fn charge(method: &str) -> Charge {
    Charge {
        payment: id::<PaymentId>(0),
        merchant: merchant(),
        method: method.into(),
        amount: Money::new(Currency::Eur, 4_200),
    }
}

async fn every_answer_is_the_same(gateway: &Gateway, method: &str) -> anyhow::Result<()> {
    let charge = charge(method);
    let asked = (0..8).map(|_| gateway.charge(&charge));
    let answers = futures::future::try_join_all(asked).await?;
    let again = gateway.charge(&charge).await?;
    ensure!(answers.iter().all(|answer| *answer == again), "{answers:?}, then {again:?}");
    Ok(())
}

async fn payments_are_kept_apart(gateway: &Gateway, method: &str) -> anyhow::Result<()> {
    let one = gateway.charge(&charge(method)).await?;
    let other = gateway.charge(&charge(method)).await?;
    ensure!(matches!(one, ChargeOutcome::Paid { .. }), "{one:?}");
    ensure!(one != other, "two payments have the same reference: {one:?}");
    Ok(())
}

async fn the_answer_outlives_the_process(
    mut subject: Subject<dyn PaymentGateway>,
    method: &str,
) -> anyhow::Result<()> {
    let charge = charge(method);
    let before = subject.handle()?.charge(&charge).await?;
    let after = subject.reopen().await?.charge(&charge).await?;
    ensure!(before == after, "{before:?}, then {after:?}");
    Ok(())
}
