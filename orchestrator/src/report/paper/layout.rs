//! The paper's tables, filled from the database.

use serde_json::{Value, json};

use super::{
    super::{
        axis::Axis,
        cell::Cell,
        grid::Grid,
        lineage::Lineage,
        number,
        table::{Body, Table},
    },
    members::{Members, NO_DATA, NOT_RUN},
    reference::{Column, Printed, Row, paper},
    sizes,
};
use crate::{store::ResultRow, sweep::Spread};

/// Says that segmentation is not there.
const NO_SEGMENTATION: &str = "not trained";

/// Table 1, 2 or 3 of the paper: its rows, and those of the database beside them. `heads` are all classification heads, each once, with their
/// parameters as some sweep calls them. None: there is no table of that number.
pub fn table(number: usize, lineage: &Lineage, heads: Vec<ResultRow>, spread: Spread) -> Option<Table> {
    let printed = paper().tables.get(number.checked_sub(1)?)?;
    let mut members = Members::new(lineage, heads);
    let lines = match number {
        1 => first(printed, &mut members),
        2 => second(printed, &mut members),
        _ => third(printed),
    };
    let mut metrics: Vec<&str> = printed.columns.iter().map(|column| column.metric.as_str()).collect();
    metrics.dedup();
    let names: &[&str] = match number {
        1 => &["text"],
        2 => &["strategy", "method", "params [M]", "trained [M]", "share"],
        _ => &["method", "pre-train [M]", "decoder [M]"],
    };
    let mut grid = Grid {
        stage: String::new(),
        metric: metrics.join(", "),
        rows: Axis {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            keys: lines.iter().map(|line| line.keys.clone()).collect(),
            labels: lines.iter().map(|line| line.labels.clone()).collect(),
        },
        columns: columns(printed),
        cells: lines.into_iter().map(|line| line.cells).collect(),
        maximize: Some(true),
        turned: false,
        asked: Some(printed.name.clone()),
        reference: Some(printed),
        spread,
        baseline: serde_json::Map::new(),
        paper: true,
        remarks: Vec::new(),
    };
    grid.remarks = remarks(number, printed, &grid, &members);
    grid.mark_best();
    grid.compare();
    let title = format!("Table {number} of the paper: {}", printed.caption);
    Some(Table { title, note: None, body: Body::Grid(Box::new(grid)) })
}

/// A row.
struct Line {
    keys: Vec<Value>,
    labels: Vec<String>,
    cells: Vec<Option<Cell>>,
}

impl Line {
    /// Of the paper.
    fn printed(row: &Row, keys: Vec<Value>, columns: usize) -> Self {
        let cells = (0..columns).map(|column| row.value(column).map(Cell::of_paper)).collect();
        Self::new(keys, cells)
    }

    fn new(keys: Vec<Value>, cells: Vec<Option<Cell>>) -> Self {
        let label = |key: &Value| match key {
            Value::Null => number::NOTHING.to_owned(),
            Value::Number(number) => format!("{:.1}", number.as_f64().unwrap_or_default()),
            other => number::plain(other),
        };
        Self { labels: keys.iter().map(label).collect(), keys, cells }
    }
}

fn columns(printed: &Printed) -> Axis {
    let several = printed.columns.iter().any(|column| column.dataset != printed.columns[0].dataset);
    let fractions: Vec<Value> = printed.columns.iter().map(|column| json!(column.fraction)).collect();
    let fractions = number::labels("fraction", &fractions.iter().collect::<Vec<_>>());
    let outer = |column: &Column| match (&column.vision, several) {
        (Some(vision), _) => (json!(vision), encoder(vision).to_owned()),
        (None, _) => (json!(column.dataset), format!("{} ({})", dataset(&column.dataset), unit(&column.metric))),
    };
    let name = if printed.columns[0].vision.is_some() { "vision" } else { "dataset" };
    Axis {
        names: vec![name.to_owned(), "fraction".to_owned()],
        keys: printed.columns.iter().map(|column| vec![outer(column).0, json!(column.fraction)]).collect(),
        labels: printed.columns.iter().zip(fractions).map(|(column, label)| vec![outer(column).1, label]).collect(),
    }
}

/// Measured values of text encoders, the paper's below.
fn first(printed: &Printed, members: &mut Members) -> Vec<Line> {
    let line = |row: &Row, members: &mut Members| {
        let text = row.text.as_deref().unwrap_or_default();
        let cells = printed.columns.iter().enumerate().map(|(at, column)| {
            let vision = column.vision.as_deref().unwrap_or_default();
            let cell = members.cell(&column.dataset, &column.metric, Some((vision, text)), column.fraction);
            Some(Cell { reference: row.value(at), ..cell })
        });
        let cells = cells.collect();
        Line { keys: vec![json!(text)], labels: vec![row.method.clone()], cells }
    };
    printed.rows.iter().map(|row| line(row, members)).collect()
}

