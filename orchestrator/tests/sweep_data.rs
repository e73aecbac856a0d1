//! What becomes of collections and encoders of users: readers, fingerprints, targets, weights.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use permafrost::sweep::{self, Plan};
use permafrost_worker::{
    encoders::pixels::DinoPixels,
    task::{Dtype, Embed, Encoder, Fetch, Kind, Output, Pixels, Pooling, Reader, Splitting, Target, Task, Weights},
};

/// A folder with a table, three images, and the files of a small BERT.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.write(
            "t.csv",
            "file,who,view,effusion,words\na.png,1,PA,1,one two\nb.png,1,AP,0,\nc.png,2,PA,,three four\n",
        );
        world.write("bert/config.json", r#"{"hidden_size": 32}"#);
        for name in ["model.safetensors", "vocab.txt"] {
            world.write(&format!("bert/{name}"), name);
        }
        world
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A sweep on the table.
    fn sweep(&self, dataset: &str, encoders: &str, stages: &str) -> String {
        let root = self.folder.path().display();
        format!(
            "name: x\ndatasets:\n  d:\n    reader: table\n    table: {root}/t.csv\n    columns: {{image: file, group: who, \
             text: words, binary: [effusion], classes: [view]}}\n    {dataset}\nencoders:\n  vision:\n    v: {{model: \
             imported, file: {root}/t.csv, ids: {root}/t.csv, width: 8}}\n    {encoders}\n  text:\n    t: {{model: \
             bert-folder, weights: {root}/bert, width: 32}}\nstages:\n{stages}\n"
        )
    }

    fn plan(&self, dataset: &str, encoders: &str, stages: &str) -> Plan {
        plan(&self.sweep(dataset, encoders, stages))
    }
}

fn plan(text: &str) -> Plan {
    sweep::parse(Path::new("x.yaml"), text).unwrap_or_else(|errors| panic!("{:?}", miette::Report::new(errors)))
}

fn embeds(plan: &Plan) -> Vec<&Embed> {
    let embeds = plan.trials.iter().filter_map(|trial| match &trial.task {
        Task::Embed(task) => Some(task),
        _ => None,
    });
    embeds.collect()
}

fn ids(plan: &Plan, kind: Kind) -> HashSet<String> {
    plan.trials.iter().filter(|trial| trial.task.kind() == kind).map(|trial| trial.id.to_string()).collect()
}

const PAIRS: &str = "  pretrain: {parameters: {vision: {value: v}, text: {value: t}}}";

#[test]
fn a_table_is_known_by_what_is_in_it_not_by_where_it_lies() {
    let world = World::new();
    let one = world.plan("split_seed: 3", "", PAIRS);
    assert!(one.missing.is_empty(), "{:?}", one.missing);
    let Some(Task::Prepare(task)) =
        one.trials.iter().map(|trial| &trial.task).find(|task| task.kind() == Kind::Prepare)
    else {
        panic!()
    };
    assert_eq!(task.split, Splitting::Groups { seed: 3, train: 0.7, valid: 0.1 });
    let Reader::Table { root, fingerprint, columns, clean_texts, max_missing, .. } = &task.reader else { panic!() };
    assert_eq!(root.location, world.folder.path());
    assert_eq!(fingerprint.len(), 64);
    assert_eq!((columns.classes.as_slice(), *clean_texts, *max_missing), (&["view".to_owned()][..], true, 0.01));

    let other = World::new();
    let moved = other.plan("split_seed: 3", "", PAIRS);
    let all = |plan: &Plan| plan.trials.iter().map(|trial| trial.id).collect::<Vec<_>>();
    assert_eq!(all(&moved), all(&one));
    other.write("t.csv", "file,who,view,effusion,words\na.png,1,PA,0,one two\n");
    let changed = other.plan("split_seed: 3", "", PAIRS);
    assert!(all(&changed).iter().all(|id| !all(&one).contains(id)));
}

