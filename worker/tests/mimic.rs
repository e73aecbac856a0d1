//! MIMIC-CXR: sections and texts against `tests/fixtures/make_reports.py`, and a miniature of the collection on disk.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use permafrost_worker::{
    datasets::{
        Split,
        mimic::{self, Collection, Exception, HeldOut, Options, Published, ReportText, Sections, conclusion},
        text::clean_words,
    },
    error::Result,
};
use serde::Deserialize;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/reports/cases.json");

#[derive(Deserialize)]
struct Case {
    name: String,
    report: String,
    sections: Vec<(String, String)>,
    conclusion: Option<String>,
    text: Option<String>,
    conclusion_text: Option<String>,
    whole_text: Option<String>,
}

#[test]
fn sections_and_texts_are_those_of_the_reference() {
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(CASES).unwrap()).unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        let name = &case.name;
        let sections = Sections::parse(&case.report);
        let found: Vec<_> = sections.0.iter().map(|section| (section.name.clone(), section.text.clone())).collect();
        assert_eq!(found, case.sections, "{name}");
        let (impression, findings) = (sections.last(mimic::IMPRESSION), sections.last(mimic::FINDINGS));
        let both = [impression, findings].map(Option::unwrap_or_default).join(" ");
        assert_eq!(clean_words(&both), case.text, "{name}");
        let found = conclusion(&case.report, None);
        assert_eq!(found, case.conclusion, "{name}");
        assert_eq!(found.as_deref().and_then(clean_words), case.conclusion_text, "{name}");
        assert_eq!(clean_words(&case.report), case.whole_text, "{name}");
    }
}

