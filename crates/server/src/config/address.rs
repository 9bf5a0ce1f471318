//! Addresses as they may be shown.

use std::borrow::Cow;

/// Words in the names of settings that hold secrets. Adapters refuse those in addresses; until
/// then they must not be shown either.
const SECRET: [&str; 4] = ["secret", "password", "token", "account_key"];

/// An address without the password that it may hold. Also one that is written wrongly, with
/// characters in the password that should have been escaped.
pub(crate) fn without_password(address: &str) -> Cow<'_, str> {
    let parts = address.split_once("://").and_then(|(scheme, rest)| {
        let (who, place) = rest.rsplit_once('@')?;
        // NATS takes a token in the place of a user.
        let token = matches!(scheme, "nats" | "tls").then_some(("token", ""));
        let (user, _) = who.split_once(':').or(token)?;
        Some((scheme, user, place))
    });
    let address = match parts {
        Some((scheme, user, place)) => Cow::Owned(format!("{scheme}://{user}:hidden@{place}")),
        None => Cow::Borrowed(address),
    };
    without_secrets(address)
}

fn without_secrets(address: Cow<'_, str>) -> Cow<'_, str> {
    let Some((place, query)) = address.split_once('?') else { return address };
    let holds = |setting: &str| {
        let name = setting.split('=').next().unwrap_or_default();
        SECRET.iter().any(|word| name.contains(word)) && !name.ends_with("_file")
    };
    if !query.split('&').any(holds) {
        return address;
    }
    let settings = query.split('&').map(|setting| match setting.split_once('=') {
        Some((name, _)) if holds(setting) => format!("{name}=hidden"),
        _ => setting.to_owned(),
    });
    let settings: Vec<_> = settings.collect();
    Cow::Owned(format!("{place}?{}", settings.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_among_the_settings_is_not_shown() {
        let shown = without_password("s3://b?region=x&secret_access_key=5ecret&session_token=t");
        assert_eq!(shown, "s3://b?region=x&secret_access_key=hidden&session_token=hidden");
        for plain in ["s3://b", "s3://b?secret_access_key_file=/run/key&region=x"] {
            assert_eq!(without_password(plain), plain);
        }
    }
}
