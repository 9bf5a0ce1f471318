//! `printmill upload`: pictures from disk.

use crate::cli::ServerArgs;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use console::style;
use futures::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use printmill_client::v1::Asset;
use printmill_client::{Client, UploadStep};
use printmill_domain::problem::Code;
use std::path::{Path, PathBuf};

/// Uploads at the same time.
const AT_ONCE: usize = 4;

/// Upload pictures and wait until they are inspected.
#[derive(Debug, Args)]
#[command(after_help = "\
JPEG and PNG, up to 64 MiB each. A file that is no picture, or is damaged, is refused with what is
wrong with it; the others are uploaded all the same, and the exit code is 1.

Examples:
  printmill upload photos/*.jpg
  printmill upload --json photos/*.jpg | jq -r '.[].id'     the assets' ids, for `printmill quote`")]
pub(crate) struct UploadArgs {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Uploads files and prints what became of each.
pub(crate) async fn run(args: &UploadArgs, json: bool) -> Outcome {
    let client = args.server.client()?;
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let uploaded = upload_all(&client, &args.files, MultiProgress::with_draw_target(target)).await;
    let (mut rows, mut ids, mut assets, mut failures) = (vec![], vec![], vec![], 0);
    for (path, outcome) in args.files.iter().zip(uploaded) {
        match outcome {
            Ok(asset) if json => assets.push(asset),
            Ok(asset) => {
                rows.push(row(&asset));
                ids.push(asset.id);
            }
            Err(failure) if failure.code == Code::Unauthenticated.text() => return Err(failure),
            Err(mut failure) => {
                failures += 1;
                if !failure.message.contains(&*path.to_string_lossy()) {
                    failure.message = format!("{}: {}", path.display(), failure.message);
                }
                failure.report(json);
            }
        }
    }
    if json {
        output::json(&assets)?;
    }
    if !rows.is_empty() {
        output::line(output::table(&["ASSET", "FILE", "PIXELS", "SIZE"], &rows));
        let quote = format!(
            "printmill quote --sku photobook-square-210-soft --pages 24 --country DE {}",
            ids.join(" ")
        );
        output::next_steps(&[(&quote, "a photobook of them, with its price")]);
    }
    if failures == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Code::InvalidArgument,
        format!("{failures} of {} files were not taken", args.files.len()),
        "see above what is wrong with each; the others are uploaded",
    ))
}

fn row(asset: &Asset) -> Vec<String> {
    let pixels = asset.picture.as_ref().map(|it| format!("{} × {}", it.width, it.height));
    vec![
        asset.id.clone(),
        asset.file_name.clone(),
        pixels.unwrap_or_default(),
        output::bytes(u64::try_from(asset.size).unwrap_or(0)),
    ]
}

/// Uploads files, some at the same time, with a bar for each. The answers are in the files' order.
pub(crate) async fn upload_all(
    client: &Client,
    files: &[PathBuf],
    bars: MultiProgress,
) -> Vec<Outcome<Asset>> {
    let uploads = files.iter().map(|path| upload_one(client, path, &bars));
    futures::stream::iter(uploads).buffered(AT_ONCE).collect().await
}

async fn upload_one(client: &Client, path: &Path, bars: &MultiProgress) -> Outcome<Asset> {
    let size = tokio::fs::metadata(path).await.map_or(0, |found| found.len());
    let bar = bars.add(ProgressBar::new(size).with_style(bar_style()));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    bar.set_prefix(console::truncate_str(&name, 28, "…").into_owned());
    let shown = bar.clone();
    let uploaded = client.upload_file(path, move |step| match step {
        UploadStep::Sending { sent, total } => {
            shown.set_length(total);
            shown.set_position(sent);
        }
        UploadStep::Inspecting => shown.set_message(style("inspecting").dim().to_string()),
    });
    let uploaded = uploaded.await;
    bar.finish_and_clear();
    bars.remove(&bar);
    Ok(uploaded?)
}

fn bar_style() -> ProgressStyle {
    let template = "  {prefix:28} {bar:30.cyan/dim} {bytes:>10} / {total_bytes:10} {msg}";
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
