//! Any collection, from a table of samples, and what a check of it finds.
//!
//! One test reads real images: `data/covid-cxr` in the folder that `PERMAFROST_SHARED` names (`../shared` beside the workspace
//! without it). Where that is not there, it says `skipped: ...`.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use permafrost_worker::{
    datasets::{
        Dataset, Shares, Split,
        check::{self, Counted, Depth, Findings, Known, Published},
        general::{Collection, Columns, Options, Splitting, read},
    },
    error::{Error, Result},
};
use proptest::prelude::*;

const CSV: &str = "\
file,note,who,part,sick,kind,age,seg
a.png,\"Lungs are \"\"clear\"\".\nNo effusion.\",p1,train,0,x,54,a_mask.png
b.png,,p1,train,1,y,,
c.png,Heart is large today.,p2,val,TRUE,,61.5,c_mask.png
d.png,Clear.,p3,test,,x,70,
";

const JSON: &str = r#"{"file": "a.png", "note": "Lungs are \"clear\".\nNo effusion.", "who": "p1", "part": "train", "sick": false, "kind": "x", "age": 54, "seg": "a_mask.png"}
{"file": "b.png", "note": null, "who": "p1", "part": "train", "sick": 1, "kind": "y"}

{"file": "c.png", "note": "Heart is large today.", "who": "p2", "part": "val", "sick": true, "age": 61.5, "seg": "c_mask.png"}
{"file": "d.png", "note": "Clear.", "who": "p3", "part": "test", "kind": "x", "age": 70}
"#;

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

fn options() -> Options {
    Options {
        columns: Columns {
            id: None,
            image: some("file"),
            text: some("note"),
            report: None,
            mask: some("seg"),
            split: some("part"),
            group: some("who"),
            binary: vec!["sick".to_owned()],
            classes: vec!["kind".to_owned()],
            numbers: vec!["age".to_owned()],
        },
        root: None,
        splitting: Splitting::Column,
        groups_may_cross: false,
        check_files: true,
        max_missing_share: 0.0,
        clean_texts: true,
    }
}

/// A grey image of no use, such as a PNG begins and ends; `mark` makes it different from others.
fn png(mark: &str) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n", mark.as_bytes(), b"\0\0\0\0IEND\xae\x42\x60\x82"].concat()
}

struct Place(tempfile::TempDir);

impl Place {
    /// With all files that the tables name.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for name in ["a.png", "b.png", "c.png", "d.png", "a_mask.png", "c_mask.png"] {
            place.write(name, &png(name));
        }
        place
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn read(&self, table: &str, change: &dyn Fn(&mut Options)) -> Result<Collection> {
        let mut options = options();
        change(&mut options);
        read(&self.write("samples.csv", table.as_bytes()), &options)
    }

    fn error(&self, table: &str, change: &dyn Fn(&mut Options)) -> Error {
        self.read(table, change).unwrap_err()
    }
}

const AS_IT_IS: &dyn Fn(&mut Options) = &|_| {};

#[test]
fn csv_and_json_lines_make_the_same_collection() {
    let place = Place::new();
    let Collection { dataset, counts } = place.read(CSV, AS_IT_IS).unwrap();
    let json = read(&place.write("samples.jsonl", JSON.as_bytes()), &options()).unwrap();
    assert_eq!((&json.dataset, &json.counts), (&dataset, &counts));
    let crlf = place.read(&CSV.replace('\n', "\r\n"), AS_IT_IS).unwrap();
    assert_eq!(crlf.dataset, dataset);

    let texts: Vec<_> = dataset.reports.iter().map(|report| (report.id.as_str(), report.text.as_str())).collect();
    assert_eq!(texts, [("a.png", "lungs are clear no effusion"), ("c.png", "heart is large today")]);
    let images: Vec<_> =
        dataset.images.iter().map(|image| (image.split, image.report, image.labels[0], image.classes[0])).collect();
    let (train, valid, test) = (Split::Train, Split::Valid, Split::Test);
    assert_eq!(
        images,
        [
            (train, Some(0), Some(false), Some(0)),
            (train, None, Some(true), Some(1)),
            (valid, Some(1), Some(true), None),
            (test, None, None, Some(0))
        ]
    );
    assert_eq!(dataset.classes[0].values, ["x", "y"]);
    let ages: Vec<_> = dataset.images.iter().map(|image| image.numbers[0]).collect();
    assert_eq!(ages, [Some(54.0), None, Some(61.5), Some(70.0)]);
    assert_eq!(dataset.images[0].mask.as_deref(), Some(Path::new("a_mask.png")));
    assert_eq!(dataset.images[3].group.as_deref(), Some("p3"));
    assert_eq!((counts.rows, counts.images, counts.reports, counts.groups, counts.texts_too_short), (4, 4, 2, 3, 1));

    // What is written is read back.
    let artifact = dataset.save(place.0.path(), place.0.path()).unwrap();
    assert_eq!(Dataset::load(place.0.path(), &[artifact]).unwrap(), dataset);
}

