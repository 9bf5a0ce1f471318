//! Assets on the wire.

use super::{etag, problem, time};
use printmill_assets::NewAsset;
use printmill_domain::aggregate::Versioned;
use printmill_domain::asset::{Asset, AssetState, BlobRef, Picture};
use printmill_domain::problem::{Problem, Violation};
use printmill_proto::v1;

/// The file that a request announces.
pub(crate) fn new_asset(request: &v1::CreateAssetRequest) -> Result<NewAsset, Problem> {
    let file_name = request.file_name.clone();
    if file_name.chars().any(char::is_control) {
        return Err(Problem::invalid_field("file_name", "must not have control characters"));
    }
    if request.sha256.is_empty() && request.size == 0 {
        return Ok(NewAsset { file_name, announced: None });
    }
    let mut violations = vec![];
    let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if request.sha256.len() != 64 || !request.sha256.bytes().all(hexadecimal) {
        violations.push(Violation {
            field: "sha256".into(),
            description: "must be 64 lowercase hexadecimal digits, sent together with size".into(),
        });
    }
    let size = u64::try_from(request.size).ok();
    match size {
        Some(size) if violations.is_empty() => {
            let announced = Some(BlobRef { sha256: request.sha256.clone(), size });
            return Ok(NewAsset { file_name, announced });
        }
        Some(_) => {}
        None => violations.push(Violation {
            field: "size".into(),
            description: "must be the number of bytes, 0 or more".into(),
        }),
    }
    Err(Problem::invalid_fields(violations))
}

/// An asset.
pub(crate) fn asset(asset: &Versioned<Asset>) -> v1::Asset {
    let state = match asset.state {
        AssetState::AwaitingUpload => v1::AssetState::AwaitingUpload,
        AssetState::Uploaded => v1::AssetState::Uploaded,
        AssetState::Ready => v1::AssetState::Ready,
        AssetState::Rejected => v1::AssetState::Rejected,
    };
    v1::Asset {
        id: asset.id.to_string(),
        file_name: asset.file_name.clone(),
        state: state.into(),
        sha256: asset.blob.as_ref().map(|blob| blob.sha256.clone()).unwrap_or_default(),
        size: asset.blob.as_ref().map(|blob| blob.size as i64).unwrap_or_default(),
        picture: asset.picture.as_ref().map(picture),
        rejection: asset.rejection.as_ref().map(problem),
        create_time: time(asset.created_at),
        etag: etag(asset.version),
    }
}

fn picture(picture: &Picture) -> v1::Picture {
    v1::Picture {
        media_type: picture.media_type.clone(),
        width: picture.width,
        height: picture.height,
        orientation: picture.orientation.into(),
        has_icc_profile: picture.has_icc_profile,
        captured_at: picture.captured_at.clone().unwrap_or_default(),
    }
}
