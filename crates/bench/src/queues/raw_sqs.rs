//! aws-sdk-sqs by itself: batches of ten to send and to delete, long polls.

use super::life::{LEASE, Side, TRACE, WAIT};
use anyhow::Context;
use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry};

/// What SQS takes at once.
const BATCH_MAX: usize = 10;

pub(super) struct Sqs {
    client: Client,
    url: String,
}

impl Sqs {
    pub(super) async fn open(endpoint: &str) -> anyhow::Result<Self> {
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new("eu-west-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
            .build();
        let client = Client::from_conf(config);
        let made = client.create_queue().queue_name("raw").send().await?;
        let url = made.queue_url.context("a queue has a URL")?;
        Ok(Self { client, url })
    }
}

#[async_trait]
impl Side for Sqs {
    async fn send(&self, count: usize) -> anyhow::Result<()> {
        let mut left = count;
        while left > 0 {
            let batch = left.min(BATCH_MAX);
            let entry = |number: usize| {
                let entry = SendMessageBatchRequestEntry::builder();
                entry.id(number.to_string()).message_body(TRACE).build()
            };
            let entries = (0..batch).map(entry).collect::<Result<Vec<_>, _>>()?;
            let sent = self.client.send_message_batch().queue_url(&self.url);
            let sent = sent.set_entries(Some(entries)).send().await?;
            anyhow::ensure!(sent.failed.is_empty(), "some were not sent");
            left -= batch;
        }
        Ok(())
    }

    async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(count.min(BATCH_MAX))?)
            .visibility_timeout(i32::try_from(LEASE.as_secs())?)
            .wait_time_seconds(i32::try_from(WAIT.as_secs())?)
            .send()
            .await?;
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(0);
        }
        let entry = |(number, message): (usize, &aws_sdk_sqs::types::Message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            entry.set_receipt_handle(message.receipt_handle.clone()).build()
        };
        let entries = messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let deleted = self.client.delete_message_batch().queue_url(&self.url);
        let deleted = deleted.set_entries(Some(entries)).send().await?;
        anyhow::ensure!(deleted.failed.is_empty(), "some were not deleted");
        Ok(messages.len())
    }
}
