//! Between the public contract and the domain: one file for each capability. Nothing else sees both.

pub(crate) mod assets;
pub(crate) mod catalogue;
pub(crate) mod consumers;
pub(crate) mod events;
pub(crate) mod facilities;
pub(crate) mod keda;
pub(crate) mod operations;
pub(crate) mod orders;
pub(crate) mod prints;
pub(crate) mod quotes;
pub(crate) mod schedules;
pub(crate) mod tickets;
pub(crate) mod work;
pub(crate) mod workers;

use pbjson_types::{ListValue, Struct, Value, value::Kind};
use printmill_domain::Timestamp;
use printmill_domain::ids::Id;
use printmill_domain::money::{Currency, Money};
use printmill_domain::problem::Problem;
use printmill_proto::{google::r#type as google, v1};

/// The most characters of a request id.
const REQUEST_ID_MAX: usize = 100;

/// Reads an id from a field.
pub(crate) fn id<T: Id>(field: &str, text: &str) -> Result<T, Problem> {
    T::parse(text).map_err(|error| {
        let form = format!("must be an id of the form {}_…", error.prefix);
        Problem::invalid_field(field, form)
    })
}

/// Reads a request id; empty means none.
pub(crate) fn request_id(text: &str) -> Result<Option<&str>, Problem> {
    if text.chars().count() > REQUEST_ID_MAX || text.chars().any(char::is_control) {
        let description = format!("must have at most {REQUEST_ID_MAX} characters");
        return Err(Problem::invalid_field("request_id", description));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Reads a currency; empty means EUR.
pub(crate) fn currency(text: &str) -> Result<Currency, Problem> {
    if text.is_empty() {
        return Ok(Currency::Eur);
    }
    Currency::parse(text).ok_or_else(|| {
        let known: Vec<_> = Currency::ALL.iter().map(|currency| currency.code()).collect();
        Problem::invalid_field("currency", format!("must be one of {}", known.join(", ")))
    })
}

/// A version as clients see it.
pub(crate) fn etag(version: u64) -> String {
    version.to_string()
}

/// A time on the wire.
pub(crate) fn time(at: Timestamp) -> Option<pbjson_types::Timestamp> {
    Some(pbjson_types::Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0),
    })
}

/// An amount on the wire.
pub(crate) fn money(amount: Money) -> Option<google::Money> {
    Some(google::Money {
        currency_code: amount.currency.code().into(),
        units: amount.minor / 100,
        nanos: i32::try_from(amount.minor % 100).unwrap_or(0) * 10_000_000,
    })
}

/// A refusal that is stored with what went wrong.
pub(crate) fn problem(problem: &Problem) -> v1::Problem {
    v1::Problem {
        code: problem.code.text().into(),
        message: problem.message.clone(),
        advice: problem.advice.clone(),
    }
}

/// A JSON object on the wire.
pub(crate) fn structure(value: &serde_json::Value) -> Option<Struct> {
    let fields = value.as_object()?;
    let fields = fields.iter().map(|(name, value)| (name.clone(), json(value)));
    Some(Struct { fields: fields.collect() })
}

/// A JSON object from the wire. Whole numbers that are exact there are whole numbers again.
pub(crate) fn object(structure: &Struct) -> serde_json::Value {
    let fields = structure.fields.iter().map(|(name, value)| (name.clone(), plain(value)));
    serde_json::Value::Object(fields.collect())
}

fn plain(value: &Value) -> serde_json::Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(truth)) => (*truth).into(),
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => {
            (*number as i64).into()
        }
        Some(Kind::NumberValue(number)) => (*number).into(),
        Some(Kind::StringValue(text)) => text.clone().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(plain).collect(),
        Some(Kind::StructValue(structure)) => object(structure),
    }
}

fn json(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(truth) => Kind::BoolValue(*truth),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.iter().map(json).collect() })
        }
        serde_json::Value::Object(_) => Kind::StructValue(structure(value).unwrap_or_default()),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_keeps_every_cent_and_its_sign() {
        for (minor, units, nanos) in
            [(1490, 14, 900_000_000), (-105, -1, -50_000_000), (-5, 0, -50_000_000), (0, 0, 0)]
        {
            let money = money(Money::new(Currency::Eur, minor)).unwrap();
            assert_eq!((money.units, money.nanos), (units, nanos), "{minor}");
        }
    }

    #[test]
    fn request_ids_are_bounded() {
        assert_eq!(request_id(""), Ok(None));
        assert!(request_id(&"x".repeat(100)).is_ok());
        assert!(request_id(&"x".repeat(101)).is_err());
    }
}
