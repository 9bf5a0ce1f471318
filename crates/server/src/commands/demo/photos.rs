//! Photos for the demo: the user's own, or pictures that it makes itself.

use super::screen::Screen;
use crate::failure::{Failure, Outcome};
use futures::StreamExt;
use printmill_domain::problem::Code;
use std::path::{Path, PathBuf};

/// Pictures that it makes: enough that most pages have one of their own.
const MADE: u64 = 18;
/// The most of the user's own that it takes.
const FOUND_MAX: usize = 96;

/// The pictures in a folder, by name.
pub(super) fn found(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |error: std::io::Error| Failure::io("read", folder, &error);
    let mut photos = vec![];
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if matches!(extension.as_str(), "jpg" | "jpeg" | "png") && path.is_file() {
            photos.push(path);
        }
    }
    if photos.is_empty() {
        return Err(Failure::new(
            Code::InvalidArgument,
            format!("there is no .jpg, .jpeg or .png in {}", folder.display()),
            "name a folder with photos, or leave out --photos",
        ));
    }
    photos.sort();
    photos.truncate(FOUND_MAX);
    Ok(photos)
}

/// Pictures like those of a camera, with EXIF and an ICC profile. Those that an earlier run has
/// left are taken as they are: the same picture is always the same.
pub(super) async fn made(folder: &Path, screen: &Screen) -> Outcome<Vec<PathBuf>> {
    screen.stage(&format!("Making {MADE} photos (6 megapixels, EXIF, ICC profile)"));
    let made = std::fs::create_dir_all(folder);
    made.map_err(|error| Failure::io("make the folder", folder, &error))?;
    let bar = screen.count(MADE, "photos made");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let photos = (0..MADE).map(|seed| {
        let (path, bar) = (folder.join(format!("photo-{:02}.jpg", seed + 1)), bar.clone());
        tokio::task::spawn_blocking(move || {
            let made = photo(seed, &path);
            bar.inc(1);
            made.map(|()| path)
        })
    });
    let photos: Vec<_> = futures::stream::iter(photos).buffered(cores).collect().await;
    bar.finish_and_clear();
    let broken = |error: tokio::task::JoinError| {
        Failure::new(Code::Internal, format!("a photo was not made: {error}"), "report this")
    };
    let photos: Outcome<Vec<_>> =
        photos.into_iter().map(|made| made.map_err(broken).and_then(|made| made)).collect();
    screen.note(&format!("in {}", folder.display()));
    photos
}

fn photo(seed: u64, path: &Path) -> Outcome {
    if path.is_file() {
        return Ok(());
    }
    let failed = |error: std::io::Error| Failure::io("write", path, &error);
    let made = printmill_press::specimen::photograph(seed);
    let made = made.map_err(|error| failed(std::io::Error::other(error)))?;
    let draft = path.with_extension("part");
    std::fs::write(&draft, made.jpeg).map_err(failed)?;
    std::fs::rename(&draft, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_by_name_and_other_files_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(found(folder.path()).unwrap_err().code, "INVALID_ARGUMENT");
        for name in ["b.JPG", "a.png", "notes.txt", "c.jpeg"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let names: Vec<_> = found(folder.path()).unwrap();
        let names: Vec<_> = names.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["a.png", "b.JPG", "c.jpeg"]);
        assert_eq!(found(&folder.path().join("none")).unwrap_err().code, "NOT_FOUND");
    }
}
