//! The address of things in memory, which has nothing to configure.

use crate::error::MemoryError;

/// What an address of this adapter says: nothing but that it is `memory://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryConfig;

impl MemoryConfig {
    /// Reads an address. Only `memory://` is one.
    pub fn from_url(url: &str) -> Result<Self, MemoryError> {
        match url.strip_prefix("memory:") {
            Some("" | "//") => Ok(Self),
            Some(_) => Err(MemoryError::Options { url: url.into() }),
            None => Err(MemoryError::Scheme { url: url.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bare_address_is_accepted() {
        assert!(MemoryConfig::from_url("memory://").is_ok());
        assert!(matches!(
            MemoryConfig::from_url("memory://size=3"),
            Err(MemoryError::Options { .. })
        ));
        assert!(matches!(
            MemoryConfig::from_url("sqlite://memory"),
            Err(MemoryError::Scheme { .. })
        ));
    }
}
