//! Real label files, and real radiographs.

use std::{
    collections::HashSet,
    fs,
    io::{Cursor, Read, Write},
    path::{Path, PathBuf},
};

use permafrost_worker::{
    datasets::{
        Split,
        check::Depth,
        general::Columns,
        labels,
        splits::{self, Unit},
        wheel::Wheel,
    },
    task::{Location, Reader, Splitting},
};

use crate::support::{GROUPS, Place, look, planned, read, run, sizes};

fn skipped(what: &str) {
    // Not `eprintln!`, which the test runner hides.
    writeln!(std::io::stderr().lock(), "skipped: {what}").unwrap();
}

/// A file of the torchxrayvision wheel.
fn of_wheel(name: &str) -> Option<Vec<u8>> {
    const WHEEL: &str = "torchxrayvision-1.5.7-py3-none-any.whl";
    let Some(folder) = std::env::var_os("PERMAFROST_WHEELS") else {
        skipped(&format!("PERMAFROST_WHEELS names no folder with {WHEEL}"));
        return None;
    };
    let wheel = PathBuf::from(folder).join(WHEEL);
    Some(Wheel::open_path(wheel).unwrap().read(&format!("torchxrayvision/data/{name}")).unwrap())
}

#[test]
fn the_real_rsna_as_published() {
    let Some(packed) = of_wheel("kaggle_stage_2_train_labels.csv.zip") else { return };
    let mut csv = Vec::new();
    let mut inner = zip::ZipArchive::new(Cursor::new(packed)).unwrap();
    inner.by_name("stage_2_train_labels.csv").unwrap().read_to_end(&mut csv).unwrap();
    let patients = labels::rsna::read(csv.as_slice(), "labels").unwrap();
    let place = Place::new();
    place.write("stage_2_train_labels.csv", &csv);
    for patient in &patients {
        place.write(format!("stage_2_train_images/{}.dcm", patient.id), b"");
    }
    let reader = planned(Reader::Rsna { location: place.path().to_owned(), fingerprint: String::new() });
    let ran = run(&reader, Splitting::Published);
    let (dataset, summary) = ran.done();
    assert_eq!(sizes(&dataset), [18_678, 4_003, 4_003]);
    assert_eq!((summary["pneumonia_positive"], summary["images"]), (6_012.0, 26_684.0));
    // In the published order, which fractions depend on.
    let expected = splits::rsna_classification(&patients).unwrap();
    let found: Vec<&str> = dataset.images.iter().map(|image| image.id.as_str()).collect();
    assert!(found.iter().eq(expected.train.iter().chain(&expected.valid).chain(&expected.test)));
    assert!(ran.log[0].contains("split as published"), "{:?}", ran.log);

    let found = look(&reader, Splitting::Published, Depth::Presence);
    assert_eq!(found.published.len(), 8);
    assert!(found.is_clean(), "{found:?}");
    // An image that is missing shows in the counts.
    fs::remove_file(place.path().join(format!("stage_2_train_images/{}.dcm", expected.train[0]))).unwrap();
    let found = look(&reader, Splitting::Published, Depth::Presence);
    assert!(!found.is_clean());
    assert_eq!(found.published[0].1, Some(26_683));
}

#[test]
fn the_real_siim_by_image_and_by_row() {
    let Some(packed) = of_wheel("siim-pneumothorax-train-rle.csv.gz") else { return };
    let mut csv = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut csv).unwrap();
    let annotations = labels::siim::read(csv.as_slice(), "rle").unwrap();
    let place = Place::new();
    place.write("train-rle.csv", &csv);
    for (i, image) in annotations.images().iter().enumerate() {
        place.write(format!("dicom-images-train/{}/{}.dcm", i % 100, image.id), b"");
    }
    let siim = |unit| planned(Reader::Siim { location: place.path().to_owned(), fingerprint: String::new(), unit });

    let reader = siim(Unit::Image);
    let ran = run(&reader, Splitting::Published);
    let (dataset, summary) = ran.done();
    let expected = splits::siim(&annotations, Unit::Image, splits::SIIM).unwrap();
    assert_eq!(sizes(&dataset), [expected.train.len(), expected.valid.len(), expected.test.len()]);
    assert_eq!((summary["pneumothorax_positive"], summary["images"]), (2_669.0, 12_047.0));
    assert!(look(&reader, Splitting::Published, Depth::Presence).is_clean());

    // By rows, as published: samples of several splits are samples of each, and the leak is found.
    let reader = siim(Unit::Row);
    let dataset = read(&reader, Splitting::Published).dataset;
    let expected = splits::siim(&annotations, Unit::Row, splits::SIIM).unwrap();
    assert_eq!(sizes(&dataset), [expected.train.len(), expected.valid.len(), expected.test.len()]);
    let found = look(&reader, Splitting::Published, Depth::Presence);
    let leaked: HashSet<&String> = expected.train.iter().collect();
    let leaked = expected.valid.iter().chain(&expected.test).filter(|id| leaked.contains(id)).count();
    assert!(leaked > 0 && found.groups_across_splits.count >= leaked / 2, "{leaked} {found:?}");
    assert!(found.published.iter().all(|(size, found)| *found == Some(size.count)), "{:?}", found.published);
    let of_several = dataset.images.iter().find(|image| image.id.ends_with("@valid")).unwrap();
    assert_eq!(of_several.split, Split::Valid);
    assert_eq!(of_several.id, format!("{}@valid", of_several.group.as_deref().unwrap()));
}

#[test]
fn real_radiographs_from_a_table() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("PERMAFROST_SHARED").map_or_else(beside, PathBuf::from);
    let table = shared.join("data/covid-cxr/pairs.csv");
    if !table.exists() {
        skipped("PERMAFROST_SHARED names no folder with data/covid-cxr/pairs.csv");
        return;
    }
    let some = |name: &str| Some(name.to_owned());
    let columns = Columns {
        image: some("image"),
        text: some("text"),
        group: some("patient"),
        binary: vec!["lung_mask".to_owned()],
        classes: ["view", "sex", "finding"].map(str::to_owned).to_vec(),
        numbers: vec!["age".to_owned()],
        ..Columns::default()
    };
    let reader = planned(Reader::Table {
        location: table.clone(),
        root: Location { location: table.with_file_name("images") },
        fingerprint: String::new(),
        columns: Box::new(columns),
        clean_texts: true,
        max_missing: 0.0,
    });
    let ran = run(&reader, Splitting::Groups { seed: 7, train: 0.7, valid: 0.15 });
    let (dataset, summary) = ran.done();
    assert_eq!((summary["images"], summary["groups"], summary["images_missing"]), (353.0, 203.0, 0.0));
    assert_eq!((summary["sex=F"], summary["lung_mask_positive"]), (130.0, 192.0));
    let women = dataset.binary("sex=F").unwrap();
    let count = |value| women.iter().filter(|found| **found == value).count();
    assert_eq!(count(Some(true)), 130);
    assert_eq!(count(None) as f64, summary["sex_unknown"]);
    assert!(count(None) > 0 && count(Some(false)) > 0);

    let found = look(&reader, GROUPS, Depth::Decode);
    assert!(found.unreadable.is_empty() && found.missing.is_empty(), "{found:?}");
    assert!(found.groups_across_splits.is_empty());
    let published = run(&reader, Splitting::Published);
    assert!(published.failure().message.contains("a table of samples has no published split"));
    let column = run(&reader, Splitting::Column);
    assert!(column.failure().message.contains("nothing says which split a sample is in"), "{:?}", column.failure());
}
