//! Addresses as they may be shown.

use std::borrow::Cow;

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
    match parts {
        Some((scheme, user, place)) => Cow::Owned(format!("{scheme}://{user}:hidden@{place}")),
        None => Cow::Borrowed(address),
    }
}
