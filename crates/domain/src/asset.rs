//! Assets: files that merchants upload, from the announcement to the verdict of the inspection.
//!
//! ```text
//! AwaitingUpload ──receive──▶ Uploaded ──accept──▶ Ready
//!                                 └─────reject──▶ Rejected
//! ```

use crate::Timestamp;
use crate::aggregate::{Aggregate, Decided, Kind};
use crate::event::Stream;
use crate::ids::{AssetId, Id, MerchantId, derive};
use crate::lane::Lane;
use crate::problem::{Code, Problem};
use crate::ticket::Ticket;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The largest file that may be uploaded, in bytes.
pub const ASSET_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The kind of ticket that asks for an inspection.
pub const INSPECT: &str = "asset.inspect";

/// Where an asset is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetState {
    /// It was announced; its bytes have not arrived.
    AwaitingUpload,
    /// The bytes are stored and wait for inspection.
    Uploaded,
    /// It is a picture that can be printed.
    Ready,
    /// It is not.
    Rejected,
}

/// Stored bytes, named by their content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// SHA-256 in lowercase hexadecimal.
    pub sha256: String,
    /// Length in bytes.
    pub size: u64,
}

/// What the inspection found in a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The media type, sniffed from the content.
    pub media_type: String,
    /// Pixels across, as seen: after the EXIF orientation.
    pub width: u32,
    /// Pixels down, as seen.
    pub height: u32,
    /// The EXIF orientation, 1 to 8.
    pub orientation: u8,
    /// Whether an ICC profile is embedded.
    pub has_icc_profile: bool,
    /// When it was taken, as the camera wrote it: local time, `YYYY-MM-DDTHH:MM:SS`.
    pub captured_at: Option<String>,
}

impl Picture {
    /// Whether it can be what somebody found in a file.
    pub fn is_plausible(&self) -> bool {
        const SIDE_MAX: u32 = 100_000;
        let sides = [self.width, self.height];
        ["image/jpeg", "image/png"].contains(&self.media_type.as_str())
            && sides.iter().all(|side| (1..=SIDE_MAX).contains(side))
            && (1..=8).contains(&self.orientation)
            && self.captured_at.as_ref().is_none_or(|text| text.len() <= 19 && text.is_ascii())
    }
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    /// The id.
    pub id: AssetId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The name that it had where it came from. Shown, never trusted.
    pub file_name: String,
    /// Where it is in its life.
    pub state: AssetState,
    /// The bytes that were announced, if they were.
    pub announced: Option<BlobRef>,
    /// The bytes that arrived.
    pub blob: Option<BlobRef>,
    /// What the inspection found.
    pub picture: Option<Picture>,
    /// Why it was rejected.
    pub rejection: Option<Problem>,
    /// When it was announced.
    pub created_at: Timestamp,
    /// The last place used in its history.
    pub sequence: u64,
}

/// What can happen to an asset.
#[derive(Debug, Clone, PartialEq)]
pub enum AssetCommand {
    /// The bytes arrived and are stored.
    Receive(BlobRef),
    /// The inspection found a picture.
    Accept(Picture),
    /// The inspection found something else.
    Reject(Problem),
}

impl Asset {
    /// Announces a file. `announced` is checked against what arrives.
    pub fn announce(
        id: AssetId,
        merchant: MerchantId,
        file_name: String,
        announced: Option<BlobRef>,
        now: Timestamp,
    ) -> Result<Decided<Asset>, Problem> {
        if file_name.is_empty() || file_name.len() > 255 {
            return Err(Problem::invalid_field("file_name", "must have 1 to 255 bytes"));
        }
        if announced.as_ref().is_some_and(|blob| blob.size > ASSET_BYTES_MAX) {
            return Err(too_large());
        }
        let mut asset = Asset {
            id,
            merchant,
            file_name,
            state: AssetState::AwaitingUpload,
            announced,
            blob: None,
            picture: None,
            rejection: None,
            created_at: now,
            sequence: 0,
        };
        let mut stream = Stream::new(id, &mut asset.sequence);
        stream.push("asset.announced", id, json!({ "file_name": asset.file_name }));
        let events = stream.finish();
        Ok(Decided { state: asset, events, tickets: vec![] })
    }

