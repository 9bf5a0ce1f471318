//! Facilities: where things are printed, and what each can make.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Kind};
use crate::catalogue::{Binding, Product};
use crate::country::Point;
use crate::ids::{FacilityId, Id, MerchantId, derive};
use serde::{Deserialize, Serialize};

/// A print facility. It belongs to the platform and is shared by all merchants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facility {
    /// The id.
    pub id: FacilityId,
    /// The name that people read.
    pub name: String,
    /// Its country by ISO 3166-1 alpha-2 code.
    pub country: String,
    /// Where it is.
    pub location: Point,
    /// The bindings that it can make.
    pub bindings: Vec<String>,
    /// The countries that it delivers to; empty means everywhere.
    pub delivers_to: Vec<String>,
    /// Whether it takes work now.
    pub open: bool,
    /// When it joined.
    pub created_at: Timestamp,
}

impl Facility {
    /// Whether it can make a product.
    pub fn can_make(&self, product: &Product) -> bool {
        self.bindings.iter().any(|binding| binding == product.binding.name())
    }

    /// Whether it delivers to a country.
    pub fn delivers_to(&self, country: &str) -> bool {
        self.delivers_to.is_empty() || self.delivers_to.iter().any(|served| served == country)
    }
}

impl Aggregate for Facility {
    const KIND: Kind = Kind::Facility;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        MerchantId::PLATFORM
    }
    fn facility(&self) -> Option<FacilityId> {
        Some(self.id)
    }
    fn state(&self) -> &'static str {
        if self.open { "open" } else { "closed" }
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}

/// The facilities that a new node starts with, so that there is something to route between.
/// Their ids are the same everywhere.
pub fn starter_facilities(now: Timestamp) -> Vec<Facility> {
    let all = [Binding::Perfect, Binding::Case, Binding::SaddleStitch];
    let soft = [Binding::Perfect, Binding::SaddleStitch];
    let place =
        |number, name: &str, country: &str, latitude, longitude, makes: &[Binding]| Facility {
            id: derive::<FacilityId>(MerchantId::PLATFORM.uuid(), "starter facility", number),
            name: name.into(),
            country: country.into(),
            location: Point { latitude, longitude },
            bindings: makes.iter().map(|binding| binding.name().into()).collect(),
            delivers_to: vec![],
            open: true,
            created_at: now,
        };
    vec![
        place(1, "Rotterdam Book Works", "NL", 51.92, 4.48, &all),
        place(2, "Berlin Print House", "DE", 52.52, 13.40, &soft),
        place(3, "Porto Bindery", "PT", 41.15, -8.61, &[Binding::Case]),
        place(4, "Leeds Digital Press", "GB", 53.80, -1.55, &soft),
        place(5, "Chicago Press Room", "US", 41.88, -87.63, &all),
        place(6, "Melbourne Print Lab", "AU", -37.81, 144.96, &all),
    ]
}
