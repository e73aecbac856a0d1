//! MIMIC-CXR: a tree of JPEG files, two tables, and the archive of the reports.

use std::{collections::HashMap, fs, io::Write};

use permafrost_worker::{
    datasets::{
        check::{Counted, Depth},
        mimic::{HeldOut, ReportText},
    },
    images::{self, Limits},
    protocol::{Outcome, Stop},
    task::{Reader, Splitting},
};

use crate::support::{GROUPS, Place, image, look, planned, run, run_until, sizes};

const PATIENTS: u32 = 20;

/// Every patient has a study with two frontal views and a side view.
fn miniature() -> (Place, Reader) {
    let place = Place::new();
    let mut splits = "dicom_id,study_id,subject_id,split\n".to_owned();
    let mut views = "dicom_id,subject_id,study_id,ViewPosition\n".to_owned();
    let mut zip = zip::ZipWriter::new(fs::File::create(place.path().join("mimic-cxr-reports.zip")).unwrap());
    for patient in 0..PATIENTS {
        let (subject, study) = (10_000_001 + patient, 50_000_001 + patient);
        let folder = format!("files/p10/p{subject}/s{study}");
        for (view, name) in ["PA", "AP", "LATERAL"].into_iter().zip(["a", "b", "c"]) {
            let dicom = format!("{name}-{patient}");
            splits += &format!("{dicom},{study},{subject},train\n");
            views += &format!("{dicom},{subject},{study},{view}\n");
            let mark = patient as u8 * 2 + u8::from(view == "PA");
            place.write(format!("{folder}/{dicom}.jpg"), image("grey.jpg", mark));
        }
        zip.start_file(format!("{folder}.txt"), zip::write::SimpleFileOptions::default()).unwrap();
        write!(zip, "FINAL REPORT\n FINDINGS: Heart number {patient} is seen.\n IMPRESSION: Clear lungs.\n").unwrap();
    }
    zip.finish().unwrap();
    place.write("mimic-cxr-2.0.0-split.csv", splits);
    place.write("mimic-cxr-2.0.0-metadata.csv", views);
    let reader = Reader::MimicCxr {
        location: place.path().to_owned(),
        fingerprint: String::new(),
        held_out: HeldOut::Together,
        text: ReportText::ImpressionFindings,
    };
    let reader = planned(reader);
    (place, reader)
}

#[test]
fn frontal_views_with_their_reports_in_splits_by_patient() {
    let (_place, reader) = miniature();
    let ran = run(&reader, GROUPS);
    let (dataset, summary) = ran.done();
    assert_eq!(sizes(&dataset), [28, 8, 4]);
    let mut split_of = HashMap::new();
    for image in &dataset.images {
        assert_eq!(*split_of.entry(image.group.as_deref().unwrap()).or_insert(image.split), image.split);
        images::read(&reader.root().unwrap().join(image.file.as_deref().unwrap()), &Limits::default()).unwrap();
    }
    assert_eq!(dataset.reports[7].id, "s50000008");
    assert_eq!(dataset.reports[7].text, "clear lungs heart number 7 is seen");
    let expected = [
        ("images", 40),
        ("reports", 20),
        ("groups", 20),
        ("images_listed", 60),
        ("images_frontal", 40),
        ("images_of_another_view", 20),
        ("images_missing", 0),
        ("train", 28),
    ];
    for (name, count) in expected {
        assert_eq!(summary[name], f64::from(count), "{name}");
    }
    assert!(ran.log[0].contains("60 images are listed, 40 of them frontal views of 20 studies"), "{:?}", ran.log);
    assert!(ran.log[0].ends_with("left 20 reports and 40 images: 28 to train, 8 to validate, 4 to test"));

    // The same again, and other patients by another seed.
    assert_eq!(run(&reader, GROUPS).done().0, dataset);
    let other = run(&reader, Splitting::Groups { seed: 4, train: 0.7, valid: 0.2 });
    assert_ne!(other.done().0.images, dataset.images);

    let found = look(&reader, GROUPS, Depth::Decode);
    let lists = [&found.missing, &found.unreadable, &found.duplicate_images, &found.groups_across_splits];
    assert!(lists.iter().all(|list| list.is_empty()), "{lists:?}");
    let listed: Vec<_> = found.published.iter().map(|(size, found)| (&size.what, size.count, *found)).collect();
    let counted = &Counted::Listed;
    assert_eq!(listed, [(counted, 368_960, Some(60)), (counted, 2_991, Some(0)), (counted, 5_159, Some(0))]);
    assert!(!found.is_clean());
}

#[test]
fn what_is_missing_or_changed_is_said() {
    let (place, reader) = miniature();
    let published = run(&reader, Splitting::Published);
    assert!(published.failure().message.contains("published are 368960 / 2991 / 5159"), "{:?}", published.failure());
    let column = run(&reader, Splitting::Column);
    assert!(column.failure().message.contains("MIMIC-CXR has no column"), "{:?}", column.failure());

    let stopped = run_until(&reader, GROUPS, Some(Stop::Drain));
    assert_eq!(stopped.outcome, Outcome::Preempted { checkpoint: None });

    // One of 40 is more than one in a hundred.
    fs::remove_file(place.path().join("files/p10/p10000004/s50000004/b-3.jpg")).unwrap();
    let failure = run(&reader, GROUPS);
    assert!(
        failure.failure().message.ends_with("1 of 40 frontal images are not there: b-3"),
        "{:?}",
        failure.failure()
    );

    let views = place.path().join("mimic-cxr-2.0.0-metadata.csv");
    let changed = fs::read_to_string(&views).unwrap().replace("LATERAL", "LL");
    fs::write(&views, changed).unwrap();
    let failure = run(&reader, GROUPS);
    assert!(failure.failure().message.ends_with("changed since the sweep was planned"), "{:?}", failure.failure());

    fs::remove_file(&views).unwrap();
    let missing: Vec<_> = reader.missing().into_iter().map(|required| required.what).collect();
    assert_eq!(missing, ["the table of views"]);
    let failure = run(&reader, GROUPS);
    assert!(failure.failure().message.contains("the table of views, is not there"), "{:?}", failure.failure());
    fs::remove_file(place.path().join("mimic-cxr-reports.zip")).unwrap();
    // The tree of the images might be one of reports: what is there is no reason to stop, and no report of it.
    assert_eq!(reader.tables().len(), 2);
}
