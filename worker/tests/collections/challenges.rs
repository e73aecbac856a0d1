//! RSNA, COVIDx and SIIM-ACR as they are downloaded, in small.

use std::fs;

use permafrost_worker::{
    datasets::{Dataset, check::Depth, splits::Unit},
    task::{Reader, Splitting},
};

use crate::support::{GROUPS, Place, image, look, planned, run, sizes};

/// Every third of so many patients is positive.
fn rsna(patients: u8) -> (Place, Reader) {
    let place = Place::new();
    let mut table = "patientId,x,y,width,height,Target\n".to_owned();
    for i in 0..patients {
        table +=
            &if i % 3 == 0 { format!("p{i:02},1,2,3,4,1\np{i:02},9,9,3,4,1\n") } else { format!("p{i:02},,,,,0\n") };
        place.write(format!("stage_2_train_images/p{i:02}.dcm"), image("u8.dcm", i));
    }
    place.write("stage_2_train_labels.csv", table);
    let reader = planned(Reader::Rsna { location: place.path().to_owned(), fingerprint: String::new() });
    (place, reader)
}

fn ids(dataset: &Dataset) -> Vec<&str> {
    dataset.images.iter().map(|image| image.id.as_str()).collect()
}

#[test]
fn rsna_by_patient() {
    let (place, reader) = rsna(30);
    let ran = run(&reader, GROUPS);
    let (dataset, summary) = ran.done();
    assert_eq!(sizes(&dataset), [21, 6, 3]);
    let sick: Vec<Option<bool>> = (0..30).map(|i| Some(i % 3 == 0)).collect();
    assert_eq!(dataset.binary("pneumonia").unwrap(), sick);
    assert_eq!(ids(&dataset)[..2], ["p00", "p01"]);
    assert_eq!((summary["pneumonia_positive"], summary["images"], summary["groups"]), (10.0, 30.0, 30.0));
    assert!(ran.log[0].starts_with("30 patients, 10 of them with `pneumonia`; left 0 reports and 30 images"));

    let published = run(&reader, Splitting::Published);
    assert!(published.failure().message.contains("published are train 18678 (4162 positive)"));

    let found = look(&reader, GROUPS, Depth::Decode);
    assert!(found.unreadable.is_empty() && found.duplicate_images.is_empty(), "{found:?}");
    // What only a decoder sees.
    let whole = image("u8.dcm", 7);
    place.write("stage_2_train_images/p07.dcm", &whole[..whole.len() - 200]);
    place.write("stage_2_train_images/p08.dcm", image("u8.dcm", 9));
    assert!(look(&reader, GROUPS, Depth::Content).unreadable.is_empty());
    let found = look(&reader, GROUPS, Depth::Decode);
    assert_eq!(found.unreadable.count, 1);
    assert!(found.unreadable.first[0].starts_with("stage_2_train_images/p07.dcm: "), "{found:?}");
    assert_eq!(found.duplicate_images.first, ["stage_2_train_images/p09.dcm as stage_2_train_images/p08.dcm"]);

    fs::remove_file(place.path().join("stage_2_train_images/p01.dcm")).unwrap();
    let ran = run(&reader, GROUPS);
    assert!(ran.failure().message.ends_with("1 of 30 images are not there: stage_2_train_images/p01.dcm"));
}

#[test]
fn one_missing_image_in_a_hundred_is_left_out_and_named() {
    let (place, reader) = rsna(100);
    fs::remove_file(place.path().join("stage_2_train_images/p42.dcm")).unwrap();
    let ran = run(&reader, GROUPS);
    let (dataset, summary) = ran.done();
    assert_eq!((dataset.images.len(), summary["images_missing"]), (99, 1.0));
    assert!(!ids(&dataset).contains(&"p42"));
    assert!(ran.log[0].contains("images without a file, left out: 1 (stage_2_train_images/p42.dcm)"), "{:?}", ran.log);
}

