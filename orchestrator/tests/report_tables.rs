//! What tables of results look like, as pictures, and what they say to programs.

use std::collections::BTreeMap;

use permafrost::{
    report::{Format, Style, Table, render},
    store::{QueryResult, ResultRow, SqlValue},
    sweep::{ReportSpec, Spread},
};
use serde_json::{Value, json};

/// A trial that ended in some state; with `values` it has these results.
fn trial(number: usize, stage: &str, state: &str, parameters: Value, values: &[(&str, f64)]) -> ResultRow {
    ResultRow {
        stage: stage.to_owned(),
        id: format!("{number:02x}").repeat(32),
        state: state.to_owned(),
        parameters: serde_json::from_value(parameters).expect("an object"),
        values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
    }
}

fn spec(value: &str, rows: &[&str], columns: &[&str]) -> ReportSpec {
    let (stage, metric) = value.split_once('.').expect("stage.result");
    ReportSpec {
        title: "AUROC by backbone pair".to_owned(),
        rows: rows.iter().map(|name| (*name).to_owned()).collect(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        stage: stage.to_owned(),
        metric: metric.to_owned(),
        filter: serde_json::Map::new(),
        note: None,
        reference: None,
        spread: Spread::Sd,
        baseline: serde_json::Map::new(),
        reader: None,
    }
}

/// A number in [0, 1) that looks like chance.
fn noise(seed: u64) -> f64 {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1 << 24)
}

/// Trials as a sweep in the middle of its run has them: in the order of the plan, encoders outside, labels inside.
fn classify() -> Vec<ResultRow> {
    let mut trials = Vec::new();
    for (v, vision) in ["edges", "all-words"].iter().enumerate() {
        for (t, text) in ["minilm-mean", "minilm-cls"].iter().enumerate() {
            for (l, label) in ["normal", "cardiomegaly"].iter().enumerate() {
                for (f, fraction) in [1.0, 0.01, 0.1].iter().enumerate() {
                    for seed in 0..3 {
                        let number = trials.len();
                        let (state, value) = match (v, t, l, f, seed) {
                            (0, 1, 0, 0, _) => ("failed", None),
                            (0, 1, 0, 1, 2) => ("diverged", None),
                            (1, 0, 1, 0, 0..2) => ("running", None),
                            (1, 1, 1, _, _) => ("waiting", None),
                            _ => ("done", Some(0.62 + 0.05 * v as f64 + 0.1 * fraction + 0.04 * noise(number as u64))),
                        };
                        let parameters = json!({
                            "vision": vision, "text": text, "label": label, "fraction": fraction, "seed": seed,
                            "epochs": 10,
                        });
                        let values: Vec<_> = value.iter().map(|value| ("auroc", *value)).collect();
                        trials.push(trial(number, "classify", state, parameters, &values));
                    }
                }
            }
        }
    }
    trials
}

/// The paper's grid, with five seeds a cell.
fn table_1() -> (ReportSpec, Vec<ResultRow>) {
    let mut trials = Vec::new();
    for (v, vision) in ["resnet-ae", "dinov2-s", "dinov2-b"].iter().enumerate() {
        for text in ["bert", "biobert", "clinicalbert", "pubmedbert", "cxr-bert"] {
            for fraction in [0.01, 0.1, 1.0] {
                for seed in 0..5 {
                    let number = trials.len();
                    let state = if text == "cxr-bert" && v == 2 { "waiting" } else { "done" };
                    let value = 0.77 + 0.02 * v as f64 + 0.04 * fraction + 0.02 * noise(number as u64);
                    let parameters = json!({"vision": vision, "text": text, "fraction": fraction, "seed": seed});
                    trials.push(trial(number, "rsna", state, parameters, &[("auroc", value)]));
                }
            }
        }
    }
    let spec = ReportSpec {
        title: "AUROC on RSNA (Table 1)".to_owned(),
        reference: Some("paper-table-1".to_owned()),
        spread: Spread::Both,
        ..spec("rsna.auroc", &["text"], &["vision", "fraction"])
    };
    (spec, trials)
}

fn nested() -> Table {
    Table::of_report(&spec("classify.auroc", &["label", "vision", "text"], &["fraction"]), &classify(), Some(true))
}

fn reference() -> Table {
    let (spec, trials) = table_1();
    Table::of_report(&spec, &trials, Some(true))
}

