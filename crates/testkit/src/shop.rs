//! A seller with pictures, who designs, orders and waits, all through the public API.

use crate::history;
use anyhow::{Context, bail};
use printmill_client::v1::{
    AutoLayout, Content, CreateOrderRequest, CreatePrintRequest, GetOrderRequest, LineRequest,
    Order, OrderState, Print, Recipient, content,
};
use printmill_client::{Client, facility};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The starter catalogue's soft photobook.
pub const PHOTOBOOK: &str = "photobook-square-210-soft";

/// A seller.
#[derive(Clone)]
pub struct Shop {
    /// The seller's client.
    pub client: Client,
}

impl Shop {
    /// A seller with a key.
    pub fn new(server: &str, key: &str) -> anyhow::Result<Self> {
        Ok(Self { client: Client::connect(server, Some(key))? })
    }

    /// Uploads photographs that are made for it; their asset ids.
    pub async fn upload_photos(&self, directory: &Path, count: u64) -> anyhow::Result<Vec<String>> {
        std::fs::create_dir_all(directory)?;
        let mut assets = vec![];
        for seed in 0..count {
            let path = directory.join(format!("photo-{seed}.jpg"));
            let photo = printmill_press::specimen::photograph(seed)?;
            std::fs::write(&path, &photo.jpeg)?;
            assets.push(self.client.upload_file(&path, |_| {}).await?.id);
        }
        Ok(assets)
    }

    /// Uploads a transparent PNG that takes the press a while, since it must be encoded anew.
    pub async fn upload_slow_picture(&self, path: &Path, side: u32) -> anyhow::Result<String> {
        std::fs::write(path, transparent_png(side)?)?;
        Ok(self.client.upload_file(path, |_| {}).await?.id)
    }

    /// A photobook of these pictures.
    pub async fn photobook(&self, assets: Vec<String>, page_count: u32) -> anyhow::Result<Print> {
        let layout = AutoLayout { asset_ids: assets, page_count };
        let content = Content {
            sku: PHOTOBOOK.into(),
            title: "Test book".into(),
            layout: Some(content::Layout::AutoLayout(layout)),
        };
        let request = CreatePrintRequest { content: Some(content), ..Default::default() };
        Ok(self.client.create_print(request).await?)
    }

    /// Orders one copy and pays for it at once.
    pub async fn order(&self, print: &str, reference: &str) -> anyhow::Result<Order> {
        Ok(self.client.create_order(order_request(print, reference)).await?)
    }

    /// Waits until an order is shipped.
    pub async fn shipped(&self, order: &str, limit: Duration) -> anyhow::Result<Order> {
        let watching = async {
            let mut watch = self.client.watch_order(order, 0);
            while watch.next().await?.is_some() {}
            self.client.get_order(GetOrderRequest { order_id: order.into() }).await
        };
        match tokio::time::timeout(limit, watching).await {
            Ok(order) => {
                let order = order?;
                if order.state() != OrderState::Shipped {
                    bail!("{} ended as {:?}", order.id, order.state());
                }
                Ok(order)
            }
            Err(_) => {
                let events = history::of_order(&self.client, order).await?;
                let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
                bail!("{order} is not shipped after {limit:?}; so far: {kinds:?}")
            }
        }
    }
}

/// One copy, paid for at once, for somebody in Berlin.
pub fn order_request(print: &str, reference: &str) -> CreateOrderRequest {
    CreateOrderRequest {
        items: vec![LineRequest { print_id: print.into(), revision: 0, quantity: 1 }],
        recipient: Some(Recipient {
            name: "Ada Lovelace".into(),
            lines: vec!["Unter den Linden 1".into()],
            city: "Berlin".into(),
            postal_code: "10117".into(),
            region: String::new(),
            country: "DE".into(),
        }),
        reference: reference.into(),
        payment_method: "sandbox".into(),
        ..Default::default()
    }
}

/// A facility that takes on, makes at once, and ships; until it is cancelled.
pub fn run_facility(
    server: &str,
    key: &str,
    spool: std::path::PathBuf,
) -> anyhow::Result<(CancellationToken, JoinHandle<()>)> {
    run_facility_that_tells(server, key, spool, |_| {})
}

/// The same, telling somebody what it does.
pub fn run_facility_that_tells(
    server: &str,
    key: &str,
    spool: std::path::PathBuf,
    observer: impl Fn(facility::FacilityNote) + Send + Sync + 'static,
) -> anyhow::Result<(CancellationToken, JoinHandle<()>)> {
    let client = Client::connect(server, Some(key))?;
    let options = facility::FacilityOptions::new(spool, "test facility");
    let press = Arc::new(facility::SimulatedPress { time: Duration::ZERO });
    let facility = facility::FacilityClient::new(client, options, press, observer);
    let stop = CancellationToken::new();
    let running = stop.clone();
    let task = tokio::spawn(async move {
        if let Err(error) = facility.run(running).await {
            eprintln!("facility ended: {error}");
        }
    });
    Ok((stop, task))
}

/// A progressive JPEG, which must be held whole with all its pixels to be looked into.
pub fn progressive_jpeg(width: u16, height: u16) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![];
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 70);
    encoder.set_progressive(true);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height) * 3)
        .map(|at| u8::try_from(at / 7 % 251).unwrap_or_default())
        .collect();
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb)?;
    Ok(bytes)
}

/// A square picture with noise and transparency, which cannot be passed through.
fn transparent_png(side: u32) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut random = fastrand::Rng::with_seed(u64::from(side));
    let row = usize::try_from(side)? * 4;
    let mut writer = encoder.write_header()?;
    let pixels: Vec<u8> = (0..row * usize::try_from(side)?).map(|_| random.u8(..16)).collect();
    writer.write_image_data(&pixels).context("the picture is encoded")?;
    writer.finish()?;
    Ok(bytes)
}

/// Reads a PDF as another program would; its number of pages.
pub fn reread_pages(pdf: &[u8]) -> anyhow::Result<usize> {
    Ok(printmill_press::reread(pdf)?.pages.len())
}