/// The paper's methods, then every pair of encoders that the database has heads for.
fn second(printed: &Printed, members: &mut Members) -> Vec<Line> {
    let share = |all: Option<f64>, trained: Option<f64>| match (all, trained) {
        (Some(all), Some(trained)) => json!(format!("{:.1} %", 100.0 * trained / all)),
        _ => Value::Null,
    };
    let mut lines: Vec<Line> = printed
        .rows
        .iter()
        .map(|row| {
            let sizes = [json!(row.parameters_m), json!(row.trainable_m), share(row.parameters_m, row.trainable_m)];
            let names = [json!(row.strategy), json!(row.label())];
            Line::printed(row, names.into_iter().chain(sizes).collect(), printed.columns.len())
        })
        .collect();
    let found = members.encoders(&["rsna", "covidx"]);
    let pairs: Vec<Option<(String, String)>> =
        if found.is_empty() { vec![None] } else { found.into_iter().map(Some).collect() };
    for pair in pairs {
        let pair = pair.as_ref().map(|(vision, text)| (vision.as_str(), text.as_str()));
        let named = pair.map(|(vision, text)| format!("{} + {}", encoder(vision), encoder(text)));
        let sizes = pair.and_then(|(vision, text)| sizes::adaptor(vision, text));
        let sizes = sizes.map(|(all, trained)| (sizes::millions(all), sizes::millions(trained)));
        let keys = vec![
            json!("Measured"),
            json!(named.unwrap_or_else(|| "Adaptor".to_owned())),
            json!(sizes.map(|(all, _)| all)),
            json!(sizes.map(|(_, trained)| trained)),
            share(sizes.map(|(all, _)| all), sizes.map(|(_, trained)| trained)),
        ];
        let vision = json!(pair.map_or("dinov2-b", |(vision, _)| vision));
        let cells = printed.columns.iter().map(|column| {
            let cell = members.cell(&column.dataset, &column.metric, pair, column.fraction);
            let fraction = json!(column.fraction);
            let reference = printed.value(&column.metric, Some(&column.dataset), |name| match name {
                "vision" => Some(&vision),
                "fraction" => Some(&fraction),
                _ => None,
            });
            Some(Cell { reference, ..cell })
        });
        let cells = cells.collect();
        lines.push(Line::new(keys, cells));
    }
    lines
}

/// The paper's methods, and that nothing is measured.
fn third(printed: &Printed) -> Vec<Line> {
    let columns = printed.columns.len();
    let of_paper = printed
        .rows
        .iter()
        .map(|row| Line::printed(row, vec![json!(row.label()), json!(row.trainable_m), json!(row.decoder_m)], columns));
    let ours = printed.rows.iter().filter_map(|row| {
        let (vision, text) = (row.vision.as_deref()?, row.text.as_deref()?);
        let (_, trained) = sizes::adaptor(vision, text)?;
        let keys = vec![
            json!(format!("measured: {} + {}", encoder(vision), encoder(text))),
            json!(sizes::millions(trained)),
            json!(sizes::millions(sizes::decoder(vision))),
        ];
        let cell = |column| Some(Cell { reference: row.value(column), ..Cell::without(NO_SEGMENTATION) });
        Some(Line::new(keys, (0..columns).map(cell).collect()))
    });
    of_paper.chain(ours).collect()
}

fn remarks(number: usize, printed: &Printed, grid: &Grid, members: &Members) -> Vec<String> {
    let mut lines = Vec::new();
    let has = |word: &str| grid.all().any(|cell| cell.reason == Some(word) && cell.summary.is_none());
    if has(NO_DATA) {
        lines.push(format!(
            "{NO_DATA}: no sweep in this database reads that data set; `permafrost plan sweeps/table{number}.yaml` says how to get it"
        ));
    }
    if has(NOT_RUN) {
        lines.push(format!(
            "{NOT_RUN}: none of the sweeps that were looked at has such trials; `permafrost launch sweeps/table{number}.yaml` runs them"
        ));
    }
    let mut tested: Vec<&str> = printed.columns.iter().map(|column| column.dataset.as_str()).collect();
    tested.dedup();
    for name in tested.iter().filter(|_| number < 3) {
        if let Some(count) = members.elsewhere.get(name) {
            lines.push(format!(
                "left out: {count} {} on {}, whose Adaptors were not pre-trained on MIMIC-CXR",
                if *count == 1 { "head" } else { "heads" },
                dataset(name)
            ));
        }
    }
    if members.chosen > 0 {
        lines.push(format!(
            "cells with trials of several settings: {}; shown are those that are best on validation",
            members.chosen
        ));
    }
    if number == 2 {
        lines.push(format!(
            "parameters of measured rows are counted from the encoders' published shapes; trained are those of the Adaptor, to which \
             fine-tuning adds a head of {:.3} M (RSNA) or {:.3} M (COVIDx)",
            sizes::head(1) as f64 / 1e6,
            sizes::head(3) as f64 / 1e6
        ));
        lines.push(
            "the paper does not say which text encoder its Adaptor (ViT-B) has: any is compared with it".to_owned(),
        );
    }
    if number == 3 {
        lines.push(format!("{NO_SEGMENTATION}: this version does not do segmentation"));
    }
    if number > 1 {
        let cited = printed.rows.iter().flat_map(|row| &row.works).collect::<std::collections::BTreeSet<_>>();
        let work = |number: &&u32| Some(format!("[{number}] {}", paper().works.get(&number.to_string())?));
        lines.extend(cited.iter().filter_map(work));
        lines.push(format!("other rows: {}", printed.short()));
    }
    lines
}

fn dataset(reader: &str) -> &str {
    match reader {
        "rsna" => "RSNA",
        "covidx" => "COVIDx",
        "siim" => "SIIM",
        other => other,
    }
}

fn unit(metric: &str) -> &str {
    match metric {
        "auroc" => "AUC",
        "accuracy" => "ACC",
        "dice" => "Dice",
        other => other,
    }
}

fn encoder(name: &str) -> &str {
    match name {
        "resnet-ae" => "ResNet-AE",
        "dinov2-s" => "DINOv2-S",
        "dinov2-b" => "DINOv2-B",
        "bert" => "BERT",
        "biobert" => "BioBERT",
        "clinicalbert" => "ClinicalBERT",
        "pubmedbert" => "PubMedBERT",
        "cxr-bert" => "CXR-BERT",
        other => other,
    }
}
