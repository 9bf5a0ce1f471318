//! What strangers send at the same time does not add up in a node's memory.

use printmill_client::v1::{CreateAssetRequest, GetAssetRequest};
use printmill_testkit::{Node, Place, Shop};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// How much more memory a node may use, whatever it is given.
const MEMORY_KIB_MAX: u64 = 256 * 1024;

/// Sends all but the last byte of a body, waits until everybody has, and sends the rest; the
/// status line of the answer.
async fn send_slowly(
    address: String,
    head: String,
    body: Arc<Vec<u8>>,
    all: Arc<Barrier>,
) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(&address).await?;
    let (almost, last) = body.split_at(body.len() - 1);
    // Who is refused before the end is told so, and the rest does not arrive.
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(almost).await
    };
    let sent = sent.await;
    all.wait().await;
    if sent.is_ok() {
        let _ = stream.write_all(last).await;
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_uploads_at_once_do_not_add_up() -> anyhow::Result<()> {
    const COUNT: usize = 120;
    let place = Place::new()?;
    let node = Node::up(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let (before, _) = node.memory_kib()?;
    // Not quite five megabytes: as much as some stores take at once at least.
    let body = Arc::new(vec![b'x'; 4_900_000]);
    let all = Arc::new(Barrier::new(COUNT));
    let (mut uploads, mut assets) = (JoinSet::new(), vec![]);
    for number in 0..COUNT {
        let created = shop.client.create_asset(CreateAssetRequest {
            file_name: format!("{number}.jpg"),
            ..Default::default()
        });
        let created = created.await?;
        let link = created.upload.expect("where to send the bytes").url;
        let path = link.splitn(4, '/').nth(3).expect("a path").to_owned();
        let address = place.address().trim_start_matches("http://").to_owned();
        let length = body.len();
        let head = format!("PUT /{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        uploads.spawn(send_slowly(address, head, body.clone(), all.clone()));
        assets.push(created.asset.expect("an asset").id);
    }
    while let Some(answer) = uploads.join_next().await {
        assert_eq!(answer??, "HTTP/1.1 200");
    }
    let (_, most) = node.memory_kib()?;
    println!("memory went from {} MiB to {} MiB at most", before / 1024, most / 1024);
    assert!(most < before + MEMORY_KIB_MAX, "memory went from {before} to {most} KiB");
    for asset_id in assets {
        let asset = shop.client.get_asset(GetAssetRequest { asset_id }).await?;
        assert_eq!(asset.size, 4_900_000);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_requests_at_once_do_not_add_up() -> anyhow::Result<()> {
    const COUNT: usize = 200;
    let place = Place::new()?;
    let node = Node::up(&place).await?;
    let key = place.merchant_key("Seller")?;
    let shop = Shop::new(&place.address(), &key)?;
    let photos = shop.upload_photos(&place.beside("photos"), 1).await?;
    let (before, _) = node.memory_kib()?;
    // As many pages as a message can name, each of which is much larger once it is read.
    let mut body =
        br#"{"content":{"sku":"photobook-square-210-soft","title":"x","pages":{"pages":[{}"#
            .to_vec();
    while body.len() < 1_000_000 {
        body.extend(b",{}");
    }
    body.extend(b"]}}}");
    let body = Arc::new(body);
    let all = Arc::new(Barrier::new(COUNT));
    let mut requests = JoinSet::new();
    for _ in 0..COUNT {
        let address = place.address().trim_start_matches("http://").to_owned();
        let head = format!(
            "POST /v1/prints HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        requests.spawn(send_slowly(address, head, body.clone(), all.clone()));
    }
    let mut answers = std::collections::BTreeMap::<String, usize>::new();
    while let Some(answer) = requests.join_next().await {
        *answers.entry(answer?.unwrap_or_else(|error| error.to_string())).or_default() += 1;
    }
    println!("answers: {answers:?}");
    assert!(answers.contains_key("HTTP/1.1 400"), "those that were read are refused: {answers:?}");
    assert!(answers.contains_key("HTTP/1.1 503"), "the others come too many: {answers:?}");
    let (_, most) = node.memory_kib()?;
    println!("memory went from {} MiB to {} MiB at most", before / 1024, most / 1024);
    assert!(most < before + MEMORY_KIB_MAX, "memory went from {before} to {most} KiB");
    assert!(shop.photobook(photos, 24).await.is_ok(), "the node still works");
    Ok(())
}
