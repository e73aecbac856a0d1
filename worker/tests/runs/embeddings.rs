//! Embeddings that are not what they should be are refused by name, and nothing is trained on them.

use std::{collections::BTreeMap, fs, path::PathBuf};

use permafrost_worker::{
    cache::{self, Embeddings},
    datasets::Split,
    error::Error,
    files,
    protocol::{Artifact, FailureClass, Outcome},
    task::{Dtype, Task},
};

use crate::support::{self, Home, IMAGE_WIDTH, TEXT_WIDTH, embed_job, fresh_id, values};

const WIDTH: usize = 3;

/// The files: of the only shard, and the manifest.
const NAMES: [&str; 2] = ["embeddings-00000-of-00001.safetensors", "manifest.json"];

struct Fixture {
    folder: tempfile::TempDir,
    artifacts: Vec<Artifact>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<_> = ["a", "b", "c", "d"].map(|id| (id, values(id, WIDTH))).into();
        let rows: Vec<(&str, &[f32])> = rows.iter().map(|(id, row)| (*id, row.as_slice())).collect();
        let job = embed_job(folder.path(), fresh_id(), Dtype::F32);
        let artifacts = cache::write(&job, 0, WIDTH, &rows).unwrap();
        Self { folder, artifacts }
    }

    fn path(&self, name: &str) -> PathBuf {
        let artifact = self.artifacts.iter().find(|artifact| artifact.name == name).unwrap();
        self.folder.path().join(&artifact.path)
    }

    /// Changes a file, and records it as if it had always been so.
    fn replace(&mut self, name: &str, bytes: &[u8]) {
        // A file of its own, as hard links may share the old one.
        fs::remove_file(self.path(name)).unwrap();
        fs::write(self.path(name), bytes).unwrap();
        let artifact = files::describe(self.folder.path(), &self.path(name)).unwrap();
        *self.artifacts.iter_mut().find(|artifact| artifact.name == name).unwrap() = artifact;
    }

    fn edit_manifest(&mut self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("manifest.json")).unwrap();
        assert!(text.contains(from), "{text}");
        self.replace("manifest.json", text.replacen(from, to, 1).as_bytes());
    }

    fn error(&self) -> Error {
        Embeddings::open(self.folder.path(), &self.artifacts).unwrap_err()
    }

    /// Opening must fail, as an input that is wrong, with a cure; returns what is said.
    fn refusal(&self) -> String {
        said(&self.error())
    }
}

fn said(error: &Error) -> String {
    assert_eq!(error.class(), FailureClass::Input, "{error}");
    assert!(error.cure().is_some(), "{error} has no cure");
    error.to_string()
}

#[test]
fn what_is_written_is_read() {
    let fixture = Fixture::new();
    let embeddings = Embeddings::open(fixture.folder.path(), &fixture.artifacts).unwrap();
    assert_eq!((embeddings.len(), embeddings.width()), (4, WIDTH));
    for id in ["d", "a"] {
        assert_eq!(embeddings.require("image", id).unwrap(), values(id, WIDTH));
    }
    let error = embeddings.require("image", "nobody").unwrap_err();
    assert!(said(&error).contains("image `nobody`"), "{error}");
}

#[test]
fn truncated_files_are_refused_at_every_length() {
    for name in NAMES {
        let mut fixture = Fixture::new();
        let whole = fs::read(fixture.path(name)).unwrap();
        for length in 0..whole.len() {
            // A disk that lost the end: the digest is another.
            fs::write(fixture.path(name), &whole[..length]).unwrap();
            assert!(matches!(fixture.error(), Error::Damaged { .. }), "{name} of {length} bytes");
            assert!(fixture.refusal().contains(name));
        }
        // A program that never wrote the end, and recorded what it had.
        for length in 0..whole.len() {
            fixture.replace(name, &whole[..length]);
            assert!(fixture.refusal().contains(name), "{name} of {length} bytes");
        }
        let longer = [whole.as_slice(), b"more"].concat();
        fixture.replace(name, &longer);
        fixture.refusal();
        fs::remove_file(fixture.path(name)).unwrap();
        assert_eq!(fixture.error().class(), FailureClass::Input);
        fixture.artifacts.retain(|artifact| artifact.name != name);
        assert!(fixture.refusal().contains(name));
    }
}