    /// Decides what a command does. Repeating the last command changes nothing.
    pub fn decide(&self, command: AssetCommand, now: Timestamp) -> Result<Decided<Asset>, Problem> {
        let mut next = self.clone();
        let mut stream = Stream::new(self.id, &mut next.sequence);
        let mut tickets = vec![];
        match (self.state, command) {
            (AssetState::AwaitingUpload, AssetCommand::Receive(blob)) => {
                self.check_announced(&blob)?;
                stream.push("asset.uploaded", self.id, json!(blob));
                tickets.push(self.inspection(now));
                next.state = AssetState::Uploaded;
                next.blob = Some(blob);
            }
            (_, AssetCommand::Receive(blob)) if self.blob.as_ref() == Some(&blob) => {
                return Ok(Decided::quiet(self.clone()));
            }
            (_, AssetCommand::Receive(_)) => {
                return Err(Problem::new(
                    Code::AssetAlreadyUploaded,
                    format!("{} has its file already", self.id),
                    "create another asset for the other file",
                ));
            }
            (AssetState::Uploaded, AssetCommand::Accept(picture)) => {
                stream.push("asset.ready", self.id, json!(picture));
                next.state = AssetState::Ready;
                next.picture = Some(picture);
            }
            (AssetState::Uploaded, AssetCommand::Reject(problem)) => {
                stream.push("asset.rejected", self.id, json!(problem));
                next.state = AssetState::Rejected;
                next.rejection = Some(problem);
            }
            (AssetState::Ready, AssetCommand::Accept(_))
            | (AssetState::Rejected, AssetCommand::Reject(_)) => {
                return Ok(Decided::quiet(self.clone()));
            }
            (state, AssetCommand::Accept(_) | AssetCommand::Reject(_)) => {
                return Err(Problem::invalid_state(
                    format!("{} cannot be inspected while it is {state:?}", self.id),
                    "upload the file first",
                ));
            }
        }
        let events = stream.finish();
        Ok(Decided { state: next, events, tickets })
    }

    /// The picture and its bytes, or why it cannot be printed (yet).
    pub fn printable(&self) -> Result<(&Picture, &BlobRef), Problem> {
        match (&self.picture, &self.blob, &self.rejection) {
            (Some(picture), Some(blob), _) => Ok((picture, blob)),
            (_, _, Some(rejection)) => Err(rejection.clone()),
            _ => Err(Problem::new(
                Code::AssetNotReady,
                format!("{} has not been uploaded and inspected yet", self.id),
                "upload the file, wait until the asset's state is ready, and try again",
            )),
        }
    }

    fn check_announced(&self, blob: &BlobRef) -> Result<(), Problem> {
        if blob.size > ASSET_BYTES_MAX {
            return Err(too_large());
        }
        match &self.announced {
            Some(announced) if announced != blob => Err(Problem::new(
                Code::ChecksumMismatch,
                format!("the bytes that arrived for {} are not those announced", self.id),
                "upload the file again; if it changed meanwhile, create a new asset",
            )),
            _ => Ok(()),
        }
    }

    fn inspection(&self, now: Timestamp) -> Ticket {
        let id = derive(self.id.uuid(), INSPECT, 0);
        Ticket::new(id, self.merchant, Lane::inspect(), INSPECT, json!({ "asset": self.id }), now)
    }
}

/// The refusal of a file with too many bytes.
pub fn too_large() -> Problem {
    Problem::new(
        Code::AssetTooLarge,
        format!("the file is larger than {} MiB", ASSET_BYTES_MAX / 1024 / 1024),
        "save the picture with fewer pixels or a lower quality",
    )
}

impl Aggregate for Asset {
    const KIND: Kind = Kind::Asset;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        self.merchant
    }
    fn state(&self) -> &'static str {
        match self.state {
            AssetState::AwaitingUpload => "awaiting_upload",
            AssetState::Uploaded => "uploaded",
            AssetState::Ready => "ready",
            AssetState::Rejected => "rejected",
        }
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
