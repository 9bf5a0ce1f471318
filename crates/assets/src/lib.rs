//! Assets: announcing, receiving and inspecting files.

mod inspect;

pub use inspect::Inspect;

use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, DatabaseExt, fresh};
use printmill_domain::aggregate::Versioned;
use printmill_domain::asset::{Asset, AssetCommand, BlobRef};
use printmill_domain::ids::{AssetId, MerchantId};
use printmill_domain::problem::Problem;
use printmill_engine::command::{Answer, Commands, Context, Proposal};

/// A file to announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAsset {
    /// The name that it has where it comes from.
    pub file_name: String,
    /// Its hash and length, if the caller knows them.
    pub announced: Option<BlobRef>,
}

/// Takes in merchants' files.
#[derive(Clone)]
pub struct Assets {
    commands: Commands,
}

impl Assets {
    /// Assets in the database that the commands run against.
    pub fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// Announces a file.
    pub async fn announce(
        &self,
        context: &Context,
        new: NewAsset,
    ) -> Result<Versioned<Asset>, Problem> {
        let merchant = context.merchant;
        let answer = self.commands.run(context, |now| {
            let new = new.clone();
            async move {
                let id: AssetId = fresh::id(now);
                let NewAsset { file_name, announced } = new;
                let decided = Asset::announce(id, merchant, file_name, announced, now)?;
                let value = Versioned { version: 1, value: decided.state.clone() };
                let change = Change::new(merchant, now).create(decided);
                Ok(Proposal { change, outcome: id.to_string(), value })
            }
        });
        match answer.await? {
            Answer::Fresh(asset) => Ok(asset),
            Answer::Replayed(id) => self.find(merchant, &id).await,
        }
    }

    /// One asset.
    pub async fn get(
        &self,
        merchant: MerchantId,
        id: &AssetId,
    ) -> Result<Versioned<Asset>, Problem> {
        self.find(merchant, &id.to_string()).await
    }

    /// The merchant's assets, newest first.
    pub async fn list(
        &self,
        merchant: MerchantId,
        page: Page,
    ) -> Result<Vec<Versioned<Asset>>, Problem> {
        Ok(self.commands.database().page(Scope::Merchant(merchant), page).await?)
    }

    /// The bytes of an asset arrived and are stored. The same bytes again change nothing.
    pub async fn receive(
        &self,
        merchant: MerchantId,
        id: &AssetId,
        blob: BlobRef,
    ) -> Result<Versioned<Asset>, Problem> {
        let context = Context::of(merchant);
        self.receive_traced(&context, id, blob).await
    }

    /// The same, within the trace of a request.
    pub async fn receive_traced(
        &self,
        context: &Context,
        id: &AssetId,
        blob: BlobRef,
    ) -> Result<Versioned<Asset>, Problem> {
        let merchant = context.merchant;
        let answer = self.commands.run(context, |now| {
            let blob = blob.clone();
            async move {
                let before = self.get(merchant, id).await?;
                let decided = before.decide(AssetCommand::Receive(blob), now)?;
                let changed = u64::from(decided.state != before.value);
                let version = before.version + changed;
                let value = Versioned { version, value: decided.state.clone() };
                let change = Change::new(merchant, now).update(&before, decided);
                Ok(Proposal { change, outcome: id.to_string(), value })
            }
        });
        match answer.await? {
            Answer::Fresh(asset) => Ok(asset),
            Answer::Replayed(id) => self.find(merchant, &id).await,
        }
    }

    async fn find(&self, merchant: MerchantId, id: &str) -> Result<Versioned<Asset>, Problem> {
        let found = self.commands.database().find(Scope::Merchant(merchant), id).await?;
        found.ok_or_else(|| Problem::not_found("asset", id))
    }
}
