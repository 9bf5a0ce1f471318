//! Says what each of these files is: `look <file>…`.

use std::fs::File;
use std::time::Instant;

use printmill_press::{Limits, inspect};

fn main() -> std::io::Result<()> {
    for path in std::env::args().skip(1) {
        let start = Instant::now();
        match inspect(&mut File::open(&path)?, &Limits::default()) {
            Ok(found) => println!("{path}: {found:?} in {:?}", start.elapsed()),
            Err(error) => println!("{path}: {} {error}", error.code()),
        }
    }
    Ok(())
}