#[test]
fn covidx_by_patient() {
    let place = Place::new();
    let classes = ["normal", "COVID-19", "pneumonia"];
    let (mut train, mut test) = (String::new(), String::new());
    for i in 0..60_u8 {
        // Two images a patient.
        let line = format!("{} {i}.png {} source\n", i / 2, classes[usize::from(i) % 3]);
        let (list, folder) = if i < 50 { (&mut train, "train") } else { (&mut test, "test") };
        *list += &line;
        place.write(format!("{folder}/{i}.png"), image("grey8.png", i));
    }
    place.write("train_COVIDx9A.txt", train);
    place.write("test_COVIDx9A.txt", test);
    let reader = planned(Reader::Covidx { location: place.path().to_owned(), fingerprint: String::new() });
    let ran = run(&reader, GROUPS);
    let (dataset, summary) = ran.done();
    assert_eq!(sizes(&dataset), [42, 12, 6]);
    let (column, found) = dataset.classes_of("diagnosis").unwrap();
    assert_eq!(column.values, ["normal", "pneumonia", "COVID-19"]);
    assert_eq!(found[..3], [Some(0), Some(2), Some(1)]);
    assert_eq!(dataset.binary("diagnosis=COVID-19").unwrap()[..3], [Some(false), Some(true), Some(false)]);
    assert_eq!((summary["diagnosis=pneumonia"], summary["diagnosis_unknown"]), (20.0, 0.0));
    assert_eq!(dataset.images[55].file.as_deref().unwrap(), "test/55.png");
    let found = look(&reader, GROUPS, Depth::Decode);
    assert!(found.groups_across_splits.is_empty() && found.unreadable.is_empty(), "{found:?}");
    assert!(run(&reader, Splitting::Published).failure().message.contains("COVIDx test: found normal"));
    fs::remove_dir_all(place.path().join("test")).unwrap();
    let missing = run(&reader, GROUPS);
    assert!(missing.failure().message.ends_with("test, a folder of images, is not there"), "{:?}", missing.failure());
}

#[test]
fn siim_wherever_its_images_are() {
    let place = Place::new();
    let mut table = "ImageId, EncodedPixels\n".to_owned();
    for i in 0..20_u8 {
        table += &if i % 4 == 0 { format!("1.2.{i}, 5 2\n1.2.{i}, 90 3\n") } else { format!("1.2.{i}, -1\n") };
        place.write(format!("dicom-images-train/study{i}/series/1.2.{i}.dcm"), image("u8.dcm", i));
    }
    place.write("train-rle.csv", table);
    let siim = |unit| planned(Reader::Siim { location: place.path().to_owned(), fingerprint: String::new(), unit });
    let reader = siim(Unit::Image);
    let ran = run(&reader, GROUPS);
    let (dataset, summary) = ran.done();
    assert_eq!(sizes(&dataset), [14, 4, 2]);
    assert_eq!((summary["pneumothorax_positive"], summary["images_missing"]), (5.0, 0.0));
    assert_eq!(dataset.images[3].file.as_deref().unwrap(), "dicom-images-train/study3/series/1.2.3.dcm");
    assert!(ran.log[0].starts_with("25 rows of 20 images, 5 of them with `pneumothorax`"), "{:?}", ran.log);
    assert!(look(&reader, GROUPS, Depth::Decode).unreadable.is_empty());

    let by_row = run(&siim(Unit::Row), GROUPS);
    assert!(by_row.failure().message.contains("keeps images whole"), "{:?}", by_row.failure());
    let published = run(&reader, Splitting::Published);
    assert!(published.failure().message.contains("published are 12954 rows"), "{:?}", published.failure());
    place.write("dicom-images-train/1.2.3.dcm", image("u8.dcm", 3));
    let twice = run(&reader, GROUPS);
    let expected = "dicom-images-train/1.2.3.dcm and dicom-images-train/study3/series/1.2.3.dcm have one name";
    assert!(twice.failure().message.ends_with(expected), "{:?}", twice.failure());
}
