//! What trials took of their devices, as columns of a list of trials.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    list::{Column, SHORT},
    table::{Body, Table},
};
use crate::store::TrialUsage;

/// Names of the columns, as in the view `trial_usage`.
const COLUMNS: [&str; 4] = ["utilisation", "device_hours", "energy_j", "memory_peak_bytes"];

impl Table {
    /// A list of trials with what each took of its devices, where anything is known of any: utilisation, hours, joules and peak memory. What
    /// is not known is null: no device was sampled, the trial was too short for a sample, or the device does not tell.
    #[must_use]
    pub fn with_usage(mut self, usage: &HashMap<String, TrialUsage>) -> Self {
        let Body::List(list) = &mut self.body else { return self };
        let short: HashMap<&str, &TrialUsage> =
            usage.iter().filter_map(|(id, usage)| Some((id.get(..SHORT)?, usage))).collect();
        let of = |row: &Vec<Value>| row.first().and_then(Value::as_str).and_then(|id| short.get(id)).copied();
        let known: Vec<Option<&TrialUsage>> = list.rows.iter().map(of).collect();
        if known.iter().all(Option::is_none) {
            return self;
        }
        list.columns.extend(COLUMNS.map(|name| Column::new(name, false)));
        for (row, usage) in list.rows.iter_mut().zip(&known) {
            row.push(usage.and_then(|usage| usage.utilisation).into());
            row.push(usage.map(|usage| usage.device_hours).into());
            row.push(usage.and_then(|usage| usage.energy_j).into());
            row.push(usage.and_then(|usage| usage.memory_peak_bytes).into());
        }
        let unsampled = known.iter().flatten().filter(|usage| usage.samples == 0).count();
        if unsampled > 0 && self.note.is_none() {
            let what = if unsampled == 1 { "1 trial was".to_owned() } else { format!("{unsampled} trials were") };
            self.note = Some(format!("{what} too short to be sampled: utilisation and peak memory are not known"));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        report::{Format, Style, render},
        store::ResultRow,
    };

    fn trial(digit: char) -> ResultRow {
        ResultRow {
            stage: "pretrain".to_owned(),
            id: digit.to_string().repeat(64),
            state: "done".to_owned(),
            parameters: BTreeMap::new(),
            values: [("val_loss".to_owned(), 0.5)].into(),
        }
    }

    #[test]
    fn what_is_not_known_is_said_to_be_so() {
        let table = || Table::of_trials("pretrain", &["1", "2", "3"].map(|digit| trial(digit.chars().next().unwrap())));
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
        assert_eq!(
            columns,
            ["trial", "state", "val_loss", "utilisation", "device_hours", "energy_j", "memory_peak_bytes"]
        );
        assert_eq!(json["rows"][0][3], 0.75);
        assert_eq!((&json["rows"][1][3], &json["rows"][1][4]), (&Value::Null, &0.25.into()));
        assert_eq!(json["rows"][2][4], Value::Null);
        let text = render(&[table], Format::Table, Style::default());
        assert!(text.contains("1 trial was too short to be sampled"), "{text}");
    }
}
