//! RSNA, COVIDx and SIIM-ACR: label files and images, no reports.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use super::{By, Found, MAX_MISSING, Stop, no_split, places, summary::named};
use crate::{
    datasets::{
        ClassColumn, Image, LabelColumns, Split, group_split,
        labels::{self, covidx::Sample},
        listing::Listing,
        splits::{self, ThreeWay, Unit},
    },
    error::{Error, Result},
};

/// Classes of COVIDx, in the order of the published numbers.
pub(in crate::datasets) const DIAGNOSES: [&str; 3] = ["normal", "pneumonia", "COVID-19"];

/// Images between two questions whether to stop.
const STOP_EVERY: usize = 256;

/// RSNA: label `pneumonia`, a group a patient.
pub(super) fn rsna(root: &Path, by: &By, stop: Stop<'_>) -> Result<Option<Found>> {
    let [file, folder] = places::RSNA;
    let patients = labels::rsna::read(open(root, file)?, file)?;
    let images = patients.iter().map(|patient| Image {
        id: patient.id.clone(),
        labels: vec![Some(patient.is_positive())],
        file: Some(Path::new(folder).join(format!("{}.dcm", patient.id))),
        group: Some(patient.id.clone()),
        ..Image::default()
    });
    let images = split(images.collect(), by, "RSNA", || splits::rsna_classification(&patients))?;
    let positive = patients.iter().filter(|patient| patient.is_positive()).count();
    let sentence = format!("{} patients, {positive} of them with `pneumonia`", patients.len());
    let columns = LabelColumns { binary: vec!["pneumonia".to_owned()], ..LabelColumns::default() };
    found(root, images, columns, sentence, by, stop)
}

/// COVIDx: classes `diagnosis`. Groups are the patients as the lists name them: numbers such as `3` come from several sources and
/// are taken for one patient, which keeps more together than need be and never less.
pub(super) fn covidx(root: &Path, by: &By, stop: Stop<'_>) -> Result<Option<Found>> {
    let list = |at: usize| -> Result<Vec<Sample>> {
        let name = places::COVIDX[at];
        labels::covidx::read(open(root, name)?, name)
    };
    let (train, test) = (list(0)?, list(1)?);
    let image = |sample: &Sample, folder: &str| Image {
        id: sample.file.clone(),
        classes: vec![Some(sample.class as u32)],
        file: Some(Path::new(folder).join(&sample.file)),
        group: Some(sample.patient.clone()),
        ..Image::default()
    };
    let [train_folder, test_folder] = places::COVIDX_IMAGES;
    let images = train.iter().map(|sample| image(sample, train_folder));
    let images = images.chain(test.iter().map(|sample| image(sample, test_folder))).collect();
    let images = split(images, by, "COVIDx", || splits::covidx(&train, &test))?;
    let sentence = format!("{} images in the training list, {} in the test list", train.len(), test.len());
    let values = DIAGNOSES.map(str::to_owned).to_vec();
    let column = ClassColumn { name: "diagnosis".to_owned(), values };
    let columns = LabelColumns { classes: vec![column], ..LabelColumns::default() };
    found(root, images, columns, sentence, by, stop)
}

/// SIIM-ACR: label `pneumothorax`. Patients are not known, so an image is a group. By rows, an image may be in several splits: it is
/// then a sample of each, called `ID@SPLIT`.
pub(super) fn siim(root: &Path, unit: Unit, by: &By, stop: Stop<'_>) -> Result<Option<Found>> {
    if let (Unit::Row, By::Groups { .. }) = (unit, by) {
        return Err(Error::Input {
            what: "a split of SIIM-ACR by groups keeps images whole, one by rows does not".to_owned(),
            cure: Some("take images as the unit, or the published split".to_owned()),
        });
    }
    let [file, folder] = places::SIIM;
    let annotations = labels::siim::read(open(root, file)?, file)?;
    let Some(files) = places::walk(root, folder, "dcm", stop)? else { return Ok(None) };
    // An image that is nowhere has a place where it would be looked for, and is counted as missing there.
    let place = |id: &str| files.get(id).cloned().unwrap_or_else(|| Path::new(folder).join(format!("{id}.dcm")));
    let images = annotations.images().iter().map(|image| Image {
        id: image.id.clone(),
        labels: vec![Some(image.positive)],
        file: Some(place(&image.id)),
        group: Some(image.id.clone()),
        ..Image::default()
    });
    let images = split(images.collect(), by, "SIIM-ACR", || splits::siim(&annotations, unit, splits::SIIM))?;
    let positive = annotations.images().iter().filter(|image| image.positive).count();
    let (rows, count) = (annotations.rows().len(), annotations.images().len());
    let sentence = format!("{rows} rows of {count} images, {positive} of them with `pneumothorax`");
    let columns = LabelColumns { binary: vec!["pneumothorax".to_owned()], ..LabelColumns::default() };
    found(root, images, columns, sentence, by, stop)
}

