//! What trials took of their devices, as columns of a list of trials.

use std::collections::{BTreeMap, HashMap};

use permafrost::{
    report::{Format, Style, Table, render},
    store::{ResultRow, TrialUsage},
};
use serde_json::Value;

fn trial(digit: &str) -> ResultRow {
    ResultRow {
        stage: "pretrain".to_owned(),
        id: digit.repeat(64),
        state: "done".to_owned(),
        parameters: BTreeMap::new(),
        values: [("val_loss".to_owned(), 0.5)].into(),
    }
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let table = || Table::of_trials("pretrain", &["1", "2", "3"].map(trial));
    assert_eq!(table().with_usage(&HashMap::new()), table());
    let usage = |samples, utilisation| TrialUsage {
        samples,
        utilisation,
        device_hours: 0.25,
        energy_j: None,
        memory_peak_bytes: None,
    };
    let usage = [("1".repeat(64), usage(9, Some(0.75))), ("2".repeat(64), usage(0, None))].into();
    let table = table().with_usage(&usage);
    let json = table.to_json();
    let columns: Vec<_> = json["columns"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(columns, ["trial", "state", "val_loss", "utilisation", "device_hours", "energy_j", "memory_peak_bytes"]);
    assert_eq!(json["rows"][0][3], 0.75);
    assert_eq!((&json["rows"][1][3], &json["rows"][1][4]), (&Value::Null, &0.25.into()));
    assert_eq!(json["rows"][2][4], Value::Null);
    let text = render(&[table], Format::Table, Style::default());
    assert!(text.contains("1 trial was too short to be sampled"), "{text}");
}
