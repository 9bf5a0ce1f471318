//! How much memory the press takes, measured in processes of their own.

use std::io;
use std::ops::ControlFlow;
use std::process::Command;

use jpeg_encoder::ColorType;
use printmill_press::photobook::Fit;
use printmill_press::specimen::photograph_sized;
use printmill_press::{Limits, inspect, render};

use crate::books::{book, page, square};
use crate::pictures;

/// Set in the processes that this module starts.
const TASK: &str = "PRESS_MEMORY_TASK";

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs this test again in a process of its own with this task, and answers what that process printed.
fn measured(test: &str, task: &str) -> u64 {
    let this = std::env::current_exe().expect("the test binary");
    let output = Command::new(this)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(TASK, task)
        .output()
        .expect("starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    let number = printed.lines().find_map(|line| line.split_once("measured ")?.1.parse().ok());
    number.unwrap_or_else(|| panic!("{printed}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn books_take_no_more_memory_for_more_pages() {
    if peak_kib().is_none() {
        return;
    }
    if let Ok(pages) = std::env::var(TASK) {
        let count: u64 = pages.parse().expect("a number");
        let keys: Vec<String> = (0..count).map(|key| key.to_string()).collect();
        let pages =
            keys.iter().map(|key| page(&[(key.as_str(), square().full(), Fit::Cover)])).collect();
        let whole = photograph_sized(0, 1500, 1000).expect("a specimen").jpeg;
        let mut sources = |_: &str| Ok(whole.clone());
        let made = render(&book(square(), pages), &mut sources, &mut io::sink(), &mut |_| {
            ControlFlow::Continue(())
        });
        let made = made.expect("renders");
        assert_eq!(made.pictures.len() as u64, count);
        assert!(made.bytes > count * whole.len() as u64);
        println!("\nmeasured {}", peak_kib().expect("on Linux"));
        return;
    }
    let test = "memory::books_take_no_more_memory_for_more_pages";
    let (few, many) = (measured(test, "8"), measured(test, "400"));
    assert!(many < few + 2 * 1024, "{few} KiB for 8 pages, {many} KiB for 400");
}

#[test]
fn looking_into_a_picture_takes_less_than_200_mib() {
    if peak_kib().is_none() {
        return;
    }
    if let Ok(task) = std::env::var(TASK) {
        let path = std::path::PathBuf::from(task);
        let mut file = std::fs::File::open(path).expect("opens");
        let before = peak_kib().expect("on Linux");
        let found = inspect(&mut file, &Limits::default()).expect("a good picture");
        let after = peak_kib().expect("on Linux");
        println!("\nmeasured {}", after - before);
        assert!(found.width > 1000);
        return;
    }
    let test = "memory::looking_into_a_picture_takes_less_than_200_mib";
    let folder = std::env::temp_dir().join(format!("press-memory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("creates");
    // Read block by block, the largest that is still decoded, and one that is not.
    for (name, picture) in [
        ("baseline", pictures::plain(6_000, 4_000, ColorType::Luma)),
        ("progressive", pictures::progressive(5_600, 4_200, 0)),
        ("not decoded", pictures::progressive(6_400, 5_000, 0)),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, picture).expect("writes");
        let kib = measured(test, path.to_str().expect("a path"));
        assert!(kib < 200 * 1024, "{name}: {kib} KiB");
    }
    std::fs::remove_dir_all(&folder).expect("removes");
}
