//! The comments of the .proto files, which become descriptions.

use prost_reflect::{DescriptorPool, FileDescriptor};
use std::collections::HashMap;

/// Comments by file and place.
pub(super) struct Comments {
    found: HashMap<(String, Vec<i32>), String>,
}

impl Comments {
    /// Reads all comments before a declaration.
    pub(super) fn read(pool: &DescriptorPool) -> Self {
        let mut found = HashMap::new();
        for file in pool.files() {
            let source = file.file_descriptor_proto().source_code_info.as_ref();
            for location in source.iter().flat_map(|source| &source.location) {
                let lines = location.leading_comments().lines().map(str::trim);
                let text = lines.collect::<Vec<_>>().join(" ").trim().to_owned();
                if !text.is_empty() {
                    found.insert((file.name().to_owned(), location.path.clone()), text);
                }
            }
        }
        Self { found }
    }

    /// The comment of what stands at a path in a file; empty when there is none.
    pub(super) fn of(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.found.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}
