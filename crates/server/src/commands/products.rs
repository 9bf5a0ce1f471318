//! `printmill products`: what can be made.

use crate::cli::ProductsArgs;
use crate::failure::Outcome;
use crate::output;
use printmill_client::money;

/// Lists the products.
pub(crate) async fn run(args: &ProductsArgs, json: bool) -> Outcome {
    let products = args.server.client()?.list_products().await?;
    if json {
        return output::json(&serde_json::json!({ "products": products }));
    }
    let rows: Vec<Vec<String>> = products
        .iter()
        .map(|product| {
            let millimetres = |um: u32| f64::from(um) / 1000.0;
            let (width, height) = (product.trim_width_um, product.trim_height_um);
            vec![
                product.sku.clone(),
                product.title.clone(),
                format!("{} × {} mm", millimetres(width), millimetres(height)),
                format!("{}–{}", product.pages_min, product.pages_max),
                product.base_price.as_ref().map(money).unwrap_or_default(),
            ]
        })
        .collect();
    output::line(output::table(&["SKU", "TITLE", "TRIM", "PAGES", "FROM"], &rows));
    output::next_steps(&[(
        "printmill quote --sku SKU --pages 24 --country DE ASSET…",
        "a photobook of uploaded pictures, with its price",
    )]);
    Ok(())
}
