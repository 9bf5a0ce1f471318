//! The stock: facilities, merchants and their designs, which are there before anything goes wrong.

use crate::api::Services;
use crate::chores;
use crate::process::Process;
use crate::schedules::{self, Planned};
use crate::site::{self, Site};
use anyhow::Context as _;
use printmill_backend::{Change, Database, fresh};
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::asset::{Asset, AssetCommand, BlobRef, Picture};
use printmill_domain::facility::starter_facilities;
use printmill_domain::ids::{AssetId, FacilityId, MerchantId, PrintId, TicketId};
use printmill_domain::print::{Fit, Page, Placement};
use printmill_engine::command::Context;
use printmill_prints::{Design, Layout};
use std::sync::Arc;

/// What is there at the beginning.
pub(crate) struct Stock {
    pub(crate) facilities: Vec<FacilityId>,
    /// Each merchant with a design.
    pub(crate) merchants: Vec<(MerchantId, PrintId)>,
    pub(crate) schedules: Vec<Planned>,
    pub(crate) chores: Vec<(MerchantId, TicketId)>,
}

impl Stock {
    /// Puts so many merchants, and two facilities, into the database.
    pub(crate) async fn put(site: &Arc<Site>, merchants: u32) -> anyhow::Result<Self> {
        let now = site.now();
        let mut facilities = vec![];
        // One in the Netherlands and one in the United Kingdom; the catalogue's magazine is made
        // by both.
        for facility in starter_facilities(now)
            .into_iter()
            .filter(|it| it.country == "NL" || it.country == "GB")
        {
            facilities.push(facility.id);
            let change = Change::new(MerchantId::PLATFORM, now).create(Decided::quiet(facility));
            site.database.commit(change).await?;
        }
        let process = Arc::new(Process::new(site, "stock".into()));
        let schedules = schedules::put(site, &process).await?;
        let mut stock = Self { facilities, merchants: vec![], schedules, chores: vec![] };
        let services = Services::of(&process);
        for number in 1..=merchants {
            let merchant = site::merchant(number);
            let print = design(site, &services, merchant).await?;
            stock.merchants.push((merchant, print));
        }
        let ids: Vec<MerchantId> = stock.merchants.iter().map(|(id, _)| *id).collect();
        stock.chores = chores::put(site, &process, &ids).await?;
        Ok(stock)
    }
}

/// A picture that was inspected, and a magazine that shows it.
async fn design(site: &Site, services: &Services, merchant: MerchantId) -> anyhow::Result<PrintId> {
    let now = site.now();
    let id: AssetId = fresh::id(now);
    let blob = BlobRef { sha256: "0".repeat(64), size: 1 };
    let announced = Asset::announce(id, merchant, "picture.jpg".into(), None, now)?;
    let mut asset = announced.state;
    let picture = Picture {
        media_type: "image/jpeg".into(),
        width: 3_000,
        height: 4_000,
        orientation: 1,
        has_icc_profile: false,
        captured_at: None,
    };
    for command in [AssetCommand::Receive(blob), AssetCommand::Accept(picture)] {
        asset = asset.decide(command, now)?.state;
    }
    // Its history belongs to other tests.
    asset.sequence = 0;
    site.database.commit(Change::new(merchant, now).create(Decided::quiet(asset))).await?;
    let placement = Placement { asset: id, frame: None, fit: Fit::Cover };
    let pages = vec![Page { placements: vec![placement] }; 8];
    let design = Design {
        sku: "magazine-a5-stapled".into(),
        title: "Magazine".into(),
        layout: Layout::Pages(pages),
    };
    let print: Versioned<_> = services
        .prints
        .create(&Context::of(merchant), design)
        .await
        .context("the design is made")?;
    Ok(print.id)
}
