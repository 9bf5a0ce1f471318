//! What keeps a node from starting is said in one sentence with a code and what to do.

use printmill_testkit::{Node, Place};

async fn fails_with(node: Node, code: &str) -> anyhow::Result<()> {
    let (exit, log) = node.ended().await?;
    let text = log.text();
    assert_ne!(exit, 0, "{text}");
    assert!(text.contains(code), "no {code} in: {text}");
    assert!(text.contains("help"), "no advice in: {text}");
    assert!(!text.contains("panicked"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _taken = std::net::TcpListener::bind(("127.0.0.1", place.port))?;
    fails_with(Node::spawn(&place, &["up"])?, "ADDRESS_IN_USE").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_in_the_file() -> anyhow::Result<()> {
    let place = Place::new()?;
    std::fs::write(place.beside("printmill.toml"), "lisen = \"127.0.0.1:1\"\n")?;
    fails_with(Node::spawn(&place, &["up"])?, "CONFIGURATION_INVALID").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = Node::spawn(&place, &["serve", "--roles", "worker", "--queue", "memory://"])?;
    fails_with(node, "CONFIGURATION_INVALID").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_does_not_exist() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = Node::spawn(&place, &["up", "--database", "oracle://127.0.0.1/printmill"])?;
    fails_with(node, "ADAPTER_NOT_COMPILED").await
}
