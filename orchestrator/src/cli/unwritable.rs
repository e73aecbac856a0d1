//! A file or folder that a user chose, and that cannot be written.

use std::{
    io,
    path::{Path, PathBuf},
};

use permafrost_worker::error::Error;

use super::error::CliError;

/// A file or folder that a user chose, and that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {reason}", path.display())]
pub struct Unwritable {
    path: PathBuf,
    reason: String,
    /// Whether the disk has no room.
    full: bool,
    /// The option that names another.
    option: &'static str,
}

impl Unwritable {
    /// `option` is what names another path.
    pub(super) fn new(path: &Path, source: &io::Error, option: &'static str) -> Self {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self { path: path.to_owned(), reason: reason(path, source), full, option }
    }

    /// What to do about it.
    pub(super) fn cure(&self) -> String {
        let room = if self.full { "free space on that disk, or " } else { "" };
        format!("{room}choose another path with {}", self.option)
    }
}

/// Why, in words where the system's are about another path than the user's.
fn reason(path: &Path, source: &io::Error) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let above = path.ancestors().skip(1).find(|path| path.exists());
    match (source.kind(), parent, above) {
        (io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists, ..) if path.exists() && !path.is_dir() => {
            "it is a file, and no folder".to_owned()
        }
        (io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists, _, Some(above)) if !above.is_dir() => {
            format!("{} is a file, and no folder", above.display())
        }
        (io::ErrorKind::NotFound, Some(parent), _) if !parent.exists() => {
            format!("there is no folder {}", parent.display())
        }
        _ => source.to_string(),
    }
}

/// For `map_err`: what was to be written, and the option that names another path.
pub(super) fn unwritable(path: &Path, option: &'static str) -> impl FnOnce(io::Error) -> CliError {
    move |source| Unwritable::new(path, &source, option).into()
}

/// As [`unwritable`], of an error of the worker's functions on files.
pub(super) fn unwritten(path: &Path, option: &'static str) -> impl FnOnce(Error) -> CliError {
    move |error| match error {
        Error::Io { source, .. } => Unwritable::new(path, &source, option).into(),
        other => other.into(),
    }
}

/// Whether what an error says of its causes is all that its causes say.
pub(super) fn says_its_causes(error: &dyn std::error::Error) -> bool {
    let text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.contains(&cause.to_string()) {
            return false;
        }
        source = cause.source();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &Path) -> String {
        let source = std::fs::write(path, "x").unwrap_err();
        Unwritable::new(path, &source, "--output").to_string()
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let shown = |path: &Path| path.display().to_string();
        assert!(told(&file.join("x")).ends_with(&format!("x: {} is a file, and no folder", shown(&file))));
        let missing = folder.path().join("no");
        assert!(told(&missing.join("x")).ends_with(&format!("x: there is no folder {}", shown(&missing))));
        assert!(told(folder.path()).contains("directory"));
        for folder in [file.clone(), file.join("logs")] {
            let source = std::fs::create_dir_all(folder).unwrap_err();
            let text = Unwritable::new(&file, &source, "--home").to_string();
            assert!(text.ends_with("it is a file, and no folder"), "{text}");
        }
    }

    #[test]
    fn a_full_disk_has_a_cure_of_its_own() {
        let cure = |kind: io::ErrorKind| Unwritable::new(Path::new("/x"), &kind.into(), "--home").cure();
        assert_eq!(cure(io::ErrorKind::PermissionDenied), "choose another path with --home");
        assert_eq!(cure(io::ErrorKind::StorageFull), "free space on that disk, or choose another path with --home");
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = || io::Error::from(io::ErrorKind::NotFound);
        let told = CliError::Io { action: "read", path: "x".into(), source: source() };
        assert!(says_its_causes(&told));
        #[derive(Debug, thiserror::Error)]
        #[error("no")]
        struct Silent(#[source] io::Error);
        assert!(!says_its_causes(&Silent(source())));
    }
}