#[test]
fn errors_name_file_line_and_cure() {
    let place = Place::new();
    let error = place.error(CSV, &|options| options.columns.group = some("whoo"));
    assert!(error.to_string().ends_with("samples.csv: there is no column `whoo`"), "{error}");
    assert_eq!(error.cure().unwrap(), "did you mean `who`?");
    for (from, to, expected) in [
        ("b.png,", "a.png,", "samples.csv, line 4: sample `a.png` is on line 2, too"),
        ("TRUE", "yes", "line 5: `yes` in `sick` is no binary label"),
        ("61.5", "old", "line 5: `old` in `age` is no finite number"),
        ("p2,val", "p1,val", "line 5: group `p1` is in valid here and in train on line 2"),
        (",val,", ",,", "line 5: `` is no split"),
        ("p3", "", "line 6: `who` is empty"),
        ("d.png", "../d.png", "line 6: `../d.png` leaves the folder"),
    ] {
        let error = place.error(&CSV.replace(from, to), AS_IT_IS).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let by_report = |options: &mut Options| options.columns.report = some("who");
    let table = CSV.replace("b.png,,", "b.png,Another text of them.,");
    let error = place.error(&table, &by_report).to_string();
    assert!(error.contains("line 4: report `p1` has another text on line 2"), "{error}");

    let crossing = CSV.replace("p2,val", "p1,val");
    let allowed = place.read(&crossing, &|options| options.groups_may_cross = true).unwrap();
    assert_eq!(allowed.counts.groups_across_splits.first, ["p1"]);

    for (change, expected) in [
        (&(|options: &mut Options| options.columns.split = None) as &dyn Fn(&mut Options), "nothing says which split"),
        (&|options| options.columns.image = None, "nothing says what a sample is called"),
        (&|options| options.columns.numbers = vec!["sick".to_owned()], "the label `sick` is wanted twice"),
        (&|options| options.max_missing_share = f64::NAN, "share of missing images"),
        (
            &|options| options.splitting = Splitting::Groups { shares: Shares { train: 0.9, valid: 0.2 }, seed: 1 },
            "shares of 0.9 for training and 0.2",
        ),
    ] {
        let error = place.error(CSV, change).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn missing_files_are_counted_and_too_many_are_an_error() {
    let place = Place::new();
    for name in ["b.png", "c_mask.png"] {
        fs::remove_file(place.0.path().join(name)).unwrap();
    }
    let error = place.error(CSV, AS_IT_IS);
    assert!(error.to_string().contains("1 of 4 images are not below") && error.to_string().ends_with(": b.png"));
    let read = place.read(CSV, &|options| options.max_missing_share = 0.25).unwrap();
    assert_eq!((read.counts.images, &read.counts.images_missing.first[..]), (3, &["b.png".to_owned()][..]));
    assert_eq!(read.counts.masks_missing.first, ["c_mask.png"]);
    assert_eq!(read.dataset.images[1].mask, None);
    // `y` went with its only image.
    assert_eq!(read.dataset.classes[0].values, ["x"]);
    let elsewhere = place.error(CSV, &|options| options.root = Some("/nowhere".into())).to_string();
    assert!(elsewhere.contains("4 of 4 images are not below /nowhere"), "{elsewhere}");
    assert_eq!(place.read(CSV, &|options| options.check_files = false).unwrap().counts.images, 4);
}

#[test]
fn splits_by_group_have_their_shares_and_follow_the_seed() {
    let place = Place::new();
    let mut table = "file,note,who,part,sick,kind,age,seg,study\n".to_owned();
    for i in 0..300 {
        // Each patient has three images; the last of one and the first of the next but one share a report, now and then.
        let study = if i == 2 || i == 6 { "shared".to_owned() } else { format!("s{i}") };
        table += &format!("i{i},The same text of {study}.,p{},,,,,,{study}\n", i / 3);
    }
    let splits = |seed| {
        let read = place.read(&table, &|options| {
            options.check_files = false;
            options.columns.split = None;
            options.columns.report = some("study");
            options.splitting = Splitting::Groups { shares: Shares { train: 0.7, valid: 0.1 }, seed };
        });
        read.unwrap().dataset.images.into_iter().map(|image| image.split).collect::<Vec<_>>()
    };
    let first = splits(1);
    assert!(first.chunks(3).all(|patient| patient.iter().all(|split| *split == patient[0])));
    assert_eq!(first[0], first[6], "patients who share a report stay together");
    // 99 parts: 100 patients, two of them together.
    let count = |split| first.iter().filter(|found| **found == split).count();
    assert!((205..=210).contains(&count(Split::Train)) && (27..=33).contains(&count(Split::Valid)));
    assert_eq!(first, splits(1));
    assert_ne!(first, splits(2));
}

/// Looks at all of `dataset`.
fn check(dataset: &Dataset, root: &Path, depth: Depth, published: &[Published]) -> Findings {
    check::check(dataset, &check::Options { root, depth, published, listed: &[] }, &|_, _| false).unwrap()
}

fn published(what: Counted, split: Option<Split>, count: usize) -> Published {
    Published { what, split, count }
}

#[test]
fn a_check_counts_and_names_what_is_wrong() {
    let place = Place::new();
    let root = place.0.path();
    let table = CSV.replace("d.png,Clear.,p3", "d.png,Heart is large today,p1");
    let read = place.read(&table, &|options| options.groups_may_cross = true).unwrap();
    let wanted = [
        published(Counted::Images, None, 4),
        published(Counted::Groups, None, 3),
        published(Counted::Positive("sick".to_owned()), Some(Split::Valid), 1),
        published(Counted::Class("kind".to_owned(), "x".to_owned()), None, 2),
        published(Counted::Positive("kind".to_owned()), None, 2),
    ];
    let clean = check(&place.read(CSV, AS_IT_IS).unwrap().dataset, root, Depth::Content, &wanted[..4]);
    assert!(clean.is_clean(), "{clean:?}");
    let train = &clean.splits[0];
    assert_eq!((train.images, train.images_with_report, train.images_with_mask, train.groups), (2, 1, 1, 1));
    assert_eq!(train.labels[0].known, Known::Binary { positive: 1, negative: 1 });
    assert_eq!(train.labels[1].known, Known::Classes(vec![("x".to_owned(), 1), ("y".to_owned(), 1)]));
    assert_eq!(train.labels[2].unknown, 1);

    fs::remove_file(root.join("a.png")).unwrap();
    place.write("b.png", b"GIF89a");
    place.write("c.png", &png("c")[..12]);
    place.write("c_mask.png", b"");
    let bad = check(&read.dataset, root, Depth::Ends, &wanted);
    assert!(!bad.is_clean());
    assert_eq!(bad.missing.first, ["a.png"]);
    assert_eq!(bad.unreadable.first, ["b.png: neither PNG, JPEG nor DICOM", "c.png: cut off"]);
    assert_eq!(bad.masks.first, ["c_mask.png: empty"]);
    assert_eq!(bad.duplicate_texts.first, ["d.png as c.png"]);
    assert_eq!(bad.texts_across_splits.count, 1);
    assert_eq!(bad.groups_across_splits.first, ["p1 (train, test)"]);
    let found: Vec<_> = bad.published.iter().map(|(_, found)| *found).collect();
    assert_eq!(found, [Some(4), Some(2), Some(1), Some(2), None]);

    place.write("a.png", &png("d.png"));
    assert_eq!(check(&read.dataset, root, Depth::Content, &[]).duplicate_images.first, ["d.png as a.png"]);
    assert!(serde_json::to_string(&bad).unwrap().contains("\"groups_across_splits\":{\"count\":1"));
}

/// The real collection, if it is here.
fn covid_cxr() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("PERMAFROST_SHARED").map_or_else(beside, PathBuf::from);
    let table = shared.join("data/covid-cxr/pairs.csv");
    if table.exists() {
        return Some(table);
    }
    // Not `eprintln!`, which the test runner hides.
    writeln!(std::io::stderr().lock(), "skipped: PERMAFROST_SHARED names no folder with data/covid-cxr/pairs.csv")
        .unwrap();
    None
}

#[test]
fn real_radiographs_with_notes() {
    let Some(table) = covid_cxr() else { return };
    let options = Options {
        columns: Columns {
            image: some("image"),
            text: some("text"),
            group: some("patient"),
            binary: vec!["lung_mask".to_owned()],
            classes: ["view", "sex", "finding"].map(str::to_owned).to_vec(),
            numbers: vec!["age".to_owned()],
            ..Columns::default()
        },
        root: Some(table.with_file_name("images")),
        splitting: Splitting::Groups { shares: Shares { train: 0.7, valid: 0.15 }, seed: 7 },
        clean_texts: false,
        ..options()
    };
    let Collection { dataset, counts } = read(&table, &options).unwrap();
    assert_eq!((counts.rows, counts.images, counts.groups, counts.images_with_report), (353, 353, 203, 249));
    let root = table.with_file_name("images");
    let found: Findings = check(
        &dataset,
        &root,
        Depth::Content,
        &[
            published(Counted::Images, None, 353),
            published(Counted::Groups, None, 203),
            published(Counted::Positive("lung_mask".to_owned()), None, 192),
            published(Counted::Class("sex".to_owned(), "F".to_owned()), None, 130),
        ],
    );
    assert!(found.published.iter().all(|(published, found)| *found == Some(published.count)), "{:?}", found.published);
    let lists = [&found.missing, &found.unreadable, &found.groups_across_splits];
    assert!(lists.iter().all(|list| list.is_empty()), "{lists:?}");
    let groups: Vec<usize> = found.splits.iter().map(|split| split.groups).collect();
    assert_eq!(groups, [142, 31, 30]);
}

proptest! {
    #[test]
    fn no_table_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), row in "[a-c],[ -~]{0,9},p[12],(train|val|test),[01]?,x?,[0-9]{0,3},") {
        let folder = tempfile::tempdir().unwrap();
        for name in ["t.csv", "t.jsonl"] {
            let path = folder.path().join(name);
            fs::write(&path, [CSV.lines().next().unwrap().as_bytes(), b"\n", row.as_bytes(), b"\n", &bytes].concat()).unwrap();
            read(&path, &Options { check_files: false, ..options() }).ok();
        }
    }
}
