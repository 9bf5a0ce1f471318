//! Random lives of assets.

use crate::cases;
use crate::fixtures::{at, blob, id, merchant, problem};
use crate::history::{History, Life};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Decided;
use printmill_domain::asset::{
    ASSET_BYTES_MAX, Asset, AssetCommand, AssetState, BlobRef, INSPECT, Picture,
};
use printmill_domain::problem::{Code, Problem};
use proptest::prelude::*;

impl Life for Asset {
    type Command = AssetCommand;

    fn decide(&self, command: AssetCommand, now: Timestamp) -> Result<Decided<Self>, Problem> {
        Asset::decide(self, command, now)
    }

    fn sequence(&self) -> Option<u64> {
        Some(self.sequence)
    }

    fn check(&self) {
        let has = (self.blob.is_some(), self.picture.is_some(), self.rejection.is_some());
        let expected = match self.state {
            AssetState::AwaitingUpload => (false, false, false),
            AssetState::Uploaded => (true, false, false),
            AssetState::Ready => (true, true, false),
            AssetState::Rejected => (true, false, true),
        };
        assert_eq!(has, expected, "{self:?}");
        assert_eq!(self.printable().is_ok(), self.state == AssetState::Ready);
        if let (Some(announced), Some(blob)) = (&self.announced, &self.blob) {
            assert_eq!(announced, blob, "what arrived is what was announced");
        }
        assert!(self.blob.as_ref().is_none_or(|blob| blob.size <= ASSET_BYTES_MAX));
    }

    fn check_step(&self, next: &Self) {
        assert!(self.state < next.state, "{:?} to {:?}", self.state, next.state);
        assert!(self.state < AssetState::Ready, "a verdict is final");
        assert_eq!((&self.file_name, &self.announced), (&next.file_name, &next.announced));
        if self.blob.is_some() {
            assert_eq!(self.blob, next.blob, "its bytes never change");
        }
    }
}

fn blobs() -> impl Strategy<Value = BlobRef> {
    let size =
        prop_oneof![Just(ASSET_BYTES_MAX), Just(ASSET_BYTES_MAX + 1), Just(u64::MAX), Just(0)];
    prop_oneof![
        4 => (0..2u8).prop_map(blob),
        1 => size.prop_map(|size| BlobRef { size, ..blob(1) }),
    ]
}

fn picture(width: u32) -> Picture {
    Picture {
        media_type: "image/jpeg".into(),
        width,
        height: 300,
        orientation: 6,
        has_icc_profile: true,
        captured_at: Some("2026-01-01T12:00:00".into()),
    }
}

fn command() -> impl Strategy<Value = AssetCommand> {
    prop_oneof![
        3 => blobs().prop_map(AssetCommand::Receive),
        1 => (1..3u32).prop_map(|width| AssetCommand::Accept(picture(width))),
        1 => (0..2u8).prop_map(|number| AssetCommand::Reject(problem(number))),
    ]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn no_life_of_an_asset_breaks_its_rules(
        name in prop_oneof!["[a-z]{1,8}\\.jpg", "", "ä{127,129}"],
        announced in prop::option::of(blobs()),
        commands in prop::collection::vec(command(), 0..16),
    ) {
        let fits = announced.as_ref().is_none_or(|blob| blob.size <= ASSET_BYTES_MAX);
        let named = (1..=255).contains(&name.len());
        let made = Asset::announce(id(1), merchant(), name, announced, at(0));
        prop_assert_eq!(made.is_ok(), fits && named);
        let Ok(made) = made else { return Ok(()) };
        let mut history = History::begin(made, at(0));
        for command in commands {
            history.apply(command, at(5));
            let uploaded = history.state.state >= AssetState::Uploaded;
            prop_assert_eq!(history.tickets.len(), usize::from(uploaded), "inspected once");
            prop_assert!(history.tickets.values().all(|ticket| ticket.kind == INSPECT));
        }
    }
}

#[test]
fn other_bytes_than_announced_are_refused_and_the_right_ones_are_still_taken() {
    let made = Asset::announce(id(1), merchant(), "a.jpg".into(), Some(blob(1)), at(0)).unwrap();
    let mut history = History::begin(made, at(0));
    let refused = Life::decide(&history.state, AssetCommand::Receive(blob(2)), at(1)).unwrap_err();
    assert_eq!(refused.code, Code::ChecksumMismatch);
    history.apply(AssetCommand::Receive(blob(1)), at(2));
    assert_eq!(history.state.state, AssetState::Uploaded);
    let refused = Life::decide(&history.state, AssetCommand::Receive(blob(2)), at(3)).unwrap_err();
    assert_eq!(refused.code, Code::AssetAlreadyUploaded);
}
