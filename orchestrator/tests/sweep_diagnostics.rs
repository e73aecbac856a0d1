//! What a user is told about a wrong sweep file, as pictures of the terminal; and that no file can break the parser.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use permafrost::sweep;
use proptest::prelude::*;

/// A valid file, as long as a real one; not one that is shipped, so that those can change.
const GOOD: &str = include_str!("../../tests/fixtures/sweeps/valid.yaml");

/// The diagnostics of a file, without colours.
fn told(text: &str) -> String {
    let errors = sweep::parse(Path::new("sweep.yaml"), text).map(|_| ()).expect_err("the file is not valid");
    let mut out = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut out, &errors).unwrap();
    out
}

/// The valid file with one thing changed.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

macro_rules! shows {
    ($($test:ident: $text:expr;)*) => {$(
        #[test]
        fn $test() {
            insta::assert_snapshot!(stringify!($test), told(&$text));
        }
    )*};
}

shows! {
    unknown_key: changed("dataset", "datesets").replace("datesetss", "datesets");
    unknown_parameter: changed("learning_rate: {value: 3.0e-4}", "learningrate: {value: 3.0e-4}");
    wrong_type: changed("epochs: {value: 5}", "epochs: {value: five}");
    bare_value: changed("epochs: {value: 5}", "epochs: 5");
    number_for_a_text: changed("name: quickstart", "name: 2024");
    empty_grid: changed("values: [edges, layout, all-words]", "values: []");
    absurd_size: changed("seed: {values: [0, 1, 2]}", &format!("seed: {{values: {:?}}}", (0..20_000).collect::<Vec<_>>()));
    cycle: "name: x\nstages:\n  a: {kind: noop, from: b}\n  b: {kind: noop, from: c}\n  c: {kind: noop, from: a}\n";
    unknown_stage: changed("from: pretrain", "from: pretrian");
    unknown_encoder: changed("values: [minilm-mean, minilm-cls]", "values: [minilm-mean, minilm-csl]");
    unknown_label: changed("pleural-effusion]", "effusion]");
    out_of_range: changed("fraction: {values: [0.01", "fraction: {values: [0.0");
    precision_unknown: changed("epochs: {value: 5}", "precision: {values: [f32, bf61]}");
    duplicate_key: changed("      batch_size: {value: 256}\n", "      batch_size: {value: 256}\n      batch_size: {value: 128}\n");
    duplicate_value: changed("values: [0, 1, 2]", "values: [0, 1, 1]");
    tabs: changed("  pretrain:\n", "\tpretrain:\n");
    unsupported_method: changed("  pretrain:\n", "  pretrain:\n    method: bayes\n");
    random_without_end: changed("  pretrain:\n", "  pretrain:\n    method: random\n");
    range_in_a_grid: changed("learning_rate: {value: 3.0e-4}", "learning_rate: {min: 1.0e-4, max: 1.0e-3}");
    report_of_nothing: changed("value: classify.auroc", "value: classify.aurok");
    report_row: changed("rows: [label, vision, text]", "rows: [label, visoin, text]");
    report_baseline: changed("rows: [label, vision, text]", "rows: [label, vision, text]\n    spread: se\n    baseline: {vision: nothing, fraction: 1.0}");
    missing_keys: "stages:\n  pretrain:\n    parameters: {vision: {value: dinov2-s}}\n";
    variable: "name: x\ndatasets:\n  d: {reader: rsna, root: \"${PERMAFROST_TEST_UNSET}/rsna\"}\nstages:\n  noop: {}\n";
    metric_wrong_in_both: "name: x\nstages:\n  noop: {metric: {name: valu, goal: biggest}}\n";
    several_at_once: changed("epochs: {value: 5}", "epoch: {value: 5}").replace("fraction: {values", "fraction: {value");
    empty: "";
    two_documents: format!("{GOOD}---\nname: y\n");
    too_few_points: "name: x\nstages:\n  noop:\n    method: random\n    run_cap: 9\n    parameters: {index: {min: 1, max: 3}}\n";
    implied_name: "name: x\nstages:\n  embed: {kind: noop}\n";
    key_of_another_reader: with("d: {reader: rsna, held_out: apart, unit: row}", "", HEADS);
    reader_unknown: with("d: {reader: mimic}", "", HEADS);
    column_kind_unknown: with("d: {reader: table, table: t.csv, columns: {image: file, color: hue}}", "", HEADS);
    table_without_columns: with("d: {reader: table, root: images}", "", HEADS);
    label_twice: with("d: {reader: table, table: t.csv, columns: {image: f, binary: [a, b], classes: [b]}}", "", HEADS);
    label_among_no_columns: with(TABLE, "", "h: {kind: classify, parameters: {vision: {value: dinov2-s}, label: {value: viw}}}");
    class_of_no_column: with(TABLE, "", "h: {kind: classify, parameters: {vision: {value: dinov2-s}, label: {value: viw=PA}}}");
    class_unknown: with("d: {reader: covidx}", "", "h: {kind: classify, parameters: {vision: {value: dinov2-s}, label: {value: diagnosis=covid}}}");
    metric_of_other_labels: with(TABLE, "", "h: {kind: classify, metric: {name: auroc}, parameters: {vision: {value: dinov2-s}, label: {value: view}}}");
    split_without_column: with("d: {reader: table, table: t.csv, columns: {image: f, binary: [pneumonia]}, split: column}", "", HEADS);
    split_of_no_groups: with("d: {reader: rsna, split: published, train: 0.8}", "", HEADS);
    crop_between_patches: with(RSNA, "vision: {v: {model: dinov2-s, crop: 225}}", HEADS);
    crop_beyond_resize: with("d: {reader: rsna, resize: 200}", "vision: {v: {model: dinov2-s, crop: 224}}", &HEADS.replace("dinov2-s", "v"));
    hub_without_owner: with(RSNA, "vision: {v: {model: dinov2-s, weights: \"hub:dinov2-small\"}}", HEADS);
    any_size_without_width: with(RSNA, "vision: {v: {model: dinov2}}", HEADS);
    key_of_another_model: with(RSNA, "text: {t: {model: imported, file: a.npy, ids: a.txt, width: 3, pooling: cls}}", HEADS);
    pixels_of_none: with("d: {reader: open-i}", "", "h: {kind: classify, parameters: {vision: {value: dinov2-s}, label: {value: normal}}}");
    words_of_none: with(RSNA, "vision: {v: {model: visual-words}}", &HEADS.replace("dinov2-s", "v"));
    texts_of_none: with(RSNA, "", "pretrain: {parameters: {vision: {value: dinov2-s}, text: {value: bert}}}");
    test_of_nothing: with("d: {reader: mimic-cxr}", "", "pretrain: {metric: {name: test_loss}, parameters: {vision: {value: dinov2-s}, text: {value: bert}}}");
    project_without_from: with(RSNA, "", "project: {parameters: {label: {value: pneumonia}}}");
    figure_of_no_stage: with(RSNA, "", &format!("{HEADS}\nfigures: [{{kind: tsne}}]"));
    figure_unknown: with(RSNA, "", &format!("{HEADS}\nfigures: [{{kind: pie}}]"));
    figure_result: with(RSNA, "", &format!("{HEADS}\nfigures: [{{kind: params, metric: aurok}}]"));
    figures_of_one_name: with(RSNA, "", &format!("{HEADS}\nfigures: [{{kind: params}}, {{kind: fractions, name: params}}]"));
    maps_of_a_transformer: with(RSNA, "", "embed: {parameters: {encoder: {value: dinov2-s}, output: {value: maps}}}");
}

