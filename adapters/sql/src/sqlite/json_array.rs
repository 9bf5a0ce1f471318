//! JSON arrays joined from texts that are JSON already, for `json_each`.

use serde::Serialize;

/// A JSON array that grows.
#[derive(Debug)]
pub(crate) struct JsonArray(String);

impl Default for JsonArray {
    fn default() -> Self {
        Self::new()
    }
}

impl JsonArray {
    pub(crate) fn new() -> Self {
        Self(String::from("["))
    }

    /// Appends an element that is JSON already.
    pub(crate) fn push(&mut self, element: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(element);
    }

    /// Appends an element of names and numbers.
    pub(crate) fn push_row(&mut self, row: &impl Serialize) {
        let row = serde_json::to_string(row)
            .unwrap_or_else(|error| unreachable!("names and numbers are JSON: {error}"));
        self.push(&row);
    }

    /// The elements alone, to be pushed to another array.
    pub(crate) fn finish_elements(mut self) -> String {
        self.0.remove(0);
        self.0
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push(']');
        self.0
    }
}
