//! Tables for programs; `docs/results-json.md` describes this.

use serde_json::{Map, Value, json};

use super::{
    axis::Axis,
    cell::{Cell, Compared},
    grid::Grid,
    table::{Body, Table},
};

pub(super) fn table(table: &Table) -> Value {
    match &table.body {
        Body::List(list) => json!({
            "kind": "list",
            "title": table.title,
            "note": table.note,
            "columns": list.columns.iter().map(|column| &column.name).collect::<Vec<_>>(),
            "rows": list.rows,
        }),
        Body::Grid(grid) => json!({
            "kind": "report",
            "title": table.title,
            "note": table.note,
            "stage": grid.stage,
            "metric": grid.metric,
            "maximize": grid.maximize,
            "reference": grid.reference.map(|reference| json!({"name": reference.name, "citation": reference.citation()})),
            "spread": grid.spread,
            "baseline": grid.baseline,
            "remarks": grid.remarks,
            "row_parameters": grid.rows.names,
            "column_parameters": grid.columns.names,
            "columns": (0..grid.columns.keys.len()).map(|at| parameters(&grid.columns, at)).collect::<Vec<_>>(),
            "rows": (0..grid.rows.keys.len()).map(|at| row(grid, at)).collect::<Vec<_>>(),
        }),
    }
}

fn row(grid: &Grid, at: usize) -> Value {
    let cells: Vec<Value> = grid.cells[at].iter().map(|cell| cell.as_ref().map_or(Value::Null, self::cell)).collect();
    json!({"parameters": parameters(&grid.rows, at), "cells": cells})
}

fn parameters(axis: &Axis, at: usize) -> Map<String, Value> {
    axis.names.iter().cloned().zip(axis.keys[at].iter().cloned()).collect()
}

pub(super) fn cell(cell: &Cell) -> Value {
    let summary = cell.summary.as_ref();
    json!({
        "state": cell.state(),
        "reason": cell.reason,
        "trials": cell.trials,
        "n": summary.map_or(0, |summary| summary.n),
        "mean": summary.map(|summary| summary.mean),
        "sd": summary.and_then(|summary| summary.sd),
        "ci95": summary.and_then(|summary| summary.ci95),
        "low": summary.and_then(|summary| summary.interval).map(|interval| interval.low),
        "high": summary.and_then(|summary| summary.interval).map(|interval| interval.high),
        "min": summary.map(|summary| summary.min),
        "max": summary.map(|summary| summary.max),
        "best": cell.best,
        "reference": cell.reference,
        "difference": cell.difference(),
        "compared": cell.compared.as_ref().map(compared),
    })
}

fn compared(compared: &Compared) -> Value {
    let paired = &compared.paired;
    let tested = paired.n > 0;
    json!({
        "pairs": paired.n,
        "difference": tested.then_some(paired.difference),
        "low": paired.interval.map(|interval| interval.low),
        "high": paired.interval.map(|interval| interval.high),
        "p_t": paired.p_t,
        "p_t_holm": compared.p_t,
        "p_wilcoxon": paired.p_wilcoxon,
        "p_wilcoxon_holm": compared.p_wilcoxon,
        "alike": compared.alike(),
        "refused": paired.refused.map(|refused| refused.word()),
    })
}
