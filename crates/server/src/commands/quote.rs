//! `printmill quote`: an offer for a photobook.

use crate::cli::ServerArgs;
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use printmill_client::v1::content::Layout;
use printmill_client::v1::{
    AutoLayout, Content, CreatePrintRequest, CreateQuoteRequest, LineRequest, Quote,
};
use printmill_client::{money, time};

/// Make a photobook of uploaded pictures and get an offer for it.
#[derive(Debug, Args)]
#[command(after_help = "\
The pictures are laid out over the pages by when they were taken and by their shape. With --print
an existing design is priced instead.

Examples:
  printmill quote --sku photobook-square-210-soft --pages 24 --country DE ast_1 ast_2 ast_3
  printmill quote --print prt_… --country FR --quantity 3 --currency EUR
  printmill quote … --json | jq -r .id          the quote's id, for `printmill order`")]
pub(crate) struct QuoteArgs {
    /// The pictures' assets.
    #[arg(value_name = "ASSET", required_unless_present = "print")]
    assets: Vec<String>,
    /// The product; see `printmill products`.
    #[arg(long, required_unless_present = "print")]
    sku: Option<String>,
    /// The number of pages.
    #[arg(long, default_value_t = 24)]
    pages: u32,
    /// The design's title.
    #[arg(long, default_value = "Photobook")]
    title: String,
    /// An existing design instead of a new one.
    #[arg(long, value_name = "PRINT", conflicts_with_all = ["assets", "sku"])]
    print: Option<String>,
    /// How many copies.
    #[arg(long, default_value_t = 1)]
    quantity: u32,
    /// Where it goes, by ISO 3166-1 code.
    #[arg(long, value_name = "CC")]
    country: String,
    /// EUR, GBP or USD.
    #[arg(long, default_value = "EUR")]
    currency: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Makes the design if there is none, and asks for its price.
pub(crate) async fn run(args: &QuoteArgs, json: bool) -> Outcome {
    let client = args.server.client()?;
    let print_id = match &args.print {
        Some(print) => print.clone(),
        None => {
            let layout = AutoLayout { asset_ids: args.assets.clone(), page_count: args.pages };
            let content = Content {
                sku: args.sku.clone().unwrap_or_default(),
                title: args.title.clone(),
                layout: Some(Layout::AutoLayout(layout)),
            };
            let request = CreatePrintRequest { content: Some(content), ..Default::default() };
            client.create_print(request).await?.id
        }
    };
    let quote = client
        .create_quote(CreateQuoteRequest {
            items: vec![LineRequest { print_id, revision: 0, quantity: args.quantity }],
            country: args.country.clone(),
            currency: args.currency.clone(),
            request_id: String::new(),
        })
        .await?;
    if json {
        return output::json(&quote);
    }
    show(&quote);
    let order = format!(
        "printmill order {} --name 'Ada Lovelace' --street 'Musterweg 1' --city Berlin \
         --postal-code 10115 --country {} --pay sandbox",
        quote.id, quote.country
    );
    output::next_steps(&[(&order, "order it, paid with the sandbox")]);
    Ok(())
}

fn show(quote: &Quote) {
    let amount = |amount: &Option<_>| amount.as_ref().map(money).unwrap_or_default();
    let mut rows: Vec<Vec<String>> = quote
        .lines
        .iter()
        .map(|line| {
            let what = format!("{} × {}, {} pages", line.quantity, line.sku, line.pages);
            vec![what, line.print_id.clone(), amount(&line.total)]
        })
        .collect();
    rows.push(vec![
        format!("shipping to {}", quote.country),
        String::new(),
        amount(&quote.shipping),
    ]);
    rows.push(vec!["total".into(), String::new(), amount(&quote.total)]);
    output::line(format!("{}, good until {}", quote.id, time(quote.expire_time.as_ref())));
    output::line(output::table(&["LINE", "PRINT", "PRICE"], &rows));
    for route in &quote.routes {
        output::line(format!("made by: {route}"));
    }
}
