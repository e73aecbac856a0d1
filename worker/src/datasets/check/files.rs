//! Files of images and masks, one by one, on all cores.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use rayon::prelude::*;

use super::{Depth, Findings, Options, Watch};
use crate::{
    datasets::{Dataset, Split},
    error::Error,
    images::{self, Limits},
};

/// What one file is.
#[derive(Clone, Copy)]
enum Role {
    Mask,
    /// Of an image in this split.
    Image(Split),
}

/// Looks at every file once. None when `watch` ended it.
pub(super) fn look(dataset: &Dataset, options: &Options<'_>, watch: Watch<'_>, findings: &mut Findings) -> Option<()> {
    let files = list(dataset, findings);
    let (done, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let look = |(name, _): &(&Path, Role)| {
        if ended.load(Ordering::Relaxed) {
            return None;
        }
        let found = file(&options.root.join(name), options.depth);
        if watch(done.fetch_add(1, Ordering::Relaxed) + 1, files.len()) {
            ended.store(true, Ordering::Relaxed);
        }
        Some(found)
    };
    // Collected in the order of the collection, so that what is named first does not depend on who was fastest.
    let found: Vec<Option<Result<Option<blake3::Hash>, Bad>>> = files.par_iter().map(look).collect();
    if ended.into_inner() {
        return None;
    }
    let mut contents: HashMap<blake3::Hash, (&Path, Split)> = HashMap::new();
    for ((name, role), found) in files.iter().zip(found) {
        match (role, found?) {
            (Role::Mask, Ok(_)) | (Role::Image(_), Ok(None)) => {}
            (Role::Mask, Err(why)) => findings.masks.add(format!("{}: {why}", name.display())),
            (Role::Image(_), Err(Bad::Missing)) => findings.missing.add(name.display().to_string()),
            (Role::Image(_), Err(why)) => findings.unreadable.add(format!("{}: {why}", name.display())),
            (Role::Image(split), Ok(Some(hash))) => match contents.get(&hash) {
                Some((other, other_split)) => {
                    let what = format!("{} as {}", name.display(), other.display());
                    if split != other_split {
                        findings.images_across_splits.add(what.as_str());
                    }
                    findings.duplicate_images.add(what);
                }
                None => {
                    contents.insert(hash, (name, *split));
                }
            },
        }
    }
    Some(())
}

/// The files of the collection, each once. Those that several images name are findings.
fn list<'a>(dataset: &'a Dataset, findings: &mut Findings) -> Vec<(&'a Path, Role)> {
    let mut files = Vec::with_capacity(dataset.images.len());
    let mut masks: HashSet<&Path> = HashSet::new();
    let mut named: HashMap<&Path, (&str, Split)> = HashMap::new();
    for image in &dataset.images {
        if let Some(mask) = image.mask.as_deref().filter(|mask| masks.insert(mask)) {
            files.push((mask, Role::Mask));
        }
        let Some(name) = image.file.as_deref() else { continue };
        if let Some((other, split)) = named.get(name) {
            let what = format!("{} of {other} and {}", name.display(), image.id);
            if *split != image.split {
                findings.images_across_splits.add(what.as_str());
            }
            findings.duplicate_images.add(what);
            continue;
        }
        named.insert(name, (&image.id, image.split));
        files.push((name, Role::Image(image.split)));
    }
    files
}

/// Why a file is no good.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error("not there")]
    Missing,
    #[error("{0}")]
    Unreadable(io::Error),
    #[error("{0}")]
    Undecodable(String),
    #[error("empty")]
    Empty,
    #[error("neither PNG, JPEG nor DICOM")]
    Unknown,
    #[error("cut off")]
    CutOff,
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::Unreadable(error) }
    }
}

/// Looks at one file; its BLAKE3 from [`Depth::Content`] on.
fn file(path: &Path, depth: Depth) -> Result<Option<blake3::Hash>, Bad> {
    if depth == Depth::Nothing {
        return Ok(None);
    }
    if depth == Depth::Presence {
        return if path.metadata()?.is_file() { Ok(None) } else { Err(Bad::Missing) };
    }
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    (&mut file).take(DICOM_AT as u64 + 4).read_to_end(&mut head)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    (&mut file).take(TAIL_BYTES).read_to_end(&mut tail)?;
    ends(&head, &tail)?;
    if depth < Depth::Content {
        return Ok(None);
    }
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    if depth == Depth::Decode {
        images::read(path, &Limits::default()).map_err(|error| match error {
            Error::Image { fault, .. } => Bad::Undecodable(fault.to_string()),
            Error::Io { source, .. } => Bad::from(source),
            other => Bad::Undecodable(other.to_string()),
        })?;
    }
    Ok(Some(hasher.finalize()))
}

/// Where a DICOM file says `DICM`, in bytes.
const DICOM_AT: usize = 128;

/// How much of the end is looked at, in bytes. Some programs add a little after the end of a JPEG.
const TAIL_BYTES: u64 = 64;

/// Whether a file with this beginning and end is an image, as far as they show.
fn ends(head: &[u8], tail: &[u8]) -> Result<(), Bad> {
    let has = |end: &[u8]| tail.windows(end.len()).any(|window| window == end);
    let whole = match head {
        [] => return Err(Bad::Empty),
        head if head.starts_with(b"\x89PNG\r\n\x1a\n") => has(b"IEND"),
        [0xff, 0xd8, 0xff, ..] => has(&[0xff, 0xd9]),
        head if head.get(DICOM_AT..DICOM_AT + 4) == Some(b"DICM") => true,
        _ => return Err(Bad::Unknown),
    };
    if whole { Ok(()) } else { Err(Bad::CutOff) }
}