/// A study of the miniature: patient, study, the authors' split, images with their views, report.
type Study = (u32, u32, &'static str, &'static [(&'static str, &'static str)], Option<&'static [u8]>);

const STUDIES: [Study; 9] = [
    (
        10000032,
        50414267,
        "train",
        &[("b-2", "PA"), ("a-1", "LATERAL"), ("a-3", "AP")],
        Some(b"R\r\n FINDINGS: \r\n \r\n The caf\xe9 spots are \"old\".\r\n \r\n IMPRESSION: Nothing new.\r\n"),
    ),
    (
        10000032,
        53189527,
        "train",
        &[("c-1", "PA"), ("c-2", "")],
        Some(b"R\n INDICATION: Cough.\n \n Clear lungs today.\n"),
    ),
    (10000764, 57375967, "validate", &[("d-1", "AP")], Some(b"R\n FINDINGS: Lungs are clear today.\n")),
    (11000011, 51029426, "test", &[("e-1", "PA")], Some(b"R\n IMPRESSION: No effusion is seen.\n")),
    (11000011, 51029427, "test", &[("f-1", "PA"), ("f-2", "PA")], Some(b"R\n IMPRESSION: Clear.\n")),
    (11000183, 51967845, "train", &[("g-1", "PA")], None),
    // One whose conclusion stands in its history.
    (19314266, 51491012, "train", &[("h-1", "PA")], Some(b"R\n HISTORY: Cough, and lungs are clear.\n")),
    (12000000, 52000000, "train", &[("i-1", "LL")], Some(b"R\n FINDINGS: Side view of the lungs.\n")),
    (12000001, 52000001, "train", &[("j-1", "PA")], Some(b"R\n FINDINGS: Its image is not there.\n")),
];

/// Images of the miniature by the authors' split.
const SIZES: Published = Published { train: 10, validate: 1, test: 3 };

struct Miniature {
    folder: tempfile::TempDir,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn report_name(subject: u32, study: u32) -> String {
    format!("files/p{}/p{subject}/s{study}.txt", subject / 1_000_000)
}

impl Miniature {
    fn new(gz: bool) -> Self {
        let miniature = Self { folder: tempfile::tempdir().unwrap() };
        let mut splits = "dicom_id,study_id,subject_id,split\r\n".to_owned();
        let mut views = "dicom_id,subject_id,study_id,Procedure,ViewPosition\n".to_owned();
        for (subject, study, split, images, _) in &STUDIES {
            for (dicom, view) in *images {
                splits += &format!("{dicom},{study},{subject},{split}\r\n");
                views += &format!("{dicom},{subject},{study},\"CHEST \"\"{view}\"\", {split}\",{view}\n");
                if *dicom != "j-1" {
                    let image = report_name(*subject, *study).replace(".txt", &format!("/{dicom}.jpg"));
                    miniature.write(Path::new(&image), b"jpg");
                }
            }
        }
        splits += "x-1,52000009,12000009,train\r\n";
        views += "y-1,12000010,52000010,,PA\n";
        for (name, table) in [("split", splits), ("metadata", views)] {
            let name = PathBuf::from(format!("mimic-cxr-2.0.0-{name}.csv"));
            match gz {
                true => miniature.write(&name.with_extension("csv.gz"), &gzip(table.as_bytes())),
                false => miniature.write(&name, table.as_bytes()),
            }
        }
        miniature
    }

    fn write(&self, name: &Path, bytes: &[u8]) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn with_tree(self) -> Self {
        for (subject, study, _, _, report) in &STUDIES {
            if let Some(report) = report {
                self.write(Path::new(&report_name(*subject, *study)), report);
            }
        }
        self
    }

    fn with_archive(self, names: &dyn Fn(u32, u32) -> String) -> Self {
        let mut zip = zip::ZipWriter::new(fs::File::create(self.archive()).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        zip.add_directory("files/p10/", options).unwrap();
        // Not in the order of the tables.
        for (subject, study, _, _, report) in STUDIES.iter().rev() {
            if let Some(report) = report {
                zip.start_file(names(*subject, *study), options).unwrap();
                zip.write_all(report).unwrap();
            }
        }
        zip.finish().unwrap();
        self
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("mimic-cxr-reports.zip")
    }

    fn options(&self) -> Options {
        Options { expected: Some(SIZES), max_missing_share: 1.0, ..Options::paper(self.folder.path()) }
    }

    fn read(&self, change: &dyn Fn(&mut Options)) -> Result<Collection> {
        let mut options = self.options();
        change(&mut options);
        mimic::read(&options, &|_| false).map(Option::unwrap)
    }

    fn error(&self, change: &dyn Fn(&mut Options)) -> String {
        self.read(change).unwrap_err().to_string()
    }
}

#[test]
fn a_collection_is_read_from_tree_or_archive_plain_or_gzip() {
    let tree = Miniature::new(false).with_tree().read(&|_| {}).unwrap();
    let dataset = &tree.dataset;
    let texts: Vec<_> = dataset.reports.iter().map(|report| (report.id.as_str(), report.text.as_str())).collect();
    assert_eq!(
        texts,
        [
            ("s50414267", "nothing new the caf spots are old"),
            ("s57375967", "lungs are clear today"),
            ("s51029426", "no effusion is seen")
        ]
    );
    let images: Vec<_> = dataset.images.iter().map(|image| (image.id.as_str(), image.report, image.split)).collect();
    let valid = Split::Valid;
    let expected = [
        ("a-3", Some(0), Split::Train),
        ("b-2", Some(0), Split::Train),
        ("d-1", Some(1), valid),
        ("e-1", Some(2), valid),
    ];
    assert_eq!(images, expected);
    assert_eq!(dataset.images[1].file.as_deref(), Some(Path::new("files/p10/p10000032/s50414267/b-2.jpg")));
    assert_eq!(dataset.images[1].group.as_deref(), Some("p10000032"));

    let counts = &tree.counts;
    assert_eq!((counts.images_listed, counts.images_frontal, counts.studies_frontal), (14, 10, 8));
    assert_eq!((counts.images, counts.studies, counts.patients, counts.reports_latin1), (4, 3, 3, 1));
    let dropped = &counts.dropped;
    assert_eq!(dropped.images_without_split.first, ["y-1"]);
    assert_eq!(dropped.images_without_metadata.first, ["x-1"]);
    assert_eq!((dropped.images_of_unknown_view, dropped.images_of_another_view), (1, 2));
    assert_eq!(dropped.images_without_file.first, ["j-1"]);
    assert_eq!(dropped.studies_without_report.first, ["s51967845"]);
    assert_eq!(dropped.studies_without_sections.first, ["s53189527"]);
    assert_eq!((dropped.studies_excepted, dropped.studies_too_short, dropped.images_of_dropped_studies), (1, 1, 5));
    // All that is listed is either left or dropped: of no metadata, of a view, without a file, with its study.
    assert_eq!(counts.images + 1 + 3 + 1 + 5, counts.images_listed);

    let archives: [&dyn Fn(u32, u32) -> String; 2] =
        [&report_name, &|subject, study| format!("mimic-cxr-reports/{}", report_name(subject, study))];
    for names in archives {
        let archive = Miniature::new(true).with_archive(names).read(&|_| {}).unwrap();
        assert_eq!(archive.dataset, tree.dataset);
        // Of the study with a side view alone, and of the one whose image is missing.
        assert_eq!(archive.counts.reports_not_needed, 2);
        assert_eq!(mimic::Counts { reports_not_needed: 0, ..archive.counts }, tree.counts);
    }
}

#[test]
fn choices_of_text_and_splits() {
    let miniature = Miniature::new(true).with_archive(&report_name);
    let apart = miniature.read(&|options| options.held_out = HeldOut::Apart).unwrap();
    let splits: Vec<_> = apart.dataset.images.iter().map(|image| image.split).collect();
    assert_eq!(splits, [Split::Train, Split::Train, Split::Valid, Split::Test]);

    let conclusions = miniature.read(&|options| options.text = ReportText::Conclusion).unwrap();
    let texts: Vec<_> = conclusions.dataset.reports.iter().map(|report| report.text.as_str()).collect();
    // Impression before findings and the exception's section; "Nothing new." is too short alone.
    assert_eq!(
        texts,
        ["clear lungs today", "lungs are clear today", "no effusion is seen", "cough and lungs are clear"]
    );
    assert_eq!(Exception::of(51491012), Some(Exception::Section("history")));
    assert_eq!((conclusions.counts.dropped.studies_excepted, conclusions.counts.dropped.studies_too_short), (0, 2));

    let unchecked = miniature.read(&|options| options.check_files = false).unwrap();
    assert_eq!(unchecked.counts.images, 5);

    let elsewhere = Miniature::new(false);
    let read = elsewhere.read(&|options| options.reports = Some(miniature.archive())).unwrap();
    assert_eq!(read.dataset.reports.len(), 3);

    assert!(mimic::read(&miniature.options(), &|read| read == 2).unwrap().is_none());
}

#[test]
fn what_is_wrong_is_named() {
    let miniature = Miniature::new(false).with_archive(&report_name);
    let none: &dyn Fn(&mut Options) = &|_| {};
    let error = miniature.error(&|options| options.expected = Some(mimic::PUBLISHED));
    assert!(error.contains("has 10 / 1 / 3 images") && error.contains("published are 368960 / 2991 / 5159"), "{error}");

    let error = miniature.error(&|options| options.max_missing_share = 0.05);
    assert!(error.ends_with("1 of 10 frontal images are not there: j-1"), "{error}");

    let split = miniature.folder.path().join("mimic-cxr-2.0.0-split.csv");
    let table = fs::read_to_string(&split).unwrap();
    for (changed, expected) in [
        (table.replace("d-1,57375967", "d-1,57375968"), "line 7: image `d-1` belongs to (10000764, 57375967) here"),
        (table.replace("e-1", "d-1"), "line 8: image `d-1` is there twice"),
        (table.replace("validate", "valid"), "line 7: `valid` is no split"),
        (table.replace("50414267", "s50414267"), "line 2: `s50414267` in `study_id` is no number"),
        (table.replace("dicom_id", "dicom"), "there is no column `dicom_id`"),
    ] {
        fs::write(&split, changed).unwrap();
        let error = miniature.error(none);
        assert!(error.contains(expected), "{error}");
    }
    fs::remove_file(&split).unwrap();
    assert!(miniature.error(none).contains("neither `mimic-cxr-2.0.0-split.csv.gz` nor"));
    fs::write(&split, table).unwrap();

    let archive = fs::read(miniature.archive()).unwrap();
    fs::write(miniature.archive(), &archive[..archive.len() / 2]).unwrap();
    assert!(miniature.error(none).contains("cannot read"));
    let miniature = miniature.with_archive(&|subject, study| format!("of-{study}/p{subject}/s50414267.txt"));
    let error = miniature.error(none);
    assert!(error.contains("of study 50414267 is there twice"), "{error}");
    let long = vec![b' '; (1 << 20) + 1];
    let miniature = Miniature::new(false).with_tree();
    miniature.write(Path::new(&report_name(10000032, 50414267)), &long);
    assert!(miniature.error(none).contains("s50414267.txt: longer than"));
    assert!(miniature.error(&|options| options.reports = Some("/nowhere".into())).contains("/nowhere: neither"));
}
