//! The memory adapter keeps every contract.

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, vec![]).exit();
}