fn search() -> Vec<ResultRow> {
    let rates = [3.112_345e-4, 3.112_399e-4, 2.9e-3, 4.05e-5];
    let trials = rates.iter().enumerate().map(|(number, rate)| {
        let (batch_size, patience) = if number % 2 == 0 { (128, Some(10)) } else { (256, None) };
        let parameters = json!({"learning_rate": rate, "batch_size": batch_size, "patience": patience, "dropout": 0.1});
        let loss = 4.6 + noise(number as u64);
        let values = [("val_loss", loss), ("test_loss", loss + 0.01), ("epochs", 5.0), ("train_pairs", 2768.0)];
        let (state, values) = if number == 3 { ("failed", &values[..0]) } else { ("done", &values[..]) };
        trial(number, "pretrain", state, parameters, values)
    });
    trials.collect()
}

fn query() -> QueryResult {
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let source = r#"{"epochs":10,"fraction":0.01,"label":"cardiomegaly","learning_rate":0.0005,"vision":"all-words"}"#;
    QueryResult {
        columns: ["metric", "value", "n", "parameters", "why"].map(str::to_owned).to_vec(),
        rows: vec![
            vec![text("auroc"), SqlValue::Real(0.712_345_678_9), SqlValue::Integer(3), text(source), SqlValue::Null],
            vec![
                text("epochs"),
                SqlValue::Real(5.0),
                SqlValue::Integer(-12),
                text("a|b, \"c\"\n_d_"),
                text("50 % & #1"),
            ],
            vec![text("huge"), SqlValue::Real(f64::INFINITY), SqlValue::Null, text("\x1b[31mred"), text("{x}~^\\")],
        ],
    }
}

fn terminal(table: Table, width: u16) -> String {
    render(&[table], Format::Table, Style { width: Some(width), color: false })
}

fn written(table: Table, format: Format) -> String {
    render(&[table], format, Style::default())
}

macro_rules! shows {
    ($($test:ident: $text:expr;)*) => {$(
        #[test]
        fn $test() {
            insta::assert_snapshot!(stringify!($test), $text);
        }
    )*};
}

shows! {
    nested_terminal: terminal(nested(), 80);
    nested_color: render(&[nested()], Format::Table, Style { width: None, color: true }).replace('\x1b', "ESC");
    nested_csv: written(nested(), Format::Csv);
    nested_markdown: written(nested(), Format::Markdown);
    nested_latex: written(nested(), Format::Latex);
    reference_terminal: terminal(reference(), 80);
    reference_wide: terminal(reference(), 200);
    reference_markdown: written(reference(), Format::Markdown);
    reference_latex: written(reference(), Format::Latex);
    trials_terminal: terminal(Table::of_trials("pretrain", &search()), 80);
    trials_markdown: written(Table::of_trials("pretrain", &search()), Format::Markdown);
    trials_json: written(Table::of_trials("pretrain", &search()), Format::Json);
    query_terminal: terminal(Table::of_query(&query()), 80);
    query_csv: written(Table::of_query(&query()), Format::Csv);
    query_latex: written(Table::of_query(&query()), Format::Latex);
    search_terminal: terminal(
        Table::of_report(&spec("pretrain.val_loss", &["batch_size", "learning_rate"], &[]), &search(), Some(false)),
        80,
    );
    several_csv: render(
        &[Table::of_trials("pretrain", &search()), Table::of_query(&query())],
        Format::Csv,
        Style::default(),
    );
}

fn cells(table: &Table) -> Vec<Value> {
    let json = table.to_json();
    let rows = json["rows"].as_array().into_iter().flatten();
    rows.flat_map(|row| row["cells"].as_array().into_iter().flatten().cloned()).collect()
}

#[test]
fn json_has_numbers_with_their_meaning() {
    let json = reference().to_json();
    assert_eq!(json["kind"], "report");
    assert_eq!(json["columns"][4], json!({"vision": "dinov2-s", "fraction": 0.1}));
    assert_eq!(json["rows"][1]["parameters"], json!({"text": "biobert"}));
    let cell = &json["rows"][1]["cells"][4];
    assert_eq!((&cell["n"], &cell["trials"], &cell["state"]), (&json!(5), &json!(5), &json!("done")));
    assert_eq!(cell["reference"], 0.851);
    let difference = cell["mean"].as_f64().unwrap() - 0.851;
    assert_eq!(cell["difference"].as_f64().unwrap(), difference);
    let waiting = &json["rows"][4]["cells"][8];
    assert_eq!((&waiting["state"], &waiting["mean"], &waiting["n"]), (&json!("waiting"), &Value::Null, &json!(0)));
    assert!(json["reference"]["citation"].as_str().unwrap().contains("2401.01179"));
    assert_eq!(cells(&reference()).len(), 45);
}

