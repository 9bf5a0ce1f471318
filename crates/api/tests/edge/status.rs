//! The port of nodes that serve no clients.

use printmill_adapter_memory::MemoryDatabase;
use printmill_api::serve_status;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_node_that_stops_lives_and_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stopping, ended) = (CancellationToken::new(), CancellationToken::new());
    let serving = tokio::spawn(serve_status(
        listener,
        Arc::new(MemoryDatabase::new()),
        Arc::new(|| "a_total 1\n".to_owned()),
        Some(Arc::new(|| vec!["blobs"])),
        stopping.clone(),
        ended.clone().cancelled_owned(),
    ));
    let ready = get(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(ready.ends_with("ready, without: blobs\n"), "{ready}");
    assert!(get(address, "/metrics").await.ends_with("a_total 1\n"));
    stopping.cancel();
    let unready = get(address, "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    assert!(unready.contains("shutting down"), "{unready}");
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    ended.cancel();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
