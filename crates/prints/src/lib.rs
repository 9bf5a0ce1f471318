//! Prints: designs, their revisions, and their print-ready files.

mod book;
mod render;

pub use render::Render;

use printmill_backend::database::{Page as ListPage, Scope};
use printmill_backend::{Change, DatabaseExt, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Versioned;
use printmill_domain::asset::Asset;
use printmill_domain::catalogue::product;
use printmill_domain::ids::{AssetId, MerchantId, PrintId};
use printmill_domain::print::{Content, Page, Print, PrintCommand, Source};
use printmill_domain::problem::{Code, Problem};
use printmill_engine::command::{Answer, Commands, Context, Proposal};
use std::collections::{BTreeMap, BTreeSet};

/// The most different pictures that a design may use.
pub const PICTURES_MAX: usize = 1_000;

/// What a design shows, before its pictures are looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// The product.
    pub sku: String,
    /// The title.
    pub title: String,
    /// Which pictures go where.
    pub layout: Layout,
}

/// Which pictures go where.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// Every page, as wanted.
    Pages(Vec<Page>),
    /// Laid out by time and shape over a number of pages.
    Auto {
        /// The pictures.
        assets: Vec<AssetId>,
        /// The number of pages.
        page_count: u32,
    },
}

/// Keeps merchants' designs.
#[derive(Clone)]
pub struct Prints {
    commands: Commands,
}

impl Prints {
    /// Prints in the database that the commands run against.
    pub fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// A new design with its first revision.
    pub async fn create(
        &self,
        context: &Context,
        design: Design,
    ) -> Result<Versioned<Print>, Problem> {
        let merchant = context.merchant;
        let answer = self.commands.run(context, |now| {
            let design = design.clone();
            async move {
                let content = self.content(merchant, design).await?;
                let id: PrintId = fresh::id(now);
                let decided = Print::create(id, merchant, content, now)?;
                let value = Versioned { version: 1, value: decided.state.clone() };
                let change = Change::new(merchant, now).create(decided);
                Ok(Proposal { change, outcome: id.to_string(), value })
            }
        });
        self.answer(merchant, answer.await?).await
    }

    /// Another revision. With `expected_version`, the print must not have changed since.
    pub async fn revise(
        &self,
        context: &Context,
        id: &PrintId,
        expected_version: Option<u64>,
        design: Design,
    ) -> Result<Versioned<Print>, Problem> {
        let merchant = context.merchant;
        let answer = self.commands.run(context, |now| {
            let design = design.clone();
            async move {
                let before = self.get(merchant, id).await?;
                if expected_version.is_some_and(|version| version != before.version) {
                    return Err(Problem::new(
                        Code::Conflict,
                        format!("{id} changed since it was read"),
                        "read it again and send its new etag",
                    ));
                }
                let content = self.content(merchant, design).await?;
                self.propose(&before, PrintCommand::Revise(content), now)
            }
        });
        self.answer(merchant, answer.await?).await
    }

    /// No more orders of a design.
    pub async fn archive(
        &self,
        context: &Context,
        id: &PrintId,
    ) -> Result<Versioned<Print>, Problem> {
        let merchant = context.merchant;
        let answer = self.commands.run(context, |now| async move {
            let before = self.get(merchant, id).await?;
            self.propose(&before, PrintCommand::Archive, now)
        });
        self.answer(merchant, answer.await?).await
    }

    /// One design.
    pub async fn get(
        &self,
        merchant: MerchantId,
        id: &PrintId,
    ) -> Result<Versioned<Print>, Problem> {
        self.find(merchant, &id.to_string()).await
    }

    /// The merchant's designs, newest first.
    pub async fn list(
        &self,
        merchant: MerchantId,
        page: ListPage,
    ) -> Result<Vec<Versioned<Print>>, Problem> {
        Ok(self.commands.database().page(Scope::Merchant(merchant), page).await?)
    }

    fn propose(
        &self,
        before: &Versioned<Print>,
        command: PrintCommand,
        now: Timestamp,
    ) -> Result<Proposal<Versioned<Print>>, Problem> {
        let decided = before.decide(command, now)?;
        let changed = u64::from(decided.state != before.value);
        let value = Versioned { version: before.version + changed, value: decided.state.clone() };
        let outcome = before.id.to_string();
        let change = Change::new(before.merchant, now).update(before, decided);
        Ok(Proposal { change, outcome, value })
    }

    async fn answer(
        &self,
        merchant: MerchantId,
        answer: Answer<Versioned<Print>>,
    ) -> Result<Versioned<Print>, Problem> {
        match answer {
            Answer::Fresh(print) => Ok(print),
            Answer::Replayed(id) => self.find(merchant, &id).await,
        }
    }

    async fn find(&self, merchant: MerchantId, id: &str) -> Result<Versioned<Print>, Problem> {
        let found = self.commands.database().find(Scope::Merchant(merchant), id).await?;
        found.ok_or_else(|| Problem::not_found("print", id))
    }

    /// Looks the pictures up, and lays them out if asked to.
    async fn content(&self, merchant: MerchantId, design: Design) -> Result<Content, Problem> {
        let product = product(&design.sku).map_err(|problem| problem.with_field("content.sku"))?;
        let pages_asked = match &design.layout {
            Layout::Pages(pages) => pages.len(),
            Layout::Auto { page_count, .. } => *page_count as usize,
        };
        product.check_pages(pages_asked).map_err(|problem| problem.with_field("content.pages"))?;
        let assets = self.pictures(merchant, &design.layout).await?;
        let mut sources = BTreeMap::new();
        for asset in assets.values() {
            let (picture, blob) = asset.printable()?;
            let source =
                Source { blob: blob.clone(), width: picture.width, height: picture.height };
            sources.insert(asset.id, source);
        }
        let pages = match design.layout {
            Layout::Pages(pages) => pages,
            Layout::Auto { assets: order, page_count } => {
                let ordered: Vec<&Asset> = order.iter().filter_map(|id| assets.get(id)).collect();
                book::auto_layout(&ordered, page_count, product)
            }
        };
        Ok(Content { sku: design.sku, title: design.title, pages, sources })
    }

    async fn pictures(
        &self,
        merchant: MerchantId,
        layout: &Layout,
    ) -> Result<BTreeMap<AssetId, Asset>, Problem> {
        let wanted: BTreeSet<AssetId> = match layout {
            Layout::Pages(pages) => {
                pages.iter().flat_map(|page| &page.placements).map(|p| p.asset).collect()
            }
            Layout::Auto { assets, .. } => assets.iter().copied().collect(),
        };
        if matches!(layout, Layout::Auto { .. }) && wanted.is_empty() {
            let field = "content.auto_layout.asset_ids";
            return Err(Problem::invalid_field(field, "must name at least one picture"));
        }
        if wanted.len() > PICTURES_MAX {
            let description = format!("must use at most {PICTURES_MAX} pictures");
            return Err(Problem::invalid_field("content", description));
        }
        let ids: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let found: Vec<Versioned<Asset>> =
            self.commands.database().find_many(Scope::Merchant(merchant), &ids).await?;
        let found: BTreeMap<AssetId, Asset> =
            found.into_iter().map(|asset| (asset.id, asset.value)).collect();
        match wanted.iter().find(|id| !found.contains_key(id)) {
            Some(missing) => Err(Problem::not_found("asset", missing)),
            None => Ok(found),
        }
    }
}
