//! API keys: shown once, stored as a hash, good for one scope.
//!
//! A key reads `pmk_<id>_<secret><check>`: 26 characters of id, 32 of secret (160 bits in base
//! 32) and 4 of checksum, so that a mistyped key is told apart from a wrong one without asking
//! the database.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Kind};
use crate::ids::{FacilityId, Id, KeyId, MerchantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const SECRET_BYTES: usize = 20;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a key is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything of one merchant.
    Merchant(MerchantId),
    /// The print jobs of one facility.
    Facility(FacilityId),
    /// Leasing tickets of some kinds.
    Worker {
        /// The kinds, as in `item.render`.
        kinds: Vec<String>,
        /// The lanes; all of them when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lanes: Vec<String>,
    },
    /// Looking into the deployment and steering it; nothing of any merchant's.
    Operator,
}

/// A key as it is stored: without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The id, which is the readable part of the key.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// What it is good for.
    pub scope: Scope,
    /// SHA-256 of the secret part, in hexadecimal.
    pub secret_sha256: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key as its owner holds it. `Debug` shows the id only.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedKey {
    /// The id.
    pub id: KeyId,
    secret: String,
}

impl std::fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pmk_{}_…", &self.id.to_string()[4..])
    }
}

impl PresentedKey {
    /// Makes a key from fresh random bytes.
    pub fn mint(id: KeyId, random: [u8; SECRET_BYTES]) -> Self {
        Self { id, secret: base32(&random) }
    }

    /// The whole key. Show it once, and do not log it.
    pub fn reveal(&self) -> String {
        let stem = self.stem();
        let check = checksum(&stem);
        format!("{stem}{check}")
    }

    fn stem(&self) -> String {
        let id = self.id.to_string();
        format!("pmk_{}_{}", &id[KeyId::PREFIX.len() + 1..], self.secret)
    }

    /// Reads a key, or nothing if it is mistyped or no key at all.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix("pmk_")?.split_once('_')?;
        if rest.len() != 36 || !rest.is_ascii() {
            return None;
        }
        let key = Self {
            id: KeyId::parse(&format!("{}_{id}", KeyId::PREFIX)).ok()?,
            secret: rest[..32].into(),
        };
        (key.reveal() == text).then_some(key)
    }

    /// The hash under which the secret is stored.
    pub fn secret_sha256(&self) -> String {
        hexadecimal(&Sha256::digest(self.secret.as_bytes()))
    }
}

impl ApiKey {
    /// The stored form of a key that was just made.
    pub fn new(presented: &PresentedKey, name: &str, scope: Scope, now: Timestamp) -> Self {
        Self {
            id: presented.id,
            name: name.into(),
            scope,
            secret_sha256: presented.secret_sha256(),
            created_at: now,
            revoked_at: None,
        }
    }

    /// Whether it is this key, compared in a time that does not depend on where they differ.
    pub fn matches(&self, presented: &PresentedKey) -> bool {
        let (ours, theirs) = (self.secret_sha256.as_bytes(), presented.secret_sha256());
        let difference =
            ours.iter().zip(theirs.as_bytes()).fold(0, |sum, (left, right)| sum | (left ^ right));
        self.id == presented.id && ours.len() == theirs.len() && difference == 0
    }
}

impl Aggregate for ApiKey {
    const KIND: Kind = Kind::ApiKey;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        MerchantId::PLATFORM
    }
    fn state(&self) -> &'static str {
        if self.revoked_at.is_some() { "revoked" } else { "active" }
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
        }
    }
    text
}

fn checksum(stem: &str) -> String {
    let digest = Sha256::digest(stem.as_bytes());
    base32(&digest[..5]).chars().take(4).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_key_round_trips_and_a_typo_is_noticed() {
        let key = PresentedKey::mint(KeyId::from_uuid(Uuid::from_u128(99)), [7; 20]);
        let text = key.reveal();
        assert_eq!(PresentedKey::parse(&text), Some(key.clone()));
        for index in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[index] = if typo[index] == b'7' { b'8' } else { b'7' };
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(PresentedKey::parse(&typo), None, "{typo}");
        }
        assert!(!format!("{key:?}").contains(&key.secret));
    }

    #[test]
    fn only_the_same_secret_matches() {
        let id = KeyId::from_uuid(Uuid::from_u128(99));
        let (right, wrong) = (PresentedKey::mint(id, [7; 20]), PresentedKey::mint(id, [8; 20]));
        let stored = ApiKey::new(
            &right,
            "test",
            Scope::Worker { kinds: vec![], lanes: vec![] },
            Timestamp::UNIX_EPOCH,
        );
        assert!(stored.matches(&right));
        assert!(!stored.matches(&wrong));
    }
}
