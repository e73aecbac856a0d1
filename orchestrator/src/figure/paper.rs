//! What the paper's Table 2 says, for figures.

use super::error::{FigureError, data};
use crate::{
    report::paper::{Printed, paper},
    store::Subject,
};

/// The paper's table of methods and their sizes.
const TABLE: &str = "paper-table-2";
/// The table's shares of the labels.
pub(super) const FRACTIONS: [f64; 3] = [0.01, 0.1, 1.0];

/// Where the values are from.
pub(super) fn citation() -> String {
    format!("{}, Table 2", paper().short)
}

/// A collection of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    /// RSNA pneumonia, AUROC.
    Rsna,
    /// COVIDx CXR-2, accuracy.
    Covidx,
}

impl Collection {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rsna => "RSNA",
            Self::Covidx => "COVIDx",
        }
    }

    /// What its trials are about: reader and label.
    const fn subject(self) -> (&'static str, &'static str) {
        match self {
            Self::Rsna => ("rsna", "pneumonia"),
            Self::Covidx => ("covidx", "diagnosis"),
        }
    }

    /// The one that trials with this result may be compared with: all of them are about what it is about.
    pub(super) fn comparable(subjects: &[Subject], metric: &str) -> Option<Self> {
        [Self::Rsna, Self::Covidx].into_iter().find(|known| known.fits(subjects, metric).is_ok())
    }

    /// Whether trials that are about this, with this result, may stand beside its values.
    pub(super) fn fits(self, subjects: &[Subject], metric: &str) -> Result<(), FigureError> {
        let (reader, label) = self.subject();
        let own = |subject: &&Subject| subject.reader == reader && subject.label == label;
        let others: Vec<String> = subjects
            .iter()
            .filter(|subject| !own(subject))
            .map(|subject| format!("`{}` of {}", subject.label, subject.reader))
            .collect();
        let alone = format!("draw the paper's values alone: `permafrost figure params --reference {reader}`");
        if subjects.is_empty() || !others.is_empty() {
            let found = if others.is_empty() { "no label of a known data set".to_owned() } else { others.join(", ") };
            let what = format!(
                "the paper's values on {} are about `{label}` of {reader}, and the trials are about {found}",
                self.name()
            );
            return Err(data(what, format!("leave `--reference` out, or {alone}")));
        }
        if metric != self.metric() {
            let what = format!("the paper's values on {} are {}, not {metric}", self.name(), self.metric());
            return Err(data(what, format!("add `--metric {}`, or {alone}", self.metric())));
        }
        Ok(())
    }

    /// The result that it has.
    pub(super) const fn metric(self) -> &'static str {
        match self {
            Self::Rsna => "auroc",
            Self::Covidx => "accuracy",
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Method {
    /// Its names: those with equal numbers are one.
    pub(super) name: String,
    /// Parameters that are trained, in millions.
    pub(super) trainable_m: f64,
    /// Whether it is the paper's own.
    pub(super) own: bool,
    /// Scores in per cent by [`FRACTIONS`].
    pub(super) scores: [Option<f64>; 3],
}

/// The rows of the table that have values for the collection.
pub(super) fn methods(collection: Collection) -> Vec<Method> {
    let Some(table) = Printed::named(TABLE) else { return Vec::new() };
    let columns = FRACTIONS.map(|fraction| {
        let wanted =
            |column: &crate::report::paper::Column| column.metric == collection.metric() && column.fraction == fraction;
        table.columns.iter().position(wanted)
    });
    let mut methods: Vec<Method> = Vec::new();
    for row in &table.rows {
        // Printed with one decimal.
        let scores = columns.map(|column| Some((row.value(column?)? * 1000.0).round() / 10.0));
        let Some(trainable_m) = row.trainable_m.filter(|_| scores.iter().any(Option::is_some)) else { continue };
        match methods.iter_mut().find(|known| known.trainable_m == trainable_m && known.scores == scores) {
            Some(known) => known.name = format!("{} / {}", known.name, row.method),
            None => {
                let own = row.vision.is_some();
                methods.push(Method { name: row.method.clone(), trainable_m, own, scores });
            }
        }
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of Table 2 as the paper has them: trainable parameters, RSNA, COVIDx.
    const PRINTED: &str = "\
5.8 49.7 52.1 57.8 - - -
11.3 49.4 57.2 67.9 - - -
25.6 58.9 69.4 74.1 50.5 60.3 70.0
25.6 74.9 74.5 76.3 64.8 78.8 86.3
134.2 86.1 88.0 88.6 67.3 77.8 89.0
138.1 77.4 80.1 81.3 72.5 82.5 92.0
113.6 88.6 89.1 89.9 72.0 83.5 90.5
172.7 89.1 89.9 90.8 74.8 84.8 92.3
12.2 84.4 85.6 86.8 71.0 87.5 92.3";

    #[test]
    fn only_what_is_about_the_same_is_compared() {
        let subject = |reader: &str, label: &str| Subject { reader: reader.to_owned(), label: label.to_owned() };
        let (rsna, covidx, other) =
            (subject("rsna", "pneumonia"), subject("covidx", "diagnosis"), subject("open-i", "normal"));
        assert_eq!(Collection::comparable(std::slice::from_ref(&rsna), "auroc"), Some(Collection::Rsna));
        assert_eq!(Collection::comparable(std::slice::from_ref(&covidx), "accuracy"), Some(Collection::Covidx));
        assert_eq!(Collection::comparable(std::slice::from_ref(&covidx), "auroc"), None);
        assert_eq!(Collection::comparable(&[rsna.clone(), other.clone()], "auroc"), None);
        assert_eq!(Collection::comparable(&[], "auroc"), None);
        let refused = Collection::Rsna.fits(&[other], "auroc").unwrap_err();
        assert!(refused.to_string().contains("the trials are about `normal` of open-i"), "{refused}");
        assert!(refused.cure().unwrap().contains("--reference rsna"));
        let refused = Collection::Covidx.fits(std::slice::from_ref(&covidx), "auroc").unwrap_err();
        assert!(refused.cure().unwrap().contains("--metric accuracy"), "{refused}");
    }

    #[test]
    fn the_values_are_the_papers() {
        let rows: Vec<Vec<Option<f64>>> =
            PRINTED.lines().map(|line| line.split(' ').map(|word| word.parse().ok()).collect()).collect();
        for (collection, from) in [(Collection::Rsna, 1), (Collection::Covidx, 4)] {
            let ours: Vec<Vec<Option<f64>>> = methods(collection)
                .iter()
                .map(|method| [Some(method.trainable_m)].into_iter().chain(method.scores).collect())
                .collect();
            let printed: Vec<Vec<Option<f64>>> = rows
                .iter()
                .map(|row| [row[0], row[from], row[from + 1], row[from + 2]].to_vec())
                .filter(|row| row[1].is_some())
                .collect();
            assert_eq!(ours, printed, "{collection:?}");
        }
        let names: Vec<String> = methods(Collection::Rsna).into_iter().map(|method| method.name).collect();
        assert!(names.contains(&"GLoRIA-MIMIC / GLoRIA".to_owned()), "{names:?}");
    }
}
