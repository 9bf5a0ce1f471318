//! Compiles proto/ into Rust types, gRPC clients and servers, JSON and the descriptor set.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

/// The files of the public contract, below proto/.
const FILES: &[&str] = &[
    "google/type/money.proto",
    "printmill/v1/assets.proto",
    "printmill/v1/catalogue.proto",
    "printmill/v1/events.proto",
    "printmill/v1/facilities.proto",
    "printmill/v1/operations.proto",
    "printmill/v1/orders.proto",
    "printmill/v1/prints.proto",
    "printmill/v1/problem.proto",
    "printmill/v1/work.proto",
];

/// What is served beside it, and is not part of it: KEDA's protocol for scalers.
const OTHERS: &[&str] = &["externalscaler/externalscaler.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    // Asked when it runs, since a shared target folder may hold a script built in another clone.
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    // Only the encoded form keeps the google.api.http options.
    let encoded = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("printmill.bin"), &encoded)?;

    let mut descriptors = compiler.file_descriptor_set();
    for file in &mut descriptors.file {
        // Comments of Google's own files are written for its own documentation.
        if file.package().starts_with("google.protobuf") {
            file.source_code_info = None;
        }
    }
    let plain = descriptors.encode_to_vec();
    tonic_prost_build::configure()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_well_known_types(true)
        .build_transport(true)
        .compile_fds(descriptors)?;
    let mut others = protox::Compiler::new([&root])?;
    others.include_source_info(true).open_files(OTHERS)?;
    tonic_prost_build::configure()
        .build_transport(true)
        .compile_fds(others.file_descriptor_set())?;
    pbjson_build::Builder::new()
        .register_descriptors(&plain)?
        .extern_path(".google.protobuf", "::pbjson_types")
        .build(&[".printmill", ".google.type"])?;
    Ok(())
}
