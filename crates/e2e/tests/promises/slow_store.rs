//! A store of files that takes requests and never answers: who needs no files notices nothing.

use anyhow::{Context, ensure};
use printmill_client::v1::{GetOrderRequest, ListOrdersRequest};
use printmill_test_servers::proxy::Mode;
use printmill_test_servers::{Proxy, S3sFs, s3s_fs};
use printmill_testkit::{Node, Place, Shop};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything here may take before the test fails; most of it takes milliseconds.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_stops_only_who_needs_files() -> anyhow::Result<()> {
    let Some(server) = S3sFs::start(&["slow"])? else { return Ok(()) };
    let way = Proxy::start(server.process.port())?;
    let place = Place::new()?;
    let secret = place.beside("secret");
    std::fs::write(&secret, s3s_fs::SECRET_ACCESS_KEY)?;
    let blobs = format!(
        "s3://slow?region=eu-west-1&endpoint=http://127.0.0.1:{}&access_key_id={}\
         &secret_access_key_file={}",
        way.port(),
        s3s_fs::ACCESS_KEY_ID,
        secret.display()
    );
    let node = Node::spawn(
        &place,
        &["up", "--blobs", &blobs, "--blobs-seconds", "2", "--blobs-at-once", "8"],
    )?;
    node.wait_until_serving(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let photos = shop.upload_photos(&place.beside("photos"), 2).await?;
    let print = shop.photobook(photos, 24).await?;
    assert_eq!(ask(&place, "/readyz").await?, "ready\n");

    way.set(Mode::Silent);
    let uploads = tokio::spawn(upload_all(shop.clone(), place.beside("photos/photo-0.jpg")));
    for _ in 0..10 {
        timeout(LIMIT, shop.client.list_orders(ListOrdersRequest::default())).await??;
    }
    let order = timeout(LIMIT, shop.order(&print.id, "while it hangs")).await??;
    let left_alone =
        |line: &printmill_testkit::log::Line| line.message() == "backend is left alone for a while";
    let found = node.log.wait_for(0, LIMIT, left_alone).await;
    ensure!(found.is_some(), "the breaker did not open: {}", node.log.text());
    assert_eq!(ask(&place, "/readyz").await?, "ready, without: blobs\n");
    let metrics = ask(&place, "/metrics").await?;
    for series in [
        "printmill_backend_circuit_opened_total{backend=\"blobs\"} ",
        "printmill_backend_calls_total{backend=\"blobs\",operation=\"put\",outcome=\"timed_out\"} ",
        "printmill_backend_calls_total{backend=\"database\",operation=\"list\",outcome=\"ok\"} ",
    ] {
        assert!(metrics.contains(series), "no {series} in:\n{metrics}");
    }
    let get = GetOrderRequest { order_id: order.id.clone() };
    assert_eq!(timeout(LIMIT, shop.client.get_order(get)).await??.id, order.id);

    way.set(Mode::Passing);
    timeout(LIMIT, uploads).await???;
    assert_eq!(ask(&place, "/readyz").await?, "ready\n");
    assert_eq!(timeout(LIMIT, node.stop()).await??, 0);
    Ok(())
}

/// Uploads a picture ten times at once, each again until it is taken.
async fn upload_all(shop: Shop, picture: PathBuf) -> anyhow::Result<()> {
    let uploads = (0..10).map(|_| async {
        loop {
            match shop.client.upload_file(&picture, |_| {}).await {
                Ok(_) => return Ok(()),
                Err(error) => ensure!(error.code == "UNAVAILABLE", "{error}"),
            }
        }
    });
    futures::future::try_join_all(uploads).await?;
    Ok(())
}

/// What a plain GET answers.
async fn ask(place: &Place, path: &str) -> anyhow::Result<String> {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", place.port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(LIMIT, asking).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(body.to_owned())
}