const RSNA: &str = "d: {reader: rsna}";
const TABLE: &str = "d: {reader: table, table: t.csv, columns: {image: file, binary: [effusion], classes: [view]}}";
const HEADS: &str = "h: {kind: classify, parameters: {vision: {value: dinov2-s}, label: {value: pneumonia}}}";

/// A sweep of one collection, encoders and a stage.
fn with(dataset: &str, encoders: &str, stage: &str) -> String {
    let encoders = if encoders.is_empty() { String::new() } else { format!("encoders:\n  {encoders}\n") };
    format!("name: x\ndatasets:\n  {dataset}\n{encoders}stages:\n  {stage}\n")
}

#[test]
fn every_problem_has_a_place_inside_the_file() {
    let text = changed("epochs: {value: 5}", "epoch: {value: 5}");
    let errors = sweep::parse(Path::new("sweep.yaml"), &text).map(|_| ()).unwrap_err();
    assert!(!errors.problems.is_empty());
    for problem in &errors.problems {
        let labels: Vec<_> = problem.labels().unwrap().collect();
        assert!(!labels.is_empty());
        assert_eq!(&text[labels[0].offset()..][..labels[0].len()], "epoch");
    }
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    let told = |path: &Path| sweep::load(path).map(|_| ()).unwrap_err().problems[0].message.clone();
    assert!(told(&path).contains("No such file"));
    std::fs::write(&path, b"name: \xff").unwrap();
    assert!(told(&path).contains("not UTF-8"));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(told(&path).contains("at most"));
}

#[test]
fn aliases_cannot_blow_up() {
    let mut text = "name: x\nstages: {noop: {}}\ntags: [&a0 [x, x, x, x, x, x, x, x, x, x]]\n".to_owned();
    text.push_str("description:\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("  - &a{level} [{aliases}]\n"));
    }
    assert!(told(&text).contains("aliases expanded"));
    let deep = format!("name: {}{}", "[".repeat(40), "]".repeat(40));
    assert!(told(&deep).contains("nested too deeply"));
}

/// Damages a file here and there.
fn mutate(text: &str, cuts: &[(usize, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, len, with) in cuts {
        let at = at % (chars.len() + 1);
        let end = (at + len).min(chars.len());
        chars.splice(at..end, with.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_file_breaks_the_parser(
        cuts in prop::collection::vec((any::<usize>(), 0_usize..12, "[a-z0-9:{}\\[\\],&*!|>'\"%@#\\- \n\té]{0,6}"), 1..6),
    ) {
        let text = mutate(GOOD, &cuts);
        if let Err(errors) = sweep::parse(Path::new("x.yaml"), &text) {
            prop_assert!(!errors.problems.is_empty());
            for problem in &errors.problems {
                for (span, _) in &problem.labels {
                    prop_assert!(span.offset() + span.len() <= text.len());
                }
            }
            let mut out = String::new();
            GraphicalReportHandler::new().render_report(&mut out, &errors).unwrap();
        }
    }
}
