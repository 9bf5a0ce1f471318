//! `printmill order`: from an offer to an order.

use crate::cli::ServerArgs;
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use printmill_client::v1::{CreateOrderRequest, OrderPriority, Recipient};
use printmill_client::{fresh_request_id, money, order_state};

/// Turn an offer into an order, and pay it.
#[derive(Debug, Args)]
#[command(after_help = "\
The sandbox takes no money: `--pay sandbox` is always paid, `--pay sandbox-declined` never is.
Without --pay the order waits to be paid. With --request-id the same command can be run again
after a failure, and there is one order.

Examples:
  printmill order quo_… --name 'Ada Lovelace' --street 'Musterweg 1' --city Berlin \\
      --postal-code 10115 --country DE --pay sandbox
  printmill orders watch \"$(printmill order quo_… … --json | jq -r .id)\"")]
pub(crate) struct OrderArgs {
    /// The quote.
    #[arg(value_name = "QUOTE")]
    quote: String,
    /// Who receives it.
    #[arg(long)]
    name: String,
    /// Street and number; up to three times.
    #[arg(long, required = true)]
    street: Vec<String>,
    /// The city.
    #[arg(long)]
    city: String,
    /// The postal code.
    #[arg(long, default_value = "")]
    postal_code: String,
    /// State or province.
    #[arg(long, default_value = "")]
    region: String,
    /// The country by ISO 3166-1 code; the quote's own.
    #[arg(long, value_name = "CC")]
    country: String,
    /// Your own name for the order.
    #[arg(long, default_value = "")]
    reference: String,
    /// How urgent it is: urgent, standard or bulk.
    #[arg(long, default_value = "standard", value_parser = priority)]
    priority: OrderPriority,
    /// Pay at once by this method.
    #[arg(long, value_name = "METHOD")]
    pay: Option<String>,
    /// Names this request, so that repeating it does nothing twice.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

fn priority(text: &str) -> Result<OrderPriority, String> {
    let name = format!("ORDER_PRIORITY_{}", text.to_uppercase());
    let priority = OrderPriority::from_str_name(&name);
    priority.ok_or_else(|| "use urgent, standard or bulk".into())
}

/// Places the order.
pub(crate) async fn run(args: &OrderArgs, json: bool) -> Outcome {
    let recipient = Recipient {
        name: args.name.clone(),
        lines: args.street.clone(),
        city: args.city.clone(),
        postal_code: args.postal_code.clone(),
        region: args.region.clone(),
        country: args.country.clone(),
    };
    let request = CreateOrderRequest {
        quote_id: args.quote.clone(),
        recipient: Some(recipient),
        reference: args.reference.clone(),
        priority: args.priority.into(),
        payment_method: args.pay.clone().unwrap_or_default(),
        request_id: args.request_id.clone().unwrap_or_else(fresh_request_id),
        ..Default::default()
    };
    let order = args.server.client()?.create_order(request).await?;
    if json {
        return output::json(&order);
    }
    let total = order.total.as_ref().map(money).unwrap_or_default();
    output::line(format!("{} is {}, {total}", order.id, order_state(order.state)));
    let watch = format!("printmill orders watch {}", order.id);
    output::next_steps(&[
        (&watch, "see it being made"),
        ("printmill facility run --key FACILITY_KEY", "make it, as the facility that it goes to"),
    ]);
    Ok(())
}
