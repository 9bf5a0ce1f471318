//! Routing: which facility makes an item, and why. The decision can be replayed from its record.

use crate::catalogue::Product;
use crate::country::Country;
use crate::facility::Facility;
use crate::ids::FacilityId;
use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};

/// One facility as the decision saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The facility.
    pub facility: FacilityId,
    /// Its name.
    pub name: String,
    /// Kilometres to the middle of the recipient's country; 0 within the same country.
    pub distance_km: u32,
    /// Why it was passed over; nothing for those that could have made it.
    pub excluded: Option<String>,
}

/// The decision and everything that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The facility that makes the item.
    pub facility: FacilityId,
    /// One sentence that says why.
    pub reason: String,
    /// All facilities that were considered, nearest first.
    pub candidates: Vec<Candidate>,
}

/// Picks the nearest facility that can make the product and delivers to the country.
///
/// A facility in the recipient's own country is nearest; equal distances go to the lower id, so
/// that the same input always gives the same route.
pub fn route(
    product: &Product,
    country: &Country,
    facilities: &[Facility],
) -> Result<Route, Problem> {
    let mut candidates: Vec<Candidate> =
        facilities.iter().map(|facility| candidate(product, country, facility)).collect();
    candidates.sort_by_key(|candidate| (candidate.distance_km, candidate.facility));
    let Some(chosen) = candidates.iter().find(|candidate| candidate.excluded.is_none()) else {
        return Err(Problem::new(
            Code::NoCapableFacility,
            format!("no facility can make {} for {}", product.sku, country.code),
            "open a facility with that binding, or offer another product there",
        ));
    };
    let passed_over = candidates.iter().take_while(|other| other.facility != chosen.facility);
    let nearer: Vec<String> = passed_over
        .filter_map(|other| other.excluded.as_ref().map(|why| format!("{} {why}", other.name)))
        .collect();
    let mut reason = if chosen.distance_km == 0 {
        format!("{} is in the recipient's country and can make it", chosen.name)
    } else {
        format!("{} is the nearest that can make it, {} km away", chosen.name, chosen.distance_km)
    };
    if !nearer.is_empty() {
        reason.push_str(&format!("; nearer, but passed over: {}", nearer.join(", ")));
    }
    Ok(Route { facility: chosen.facility, reason, candidates })
}

fn candidate(product: &Product, country: &Country, facility: &Facility) -> Candidate {
    let distance_km = if facility.country == country.code {
        0
    } else {
        facility.location.distance_km(country.centre).round().max(1.0) as u32
    };
    let excluded = if !facility.open {
        Some("takes no work now".to_owned())
    } else if !facility.can_make(product) {
        Some(format!("cannot make {} binding", product.binding.name().replace('_', " ")))
    } else if !facility.delivers_to(country.code) {
        Some(format!("does not deliver to {}", country.code))
    } else {
        None
    };
    Candidate { facility: facility.id, name: facility.name.clone(), distance_km, excluded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::catalogue::product;
    use crate::facility::starter_facilities;

    fn routed(sku: &str, country: &str) -> Route {
        let facilities = starter_facilities(Timestamp::UNIX_EPOCH);
        let country = Country::find(country).unwrap();
        route(product(sku).unwrap(), country, &facilities).unwrap()
    }

    #[test]
    fn the_facility_in_the_country_wins_when_it_can_make_it() {
        assert!(routed("photobook-square-210-soft", "DE").reason.starts_with("Berlin"));
    }

    #[test]
    fn a_nearer_facility_that_cannot_make_it_is_named() {
        let route = routed("photobook-a4-hard", "DE");
        assert!(route.reason.starts_with("Rotterdam"), "{}", route.reason);
        assert!(route.reason.contains("Berlin Print House cannot make case binding"));
    }

    #[test]
    fn the_order_of_the_facilities_does_not_matter() {
        let mut facilities = starter_facilities(Timestamp::UNIX_EPOCH);
        let product = product("magazine-a5-stapled").unwrap();
        let country = Country::find("NZ").unwrap();
        let first = route(product, country, &facilities).unwrap();
        facilities.reverse();
        assert_eq!(first, route(product, country, &facilities).unwrap());
    }

    #[test]
    fn nobody_able_is_an_error_with_a_code() {
        let mut facilities = starter_facilities(Timestamp::UNIX_EPOCH);
        facilities.iter_mut().for_each(|facility| facility.open = false);
        let country = Country::find("DE").unwrap();
        let error = route(product("photobook-a4-hard").unwrap(), country, &facilities).unwrap_err();
        assert_eq!(error.code, Code::NoCapableFacility);
    }
}