#[test]
fn a_flipped_bit_is_seen() {
    let fixture = Fixture::new();
    for name in NAMES {
        let whole = fs::read(fixture.path(name)).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(fixture.path(name), bad).unwrap();
            assert!(matches!(fixture.error(), Error::Damaged { .. }), "{name} at {at}");
        }
        fs::write(fixture.path(name), whole).unwrap();
    }
    Embeddings::open(fixture.folder.path(), &fixture.artifacts).unwrap();
}

#[test]
fn what_is_not_finite_is_named_by_its_id() {
    for (row, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
        for (poison, text) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let mut fixture = Fixture::new();
            let mut bytes = fs::read(fixture.path(NAMES[0])).unwrap();
            let at = bytes.len() - 4 * (4 - row) * WIDTH + 4;
            bytes[at..at + 4].copy_from_slice(&poison.to_le_bytes());
            fixture.replace(NAMES[0], &bytes);
            let what = fixture.refusal();
            assert!(what.ends_with(&format!("the embedding of `{id}` has {text} at 1")), "{what}");
        }
    }
}

#[test]
fn a_manifest_that_does_not_fit_is_refused() {
    let cases = [
        ("\"format\":2", "\"format\":1", "format 1, this program reads 2"),
        ("\"format\":2,", "", "missing field `format`"),
        ("\"shape\":[3]", "\"shape\":[4]", "`embeddings` is F32 [4, 3], not F32 [4, 4]"),
        ("\"shape\":[3]", "\"shape\":[3,1]", "`embeddings` is F32 [4, 3], not F32 [4, 3, 1]"),
        ("\"shape\":[3]", "\"shape\":[0]", "a width of at least 1"),
        ("\"shape\":[3]", "\"shape\":[]", "a width of at least 1"),
        ("{\"name\":\"embeddings\",\"shape\":[3]}", "", "without a tensor"),
        ("\"name\":\"embeddings\"", "\"name\":\"tokens\"", "tokens"),
        ("\"count\":4", "\"count\":5", "4 ids for 5 rows"),
        ("[\"a\",", "[", "3 ids for 4 rows"),
        ("\"rows\":4", "\"rows\":3", "1 shards that do not have its 4 rows"),
        ("\"f32\"", "\"f16\"", "`embeddings` is F32 [4, 3], not F16 [4, 3]"),
        ("\"f32\"", "\"f8\"", "unknown variant `f8`"),
        ("embeddings-00000", "../../elsewhere", "../../elsewhere"),
        ("\"b\"", "\"d\"", "sample id `d` is empty or there twice"),
        ("\"b\"", "\"x\"", "its ids are not the 4 that the manifest says"),
        ("\"missing\":[]", "\"missing\":[{\"id\":\"a\",\"reason\":\"\"}]", "sample id `a` is empty or there twice"),
        ("\"count\"", "\"number\"", "number"),
    ];
    for (from, to, expected) in cases {
        let mut fixture = Fixture::new();
        fixture.edit_manifest(from, to);
        let what = fixture.refusal();
        assert!(what.contains(expected), "{from} -> {to}: {what}");
    }
}

#[test]
fn nothing_wrong_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let good = [0.5; WIDTH];
    let write = |width, rows: &[(&str, &[f32])]| {
        let job = embed_job(folder.path(), fresh_id(), Dtype::F32);
        let error = cache::write(&job, 0, width, rows).unwrap_err();
        assert!(!folder.path().join("artifacts").exists(), "{error}, but something was written");
        said(&error)
    };
    assert!(write(WIDTH, &[("a", &good), ("b", &[0.5, f32::NAN, 0.5])]).contains("`b` has NaN at 1"));
    assert!(write(WIDTH, &[("a", &[f32::INFINITY; WIDTH])]).contains("`a` has inf at 0"));
    assert!(write(WIDTH, &[("a", &good), ("a", &good)]).contains("`a`"));
    assert!(write(WIDTH, &[("", &good)]).contains("empty"));
    assert!(write(WIDTH, &[("a", &good[..2])]).contains("`a` has 2 values, not 3"));
    assert!(write(WIDTH, &[]).contains("no sample"));
}

