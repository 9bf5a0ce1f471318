//! Addresses of stores: `scheme://container/prefix?setting=value`, taken apart.

use crate::error::ObjectsError;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use url::Url;

/// An address whose settings are taken one after the other; what is left is unknown.
pub(crate) struct Address {
    /// The bucket or container.
    pub(crate) container: String,
    /// Before every key, without slashes around it; may be empty.
    pub(crate) prefix: String,
    settings: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, ObjectsError> {
        let wrong = |part: &str, why: String| ObjectsError::Address { part: part.into(), why };
        let url = Url::parse(text).map_err(|error| wrong("address", error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            let why = "write no user, password or fragment into it: it is shown in messages";
            return Err(wrong("address", why.into()));
        }
        if url.port().is_some() {
            let why = "it names a bucket, no server: give the server by the setting endpoint";
            return Err(wrong("address", why.into()));
        }
        let container = url.host_str().unwrap_or_default().to_owned();
        let named = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if container.is_empty() || !container.chars().all(named) {
            return Err(wrong("bucket", format!("'{container}' is no name of one")));
        }
        let prefix = url.path().trim_matches('/').to_owned();
        let parts_named = prefix.is_empty()
            || prefix.split('/').all(|part| {
                !part.is_empty() && part.chars().all(named) && part != "." && part != ".."
            });
        if !parts_named {
            let why = format!("'{prefix}' has more than letters, digits, dots, dashes and slashes");
            return Err(wrong("prefix", why));
        }
        let settings = url.query_pairs().into_owned().collect();
        Ok(Self { container, prefix, settings, known: vec![] })
    }

    /// A setting's text, if it was given.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, ObjectsError> {
        self.known.push(name);
        let given = self.settings.extract_if(.., |(key, _)| key == name);
        let mut given: Vec<String> = given.map(|(_, value)| value).collect();
        let value = given.pop();
        match (value, given.is_empty()) {
            (_, false) => Err(ObjectsError::setting(name, "it is given twice")),
            (Some(value), _) if value.trim().is_empty() => {
                Err(ObjectsError::setting(name, "it is empty"))
            }
            (value, _) => Ok(value),
        }
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ObjectsError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            ObjectsError::setting(name, format!("it is one of {}", words.join(", ")))
        })
    }

    /// The address of a server.
    pub(crate) fn server(&mut self, name: &'static str) -> Result<Option<Url>, ObjectsError> {
        self.text(name)?.map(|text| server(name, &text)).transpose()
    }

    /// A whole number up to `most`.
    pub(crate) fn number<T>(
        &mut self,
        name: &'static str,
        most: T,
    ) -> Result<Option<T>, ObjectsError>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.parse::<T>().ok().filter(|number| *number <= most);
        let wrong = || ObjectsError::setting(name, format!("it is a whole number up to {most}"));
        number.map(Some).ok_or_else(wrong)
    }

    /// A time in seconds, from 1 up to an hour.
    pub(crate) fn seconds(&mut self, name: &'static str) -> Result<Option<Duration>, ObjectsError> {
        match self.number::<u64>(name, 3600)? {
            Some(0) => Err(ObjectsError::setting(name, "it is at least 1")),
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    /// A file of this machine.
    pub(crate) fn file(&mut self, name: &'static str) -> Result<Option<PathBuf>, ObjectsError> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    /// Refuses what nobody asked for. A secret in an address would be shown in messages.
    pub(crate) fn finish(self) -> Result<(), ObjectsError> {
        let Some((name, _)) = self.settings.first() else { return Ok(()) };
        let secret = ["secret", "password", "token", "account_key", "sas"];
        let why = match secret.iter().any(|word| name.contains(word)) {
            true => "secrets are not written into addresses, which are shown in messages: give it \
                     by a variable or a file"
                .to_owned(),
            false => format!("there is none of that name; there are {}", self.known.join(", ")),
        };
        Err(ObjectsError::setting(name, why))
    }
}

/// The address of a server, as a setting or variable gives it.
pub(crate) fn server(name: &str, text: &str) -> Result<Url, ObjectsError> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    url.ok_or_else(|| ObjectsError::setting(name, "it is like https://store.example:3900"))
}

/// A secret from a file, without the line's end.
pub(crate) fn secret(name: &'static str, path: &std::path::Path) -> Result<String, ObjectsError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ObjectsError::setting(name, format!("{} cannot be read: {error}", path.display()))
    })?;
    match text.trim() {
        "" => Err(ObjectsError::setting(name, format!("{} is empty", path.display()))),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bucket_a_prefix_and_settings() {
        let mut address = Address::parse("s3://my-bucket/a/b/?retries=3&links=store").unwrap();
        assert_eq!((&*address.container, &*address.prefix), ("my-bucket", "a/b"));
        assert_eq!(address.number::<u8>("retries", 10).unwrap(), Some(3));
        let words = [("node", 1), ("store", 2)];
        assert_eq!(address.word("links", &words).unwrap(), Some(2));
        assert_eq!(address.text("region").unwrap(), None);
        address.finish().unwrap();
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        let refusals = [
            ("s3://", "bucket"),
            ("s3:///prefix", "bucket"),
            ("s3://bucket/a//b", "prefix"),
            ("s3://bucket/../b%20c", "prefix"),
            ("s3://bucket:9000", "endpoint"),
            ("s3://key:5ecret@bucket", "no user"),
        ];
        for (text, part) in refusals {
            let error = Address::parse(text).err().map(|error| error.to_string());
            let error = error.unwrap_or_default();
            assert!(error.contains(part) && !error.contains("5ecret"), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_setting_is_refused_and_a_secret_is_not_repeated() {
        let mut address = Address::parse("s3://bucket?regoin=x").unwrap();
        address.text("region").unwrap();
        let error = address.finish().unwrap_err().to_string();
        assert!(error.contains("regoin") && error.contains("there are region"), "{error}");
        let address = Address::parse("s3://bucket?secret_access_key=5ecret").unwrap();
        let error = address.finish().unwrap_err().to_string();
        assert!(error.contains("by a variable or a file") && !error.contains("5ecret"), "{error}");
    }
}
