//! Renders a book of specimens to a file, and says what it took: `book <pages> <output.pdf> [pictures]`.

use std::io::{BufWriter, Cursor};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chrono::DateTime;
use printmill_press::layout::{Picture, autolayout};
use printmill_press::photobook::{Book, TrimSize, render};
use printmill_press::specimen::photograph;
use printmill_press::{Limits, inspect};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let pages: usize = arguments.next().map_or(Ok(8), |count| count.parse())?;
    let path = arguments.next().unwrap_or_else(|| "book.pdf".to_owned());
    let count: u64 = arguments.next().map_or(Ok(pages as u64), |count| count.parse())?;
    let size = TrimSize::new(297_000, 210_000, 3_000);
    let (mut making, mut looking) = (Duration::ZERO, Duration::ZERO);
    let pictures: Vec<Picture> = (0..count)
        .map(|seed| {
            let start = Instant::now();
            let made = photograph(seed)?;
            making += start.elapsed();
            let start = Instant::now();
            let found = inspect(&mut Cursor::new(&made.jpeg), &Limits::default())?;
            looking += start.elapsed();
            let (width, height) = found.seen();
            Ok(Picture { key: seed.to_string(), width, height, captured_at: found.captured_at })
        })
        .collect::<Result<_, Box<dyn std::error::Error>>>()?;
    let each = u32::try_from(count.max(1))?;
    println!("each picture: {:?} to make, {:?} to look into", making / each, looking / each);
    let book = Book {
        title: "Landscapes that never were".to_owned(),
        document_id: "uuid:00000000-0000-7000-8000-000000000001".to_owned(),
        created_at: DateTime::UNIX_EPOCH,
        size,
        max_ppi: None,
        pages: autolayout(&pictures, pages, size),
    };
    let mut sources = |key: &str| {
        let seed = key.parse().map_err(std::io::Error::other)?;
        Ok(photograph(seed).map_err(std::io::Error::other)?.jpeg)
    };
    let mut out = BufWriter::new(std::fs::File::create(&path)?);
    let start = Instant::now();
    let rendered = render(&book, &mut sources, &mut out, &mut |_| ControlFlow::Continue(()))?;
    drop(out);
    println!("{} pages, {} bytes in {:?}", rendered.pages, rendered.bytes, start.elapsed());
    let reread = printmill_press::reread(&std::fs::read(&path)?)?;
    println!("{} images, {:?}", reread.images, reread.pages[0]);
    Ok(())
}
