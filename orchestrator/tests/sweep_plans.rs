//! The sweeps that come with the program, and what becomes of them.

use std::{collections::HashSet, path::Path};

use permafrost::sweep::{self, Plan};
use permafrost_worker::task::{Kind, Precision, Subset, Task};

fn load(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sweeps").join(name);
    sweep::load(&path).unwrap_or_else(|errors| panic!("{:?}", miette::Report::new(errors)))
}

fn counts(plan: &Plan) -> Vec<(&str, usize)> {
    plan.stages.iter().map(|stage| (stage.name.as_str(), stage.trials)).collect()
}

fn check_order(plan: &Plan) {
    let mut seen = HashSet::new();
    for trial in &plan.trials {
        assert_eq!(trial.id, trial.task.id().expect("a task is JSON"));
        for input in trial.task.inputs() {
            assert!(seen.contains(&input), "{:?} comes before its input", trial.id);
        }
        seen.insert(trial.id);
    }
}

#[test]
fn the_quickstart_is_six_pairs_with_27_heads_each() {
    let plan = load("quickstart.yaml");
    assert_eq!(counts(&plan), [("fetch", 2), ("prepare", 1), ("embed", 5), ("pretrain", 6), ("classify", 162)]);
    check_order(&plan);
    assert!(plan.missing.is_empty());
    let head = plan.trials.last().unwrap();
    let Task::Classify(task) = &head.task else { panic!() };
    assert_eq!(task.fraction, 1.0);
    let names = ["vision", "text", "label", "fraction", "seed", "pretrain.learning_rate"];
    for name in names {
        assert!(head.parameters.get(name).is_some(), "{name} is not among {}", head.parameters);
    }
    assert!(plan.report[0].note.as_ref().unwrap().contains("not pixels"));
}

#[test]
fn table_1_is_the_papers_grid() {
    let plan = load("table1.yaml");
    assert_eq!(counts(&plan), [("fetch", 7), ("prepare", 2), ("embed", 11), ("pretrain", 15), ("rsna", 225)]);
    check_order(&plan);
    let Some(Task::Pretrain(task)) =
        plan.trials.iter().map(|trial| &trial.task).find(|task| task.kind() == Kind::Pretrain)
    else {
        panic!()
    };
    let numbers = (task.epochs, task.batch_size, task.learning_rate, task.weight_decay, task.warmup, task.dropout);
    assert_eq!(numbers, (50, 1024, 2e-5, 0.01, 0.02, 0.1));
    let missing: HashSet<&str> = plan.missing.iter().map(|missing| missing.what.as_str()).collect();
    assert!(missing.contains("MIMIC-CXR v2") && missing.len() <= 3, "{missing:?}");
    let heads = plan.trials.iter().filter_map(|trial| match &trial.task {
        Task::Classify(task) => Some(task.subset),
        _ => None,
    });
    assert!(heads.clone().count() == 225 && heads.into_iter().all(|subset| subset == Subset::Published));
    assert!(plan.missing.iter().all(|missing| !missing.cure.is_empty()));
}

/// Half of it is Table 1's: those trials are not run again.
#[test]
fn table_2_adds_covidx_to_table_1() {
    let (one, plan) = (load("table1.yaml"), load("table2.yaml"));
    let expected = [("fetch", 6), ("prepare", 3), ("embed", 8), ("pretrain", 5), ("rsna", 75), ("covidx", 75)];
    assert_eq!(counts(&plan), expected);
    check_order(&plan);
    let ids = |plan: &Plan, stage: &str| -> HashSet<_> {
        plan.trials.iter().filter(|trial| trial.stage == stage).map(|trial| trial.id).collect()
    };
    for stage in ["pretrain", "rsna"] {
        assert!(ids(&plan, stage).is_subset(&ids(&one, stage)), "{stage}");
    }
    let heads: Vec<_> = plan.trials.iter().filter(|trial| trial.stage == "covidx").collect();
    let Task::Classify(task) = &heads[0].task else { panic!() };
    let numbers = (task.epochs, task.batch_size, task.learning_rate, task.weight_decay, task.patience, task.dropout);
    assert_eq!(numbers, (50, 128, 5e-4, 0.05, Some(5), 0.1));
    assert_eq!(plan.report[1].reader.as_deref(), Some("covidx"));
    let missing: HashSet<&str> = plan.missing.iter().map(|missing| missing.what.as_str()).collect();
    assert!(missing.iter().any(|what| what.contains("COVIDx")), "{missing:?}");
}

#[test]
fn random_search_is_planned_the_same_every_time() {
    let (one, two) = (load("random-search.yaml"), load("random-search.yaml"));
    assert_eq!(one.digest, two.digest);
    assert_eq!(counts(&one).last(), Some(&("pretrain", 8)));
    check_order(&one);
}

