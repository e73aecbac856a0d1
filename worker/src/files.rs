//! Files that survive a crash: written aside, synced, renamed, and their folder synced.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    id::TrialId,
    protocol::{Artifact, Attempt, Origin},
};

/// Where attempt `attempt` of `trial` puts its files.
pub fn attempt_folder(home: &Path, trial: TrialId, attempt: Attempt) -> PathBuf {
    let hex = trial.hex();
    home.join("artifacts").join(&hex[..2]).join(hex).join(format!("attempt-{attempt}"))
}

/// The attempt that put a file there; see [`attempt_folder`].
pub fn origin(path: &Path) -> Option<Origin> {
    let mut parts = path.components().filter_map(|part| part.as_os_str().to_str());
    let trial = parts.find_map(|part| part.parse().ok())?;
    let attempt = parts.next()?.strip_prefix("attempt-")?.parse().ok()?;
    Some(Origin { trial, attempt })
}

/// Where attempt `attempt` of `trial` logs.
pub fn attempt_log(home: &Path, trial: TrialId, attempt: Attempt) -> PathBuf {
    home.join("logs").join("attempts").join(format!("{}-{attempt}.jsonl", trial.short()))
}

/// Writes a file so that after a crash it is there whole or not at all.
///
/// # Errors
/// [`Error::Io`] of any step; the half-written file is removed.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = io::BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        write(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // Best effort: the error of the write is the one to report.
        fs::remove_file(&temporary).ok();
    }
    written.map_err(Error::io("write", path))
}

/// Describes a finished file below `home`: its size and BLAKE3.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn describe(home: &Path, path: &Path) -> Result<Artifact> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap(path).map_err(Error::io("read", path))?;
    Ok(Artifact {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.strip_prefix(home).unwrap_or(path).to_owned(),
        bytes: hasher.count(),
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

/// The path of `artifact`, after its size and BLAKE3 were compared with what was recorded.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Damaged`] when it is another file than recorded.
pub fn verified(home: &Path, artifact: &Artifact) -> Result<PathBuf> {
    let path = home.join(&artifact.path);
    if !path.exists() {
        return Err(Error::Damaged { path, what: "it is missing".to_owned() });
    }
    let found = describe(home, &path)?;
    if found.bytes != artifact.bytes {
        let what = format!("{} bytes, {} were recorded", found.bytes, artifact.bytes);
        return Err(Error::Damaged { path, what });
    }
    if found.blake3 != artifact.blake3 {
        return Err(Error::Damaged { path, what: "its BLAKE3 is not the recorded one".to_owned() });
    }
    Ok(path)
}

/// One BLAKE3 of the names and contents of files, in hexadecimal. Their folders do not matter, and neither does their order.
///
/// # Errors
/// [`Error::Io`] when one cannot be read.
pub fn fingerprint(paths: &[PathBuf]) -> Result<String> {
    let mut files: Vec<(&std::ffi::OsStr, blake3::Hash)> = Vec::with_capacity(paths.len());
    for path in paths {
        let mut hasher = blake3::Hasher::new();
        hasher.update_mmap(path).map_err(Error::io("read", path))?;
        files.push((path.file_name().unwrap_or_default(), hasher.finalize()));
    }
    files.sort_unstable_by_key(|(name, _)| *name);
    let mut hasher = blake3::Hasher::new_derive_key("permafrost 2026 fingerprint of files");
    for (name, hash) in files {
        hasher.update(hash.as_bytes()).update(name.as_encoded_bytes()).update(&[0]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The bytes of `values`, as they lie in memory: little endian, like safetensors.
pub fn bytes_of(values: &[f32]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little"), "files are little endian") };
    // SAFETY: an f32 has no padding, and every byte may be read as u8.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_whose_it_is() {
        let trial = TrialId::of(&1).unwrap();
        let folder = attempt_folder(Path::new("/home/me"), trial, 12);
        assert_eq!(origin(&folder.join("adaptor.safetensors")), Some(Origin { trial, attempt: 12 }));
        assert_eq!(origin(&folder), Some(Origin { trial, attempt: 12 }));
        assert_eq!(origin(folder.parent().unwrap()), None);
        assert_eq!(origin(Path::new("data/attempt-1/x.png")), None);
    }
}
