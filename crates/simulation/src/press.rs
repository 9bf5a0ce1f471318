//! A press that makes no pages: it takes its time, fails now and then, and puts a small file.

use crate::process::Process;
use async_trait::async_trait;
use printmill_backend::Change;
use printmill_domain::Timestamp;
use printmill_domain::problem::{Code, Problem};
use printmill_engine::handler::{Failure, Handler, Work};
use printmill_prints::Render;
use serde_json::{Value, json};
use std::sync::Arc;

/// Makes files of nothing; what is decided about them is the real press's part.
pub(crate) struct FakePress {
    pub(crate) real: Render,
    pub(crate) process: Arc<Process>,
}

/// How often, in a thousand, a worker stands still between its work and the commit.
const STANDS_STILL: u32 = 250;

#[async_trait]
impl Handler for FakePress {
    fn kind(&self) -> &'static str {
        self.real.kind()
    }

    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        let site = &self.process.site;
        let pages = site.chance.between(1..=8);
        for page in 0..pages {
            tokio::time::sleep(site.chance.millis(0..=4_000)).await;
            self.process.step().await;
            work.report(u16::try_from(page * 1000 / pages).unwrap_or_default());
            if work.is_cancelled() {
                return Err(Failure::passing(failed("it was stopped")));
            }
            if site.strikes(site.weather.press) {
                let hopeless = site.strikes(100);
                return Err(Failure { hopeless, problem: failed("a page is white") });
            }
        }
        // The worst moment to stand still: all is done but the commit, and the lease runs out.
        if site.weather.stalls > 0 && site.strikes(STANDS_STILL) {
            self.process.stall(site.chance.millis(10_000..=70_000));
            self.process.step().await;
        }
        let file = bytes::Bytes::from(format!("the file of {}", work.ticket.id));
        Ok(json!(site.blobs.put(work.ticket.merchant, file).await?))
    }

    async fn decide(
        &self,
        work: &Work,
        performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure> {
        self.real.decide(work, performed, now).await
    }

    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        self.real.give_up(work, problem, now).await
    }
}

fn failed(why: &str) -> Problem {
    Problem::new(Code::RenderFailed, why, "order again")
}
