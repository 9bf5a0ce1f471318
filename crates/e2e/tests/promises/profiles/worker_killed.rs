//! SIGKILL of whoever renders: the work goes on, in the other worker or after a restart.

use super::run::{LIMIT, Run, render_started};
use anyhow::Result;

pub(super) async fn in_mid_render(run: &mut Run) -> Result<()> {
    let place = run.deployment.place();
    let picture = run.shop.upload_slow_picture(&place.beside("slower.png"), 2_000).await?;
    let slower = run.shop.photobook(vec![picture], 24).await?.id;
    let print = std::mem::replace(&mut run.print, slower);
    let seen = run.deployment.seen();
    let orders = run.place_orders(2).await?;
    run.print = print;
    let (victim, _) = run.deployment.worker_that(&seen, LIMIT, render_started).await?;
    run.deployment.seats[victim].kill()?;
    run.deployment.seats[victim].restart().await?;
    run.all_shipped(&orders).await
}
