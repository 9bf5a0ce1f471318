//! What commands print: lines, tables and JSON. A reader that went away ends the program quietly.

use crate::failure::{Failure, Outcome};
use printmill_domain::problem::Code;
use serde::Serialize;
use std::io::Write;

/// Prints a line to standard output.
pub(crate) fn line(text: impl std::fmt::Display) {
    let written = writeln!(std::io::stdout().lock(), "{text}");
    if written.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        // As in `printmill orders list | head -1`.
        std::process::exit(0);
    }
}

/// Prints a line to standard error. There is nowhere to say that it failed.
pub(crate) fn error_line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints one JSON value on one line.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string(value).map_err(|error| {
        Failure::new(Code::Internal, format!("the answer is no JSON: {error}"), "report this")
    })?;
    line(text);
    Ok(())
}

/// Commands longer than this get a line of their own.
const SHORT_COMMAND: usize = 48;

/// Prints what to do next, for people.
pub(crate) fn next_steps(steps: &[(&str, &str)]) {
    line("");
    line(console::style("Next:").bold());
    let lengths = steps.iter().map(|(command, _)| command.chars().count());
    let width = lengths.filter(|length| *length <= SHORT_COMMAND).max().unwrap_or(0);
    for (command, why) in steps {
        let why = console::style(why).dim();
        if command.chars().count() > SHORT_COMMAND {
            line(format!("  {command}\n    {why}"));
        } else {
            line(format!("  {command:width$}   {why}"));
        }
    }
}

/// A table with aligned columns; the heads are left out when there are no rows.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(console::measure_text_width(cell));
        }
    }
    let write = |cells: Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| console::pad_str(cell, *width, console::Alignment::Left, None))
            .map(Into::into)
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let heads = heads.iter().map(|head| console::style(head).bold().to_string()).collect();
    let mut lines = vec![write(heads)];
    lines.extend(rows.iter().cloned().map(write));
    lines.join("\n")
}

/// A size in bytes, as people read it.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        console::set_colors_enabled(false);
        let rows = vec![vec!["ord_1".into(), "shipped".into()], vec!["o".into(), "x".into()]];
        assert_eq!(table(&["ID", "STATE"], &rows), "ID     STATE\nord_1  shipped\no      x");
    }
}
