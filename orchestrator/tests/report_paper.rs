//! The paper's tables from a database's trials, comparisons between rows, and what other programs read.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;

use permafrost::{
    report::{Format, Style, Table, lineage::Lineage, paper, render, to_parquet},
    store::ResultRow,
    sweep::{ReportSpec, Spread},
};
use permafrost_worker::{id::TrialId, task::Task};
use serde_json::{Value, json};

/// Trials of a made-up database.
#[derive(Default)]
struct Trials {
    tasks: Vec<(TrialId, Task)>,
    heads: Vec<ResultRow>,
}

impl Trials {
    fn add(&mut self, task: Value) -> String {
        let task: Task = serde_json::from_value(task).unwrap();
        let id = task.id().unwrap();
        if !self.tasks.iter().any(|(known, _)| *known == id) {
            self.tasks.push((id, task));
        }
        id.hex()
    }

    fn collection(&mut self, reader: &str) -> String {
        let mut reader = json!({"name": reader, "location": "data", "fingerprint": format!("{reader:0>10}ffff")});
        if reader["name"] == "mimic-cxr" {
            reader["held_out"] = json!("together");
            reader["text"] = json!("impression-findings");
        }
        self.add(json!({"kind": "prepare", "reader": reader, "split": {"by": "published"}}))
    }

    fn weights(&mut self, repository: &str) -> Value {
        let files = [["config.json"]];
        let fetch = json!({"kind": "fetch", "source": "hub", "repository": repository, "revision": "0".repeat(40), "files": files});
        json!({"from": "hub", "snapshot": self.add(fetch)})
    }

    fn embed(&mut self, dataset: &str, encoder: Value) -> String {
        self.add(json!({
            "kind": "embed", "dataset": dataset, "encoder": encoder, "output": "pooled", "dtype": "f32", "root": null, "max_damaged": 0.01,
        }))
    }

    fn vision(&mut self, dataset: &str, repository: &str) -> String {
        let weights = self.weights(repository);
        let pixels = json!({"resize": 224, "crop": 224});
        let encoder = json!({
            "name": "dinov2", "weights": weights, "pixels": pixels, "normalise": "symmetric", "interpolation": "size",
        });
        self.embed(dataset, encoder)
    }

    fn text(&mut self, dataset: &str, repository: &str) -> String {
        let weights = self.weights(repository);
        self.embed(dataset, json!({"name": "bert", "weights": weights, "pooling": "pooler", "max_tokens": 112}))
    }

    /// An Adaptor between DINOv2-B and a text encoder.
    fn adaptor(&mut self, pairs: &str, text: &str) -> String {
        let dataset = self.collection(pairs);
        let (image, text) = (self.vision(&dataset, "facebook/dinov2-base"), self.text(&dataset, text));
        self.add(json!({
            "kind": "pretrain", "dataset": dataset, "image": image, "text": text, "image_width": 768, "text_width": 768, "attention": "own-kv",
            "i2t_weight": 0.75, "dropout": 0.1, "learning_rate": 2e-5, "weight_decay": 0.01, "warmup": 0.02, "epochs": 50,
            "batch_size": 1024, "patience": 10, "min_delta": 1e-5, "seed": 0,
        }))
    }

