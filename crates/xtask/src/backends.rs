//! The table of backends in docs/backends: made and compared by a test of the binary, since only that
//! knows all adapters. The step `tests` runs it as well.

use anyhow::Result;

use crate::surroundings::{Surroundings, run};

/// The variable that has the test write the table anew.
const BLESS: &str = "PRINTMILL_BLESS";

/// Compares the table with what the adapters declare, or writes it anew.
pub(crate) fn check(around: &Surroundings, bless: bool) -> Result<()> {
    let only = ["test", "--package", "printmill", "--bins", "--features", "full", "--locked"];
    let mut cargo = around.cargo(&[&only[..], &["--", "backends_table"]].concat());
    if bless {
        cargo.env(BLESS, "1");
    }
    run(cargo)
}
