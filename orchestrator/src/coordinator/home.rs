//! The home folder: one coordinator at a time, and how clients find it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use permafrost_worker::{PROGRAM_VERSION, agent::Endpoint, files};
use uuid::Uuid;

/// Why a home folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another coordinator has it.
    #[error("another coordinator{} uses {}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), root.display())]
    Busy {
        /// The folder.
        root: PathBuf,
        /// Its process, where that is known.
        pid: Option<u32>,
    },
    /// A file or folder in it cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `create`, `lock`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] permafrost_worker::error::Error),
}

impl HomeError {
    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some(
                "`permafrost launch` joins a running coordinator by itself; for a second, separate one name another --home".to_owned(),
            ),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory => {
                    Some("name a folder that you may write to with --home".to_owned())
                }
                io::ErrorKind::StorageFull => Some("free space on that disk, or name another --home".to_owned()),
                io::ErrorKind::Unsupported => {
                    Some("this file system has no file locks: name a --home on a local disk".to_owned())
                }
                _ => None,
            },
            Self::Write(error) => error.cure(),
        }
    }
}

/// A home folder that this process alone coordinates. The lock is the operating system's: it ends with the process, however
/// that ends, so there is no stale lock to clean up.
#[derive(Debug)]
pub struct Home {
    root: PathBuf,
    _lock: File,
    announced: Option<Uuid>,
}

impl Home {
    /// Creates the folder where needed and takes its lock.
    ///
    /// # Errors
    /// [`HomeError::Busy`] when another coordinator has it; [`HomeError::Io`] when it cannot be written.
    pub fn claim(root: &Path) -> Result<Self, HomeError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| HomeError::Io { action, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(root).map_err(failed("create", root))?;
        let root = root.canonicalize().map_err(failed("read", root))?;
        let path = root.join("coordinator.lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock, announced: None }),
            Err(TryLockError::WouldBlock) => {
                let pid = Endpoint::read(&root).ok().map(|endpoint| endpoint.pid);
                Err(HomeError::Busy { root, pid })
            }
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }

    /// The folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a fresh token and writes where this coordinator listens.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn announce(&mut self, address: String) -> Result<Endpoint, HomeError> {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.write_token(&token)?;
        let endpoint = Endpoint {
            instance: Uuid::new_v4(),
            pid: std::process::id(),
            address,
            program: PROGRAM_VERSION.to_owned(),
            started: jiff::Timestamp::now().as_millisecond(),
            token,
        };
        files::write_atomic(&Endpoint::path(&self.root), |out| {
            serde_json::to_writer_pretty(&mut *out, &endpoint).map_err(io::Error::from)?;
            out.write_all(b"\n")
        })?;
        self.announced = Some(endpoint.instance);
        Ok(endpoint)
    }

    /// The token is the owner's alone from its first byte on.
    fn write_token(&self, token: &str) -> Result<(), HomeError> {
        let path = Endpoint::token_path(&self.root);
        let temporary = self.root.join("token.tmp");
        let failed = |source| HomeError::Io { action: "write", path: path.clone(), source };
        fs::remove_file(&temporary).or_else(ignore_missing).map_err(failed)?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary).map_err(failed)?;
        writeln!(file, "{token}").map_err(failed)?;
        fs::rename(&temporary, &path).map_err(failed)
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.announced.is_some() {
            // Nobody should look for a coordinator that has left; one that was killed is found out by its silence.
            fs::remove_file(Endpoint::path(&self.root)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_coordinator_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut home = Home::claim(folder.path()).unwrap();
        let endpoint = home.announce("127.0.0.1:1".to_owned()).unwrap();
        let Err(HomeError::Busy { pid, .. }) = Home::claim(folder.path()) else { panic!("claimed twice") };
        assert_eq!(pid, Some(std::process::id()));
        assert_eq!(Endpoint::read(folder.path()).unwrap().token, endpoint.token);
        drop(home);
        assert!(Endpoint::read(folder.path()).is_err(), "a coordinator that left is still announced");
        Home::claim(folder.path()).unwrap();
    }

    #[test]
    fn what_a_killed_coordinator_leaves_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("coordinator.lock"), "").unwrap();
        fs::write(folder.path().join("coordinator.json"), "{half").unwrap();
        fs::write(folder.path().join("token.tmp"), "old").unwrap();
        Home::claim(folder.path()).unwrap().announce("127.0.0.1:1".to_owned()).unwrap();
    }

    #[test]
    fn the_token_is_the_owners() {
        let folder = tempfile::tempdir().unwrap();
        let mut home = Home::claim(folder.path()).unwrap();
        let endpoint = home.announce("127.0.0.1:1".to_owned()).unwrap();
        let mode = fs::metadata(Endpoint::token_path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!fs::read_to_string(Endpoint::path(folder.path())).unwrap().contains(&endpoint.token));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Home::claim(&file.join("home")).unwrap_err();
        assert!(error.to_string().contains("file/home"), "{error}");
    }
}
