//! Where a parcel goes.

use crate::country::Country;
use crate::problem::{Code, Problem, Violation};
use serde::{Deserialize, Serialize};

/// Who receives an order, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The name on the parcel.
    pub name: String,
    /// Street and number, and further lines.
    pub lines: Vec<String>,
    /// City.
    pub city: String,
    /// Postal code, where the country has them.
    pub postal_code: String,
    /// State or province, where the country needs it.
    pub region: String,
    /// The country by its ISO 3166-1 alpha-2 code.
    pub country: String,
}

impl Recipient {
    /// Checks lengths and the country; `field` is where the recipient stands in the request.
    pub fn check(&self, field: &str) -> Result<&'static Country, Problem> {
        let mut violations = vec![];
        let mut limit = |name: &str, text: &str, required: bool| {
            let fits = text.chars().count() <= 100 && !text.chars().any(char::is_control);
            if !fits || (required && text.trim().is_empty()) {
                violations.push(Violation {
                    field: format!("{field}.{name}"),
                    description: "must be text of at most 100 characters".into(),
                });
            }
        };
        limit("name", &self.name, true);
        limit("city", &self.city, true);
        limit("postal_code", &self.postal_code, false);
        limit("region", &self.region, false);
        for line in &self.lines {
            limit("lines", line, true);
        }
        if self.lines.is_empty() || self.lines.len() > 3 {
            violations.push(Violation {
                field: format!("{field}.lines"),
                description: "must have 1 to 3 lines".into(),
            });
        }
        if !violations.is_empty() {
            return Err(Problem::invalid_fields(violations));
        }
        served(&self.country).map_err(|problem| problem.with_field(format!("{field}.country")))
    }
}

/// The country with a code, if we deliver there.
pub fn served(code: &str) -> Result<&'static Country, Problem> {
    Country::find(code).ok_or_else(|| {
        Problem::new(
            Code::CountryNotServed,
            format!(
                "'{}' is not a country we deliver to",
                code.chars().take(8).collect::<String>()
            ),
            "use the ISO 3166-1 alpha-2 code of a country that is served, as in DE or US",
        )
    })
}