fn open(root: &Path, name: &str) -> Result<BufReader<File>> {
    let path = root.join(name);
    Ok(BufReader::new(File::open(&path).map_err(Error::io("read", &path))?))
}

/// Puts `images` into their splits; as published they are in the order of the published lists, which fractions depend on.
fn split(
    mut images: Vec<Image>,
    by: &By,
    collection: &str,
    published: impl FnOnce() -> Result<ThreeWay<Vec<String>>>,
) -> Result<Vec<Image>> {
    match by {
        By::Column => Err(no_split(collection, "column of the user's", "use its published split, or groups")),
        By::Groups { seed, shares } => {
            group_split::assign_images(&mut images, *seed, *shares);
            Ok(images)
        }
        By::Published => {
            let ThreeWay { train, valid, test } = published()?;
            let lists = [(Split::Train, train), (Split::Valid, valid), (Split::Test, test)];
            let by_id: HashMap<&str, &Image> = images.iter().map(|image| (image.id.as_str(), image)).collect();
            let mut splits_of: HashMap<&str, usize> = HashMap::new();
            for id in lists.iter().flat_map(|(_, ids)| ids) {
                *splits_of.entry(id).or_default() += 1;
            }
            let mut ordered = Vec::with_capacity(images.len());
            for (split, ids) in &lists {
                for id in ids {
                    let image = by_id.get(id.as_str()).copied().cloned();
                    let mut image = image.ok_or_else(|| Error::input(format!("{collection}: no image `{id}`")))?;
                    image.split = *split;
                    if splits_of[id.as_str()] > 1 {
                        image.id = format!("{id}@{}", split.name());
                    }
                    ordered.push(image);
                }
            }
            Ok(ordered)
        }
    }
}

/// Leaves out images without a file. None when `stop` ended it.
fn found(
    root: &Path,
    mut images: Vec<Image>,
    columns: LabelColumns,
    sentence: String,
    by: &By,
    stop: Stop<'_>,
) -> Result<Option<Found>> {
    let all = images.len();
    let mut missing = Listing::default();
    let mut absent: HashSet<PathBuf> = HashSet::new();
    for (at, file) in images.iter().enumerate().filter_map(|(at, image)| Some((at, image.file.as_ref()?))) {
        if at % STOP_EVERY == 0 && stop(at) {
            return Ok(None);
        }
        if !root.join(file).is_file() {
            missing.add(file.display().to_string());
            absent.insert(file.clone());
        }
    }
    if missing.count as f64 > MAX_MISSING * all as f64 {
        return Err(Error::Input {
            what: format!(
                "{}: {} of {all} images are not there: {}",
                root.display(),
                missing.count,
                missing.first.join(", ")
            ),
            cure: Some("complete the download; one image in a hundred may be missing".to_owned()),
        });
    }
    images.retain(|image| image.file.as_ref().is_none_or(|file| !absent.contains(file)));
    let mut sentences = vec![sentence];
    if matches!(by, By::Published) {
        sentences.push("split as published".to_owned());
    }
    sentences.extend(named("images without a file, left out", &missing));
    let counts = vec![("images_missing", missing.count)];
    Ok(Some(Found { columns, images, counts, sentences, ..Found::default() }))
}
