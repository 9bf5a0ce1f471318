//! What a check found, gathered so that one run shows all of it.

use std::fmt::Display;

use anyhow::{Result, bail};

/// The faults that a check found; none means that it passed.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    faults: Vec<String>,
}

impl Findings {
    /// Adds a fault: where it is and what to do about it.
    pub(crate) fn add(&mut self, fault: impl Display) {
        self.faults.push(fault.to_string());
    }

    /// Adds all that another check found.
    pub(crate) fn extend(&mut self, other: Findings) {
        self.faults.extend(other.faults);
    }

    /// The faults, in the order found.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// An error that lists every fault, if there is one.
    pub(crate) fn into_result(self) -> Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let count = self.faults.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        bail!("{count} {noun}:\n  {}", self.faults.join("\n  "))
    }
}
