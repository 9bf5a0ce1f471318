//! Lease tokens: a ticket's fence and its message's receipt, as signed text for holders outside.

use crate::sign::Signer;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use printmill_backend::queue::Receipt;
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::Fence;
use serde::{Deserialize, Serialize};

const PURPOSE: &str = "lease";
/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 2_000;

/// What a lease token proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseToken {
    /// Which ticket, attempt and secret number.
    pub(crate) fence: Fence,
    /// The kind of work.
    pub(crate) kind: String,
    lane: Lane,
    handle: String,
}

impl LeaseToken {
    /// The token of a lease.
    pub(crate) fn new(fence: Fence, kind: &str, receipt: &Receipt) -> Self {
        let Receipt { lane, handle } = receipt.clone();
        Self { fence, kind: kind.into(), lane, handle }
    }

    /// The lane that the ticket was leased from.
    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// What settles the message.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt { lane: self.lane.clone(), handle: self.handle.clone() }
    }

    /// The token as its holder gets it.
    pub(crate) fn seal(&self, signer: &Signer) -> Result<String, Problem> {
        let json = serde_json::to_vec(self).map_err(|_| crate::errors::internal())?;
        let text = URL_SAFE_NO_PAD.encode(json);
        let signature = signer.sign(PURPOSE, &text);
        Ok(format!("{text}.{signature}"))
    }

    /// Reads a token that was sealed by us.
    pub(crate) fn open(signer: &Signer, token: &str) -> Result<Self, Problem> {
        let parts = token.split_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX);
        parts
            .filter(|(text, signature)| signer.verify(PURPOSE, text, signature))
            .and_then(|(text, _)| URL_SAFE_NO_PAD.decode(text).ok())
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or_else(|| {
                Problem::invalid_field("lease_token", "must be the token of a lease, unchanged")
            })
    }
}

/// The refusal of a token that proves another thing than what is asked for.
pub(crate) fn other_ticket() -> Problem {
    Problem::new(
        Code::LeaseLost,
        "the lease token belongs to another ticket",
        "send the token that came with this work",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_backend::fresh;
    use printmill_domain::Timestamp;

    #[test]
    fn only_what_was_sealed_opens() {
        let signer = Signer::new(&[1; 32]);
        let ticket = fresh::id(Timestamp::UNIX_EPOCH);
        let fence = Fence { ticket, attempt: 2, token: (1 << 53) - 1 };
        let receipt = Receipt { lane: Lane::render(), handle: "7:ü".into() };
        let token = LeaseToken::new(fence, "item.render", &receipt);
        let sealed = token.seal(&signer).unwrap();
        assert_eq!(LeaseToken::open(&signer, &sealed), Ok(token));
        assert!(LeaseToken::open(&Signer::new(&[2; 32]), &sealed).is_err());
        assert!(LeaseToken::open(&signer, "").is_err());
        let forged = format!("A{sealed}");
        assert!(LeaseToken::open(&signer, &forged).is_err());
    }
}