#[test]
fn the_best_is_marked_among_equal_labels_only() {
    let json = nested().to_json();
    let best = |label: &str, column: usize| -> Vec<Value> {
        let rows = json["rows"].as_array().unwrap().iter().filter(|row| row["parameters"]["label"] == label);
        rows.filter(|row| row["cells"][column]["best"] == true).map(|row| row["parameters"].clone()).collect()
    };
    assert_eq!(best("normal", 0).len(), 1);
    assert_eq!(best("cardiomegaly", 0).len(), 1);
    let spec = spec("classify.auroc", &["label", "vision", "text"], &["fraction"]);
    let nothing = Table::of_report(&spec, &classify(), None);
    assert!(cells(&nothing).iter().all(|cell| cell["best"] == false));
    let least = Table::of_report(&spec, &classify(), Some(false));
    assert_ne!(cells(&least), cells(&nested()));
}

#[test]
fn one_row_alone_is_not_the_best() {
    let mut spec = spec("classify.auroc", &["vision"], &["fraction"]);
    spec.filter.insert("vision".to_owned(), json!(["edges"]));
    assert!(cells(&Table::of_report(&spec, &classify(), Some(true))).iter().all(|cell| cell["best"] == false));
}

#[test]
fn the_reference_is_found_through_rows_columns_and_filter() {
    let (mut spec, trials) = table_1();
    spec.rows = vec!["seed".to_owned()];
    spec.columns = vec!["text".to_owned()];
    spec.filter = serde_json::from_value(json!({"vision": "dinov2-b", "fraction": [1]})).unwrap();
    let cells = cells(&Table::of_report(&spec, &trials, None));
    assert_eq!(cells[0]["reference"], 0.868);
    assert_eq!(cells.len(), 25);
    // A published AUROC is not compared with something else, and that is said.
    spec.metric = "accuracy".to_owned();
    let text = terminal(Table::of_report(&spec, &trials, None), 80);
    assert!(text.contains("paper-table-1 has no values for these cells"), "{text}");
}

#[test]
fn intervals_are_those_of_the_database() {
    // Mean, sample standard deviation and interval of scipy.stats.
    let values = [0.71, 0.74, 0.69];
    let trials: Vec<ResultRow> = values
        .iter()
        .enumerate()
        .map(|(seed, value)| trial(seed, "c", "done", json!({"a": 1, "seed": seed}), &[("auroc", *value)]))
        .collect();
    let cell = &cells(&Table::of_report(&spec("c.auroc", &["a"], &[]), &trials, None))[0];
    let close = |name: &str, expected: f64| {
        let value = cell[name].as_f64().unwrap();
        assert!((value - expected).abs() < 1e-12, "{name}: {value}");
    };
    close("mean", 0.713_333_333_333_333_3);
    close("sd", 0.025_166_114_784_235_857);
    close("ci95", 0.062_516_094_793_757_8);
    let one = &cells(&Table::of_report(&spec("c.auroc", &["seed"], &[]), &trials, None))[0];
    assert_eq!((&one["sd"], &one["ci95"]), (&Value::Null, &Value::Null));
}

#[test]
fn nothing_infinite_is_ever_shown() {
    let trials: Vec<ResultRow> = [f64::NAN, f64::INFINITY, f64::MAX, f64::MAX, 1.0]
        .iter()
        .enumerate()
        .map(|(at, value)| trial(at, "c", "done", json!({"a": at / 2, "seed": at}), &[("auroc", *value)]))
        .collect();
    let tables = [
        Table::of_report(&spec("c.auroc", &["a"], &["seed"]), &trials, Some(true)),
        Table::of_report(&spec("c.auroc", &["a"], &[]), &trials, Some(true)),
        Table::of_trials("c", &trials),
        Table::of_query(&query()),
    ];
    for format in [Format::Table, Format::Csv, Format::Json, Format::Markdown, Format::Latex] {
        let text = render(&tables, format, Style { width: Some(80), color: false });
        let words: Vec<&str> = text.split(|letter: char| !letter.is_alphanumeric()).collect();
        assert!(!words.iter().any(|word| ["inf", "NaN", "nan"].contains(word)), "{text}");
    }
    assert_eq!(cells(&tables[1])[0]["state"], "no value");
}