    /// A head on it.
    fn head(&mut self, head: &Head, state: &str, values: &[(&str, f64)]) {
        let adaptor = self.adaptor(head.pairs, head.text);
        let dataset = self.collection(head.tested);
        let image = self.vision(&dataset, "facebook/dinov2-base");
        let (label, target) = if head.tested == "rsna" { ("pneumonia", "binary") } else { ("diagnosis", "classes") };
        let id = self.add(json!({
            "kind": "classify", "dataset": dataset, "image": image, "adaptor": adaptor, "image_width": 768, "label": label, "target": target,
            "fraction": head.fraction, "subset": "published", "dropout": 0.1, "learning_rate": head.rate, "weight_decay": 1e-4,
            "epochs": 100, "batch_size": 512, "patience": 10, "min_delta": 1e-3, "seed": head.seed,
        }));
        self.heads.push(ResultRow {
            // What a sweep calls things decides nothing.
            stage: "whatever".to_owned(),
            id,
            state: state.to_owned(),
            parameters: serde_json::from_value(json!({"vision": "v", "text": "t", "seed": head.seed})).unwrap(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        });
    }

    fn table(&self, number: usize) -> Table {
        let lineage: Lineage = self.tasks.iter().cloned().collect();
        paper::table(number, &lineage, self.heads.clone(), Spread::Sd).unwrap()
    }
}

struct Head {
    pairs: &'static str,
    text: &'static str,
    tested: &'static str,
    fraction: f64,
    rate: f64,
    seed: u64,
}

const BERT: &str = "google-bert/bert-base-uncased";
const BIOBERT: &str = "dmis-lab/biobert-v1.1";
const ON_RSNA: Head = Head { pairs: "mimic-cxr", text: BERT, tested: "rsna", fraction: 0.01, rate: 5e-5, seed: 0 };

/// Two text encoders on RSNA, five seeds, with all that can happen to a trial.
fn trials() -> Trials {
    let mut trials = Trials::default();
    for seed in 0..5 {
        let noise = 0.001 * ((seed * 7) % 5) as f64;
        let head = |text, fraction| Head { text, fraction, seed, ..ON_RSNA };
        trials.head(&head(BERT, 0.01), "done", &[("auroc", 0.830 + noise), ("val_auroc", 0.83)]);
        trials.head(
            &head(BIOBERT, 0.01),
            "done",
            &[("auroc", 0.850 + noise + 1e-4 * (seed % 2) as f64), ("val_auroc", 0.84)],
        );
        trials.head(&head(BERT, 0.1), if seed < 2 { "done" } else { "running" }, &[("auroc", 0.85)]);
        trials.head(&head(BIOBERT, 0.1), "failed", &[]);
        trials.head(&head(BERT, 1.0), "diverged", &[]);
    }
    trials
}

fn cells(table: &Table) -> BTreeMap<(String, String), Value> {
    let json = table.to_json();
    let columns: Vec<Value> = json["columns"].as_array().unwrap().clone();
    let mut cells = BTreeMap::new();
    for row in json["rows"].as_array().unwrap() {
        for (column, cell) in columns.iter().zip(row["cells"].as_array().unwrap()) {
            cells.insert((row["parameters"].to_string(), column.to_string()), cell.clone());
        }
    }
    cells
}

fn cell(table: &Table, row: &str, column: &Value) -> Value {
    let column = column.to_string();
    let found: Vec<Value> = cells(table)
        .into_iter()
        .filter(|((of, at), _)| of.contains(row) && *at == column)
        .map(|(_, cell)| cell)
        .collect();
    assert_eq!(found.len(), 1, "{row} {column}");
    found[0].clone()
}

fn text(table: Table, width: u16) -> String {
    render(&[table], Format::Table, Style { width: Some(width), color: false })
}

#[test]
fn table_1_has_a_reason_for_every_cell() {
    let table = trials().table(1);
    insta::assert_snapshot!("paper_1", text(table.clone(), 120));
    let at = |text: &str, fraction: f64| {
        cell(&table, &json!({"text": text}).to_string(), &json!({"fraction": fraction, "vision": "dinov2-b"}))
    };
    let bert = at("bert", 0.01);
    assert_eq!((&bert["n"], &bert["reference"], &bert["state"]), (&json!(5), &json!(0.828), &json!("done")));
    assert_eq!(at("biobert", 0.01)["best"], true);
    // BERT is worse at every seed.
    assert_eq!(bert["compared"]["alike"], false, "{bert}");
    assert!(bert["compared"]["p_t_holm"].as_f64().unwrap() < 1e-6);
    assert_eq!((&at("bert", 0.1)["state"], &at("bert", 0.1)["n"]), (&json!("partial"), &json!(2)));
    assert_eq!(at("biobert", 0.1)["state"], "failed");
    assert_eq!(at("bert", 1.0)["state"], "diverged");
    assert_eq!(at("cxr-bert", 1.0)["state"], "not run");
    assert!(cells(&table).values().all(|cell| cell["reference"].is_number() && cell["state"].is_string()));
    let nothing = Trials::default().table(1);
    assert!(cells(&nothing).values().all(|cell| cell["state"] == "no data"));
    assert!(text(nothing, 120).contains("permafrost plan sweeps/table1.yaml"));
}

#[test]
fn table_2_has_the_papers_rows_and_ours() {
    let mut trials = trials();
    for seed in 0..3 {
        let head = Head { tested: "covidx", fraction: 1.0, seed, ..ON_RSNA };
        trials.head(&head, "done", &[("accuracy", 0.92 + 0.01 * seed as f64), ("val_accuracy", 0.9)]);
    }
    let table = trials.table(2);
    insta::assert_snapshot!("paper_2", text(table.clone(), 140));
    insta::assert_snapshot!("paper_2_latex", render(std::slice::from_ref(&table), Format::Latex, Style::default()));
    let ours = cell(&table, "DINOv2-B + BERT", &json!({"dataset": "covidx", "fraction": 1.0}));
    assert_eq!(ours["reference"], 0.923);
    assert!((ours["difference"].as_f64().unwrap() - 0.007).abs() < 1e-12, "{ours}");
    let row = table.to_json()["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["parameters"].clone())
        .find(|row| row["method"] == "DINOv2-B + BERT");
    let row = row.unwrap();
    assert_eq!(
        (&row["params [M]"], &row["trained [M]"], &row["share"]),
        (&json!(208.3), &json!(12.2), &json!("5.9 %"))
    );
    let dsve = cell(&table, "DSVE", &json!({"dataset": "rsna", "fraction": 1.0}));
    assert_eq!((&dsve["state"], &dsve["reference"], &dsve["n"]), (&json!("published"), &json!(0.578), &json!(0)));
    assert_eq!(
        cell(&table, "DSVE", &json!({"dataset": "covidx", "fraction": 1.0})),
        Value::Null,
        "the paper has none either"
    );
}

#[test]
fn table_3_says_that_there_is_no_segmentation() {
    let table = trials().table(3);
    insta::assert_snapshot!("paper_3", text(table.clone(), 140));
    let ours = cell(&table, "measured: ResNet-AE + PubMedBERT", &json!({"dataset": "siim", "fraction": 1.0}));
    assert_eq!((&ours["state"], &ours["reference"]), (&json!("not trained"), &json!(0.731)));
}

/// Never on the test: the settings with the better test score are the worse on validation.
#[test]
fn settings_are_chosen_on_validation() {
    let mut trials = Trials::default();
    for (rate, auroc, val_auroc) in [(5e-5, 0.80, 0.90), (5e-4, 0.99, 0.70)] {
        trials.head(&Head { rate, ..ON_RSNA }, "done", &[("auroc", auroc), ("val_auroc", val_auroc)]);
    }
    let table = trials.table(1);
    let cell = cell(&table, r#""bert""#, &json!({"fraction": 0.01, "vision": "dinov2-b"}));
    assert_eq!((&cell["mean"], &cell["n"]), (&json!(0.8), &json!(1)));
    assert!(text(table, 200).contains("cells with trials of several settings: 1;"));
}

#[test]
fn adaptors_of_other_pairs_are_left_out_and_counted() {
    let mut trials = Trials::default();
    trials.head(&Head { pairs: "rsna", ..ON_RSNA }, "done", &[("auroc", 0.9)]);
    let table = trials.table(1);
    assert!(cells(&table).values().all(|cell| cell["state"] == "not run"));
    assert!(text(table, 200).contains("left out: 1 head on RSNA"));
}

fn sweep(noise: impl Fn(u64, u64) -> f64) -> Vec<ResultRow> {
    let mut rows = Vec::new();
    for (at, encoder) in ["a", "b", "c"].into_iter().enumerate() {
        for seed in 0..8 {
            rows.push(ResultRow {
                stage: "heads".to_owned(),
                id: format!("{at}{seed}").repeat(32),
                state: "done".to_owned(),
                // The width is the encoder's: it differs between cells, and must not keep trials from being paired.
                parameters: serde_json::from_value(json!({"vision": encoder, "width": at, "seed": seed, "epochs": 3}))
                    .unwrap(),
                values: [("auroc".to_owned(), 0.8 + noise(at as u64, seed))].into(),
            });
        }
    }
    rows
}

fn spec(baseline: Value) -> ReportSpec {
    serde_json::from_value(json!({
        "title": "Encoders", "rows": ["vision"], "columns": [], "stage": "heads", "metric": "auroc", "filter": {}, "note": null,
        "reference": null, "baseline": baseline,
    }))
    .unwrap()
}

#[test]
fn rows_are_compared_seed_by_seed() {
    // Seeds differ by much more than encoders: only pairs tell a from b, and c is as good as b.
    let seeds = |seed: u64| 0.05 * ((seed * 5) % 8) as f64 / 8.0;
    // Between b and c it goes up and down.
    let turn = |seed: u64| if seed.is_multiple_of(2) { 0.003 } else { -0.0025 };
    let rows = sweep(|at, seed| seeds(seed) + [0.0002 * (seed % 3) as f64, 0.01, 0.01 + turn(seed)][at as usize]);
    let table = Table::of_report(&spec(json!({})), &rows, Some(true));
    let all: Vec<Value> =
        table.to_json()["rows"].as_array().unwrap().iter().map(|row| row["cells"][0].clone()).collect();
    let best = all.iter().position(|cell| cell["best"] == true).unwrap();
    assert!(best > 0);
    assert_eq!(all[best]["compared"], Value::Null);
    assert_eq!((&all[0]["compared"]["alike"], &all[0]["compared"]["pairs"]), (&json!(false), &json!(8)));
    assert_eq!(all[3 - best]["compared"]["alike"], true);
    assert!(all[0]["compared"]["p_wilcoxon"].as_f64().unwrap() > 0.0);
    assert!(text(table, 80).contains("≈: not distinguishable from the best of its column"));
    let table = Table::of_report(&spec(json!({"vision": "a"})), &rows, Some(true));
    let first = &table.to_json()["rows"][1]["cells"][0]["compared"];
    assert!(first["difference"].as_f64().unwrap() > 0.0 && first["alike"] == false, "{first}");
    let list = Table::of_comparison(&spec(json!({})), &rows, Some(true), "vision", Some(&json!("a"))).unwrap();
    insta::assert_snapshot!("comparison", text(list, 200));
    assert!(Table::of_comparison(&spec(json!({})), &rows, Some(true), "text", None).is_none());
    assert!(Table::of_comparison(&spec(json!({})), &rows, None, "vision", None).is_none());
}

#[test]
fn too_few_pairs_are_not_tested() {
    let mut rows = sweep(|at, seed| 0.01 * at as f64 + 0.001 * seed as f64);
    rows.retain(|row| row.parameters["seed"].as_u64().unwrap() < 2);
    let table = Table::of_report(&spec(json!({})), &rows, Some(true));
    let compared = &table.to_json()["rows"][0]["cells"][0]["compared"];
    assert_eq!((&compared["alike"], &compared["refused"]), (&Value::Null, &json!("fewer than 3 pairs")));
    let shown = text(table, 80);
    assert!(shown.contains("not all cells are tested") && !shown.contains('≈'), "{shown}");
}

#[test]
fn spreads_are_shown_as_asked() {
    let rows = sweep(|_, seed| 0.19 + 0.001 * seed as f64);
    for (spread, has, lacks) in
        [(Spread::Sd, "±0.002", "["), (Spread::Ci95, "[0.9", "±"), (Spread::Both, "±0.002 [0.9", "?")]
    {
        let table = Table::of_report(&ReportSpec { spread, ..spec(json!({})) }, &rows, Some(true));
        let shown = text(table, 80);
        let line = shown.lines().find(|line| line.starts_with('a')).unwrap();
        assert!(line.contains(has) && !line.contains(lacks), "{line}");
    }
}

/// Read back by the library that wrote it; Python reads it in the end-to-end tests.
#[test]
fn parquet_has_every_cell() {
    let bytes = to_parquet(&[trials().table(2), trials().table(1)]).unwrap();
    assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    let list = Table::of_trials("heads", &sweep(|_, _| 0.0));
    assert!(to_parquet(&[list]).unwrap().len() > 100);
    assert_eq!(&to_parquet(&[]).unwrap()[..4], b"PAR1");
}

/// Every table is LaTeX that compiles, with booktabs as its preamble says.
#[test]
fn latex_compiles() {
    if std::process::Command::new("pdflatex").arg("--version").output().is_err() {
        use std::io::Write;
        writeln!(std::io::stderr().lock(), "skipped: there is no pdflatex").ok();
        return;
    }
    let mut trials = trials();
    trials.head(
        &Head { tested: "covidx", fraction: 0.1, ..ON_RSNA },
        "done",
        &[("accuracy", 0.9), ("val_accuracy", 0.9)],
    );
    let rows = sweep(|at, seed| 0.01 * at as f64 + 0.001 * ((seed * 5) % 8) as f64);
    let spec = ReportSpec { spread: Spread::Both, note: Some("50 % & more_of #1".to_owned()), ..spec(json!({})) };
    let tables = [
        trials.table(1),
        trials.table(2),
        trials.table(3),
        Table::of_report(&spec, &rows, Some(true)),
        Table::of_comparison(&spec, &rows, Some(true), "vision", None).unwrap(),
        Table::of_trials("heads", &rows),
        Table::of_trials("heads", &[rows.clone(), rows.clone(), rows].concat()),
    ];
    let latex = render(&tables, Format::Latex, Style::default());
    let preamble = latex.lines().next().unwrap().strip_prefix("% Preamble: ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let document = format!("\\documentclass{{article}}\n{preamble}\n\\begin{{document}}\n{latex}\\end{{document}}\n");
    std::fs::write(folder.path().join("tables.tex"), document).unwrap();
    let output = std::process::Command::new("pdflatex")
        .current_dir(folder.path())
        .args(["-halt-on-error", "-interaction=nonstopmode", "tables.tex"])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}");
    assert!(!log.contains("Missing character") && !log.contains("Overfull \\hbox"), "{log}");
    if let Some(keep) = std::env::var_os("PERMAFROST_KEEP_PDF") {
        std::fs::copy(folder.path().join("tables.pdf"), keep).unwrap();
    }
}
