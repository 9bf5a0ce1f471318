//! Stored documents: each kind is read as it was written, and keeps the words it was stored with.

use crate::cases;
use crate::fixtures::{at, blob, facilities, id, merchant, problem};
use crate::history::stored_and_read;
use printmill_domain::aggregate::{Aggregate, Kind};
use printmill_domain::api_key::{ApiKey, PresentedKey, Scope};
use printmill_domain::asset::{Asset, AssetState};
use printmill_domain::country::Point;
use printmill_domain::event::{Event, EventDraft};
use printmill_domain::facility::Facility;
use printmill_domain::ids::{FacilityId, Id, OrderId};
use printmill_domain::item::ItemState;
use printmill_domain::lane::Lane;
use printmill_domain::merchant::Merchant;
use printmill_domain::money::{Currency, Money};
use printmill_domain::order::OrderState;
use printmill_domain::payment::PaymentState;
use printmill_domain::print_job::PrintJobState;
use printmill_domain::problem::{Code, Problem, Violation};
use printmill_domain::shipment::ShipmentState;
use printmill_domain::ticket::{Fence, Ticket, TicketState};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn merchants_keys_and_facilities_are_read_as_they_were_written() {
    let merchant = Merchant { id: merchant(), name: "Ä \"shop\"\n".into(), created_at: at(0) };
    assert_eq!(stored_and_read(&merchant), merchant);
    for mut facility in facilities() {
        assert_eq!(stored_and_read(&facility), facility);
        // A number whose last digit is lost by a parser that only comes close.
        facility.location.longitude = -91.91024449314179;
        assert_eq!(stored_and_read(&facility), facility);
    }
    let scopes = [
        Scope::Merchant(merchant.id),
        Scope::Facility(id::<FacilityId>(3)),
        Scope::Worker { kinds: vec!["item.render".into()], lanes: vec![] },
    ];
    for scope in scopes {
        let presented = PresentedKey::mint(id(5), [9; 20]);
        let mut key = ApiKey::new(&presented, "shop", scope, at(0));
        assert_eq!(stored_and_read(&key), key);
        assert!(stored_and_read(&key).matches(&presented));
        let document = serde_json::to_string(&key).unwrap();
        assert!(!presented.reveal().contains(&key.secret_sha256) && !document.contains("pmk_"));
        key.revoked_at = Some(at(9));
        assert_eq!(stored_and_read(&key), key);
    }
}

#[test]
fn the_stored_word_of_a_state_is_its_name() {
    fn same(value: impl serde::Serialize, name: &str) {
        assert_eq!(serde_json::to_value(value).unwrap(), json!(name));
    }
    ItemState::ALL.iter().for_each(|state| same(state, state.name()));
    PrintJobState::ALL.iter().for_each(|state| same(state, state.name()));
    use OrderState::{AwaitingPayment, Cancelled, Delivered, InProduction, Paid, PartlyShipped};
    for state in [
        AwaitingPayment,
        Paid,
        InProduction,
        PartlyShipped,
        OrderState::Shipped,
        Delivered,
        Cancelled,
    ] {
        same(state, state.name());
    }
    for state in [PaymentState::Pending, PaymentState::Paid, PaymentState::Declined] {
        same(state, state.name());
    }
    [ShipmentState::Shipped, ShipmentState::Delivered].iter().for_each(|s| same(s, s.name()));
    for state in [TicketState::Queued, TicketState::Leased, TicketState::Done, TicketState::Dead] {
        same(state, state.name());
    }
    for state in
        [AssetState::AwaitingUpload, AssetState::Uploaded, AssetState::Ready, AssetState::Rejected]
    {
        let made = Asset::announce(id(1), merchant(), "a".into(), Some(blob(1)), at(0)).unwrap();
        same(state, Asset { state, ..made.state }.state());
    }
    Code::ALL.iter().for_each(|code| {
        same(code, code.text());
        assert_eq!(Code::parse(code.text()), Some(*code));
    });
    let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
}

#[test]
fn what_was_stored_by_the_first_version_is_read() {
    let ticket: Ticket = serde_json::from_value(json!({
        "id": "tkt_01gw0000007000000000000001",
        "merchant": "mer_00000000000000000000000000",
        "lane": "express", "kind": "payment.charge", "payload": {"order": "ord_1"},
        "state": "leased", "attempt": 2, "failures": 1, "token": 9007199254740991u64,
        "holder": "node-1", "lease_until": "2026-01-01T12:00:10.000001Z",
        "due_at": "2026-01-01T12:00:00Z", "sent_at": null, "progress": 500,
        "last_error": {"code": "UNAVAILABLE", "message": "m", "advice": "a"},
        "created_at": "2026-01-01T12:00:00Z", "updated_at": "2026-01-01T12:00:00Z",
        "trace": null, "version": 7,
    }))
    .unwrap();
    let fence = Fence { ticket: ticket.id, attempt: 2, token: 9_007_199_254_740_991 };
    assert_eq!(ticket.fence(), Some(fence));
    assert_eq!(ticket.last_error, Some(Problem::new(Code::Unavailable, "m", "a")));
    assert_eq!(ticket.lane, Lane::express());
    let money: Money = serde_json::from_value(json!({"currency": "EUR", "minor": -1})).unwrap();
    assert_eq!(money, Money::new(Currency::Eur, -1));
    assert!(serde_json::from_value::<OrderId>(json!("mer_00000000000000000000000000")).is_err());
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn facilities_anywhere_are_read_as_they_were_written(
        latitude in -90.0..=90.0f64,
        longitude in -180.0..=180.0f64,
        name in ".{0,20}",
    ) {
        let location = Point { latitude, longitude };
        let facility = Facility { location, name, ..facilities().remove(0) };
        prop_assert_eq!(stored_and_read(&facility), facility);
    }

    #[test]
    fn events_of_any_content_are_read_as_they_were_written(
        seq: u64,
        sequence: u64,
        text in ".{0,30}",
        micros in 0..4_000_000_000_000_000i64,
        trace in prop::option::of("[0-9a-f-]{0,55}"),
    ) {
        let draft = EventDraft {
            stream: id::<OrderId>(1).to_string(),
            sequence,
            kind: "order.placed".into(),
            subject: text.clone(),
            data: json!({ text.clone(): [sequence, text], "none": Value::Null }),
        };
        let at = printmill_domain::Timestamp::from_timestamp_micros(micros).unwrap();
        let event = Event { seq, id: id(4), merchant: merchant(), draft, at, trace };
        prop_assert_eq!(stored_and_read(&event), event);
    }

    #[test]
    fn tokens_and_problems_are_read_as_they_were_written(
        attempt: u32,
        token: u64,
        field in ".{0,20}",
    ) {
        let fence = Fence { ticket: id(1), attempt, token };
        prop_assert_eq!(stored_and_read(&fence), fence);
        let violation = Violation { field: field.clone(), description: "wrong".into() };
        for problem in [Problem::invalid_fields(vec![violation]), problem(1).with_field(field)] {
            prop_assert_eq!(stored_and_read(&problem), problem);
        }
    }

    #[test]
    fn no_document_panics(text in ".{0,80}", number: u64) {
        let _ = serde_json::from_str::<Ticket>(&text);
        let _ = serde_json::from_value::<OrderId>(json!(text));
        let _ = serde_json::from_value::<OrderId>(json!(number));
        prop_assert!(OrderId::parse(&id::<OrderId>(number).to_string()).is_ok());
    }
}
