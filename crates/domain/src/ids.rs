//! Typed ids: a prefix that says what it names, then 26 characters that sort by time.
//!
//! The characters are the 128 bits of a version 7 UUID (RFC 9562) in Crockford's base 32, so an
//! id is unique without coordination and a list ordered by id is ordered by creation time.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Crockford's base 32, in lower case.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters after the prefix and its underscore.
pub const ENCODED_LENGTH: usize = 26;

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an id of the form {prefix}_…")]
pub struct InvalidId {
    /// What was given, shortened.
    pub text: String,
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// What all typed ids share.
pub trait Id: Sized + Clone + std::fmt::Display {
    /// The letters before the underscore.
    const PREFIX: &'static str;
    /// Wraps raw bits; the caller vouches that they are fresh or derived.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The raw bits.
    fn uuid(&self) -> Uuid;
    /// Reads the text form.
    fn parse(text: &str) -> Result<Self, InvalidId>;
}

/// Makes a child's id from its parent's: the same parent, label and number give the same id.
///
/// A reaction that runs twice therefore names the same thing twice instead of making a second
/// one. The parent's time bits are kept, so that children sort with their parent.
pub fn derive<T: Id>(parent: Uuid, label: &str, number: u32) -> T {
    let mut hash = Sha256::new();
    hash.update(parent.as_bytes());
    hash.update(label.as_bytes());
    hash.update(number.to_be_bytes());
    let digest = hash.finalize();
    let mut bytes = *parent.as_bytes();
    bytes[6..16].copy_from_slice(&digest[..10]);
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    T::from_uuid(Uuid::from_bytes(bytes))
}

fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..ENCODED_LENGTH)
        .map(|index| {
            let shift = 5 * (ENCODED_LENGTH - 1 - index);
            char::from(ALPHABET[((bits >> shift) & 31) as usize])
        })
        .collect()
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != ENCODED_LENGTH {
        return None;
    }
    let mut bits: u128 = 0;
    for (index, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|known| *known == byte)? as u128;
        if index == 0 && digit > 7 {
            return None;
        }
        bits = (bits << 5) | digit;
    }
    Some(Uuid::from_u128(bits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
            fn uuid(&self) -> Uuid {
                self.0
            }
            fn parse(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map(Self).ok_or_else(|| {
                    InvalidId { text: text.chars().take(64).collect(), prefix: $prefix }
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A merchant: the tenant.
    MerchantId = "mer";
    /// An API key, without its secret.
    KeyId = "key";
    /// An uploaded file.
    AssetId = "ast";
    /// A design: product and content.
    PrintId = "prt";
    /// A priced offer.
    QuoteId = "quo";
    /// An order.
    OrderId = "ord";
    /// One line of an order.
    ItemId = "itm";
    /// One attempt to pay an order.
    PaymentId = "pay";
    /// An item's production at a facility.
    PrintJobId = "job";
    /// A parcel.
    ShipmentId = "shp";
    /// A print facility.
    FacilityId = "fac";
    /// What makes tickets when their time comes.
    ScheduleId = "sch";
    /// A unit of work in a lane.
    TicketId = "tkt";
    /// A process that works on tickets.
    WorkerId = "wrk";
    /// An entry of the event log.
    EventId = "evt";
}

impl MerchantId {
    /// The platform itself: the owner of facilities and keys.
    pub const PLATFORM: MerchantId = MerchantId(Uuid::nil());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_round_trips_and_sorts_like_the_bits(a: u128, b: u128) {
            let (x, y) = (OrderId(Uuid::from_u128(a)), OrderId(Uuid::from_u128(b)));
            prop_assert_eq!(OrderId::parse(&x.to_string()), Ok(x));
            prop_assert_eq!(x.cmp(&y), x.to_string().cmp(&y.to_string()));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = OrderId::parse(&text);
            let _ = OrderId::parse(&format!("ord_{text}"));
        }
    }

    #[test]
    fn derived_ids_are_stable_and_differ_by_label_number_and_parent() {
        let parent = Uuid::from_u128(7 << 80);
        let one: ItemId = derive(parent, "item", 1);
        assert_eq!(one, derive(parent, "item", 1));
        assert_ne!(one, derive(parent, "item", 2));
        assert_ne!(one, derive(parent, "job", 1));
        assert_ne!(one, derive(Uuid::from_u128(8 << 80), "item", 1));
    }
}
