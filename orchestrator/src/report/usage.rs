//! What trials took of their devices, as columns of a list of trials.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    list::{Column, SHORT, Written},
    table::{Body, Table},
};
use crate::store::TrialUsage;

/// Names of the columns, as in the view `trial_usage`.
const COLUMNS: [(&str, Written); 4] = [
    ("utilisation", Written::Share),
    ("device_hours", Written::Hours),
    ("energy_j", Written::Joules),
    ("memory_peak_bytes", Written::Bytes),
];

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
        list.columns.extend(COLUMNS.map(|(name, written)| Column { written, ..Column::new(name, false) }));
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
