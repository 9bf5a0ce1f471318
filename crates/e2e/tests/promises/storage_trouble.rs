//! A full disk and a read-only directory: a clear error, and nothing lost.

use crate::run_facilities;
use printmill_testkit::{Node, Place, Shop, history};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A small file system of its own, where the machine lets us make one.
struct SmallDisk<'a> {
    path: &'a Path,
}

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path, options: &str) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(path)?;
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        if !mounted {
            let ci = std::env::var_os("CI").is_some();
            anyhow::ensure!(!ci, "this test must be able to mount a tmpfs in CI");
            println!("SKIPPED: a tmpfs cannot be mounted here (it takes root)");
            return Ok(None);
        }
        Ok(Some(Self { path }))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_works_again_when_there_is_space() -> anyhow::Result<()> {
    let place = Place::new()?;
    let data = place.data();
    let Some(_disk) = SmallDisk::mount(&data, "size=64m")? else { return Ok(()) };
    let node = Node::up(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(&place)?;
    let photos = shop.upload_photos(&place.beside("photos"), 2).await?;
    let print = shop.photobook(photos.clone(), 24).await?;

    let ballast = data.join("ballast");
    fill(&ballast)?;
    let path = place.beside("photos").join("photo-1.jpg");
    let mut other = std::fs::read(&path)?;
    other.extend([0; 64]);
    let full = place.beside("full.jpg");
    std::fs::write(&full, other)?;
    let refused = shop.client.upload_file(&full, |_| {}).await.expect_err("the disk is full");
    assert_eq!(refused.code, "STORAGE_FULL", "{refused}");

    std::fs::remove_file(&ballast)?;
    let order = shop.order(&print.id, "after").await?;
    let order = shop.shipped(&order.id, Duration::from_secs(60)).await?;
    history::check_shipped(&shop.client, &order).await?;
    assert_eq!(node.stop().await?, 0);
    Ok(())
}

/// Writes until no byte fits any more.
fn fill(path: &Path) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0u8; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_directory_is_said_at_start() -> anyhow::Result<()> {
    let place = Place::new()?;
    let data = place.data();
    let Some(_disk) = SmallDisk::mount(&data, "size=1m,ro")? else { return Ok(()) };
    let (exit, log) = Node::spawn(&place, &["up"])?.ended().await?;
    assert_ne!(exit, 0);
    assert!(log.text().contains("STORAGE_READ_ONLY"), "{}", log.text());
    Ok(())
}