#[test]
fn what_is_not_there_is_missing_with_a_cure() {
    let world = World::new();
    fs::remove_file(world.at("bert/vocab.txt")).unwrap();
    let text = world.sweep("", "", PAIRS);
    fs::remove_file(world.at("t.csv")).unwrap();
    let plan = plan(&text);
    let missing: Vec<String> =
        plan.missing.iter().map(|missing| missing.path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(missing.contains(&"t.csv".to_owned()), "{missing:?}");
    assert!(missing.contains(&"tokenizer.json or vocab.txt".to_owned()), "{missing:?}");
    assert!(plan.missing.iter().all(|missing| !missing.cure.is_empty()));
    assert!(embeds(&plan).iter().any(|task| matches!(
        task.encoder.weights(),
        Some(Weights::Folder { fingerprint, .. }) if fingerprint.is_empty()
    )));
}

#[test]
fn a_table_without_a_wanted_column_is_told_before_anything_runs() {
    let world = World::new();
    world.write("t.csv", "file,who,views,effusion,words\na.png,1,PA,1,one two\n");
    let errors = sweep::parse(Path::new("x.yaml"), &world.sweep("", "", PAIRS)).map(|_| ()).unwrap_err();
    assert_eq!(errors.problems[0].code, "sweep::data");
    assert!(errors.problems[0].message.contains("view"), "{}", errors.problems[0].message);
}

#[test]
fn the_label_decides_what_a_head_predicts_and_is_compared_by() {
    let world = World::new();
    let heads = |labels: &str| {
        let stage =
            format!("  h: {{kind: classify, parameters: {{vision: {{value: v}}, label: {{values: {labels}}}}}}}");
        let plan = world.plan("", "", &stage);
        let targets: Vec<Target> = plan
            .trials
            .iter()
            .filter_map(|trial| match &trial.task {
                Task::Classify(task) => Some(task.target),
                _ => None,
            })
            .collect();
        (targets, plan.stages.last().unwrap().metric.clone().unwrap())
    };
    assert_eq!(heads("[effusion, view=PA]"), (vec![Target::Binary; 2], "auroc".to_owned()));
    assert_eq!(heads("[view]"), (vec![Target::Classes], "accuracy".to_owned()));
    assert_eq!(heads("[view, effusion]"), (vec![Target::Classes, Target::Binary], "accuracy".to_owned()));
}

#[test]
fn a_class_that_no_row_has_is_told_before_anything_runs() {
    let world = World::new();
    let stage = "  h: {kind: classify, parameters: {vision: {value: v}, label: {value: view=PP}}}";
    let errors = sweep::parse(Path::new("x.yaml"), &world.sweep("", "", stage)).map(|_| ()).unwrap_err();
    let problem = &errors.problems[0];
    assert_eq!(problem.code, "sweep::unknown_value");
    assert!(problem.message.contains("no row of the table has `PP` in `view`"), "{}", problem.message);
}

#[test]
fn a_stage_of_embeddings_shares_trials_with_the_implied_one() {
    let world = World::new();
    let implied = world.plan("", "", PAIRS);
    let both = "  fill: {kind: embed, parameters: {encoder: {values: [v, t]}}}\n";
    let filled = world.plan("", "", &format!("{both}{PAIRS}"));
    assert_eq!(ids(&filled, Kind::Embed), ids(&implied, Kind::Embed));
    assert_eq!(filled.stages.iter().find(|stage| stage.name == "fill").unwrap().trials, 2);

    // Named as the implied one, it holds what others need, too, each trial once.
    let own = "  embed: {parameters: {encoder: {value: v}, dtype: {values: [f32, f16]}}}\n";
    let united = world.plan("", "", &format!("{PAIRS}\n{own}"));
    let stage = united.stages.iter().find(|stage| stage.name == "embed").unwrap();
    assert_eq!((stage.trials, stage.note.as_str()), (3, "grid 2 dtype, and 1 implied"));
    assert_eq!(united.trials.iter().filter(|trial| trial.stage == "embed").count(), 3);
    assert_eq!(united.stages.iter().filter(|stage| stage.name == "embed").count(), 1);
    let mut seen = HashSet::new();
    for trial in &united.trials {
        assert!(trial.task.inputs().iter().all(|input| seen.contains(input)), "{} comes before its input", trial.stage);
        assert!(seen.insert(trial.id), "{} is there twice", trial.id);
    }
}

#[test]
fn keys_of_encoders_are_in_their_tasks() {
    let world = World::new();
    let root = world.folder.path().display();
    world.write("dino/config.json", r#"{"hidden_size": 48}"#);
    world.write("dino/model.safetensors", "weights");
    let encoder =
        format!("w: {{model: dinov2, weights: {root}/dino, width: 48, crop: 448, normalise: symmetric, dtype: f16}}");
    let stage = "  embed: {parameters: {encoder: {value: w}, output: {value: tokens}}}";
    let planned = world.plan("max_damaged: 0.2", &encoder, stage);
    let embeds = embeds(&planned);
    let [Embed { encoder: Encoder::Dinov2 { weights, pixels, normalise, .. }, output, dtype, max_damaged, .. }] =
        embeds[..]
    else {
        panic!("{embeds:?}")
    };
    assert!(matches!(weights, Weights::Folder { fingerprint, .. } if fingerprint.len() == 64));
    assert_eq!(*pixels, Pixels { resize: 448, crop: 448 });
    assert_eq!((*normalise, *output, *dtype, *max_damaged), (DinoPixels::Symmetric, Output::Tokens, Dtype::F16, 0.2));
    // Two bytes each of 32 x 32 patches of three images.
    assert_eq!(planned.trials.last().unwrap().disk_bytes, 2 * 32 * 32 * 48 * 3);

    let resized = world.plan("resize: 512", &encoder, stage);
    let resized = resized.trials.last().unwrap();
    assert!(matches!(&resized.task, Task::Embed(Embed { encoder: Encoder::Dinov2 { pixels, .. }, .. })
        if *pixels == Pixels { resize: 512, crop: 448 }));

    let wrong = world.sweep("", &encoder.replace("width: 48", "width: 64"), stage);
    let errors = sweep::parse(Path::new("x.yaml"), &wrong).map(|_| ()).unwrap_err();
    assert!(errors.problems[0].message.contains("width 48, not 64"), "{}", errors.problems[0].message);
}

#[test]
fn known_encoders_come_from_the_hub_at_a_commit() {
    let text = "name: x\ndatasets: {d: {reader: mimic-cxr, root: nowhere}}\nencoders: {text: {own: {model: bert-folder, \
                width: 768, pooling: cls, weights: \"hub:a/b@0123456789012345678901234567890123456789\"}}}\nstages:\n  \
                pretrain: {parameters: {vision: {value: dinov2-g}, text: {values: [cxr-bert, own]}}}\n";
    let plan = plan(text);
    let fetched: Vec<(&str, &str)> = plan
        .trials
        .iter()
        .filter_map(|trial| match &trial.task {
            Task::Fetch(Fetch::Hub(snapshot)) => Some((snapshot.repository.as_str(), snapshot.revision.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        fetched,
        [
            ("facebook/dinov2-giant", "611a9d42f2335e0f921f1e313ad3c1b7178d206d"),
            ("microsoft/BiomedVLP-CXR-BERT-general", "6172dbfa7c061d635a4b86761b80e324e1995496"),
            ("a/b", "0123456789012345678901234567890123456789"),
        ]
    );
    let poolings: Vec<Pooling> = embeds(&plan)
        .iter()
        .filter_map(|task| match task.encoder {
            Encoder::Bert { pooling, .. } => Some(pooling),
            _ => None,
        })
        .collect();
    assert_eq!(poolings, [Pooling::Pooler, Pooling::Cls]);
    let Some(Encoder::Dinov2 { pixels, normalise, .. }) = embeds(&plan).first().map(|task| &task.encoder) else {
        panic!()
    };
    assert_eq!((*pixels, *normalise), (Pixels { resize: 256, crop: 224 }, DinoPixels::ImageNet));
    assert!(plan.missing.iter().all(|missing| missing.what == "MIMIC-CXR v2"), "{:?}", plan.missing);
}