/// Half of its first stage is the quickstart's own.
#[test]
fn precision_compares_with_what_the_quickstart_has_trained() {
    let (quickstart, precision) = (load("quickstart.yaml"), load("precision.yaml"));
    assert_eq!(counts(&precision)[3..], [("pretrain", 12), ("curves", 6)]);
    check_order(&precision);
    let ids = |plan: &Plan| -> HashSet<_> {
        plan.trials.iter().filter(|trial| trial.stage == "pretrain").map(|trial| trial.id).collect()
    };
    assert!(ids(&quickstart).is_subset(&ids(&precision)));
}

#[test]
fn equal_work_has_equal_identity_across_sweeps() {
    let (quickstart, random) = (load("quickstart.yaml"), load("random-search.yaml"));
    let ids = |plan: &Plan, kind: Kind| -> HashSet<_> {
        plan.trials.iter().filter(|trial| trial.task.kind() == kind).map(|trial| trial.id).collect()
    };
    for kind in [Kind::Fetch, Kind::Prepare, Kind::Embed] {
        assert!(ids(&random, kind).is_subset(&ids(&quickstart, kind)), "{kind:?}");
    }
}

/// f32 is the default, and is what every trial was before there was a choice: those keep their identity.
#[test]
fn precision_is_part_of_identity_and_of_the_array() {
    let source = include_str!("../../sweeps/random-search.yaml");
    let with = |precision: &str| {
        let text = source.replacen("      epochs: ", &format!("      {precision}\n      epochs: "), 1);
        sweep::parse(Path::new("x.yaml"), &text).unwrap()
    };
    let pretrain = |plan: &Plan| -> Vec<Task> {
        let tasks = plan.trials.iter().map(|trial| trial.task.clone());
        tasks.filter(|task| task.kind() == Kind::Pretrain).collect()
    };
    let (none, f32, bf16) = (
        pretrain(&load("random-search.yaml")),
        pretrain(&with("precision: {value: f32}")),
        pretrain(&with("precision: {value: bf16}")),
    );
    assert_eq!(none, f32);
    assert!(none.iter().all(|task| serde_json::to_value(task).unwrap().get("precision").is_none()));
    for (f32, bf16) in f32.iter().zip(&bf16) {
        assert_ne!(f32.id().unwrap(), bf16.id().unwrap());
        assert_ne!(f32.array_key(), bf16.array_key());
        let copy: Task = serde_json::from_value(serde_json::to_value(bf16).unwrap()).unwrap();
        assert_eq!(&copy, bf16);
        let Task::Pretrain(task) = bf16 else { panic!() };
        assert_eq!(task.precision, Precision::Bf16);
    }
}

#[test]
fn the_meaning_of_a_file_decides_not_its_form() {
    let plan = |text: &str| sweep::parse(Path::new("x.yaml"), text).unwrap();
    let one = plan("name: x\nstages: {noop: {parameters: {index: {values: [1, 2]}, steps: {value: 1}}}}");
    let two = plan("# other form\nstages:\n  noop:\n    parameters:\n      index:\n        values: [1, 2]\nname: x\n");
    assert_eq!(
        one.trials.iter().map(|t| t.id).collect::<Vec<_>>(),
        two.trials.iter().map(|t| t.id).collect::<Vec<_>>()
    );
}

#[test]
fn the_largest_sweep_is_planned() {
    let values = |n: usize| format!("{:?}", (0..n).collect::<Vec<_>>());
    let text = format!(
        "name: x\nstages: {{noop: {{parameters: {{index: {{values: {}}}, steps: {{values: {}}}}}}}}}",
        values(1000),
        values(100)
    );
    let plan = sweep::parse(Path::new("x.yaml"), &text).unwrap();
    assert_eq!(plan.trials.len() as u64, sweep::MAX_TRIALS);
}

#[test]
fn the_schema_in_the_repository_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sweeps/schema.json");
    let current = format!("{:#}\n", sweep::schema());
    if std::env::var_os("PERMAFROST_UPDATE").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == current, "run this test with PERMAFROST_UPDATE=1, or `permafrost schema > sweeps/schema.json`");
}

/// The database holds a trial once in a stage, so a sweep that names one thing twice is refused before it is launched.
#[test]
fn one_thing_under_two_names_is_refused() {
    let text = include_str!("../../sweeps/quickstart.yaml");
    let twin = text.replacen(
        "    edges: {",
        "    twin: {model: visual-words, descriptors: [EdgeHistogram], width: 256}\n    edges: {",
        1,
    );
    let twin = twin.replacen("values: [edges,", "values: [twin, edges,", 1);
    let errors = sweep::parse(Path::new("sweep.yaml"), &twin).map(|_| ()).expect_err("it is refused");
    let told = format!("{:?}", miette::Report::new(errors)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("are the same"), "{told}");
}
