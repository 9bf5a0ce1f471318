//! The same promises on every profile, in every layout: an order is shipped, whoever is killed,
//! and whichever server restarts, forgets everything or answers errors.
//!
//! Each test starts its servers and nodes once and goes through all scenarios in order. What fails
//! names the scenario.

mod broker_trouble;
mod database_trouble;
mod run;
mod shipped;
mod store_trouble;
mod worker_killed;

use anyhow::{Context, Result};
use printmill_testkit::profile::{Layout, Profile, Servers};
use run::Run;
use std::time::Instant;

async fn keeps_its_promises(profile: Profile, layout: Layout) -> Result<()> {
    let begun = Instant::now();
    let started = tokio::task::block_in_place(|| Servers::start(profile));
    let Some(servers) = started? else { return Ok(()) };
    println!("servers started in {:.1?}", begun.elapsed());
    let mut run = Run::start(servers, layout).await?;
    println!("nodes started after {:.1?}", begun.elapsed());
    let outcome = scenarios(&mut run, profile).await;
    let outcome = outcome.with_context(|| format!("{profile:?}, {layout:?}"));
    if outcome.is_err() {
        println!("{}", run.deployment.text());
    }
    outcome
}

async fn scenarios(run: &mut Run, profile: Profile) -> Result<()> {
    run.scenario("an order is shipped", shipped::goes_through).await?;
    run.scenario("a worker is killed in mid-render", worker_killed::in_mid_render).await?;
    // Of local files the tests `queue_lost` and `storage_trouble` say what is promised.
    if profile != Profile::Local {
        run.scenario("the broker restarts", broker_trouble::restarts).await?;
        run.scenario("the broker is wiped", broker_trouble::is_wiped).await?;
        run.scenario("the database restarts", database_trouble::restarts).await?;
        run.scenario("the store answers errors", store_trouble::answers_errors).await?;
        let fetching = store_trouble::fails_while_a_facility_fetches;
        run.scenario("the store fails while a facility fetches", fetching).await?;
    }
    run.scenario("nothing was lost, nothing twice", run::nothing_lost_nothing_twice).await
}

/// A test for each layout of a profile.
macro_rules! profile {
    ($name:ident, $profile:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn in_one_process() -> Result<()> {
                keeps_its_promises($profile, Layout::OneProcess).await
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn with_two_processes_for_each_role() -> Result<()> {
                keeps_its_promises($profile, Layout::ByRole).await
            }
        }
    };
}

profile!(local, Profile::Local);
profile!(nats_postgres_s3, Profile::Nats);
profile!(sqs_postgres_s3, Profile::Sqs);
profile!(rabbitmq_mariadb_s3, Profile::RabbitMq);
