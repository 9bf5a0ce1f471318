//! What becomes of a queue when its store is opened again, opened twice, or lost.

use super::{Claims, LONG, SHORT, Store, expect_quiet, expect_ticket, message, send, take};
use crate::suite::{Suite, cases};
use printmill_backend::queue::{Queue, SettleError};

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    cases!(suite, "wiping", if claims.wipes, [
        it_starts_empty_and_works,
        old_receipts_are_no_failure,
    ]);
    cases!(suite, "durability", if claims.reopens, [
        waiting_messages_are_there_after_reopening,
        leased_messages_come_again_after_reopening,
    ]);
    cases!(suite, "sharing", if claims.shared, [two_handles_serve_one_queue]);
}

async fn it_starts_empty_and_works(mut subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, &[sent.clone(), message()]).await?;
    take(&queue, LONG).await?;
    drop(queue);
    let queue = subject.wipe().await?;
    queue.ensure(&super::lane()).await?;
    expect_quiet(&queue).await?;
    // Its content is rebuilt from the database: the same ids come again.
    send(&queue, std::slice::from_ref(&sent)).await?;
    let again = take(&queue, LONG).await?;
    expect_ticket(&again, sent.ticket)?;
    queue.ack(&again.receipt).await?;
    expect_quiet(&queue).await
}

async fn old_receipts_are_no_failure(mut subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    let held = take(&queue, LONG).await?;
    drop(queue);
    let queue = subject.wipe().await?;
    queue.ensure(&super::lane()).await?;
    match queue.ack(&held.receipt).await {
        Ok(()) | Err(SettleError::Lost) => Ok(()),
        Err(SettleError::Backend(error)) => Err(error.into()),
    }
}

async fn waiting_messages_are_there_after_reopening(mut subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    drop(queue);
    let queue = subject.reopen().await?;
    let delivery = take(&queue, LONG).await?;
    expect_ticket(&delivery, sent.ticket)?;
    queue.ack(&delivery.receipt).await?;
    drop(queue);
    expect_quiet(&subject.reopen().await?).await
}

async fn leased_messages_come_again_after_reopening(mut subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    take(&queue, SHORT).await?;
    drop(queue);
    let queue = subject.reopen().await?;
    expect_ticket(&take(&queue, LONG).await?, sent.ticket)
}

async fn two_handles_serve_one_queue(subject: Store) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    let sent = message();
    send(&one, std::slice::from_ref(&sent)).await?;
    let held = take(&other, LONG).await?;
    expect_ticket(&held, sent.ticket)?;
    expect_quiet(&one).await?;
    one.ack(&held.receipt).await?;
    expect_quiet(&other).await
}