#[test]
fn every_value_is_shown_at_every_width() {
    let (spec, trials) = table_1();
    // With intervals a column is as wide as a small terminal.
    let table = Table::of_report(&ReportSpec { spread: Spread::Sd, ..spec }, &trials, Some(true));
    let all = |width: u16| -> BTreeMap<String, usize> {
        let text = terminal(table.clone(), width);
        let mut words = BTreeMap::new();
        for word in text.split_whitespace().filter(|word| word.starts_with("0.") || word.starts_with('±')) {
            *words.entry(word.to_owned()).or_default() += 1;
        }
        words
    };
    for width in [1, 40, 60, 80, 100, 120, 150] {
        assert_eq!(all(width), all(u16::MAX), "{width}");
    }
    for width in [40, 60, 80] {
        for table in [table.clone(), nested(), Table::of_trials("pretrain", &search()), Table::of_query(&query())] {
            let text = terminal(table, width);
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}\n{text}");
        }
    }
}

#[test]
fn a_table_of_mostly_nothing_has_rows_only() {
    let trials: Vec<ResultRow> =
        (0..3_000).map(|at| trial(at, "c", "done", json!({"a": at, "b": -(at as f64)}), &[("auroc", 0.5)])).collect();
    let table = Table::of_report(&spec("c.auroc", &["a"], &["b"]), &trials, Some(true));
    assert_eq!(cells(&table).len(), 3_000);
    assert_eq!(table.to_json()["row_parameters"], json!(["a", "b"]));
    assert!(terminal(table, 80).contains("too many columns"));
}

#[test]
fn what_is_too_large_is_not_compared() {
    // A search over two continuous parameters: as many values of each as trials, and cells for each pair of them.
    let trials: Vec<ResultRow> = (0..320)
        .map(|i| trial(i, "classify", "done", json!({"rate": i, "dropout": i, "seed": 0}), &[("auroc", 0.5)]))
        .collect();
    let spec = spec("classify.auroc", &["rate", "dropout"], &[]);
    assert!(Table::of_comparison(&spec, &trials[..300], Some(true), "rate", None).is_some());
    assert!(Table::of_comparison(&spec, &trials, Some(true), "rate", None).is_none());
}

#[test]
fn a_table_of_nothing_says_so() {
    let spec = spec("classify.auroc", &["label"], &["fraction"]);
    let none = Table::of_report(&spec, &[], Some(true));
    assert!(none.is_empty());
    assert!(terminal(none.clone(), 80).contains("no trials"));
    assert!(written(none.clone(), Format::Markdown).contains("no trials"));
    assert_eq!(
        written(none.clone(), Format::Csv),
        "label,fraction,n,mean,sd,ci95,min,max,state,reference,difference,low,high,best,p\n"
    );
    assert_eq!(none.to_json()["rows"], json!([]));
    assert!(written(none, Format::Latex).contains("no trials"));
    let rows = Table::of_query(&QueryResult { columns: vec!["a".to_owned()], rows: Vec::new() });
    assert!(rows.is_empty() && terminal(rows, 80).contains("no rows"));
    let nothing = Table::of_query(&QueryResult { columns: Vec::new(), rows: Vec::new() });
    for format in [Format::Table, Format::Csv, Format::Json, Format::Markdown, Format::Latex] {
        written(nothing.clone(), format);
        assert!(!render(&[], format, Style::default()).contains("error"));
    }
}

#[test]
fn a_long_table_keeps_all_its_rows() {
    let trials: Vec<ResultRow> =
        (0..250).map(|at| trial(at, "noop", "done", json!({"index": at}), &[("value", at as f64 / 8.0)])).collect();
    let table = Table::of_trials("noop", &trials);
    for format in [Format::Table, Format::Csv, Format::Markdown, Format::Latex] {
        assert!(written(table.clone(), format).lines().count() >= 251);
    }
    assert!(written(table, Format::Latex).contains("\\begin{longtable}"));
}
