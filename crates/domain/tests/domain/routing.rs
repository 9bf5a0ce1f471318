//! Routes between random facilities.

use crate::cases;
use crate::fixtures::{at, id};
use crate::history::stored_and_read;
use printmill_domain::catalogue::{Binding, PRODUCTS, Product};
use printmill_domain::country::{COUNTRIES, Country, Point};
use printmill_domain::facility::Facility;
use printmill_domain::problem::Code;
use printmill_domain::routing::route;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

fn facilities() -> impl Strategy<Value = Vec<Facility>> {
    let codes = || prop::sample::select(vec!["DE", "NL", "US", "AU"]);
    let bindings = [Binding::Perfect, Binding::Case, Binding::SaddleStitch].map(Binding::name);
    // Some stand at the same place, so that distances are equal.
    let place = prop_oneof![
        3 => (-90.0..90.0f64, -180.0..180.0f64),
        1 => Just((51.0, 9.0)),
    ];
    let facility = (
        codes(),
        place,
        subsequence(bindings.to_vec(), 0..=3),
        prop::option::of(prop::collection::vec(codes(), 0..3)),
        prop::bool::weighted(0.8),
    );
    prop::collection::vec(facility, 0..8).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(number, (country, (latitude, longitude), bindings, delivers_to, open))| {
                Facility {
                    id: id(number as u64),
                    name: format!("Facility {number}"),
                    country: country.into(),
                    location: Point { latitude, longitude },
                    bindings: bindings.into_iter().map(Into::into).collect(),
                    delivers_to: delivers_to
                        .unwrap_or_default()
                        .into_iter()
                        .map(Into::into)
                        .collect(),
                    open,
                    created_at: at(0),
                }
            })
            .collect()
    })
}

fn able(facility: &Facility, product: &Product, country: &Country) -> bool {
    facility.open
        && facility.bindings.iter().any(|binding| binding == product.binding.name())
        && (facility.delivers_to.is_empty()
            || facility.delivers_to.iter().any(|code| code == country.code))
}

/// Where a facility stands in line: in the country, or so far away.
fn distance(facility: &Facility, country: &Country) -> f64 {
    if facility.country == country.code {
        0.0
    } else {
        facility.location.distance_km(country.centre)
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn the_nearest_of_the_able_is_chosen(
        facilities in facilities(),
        product in 0..3usize,
        country: Index,
        home: bool,
        shuffle in any::<prop::sample::Selector>(),
    ) {
        let product = &PRODUCTS[product];
        let country = if home { Country::find("DE").unwrap() } else { country.get(COUNTRIES) };
        let routed = route(product, country, &facilities);
        let mut shuffled = facilities.clone();
        shuffled.sort_by_key(|facility| shuffle.select(0..facility.name.len() * 7));
        shuffled.reverse();
        prop_assert_eq!(&routed, &route(product, country, &shuffled), "the order does not matter");
        let able: Vec<_> = facilities.iter().filter(|one| able(one, product, country)).collect();
        let route = match routed {
            Ok(route) => route,
            Err(problem) => {
                prop_assert_eq!(problem.code, Code::NoCapableFacility);
                prop_assert!(able.is_empty());
                return Ok(());
            }
        };
        let chosen = able.iter().find(|one| one.id == route.facility).expect("an able one");
        for other in &able {
            // Distances count in whole kilometres.
            prop_assert!(distance(chosen, country) <= distance(other, country) + 1.0);
        }
        prop_assert!(route.reason.starts_with(&chosen.name));
        prop_assert_eq!(route.candidates.len(), facilities.len(), "all were considered");
        prop_assert!(route.candidates.is_sorted_by_key(|one| (one.distance_km, one.facility)));
        let first = route.candidates.iter().find(|one| one.excluded.is_none()).unwrap();
        prop_assert_eq!(first.facility, route.facility, "the record shows the choice");
        for candidate in &route.candidates {
            let excluded = !able.iter().any(|one| one.id == candidate.facility);
            prop_assert_eq!(candidate.excluded.is_some(), excluded);
        }
        prop_assert_eq!(&stored_and_read(&route), &route);
    }

    #[test]
    fn distances_are_those_of_a_globe(
        a in (-90.0..=90.0f64, -180.0..=180.0f64),
        b in (-90.0..=90.0f64, -180.0..=180.0f64),
    ) {
        let point = |(latitude, longitude)| Point { latitude, longitude };
        let (there, back) = (point(a).distance_km(point(b)), point(b).distance_km(point(a)));
        prop_assert!((there - back).abs() < 1e-6);
        prop_assert!((0.0..=20_016.0).contains(&there), "half the way round: {there}");
    }
}
