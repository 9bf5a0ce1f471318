//! The order's way: photos, book, quote, order, payment, production, all through the public API.

use super::screen::Screen;
use super::summary::Measured;
use super::{PAGES, SKU};
use crate::commands::{timeline, upload};
use crate::failure::{Failure, Outcome};
use crate::output;
use console::style;
use printmill_client::v1::content::Layout;
use printmill_client::v1::{
    Asset, AutoLayout, Content, CreateOrderRequest, CreatePrintRequest, CreateQuoteRequest,
    GetOrderRequest, LineRequest, Order, OrderEvent, OrderState, PayOrderRequest, Print, Quote,
    Recipient,
};
use printmill_client::{Client, money, order_state};
use printmill_domain::problem::Code;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Who orders, and shows whom.
pub(super) struct Journey<'a> {
    /// With the merchant's key.
    pub(super) client: &'a Client,
    /// What is shown.
    pub(super) screen: &'a Screen,
}

impl Journey<'_> {
    /// Takes photos all the way to a shipped order.
    pub(super) async fn travel(&self, photos: &[PathBuf]) -> Outcome<(Order, Measured)> {
        let mut measured = Measured::default();
        let begun = Instant::now();
        let assets = self.upload(photos).await?;
        measured.add("upload and inspection", begun.elapsed());

        let begun = Instant::now();
        let print = self.lay_out(&assets).await?;
        measured.add("layout", begun.elapsed());

        let begun = Instant::now();
        let quote = self.quote(&print).await?;
        let order = self.place(&quote).await?;
        measured.add("quote and order", begun.elapsed());

        self.screen.stage("Paying (sandbox), then watching it live");
        let request = PayOrderRequest {
            order_id: order.id.clone(),
            payment_method: "sandbox".into(),
            request_id: String::new(),
        };
        self.client.pay_order(request).await?;
        let events = self.watch(&order.id).await?;
        for (stage, from, to) in [
            ("payment", "payment.requested", "payment.paid"),
            ("routing", "payment.paid", "item.routed"),
            ("render and store", "item.routed", "item.rendered"),
            ("facility, until shipped", "item.rendered", "order.shipped"),
        ] {
            if let Some(took) = between(&events, from, to) {
                measured.add(stage, took);
            }
        }
        let order = self.client.get_order(GetOrderRequest { order_id: order.id }).await?;
        if order.state() != OrderState::Shipped {
            let state = order_state(order.state);
            return Err(Failure::new(
                Code::InvalidState,
                format!("{} ended as {state}, not shipped", order.id),
                "see above what happened to it",
            ));
        }
        Ok((order, measured))
    }

    async fn upload(&self, photos: &[PathBuf]) -> Outcome<Vec<Asset>> {
        self.screen.stage(&format!("Uploading {} photos, 4 at a time", photos.len()));
        let uploaded = upload::upload_all(self.client, photos, self.screen.bars()).await;
        let assets: Vec<Asset> = uploaded.into_iter().collect::<Outcome<_>>()?;
        let size = assets.iter().filter_map(|asset| u64::try_from(asset.size).ok()).sum();
        self.screen.note(&format!(
            "{} photos, {}, all printable",
            assets.len(),
            output::bytes(size)
        ));
        Ok(assets)
    }

    async fn lay_out(&self, assets: &[Asset]) -> Outcome<Print> {
        self.screen.stage(&format!("Laying out a photobook of {PAGES} pages"));
        let asset_ids = assets.iter().map(|asset| asset.id.clone()).collect();
        let layout = Layout::AutoLayout(AutoLayout { asset_ids, page_count: PAGES });
        let content =
            Content { sku: SKU.into(), title: "Printmill demo".into(), layout: Some(layout) };
        let request = CreatePrintRequest { content: Some(content), ..Default::default() };
        let print = self.client.create_print(request).await?;
        let pictures: usize = print.pages.iter().map(|page| page.placements.len()).sum();
        let pages = print.pages.len();
        self.screen.note(&format!("{}: {pages} pages, {pictures} pictures", print.id));
        Ok(print)
    }

    async fn quote(&self, print: &Print) -> Outcome<Quote> {
        self.screen.stage("Quoting and ordering, to Madrid");
        let line = LineRequest { print_id: print.id.clone(), revision: 0, quantity: 1 };
        let request = CreateQuoteRequest {
            items: vec![line],
            country: "ES".into(),
            currency: "EUR".into(),
            request_id: String::new(),
        };
        let quote = self.client.create_quote(request).await?;
        let shown = |amount: &Option<_>| amount.as_ref().map(money).unwrap_or_default();
        let (total, shipping) = (shown(&quote.total), shown(&quote.shipping));
        self.screen.note(&format!("{}: {total}, of which {shipping} shipping", quote.id));
        Ok(quote)
    }

    async fn place(&self, quote: &Quote) -> Outcome<Order> {
        let recipient = Recipient {
            name: "Ada Lovelace".into(),
            lines: vec!["Calle de Alcalá 48".into()],
            city: "Madrid".into(),
            postal_code: "28014".into(),
            region: String::new(),
            country: "ES".into(),
        };
        let request = CreateOrderRequest {
            quote_id: quote.id.clone(),
            recipient: Some(recipient),
            reference: "demo".into(),
            ..Default::default()
        };
        let order = self.client.create_order(request).await?;
        self.screen.note(&format!("{} is {}", order.id, order_state(order.state)));
        Ok(order)
    }

    /// Shows the order's events until it is shipped.
    async fn watch(&self, order_id: &str) -> Outcome<Vec<OrderEvent>> {
        let spinner = self.screen.spinner("waiting for the payment");
        let mut watch = self.client.watch_order(order_id, 0);
        let mut events = vec![];
        while let Some(event) = watch.next().await? {
            self.screen.say(&timeline::line(&event));
            match event.kind.as_str() {
                "payment.paid" => spinner.set_message("routing"),
                "item.routed" => {
                    self.show_candidates(order_id).await?;
                    spinner.set_message("rendering the print-ready PDF");
                }
                "item.rendered" => spinner.set_message("waiting for the facility"),
                "print_job.printing" => spinner.set_message("printing"),
                "payment.declined" | "item.needs_attention" => {
                    spinner.finish_and_clear();
                    return Err(Failure::new(
                        Code::InvalidState,
                        format!("{order_id} came to a halt at {}", event.kind),
                        "see above why",
                    ));
                }
                _ => {}
            }
            events.push(event);
        }
        spinner.finish_and_clear();
        Ok(events)
    }

    /// The facilities that routing looked at.
    async fn show_candidates(&self, order_id: &str) -> Outcome {
        let request = GetOrderRequest { order_id: order_id.to_owned() };
        let order = self.client.get_order(request).await?;
        for item in &order.items {
            for candidate in &item.candidates {
                let chosen = candidate.facility_id == item.facility_id;
                let mark = if chosen { style("→").green() } else { style("·").dim() };
                let why = match candidate.excluded.as_str() {
                    "" => String::new(),
                    why => format!(", {why}"),
                };
                let text = format!("{:>6} km  {}{why}", candidate.distance_km, candidate.name);
                let text = if chosen { style(text) } else { style(text).dim() };
                self.screen.say(&format!("               {mark} {text}"));
            }
        }
        Ok(())
    }
}

/// The time from the first event of a kind to the last of another, by the server's clock.
fn between(events: &[OrderEvent], from: &str, to: &str) -> Option<Duration> {
    let nanos = |event: &OrderEvent| {
        let time = event.time.as_ref()?;
        Some(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
    };
    let from = events.iter().find(|event| event.kind == from).and_then(nanos)?;
    let to = events.iter().rev().find(|event| event.kind == to).and_then(nanos)?;
    Some(Duration::from_nanos(u64::try_from(to - from).unwrap_or(0)))
}
