//! The queue's file going away under it, several handles on it, and what waiting costs.

use super::*;
use crate::SqlQueue;
use anyhow::ensure;
use printmill_backend::Queue;
use printmill_backend::queue::{Delivery, Message, QueueStats, SettleError};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn message(number: u128) -> Message {
    let ticket = TicketId::from_uuid(Uuid::from_u128(number));
    Message { ticket, trace: None, delay: Duration::ZERO }
}

async fn send(queue: &SqlQueue, numbers: impl IntoIterator<Item = u128>) -> Result<()> {
    let messages: Vec<_> = numbers.into_iter().map(message).collect();
    for sent in queue.send(&Lane::express(), &messages).await {
        sent?;
    }
    Ok(())
}

async fn lease(queue: &SqlQueue, wait: Duration) -> Result<Vec<Delivery>> {
    Ok(queue.lease(&Lane::express(), 100, MINUTE, wait).await?)
}

async fn stats(queue: &SqlQueue) -> Result<QueueStats> {
    Ok(queue.stats(&Lane::express()).await?)
}

#[tokio::test]
async fn a_file_deleted_under_the_queue_is_replaced_by_an_empty_one() -> Result<()> {
    for lost in [&["", "-wal", "-shm"][..], &[""], &["-wal"], &["-shm"]] {
        let directory = directory()?;
        let address = url(&directory, "queue.db");
        let queue = SqlQueue::open(&address).await?;
        let beside = SqlQueue::open(&address).await?;
        send(&queue, 1..=3).await?;
        let held = lease(&queue, Duration::ZERO).await?;
        for suffix in lost {
            std::fs::remove_file(directory.path().join(format!("queue.db{suffix}")))?;
        }
        ensure!(stats(&queue).await?.total() == 0, "after losing {lost:?}");
        ensure!(matches!(queue.ack(&held[0].receipt).await, Err(SettleError::Lost)));
        send(&queue, 4..=5).await?;
        ensure!(stats(&beside).await?.ready == 2, "after losing {lost:?}");
        let delivered = lease(&beside, Duration::ZERO).await?;
        ensure!(delivered.iter().all(|it| it.attempt == 1) && delivered.len() == 2);
        queue.ack(&delivered[0].receipt).await?;
        ensure!(stats(&queue).await? == QueueStats { ready: 0, in_flight: 1, delayed: 0 });
    }
    Ok(())
}

#[tokio::test]
async fn a_directory_deleted_under_the_queue_is_made_again() -> Result<()> {
    let directory = directory()?;
    let queue = SqlQueue::open(&url(&directory, "deep/queue.db")).await?;
    send(&queue, 1..=3).await?;
    std::fs::remove_dir_all(directory.path().join("deep"))?;
    send(&queue, 4..=4).await?;
    ensure!(lease(&queue, Duration::ZERO).await?.len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_at_the_start_and_while_open() -> Result<()> {
    let directory = directory()?;
    let path = directory.path().join("queue.db");
    let address = url(&directory, "queue.db");
    std::fs::write(&path, "not a database, but long enough\n".repeat(99))?;
    let queue = SqlQueue::open(&address).await?;
    ensure!(std::fs::read(directory.path().join("queue.db.damaged"))?.starts_with(b"not a"));
    send(&queue, 1..=200).await?;
    ensure!(stats(&queue).await?.ready == 200);
    drop(queue);

    let queue = SqlQueue::open(&address).await?;
    std::fs::remove_file(directory.path().join("queue.db-wal"))?;
    std::fs::write(&path, "not a database, but long enough\n".repeat(999))?;
    send(&queue, 1..=2).await?;
    ensure!(stats(&queue).await?.ready == 2);
    Ok(())
}

#[tokio::test]
async fn a_waiting_lease_finds_what_another_handle_sent() -> Result<()> {
    let directory = directory()?;
    let address = url(&directory, "queue.db");
    let (queue, beside) = tokio::try_join!(SqlQueue::open(&address), SqlQueue::open(&address))?;
    let waiting = tokio::spawn(async move { lease(&queue, MINUTE).await });
    // Not before it waits: it has looked and found nothing.
    send(&beside, 1..=1).await?;
    ensure!(waiting.await??.len() == 1);
    Ok(())
}

#[tokio::test]
async fn messages_claimed_for_somebody_who_left_are_given_back() -> Result<()> {
    let directory = directory()?;
    let queue = SqlQueue::open(&url(&directory, "queue.db")).await?;
    for _ in 0..20 {
        send(&queue, 1..=1).await?;
        let leaving = tokio::spawn({
            let queue = queue.clone();
            async move { lease(&queue, MINUTE).await }
        });
        tokio::task::yield_now().await;
        leaving.abort();
        let found = match leaving.await {
            Ok(found) => found?,
            Err(_) => lease(&queue, MINUTE / 2).await?,
        };
        ensure!(found.len() == 1);
        queue.ack(&found[0].receipt).await?;
    }
    ensure!(stats(&queue).await?.total() == 0);
    Ok(())
}

#[tokio::test]
async fn due_and_expired_messages_count_as_ready_however_many() -> Result<()> {
    let directory = directory()?;
    let queue = SqlQueue::open(&url(&directory, "queue.db")).await?;
    let delayed: Vec<_> =
        (1..=3000).map(|it| Message { delay: Duration::from_micros(1), ..message(it) }).collect();
    queue.send(&Lane::express(), &delayed).await;
    send(&queue, 3001..=3010).await?;
    let later = Message { delay: MINUTE, ..message(3011) };
    queue.send(&Lane::express(), &[later]).await;
    let none = Duration::ZERO;
    let held = queue.lease(&Lane::express(), 5, none, none).await?;
    ensure!(held.len() == 5);
    for _ in 0..2 {
        let counted = stats(&queue).await?;
        ensure!(counted == QueueStats { ready: 3010, in_flight: 0, delayed: 1 }, "{counted:?}");
    }
    // Counting marked them as ready; who held one may still settle it.
    queue.ack(&held[0].receipt).await?;
    ensure!(stats(&queue).await?.ready == 3009);
    Ok(())
}
