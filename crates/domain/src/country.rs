//! The countries that are served, with a point in each to measure distances from.

/// A country.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Country {
    /// The ISO 3166-1 alpha-2 code.
    pub code: &'static str,
    /// A point in its middle.
    pub centre: Point,
}

/// A point on the globe, in degrees: north and east are positive.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Point {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

impl Point {
    /// The great-circle distance in kilometres, by the haversine formula.
    pub fn distance_km(self, other: Point) -> f64 {
        const EARTH_RADIUS_KM: f64 = 6371.0;
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_latitude = (to - from) / 2.0;
        let half_longitude = (other.longitude - self.longitude).to_radians() / 2.0;
        let chord =
            half_latitude.sin().powi(2) + from.cos() * to.cos() * half_longitude.sin().powi(2);
        2.0 * EARTH_RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin()
    }
}

impl Country {
    /// Finds a country by its code, in capitals.
    pub fn find(code: &str) -> Option<&'static Country> {
        COUNTRIES.binary_search_by(|country| country.code.cmp(code)).ok().map(|at| &COUNTRIES[at])
    }
}

const fn at(code: &'static str, latitude: f64, longitude: f64) -> Country {
    Country { code, centre: Point { latitude, longitude } }
}

/// All countries that are served, by code. The points are those of public gazetteers, rounded.
pub const COUNTRIES: &[Country] = &[
    at("AD", 42.5, 1.6),
    at("AE", 24.0, 54.0),
    at("AL", 41.0, 20.0),
    at("AM", 40.0, 45.0),
    at("AR", -34.0, -64.0),
    at("AT", 47.3, 13.3),
    at("AU", -27.0, 133.0),
    at("AZ", 40.5, 47.5),
    at("BA", 44.0, 18.0),
    at("BD", 24.0, 90.0),
    at("BE", 50.8, 4.0),
    at("BG", 43.0, 25.0),
    at("BH", 26.0, 50.6),
    at("BO", -17.0, -65.0),
    at("BR", -10.0, -55.0),
    at("BY", 53.0, 28.0),
    at("CA", 60.0, -95.0),
    at("CH", 47.0, 8.0),
    at("CL", -30.0, -71.0),
    at("CN", 35.0, 105.0),
    at("CO", 4.0, -72.0),
    at("CR", 10.0, -84.0),
    at("CY", 35.0, 33.0),
    at("CZ", 49.8, 15.5),
    at("DE", 51.0, 9.0),
    at("DK", 56.0, 10.0),
    at("DO", 19.0, -70.7),
    at("DZ", 28.0, 3.0),
    at("EC", -2.0, -77.5),
    at("EE", 59.0, 26.0),
    at("EG", 27.0, 30.0),
    at("ES", 40.0, -4.0),
    at("ET", 8.0, 38.0),
    at("FI", 64.0, 26.0),
    at("FR", 46.0, 2.0),
    at("GB", 54.0, -2.0),
    at("GE", 42.0, 43.5),
    at("GH", 8.0, -2.0),
    at("GR", 39.0, 22.0),
    at("GT", 15.5, -90.3),
    at("HK", 22.3, 114.2),
    at("HN", 15.0, -86.5),
    at("HR", 45.2, 15.5),
    at("HU", 47.0, 20.0),
    at("ID", -5.0, 120.0),
    at("IE", 53.0, -8.0),
    at("IL", 31.5, 34.8),
    at("IN", 20.0, 77.0),
    at("IS", 65.0, -18.0),
    at("IT", 42.8, 12.8),
    at("JM", 18.3, -77.5),
    at("JO", 31.0, 36.0),
    at("JP", 36.0, 138.0),
    at("KE", 1.0, 38.0),
    at("KG", 41.0, 75.0),
    at("KH", 13.0, 105.0),
    at("KR", 37.0, 127.5),
    at("KW", 29.5, 45.8),
    at("KZ", 48.0, 68.0),
    at("LA", 18.0, 105.0),
    at("LB", 33.8, 35.8),
    at("LI", 47.2, 9.5),
    at("LK", 7.0, 81.0),
    at("LT", 56.0, 24.0),
    at("LU", 49.8, 6.2),
    at("LV", 57.0, 25.0),
    at("MA", 32.0, -5.0),
    at("MC", 43.7, 7.4),
    at("MD", 47.0, 29.0),
    at("ME", 42.5, 19.3),
    at("MG", -20.0, 47.0),
    at("MK", 41.8, 22.0),
    at("MN", 46.0, 105.0),
    at("MT", 35.8, 14.6),
    at("MU", -20.3, 57.6),
    at("MX", 23.0, -102.0),
    at("MY", 2.5, 112.5),
    at("MZ", -18.3, 35.0),
    at("NA", -22.0, 17.0),
    at("NG", 10.0, 8.0),
    at("NI", 13.0, -85.0),
    at("NL", 52.5, 5.8),
    at("NO", 62.0, 10.0),
    at("NP", 28.0, 84.0),
    at("NZ", -41.0, 174.0),
    at("OM", 21.0, 57.0),
    at("PA", 9.0, -80.0),
    at("PE", -10.0, -76.0),
    at("PH", 13.0, 122.0),
    at("PK", 30.0, 70.0),
    at("PL", 52.0, 20.0),
    at("PR", 18.3, -66.5),
    at("PT", 39.5, -8.0),
    at("PY", -23.0, -58.0),
    at("QA", 25.5, 51.3),
    at("RO", 46.0, 25.0),
    at("RS", 44.0, 21.0),
    at("RW", -2.0, 30.0),
    at("SA", 25.0, 45.0),
    at("SE", 62.0, 15.0),
    at("SG", 1.4, 103.8),
    at("SI", 46.1, 14.8),
    at("SK", 48.7, 19.5),
    at("SM", 43.8, 12.4),
    at("SN", 14.0, -14.0),
    at("SV", 13.8, -88.9),
    at("TH", 15.0, 100.0),
    at("TN", 34.0, 9.0),
    at("TR", 39.0, 35.0),
    at("TW", 23.5, 121.0),
    at("TZ", -6.0, 35.0),
    at("UA", 49.0, 32.0),
    at("UG", 1.0, 32.0),
    at("US", 38.0, -97.0),
    at("UY", -33.0, -56.0),
    at("UZ", 41.0, 64.0),
    at("VN", 16.0, 106.0),
    at("ZA", -29.0, 24.0),
    at("ZM", -15.0, 30.0),
    at("ZW", -20.0, 30.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_sorted_so_that_each_is_found() {
        for country in COUNTRIES {
            assert_eq!(Country::find(country.code), Some(country));
        }
        assert_eq!(Country::find("XX"), None);
    }

    #[test]
    fn distances_are_those_of_the_map() {
        let berlin = Point { latitude: 52.52, longitude: 13.40 };
        let paris = Point { latitude: 48.86, longitude: 2.35 };
        assert!((berlin.distance_km(paris) - 878.0).abs() < 5.0);
        assert!(berlin.distance_km(berlin) < 1e-9);
    }
}
