//! Merchants: the tenants. Everything belongs to one.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Kind};
use crate::ids::MerchantId;
use serde::{Deserialize, Serialize};

/// A merchant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Merchant {
    /// The id.
    pub id: MerchantId,
    /// The name that people see.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Aggregate for Merchant {
    const KIND: Kind = Kind::Merchant;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        MerchantId::PLATFORM
    }
    fn state(&self) -> &'static str {
        "active"
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