/// The same through a training run: it fails for its input, and names what is wrong.
#[test]
fn training_on_them_fails_for_its_input() {
    let mut home = Home::new(9, 3, 3);
    let (holes, wide) = (fresh_id(), fresh_id());
    let row = |id: &str, width| (id.to_owned(), values(id, width));
    // Image 3 of the training split has no partner; neither has its text, but it is the image that is asked for first.
    home.embed(holes, IMAGE_WIDTH, &[0, 1, 2, 4].map(|i| row(&format!("train-{i}"), IMAGE_WIDTH)));
    home.embed(wide, TEXT_WIDTH + 1, &[row("report-train-0", TEXT_WIDTH + 1)]);

    let mut no_partner = home.pretrain();
    no_partner.image = holes;
    let mut no_report = home.pretrain();
    (no_report.text, no_report.text_width) = (holes, IMAGE_WIDTH);
    let mut too_wide = home.pretrain();
    too_wide.text = wide;
    let mut no_feature = home.classify();
    no_feature.image = holes;
    let cases = [
        (Task::Pretrain(no_partner), "image `train-3`".to_owned()),
        (Task::Pretrain(no_report), "report `report-train-0`".to_owned()),
        (Task::Pretrain(too_wide), format!("have width {}, not {TEXT_WIDTH}", TEXT_WIDTH + 1)),
        (Task::Classify(no_feature), "image `train-3`".to_owned()),
    ];
    for (task, expected) in cases {
        let member = home.run_tasks(&[task]).remove(0);
        let failure = member.failure();
        assert_eq!(failure.class, FailureClass::Input);
        assert!(failure.message.contains(&expected) && failure.cure.is_some(), "{failure:?}");
        assert_eq!(member.steps, 0);
    }
}

/// A damaged image is known to have no embedding: it is left out, counted, and nothing else changes.
#[test]
fn what_is_known_to_be_missing_is_left_out_and_counted() {
    let mut home = Home::new(9, 3, 3);
    let ids: Vec<String> =
        Split::ALL.into_iter().zip([9, 3, 3]).flat_map(|(split, count)| support::ids(split, count)).collect();
    let rows = |lost: &str| {
        let row = |id: &String| (id.clone(), (id != lost).then(|| values(id, IMAGE_WIDTH)));
        ids.iter().map(row).collect::<Vec<_>>()
    };
    let run = |home: &Home| {
        let members = home.run_tasks(&[Task::Pretrain(home.pretrain())]).into_iter();
        let members: Vec<_> = members.chain(home.run_tasks(&[Task::Classify(home.classify())])).collect();
        let summaries = members.iter().map(|member| match &member.outcome {
            Some(Outcome::Done { summary, .. }) => summary.clone(),
            other => panic!("not done: {other:?}"),
        });
        summaries.collect::<Vec<_>>().try_into().unwrap()
    };
    let image = fresh_id();
    home.embed_some(image, IMAGE_WIDTH, rows("nobody"));
    home.image = image;
    let [pretrain, classify]: [BTreeMap<String, f64>; 2] = run(&home);
    assert_eq!((pretrain["train_pairs"], pretrain["images_missing"]), (9.0, 0.0));
    assert_eq!((classify["train_samples"], classify["images_missing"]), (9.0, 0.0));
    let image = fresh_id();
    home.embed_some(image, IMAGE_WIDTH, rows("train-4"));
    home.image = image;
    let [pretrain, classify]: [BTreeMap<String, f64>; 2] = run(&home);
    assert_eq!((pretrain["train_pairs"], pretrain["images_missing"]), (8.0, 1.0));
    // Image 4 was one of the five sick ones.
    assert_eq!((classify["train_samples"], classify["train_positives"]), (8.0, 4.0));
    assert_eq!(classify["images_missing"], 1.0);
}
