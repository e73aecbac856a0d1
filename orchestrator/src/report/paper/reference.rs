//! Published values, in `tables.json`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::Value;

/// All that is taken from the paper.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Paper {
    /// The paper.
    pub citation: String,
    /// The same in a line under a table.
    pub short: String,
    /// Works that its tables cite, by their number there.
    pub works: BTreeMap<String, String>,
    /// Tables 1, 2 and 3.
    pub tables: Vec<Printed>,
}

/// A table as it is printed.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Printed {
    /// Its name in a sweep file, such as `paper-table-1`.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// What each column stands for.
    pub columns: Vec<Column>,
    /// Methods, from top to bottom.
    pub rows: Vec<Row>,
}

/// What a column stands for.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Column {
    /// The reader of the data set that is tested on.
    pub dataset: String,
    /// The result, as a stage calls it.
    pub metric: String,
    /// The image encoder, where columns differ in it.
    pub vision: Option<String>,
    /// Share of the training split.
    pub fraction: f64,
}

/// A method.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Row {
    /// The group that it stands in.
    pub strategy: Option<String>,
    /// Its name.
    pub method: String,
    /// Numbers of the works that it is from.
    #[serde(default)]
    pub works: Vec<u32>,
    /// The image encoder of an Adaptor; none: the column says it, or it is another method.
    pub vision: Option<String>,
    /// The text encoder of an Adaptor; none: not said, or another method.
    pub text: Option<String>,
    /// Parameters in millions.
    pub parameters_m: Option<f64>,
    /// Those of them that are trained, before fine-tuning, in millions.
    pub trainable_m: Option<f64>,
    /// Parameters of the decoder, in millions.
    pub decoder_m: Option<f64>,
    /// A value a column, in per cent.
    values: Vec<Option<f64>>,
}

impl Row {
    /// The value in a column, in [0, 1].
    pub fn value(&self, column: usize) -> Option<f64> {
        // Printed with one decimal: the nearest double to that many thousandths.
        self.values.get(column).copied().flatten().map(|percent| (percent * 10.0).round() / 1000.0)
    }

    /// Its name with the numbers of the works that it is from.
    pub fn label(&self) -> String {
        let works: Vec<String> = self.works.iter().map(u32::to_string).collect();
        if works.is_empty() { self.method.clone() } else { format!("{} [{}]", self.method, works.join(", ")) }
    }
}

static PAPER: LazyLock<Paper> = LazyLock::new(|| {
    serde_json::from_str(include_str!("tables.json")).expect("the file is part of the program, and tested")
});

/// The paper.
pub fn paper() -> &'static Paper {
    &PAPER
}

impl Printed {
    /// The table of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        paper().tables.iter().find(|table| table.name == name)
    }

    /// Where it stands: `, Table 1: AUROC on RSNA` after the paper.
    pub fn citation(&self) -> String {
        format!("{}, Table {}: {}", paper().citation, self.number(), self.caption)
    }

    /// The same in a line under a table.
    pub fn short(&self) -> String {
        format!("{}, Table {}, {}", paper().short, self.number(), self.caption)
    }

    /// Its number in the paper.
    pub fn number(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or_default()
    }

    /// Whether it has values of this result.
    pub fn has(&self, metric: &str) -> bool {
        self.columns.iter().any(|column| column.metric == metric)
    }

    /// The published value for an Adaptor's cell, in [0, 1], given the result, the reader of the data set that it was tested on (none:
    /// not known), and its parameters `vision`, `text` and `fraction`. Where the paper does not say which text encoder it was, any is
    /// compared with it; where the data set is not known, the value must be that of the table's only one.
    pub fn value<'a>(
        &self,
        metric: &str,
        dataset: Option<&str>,
        parameter: impl Fn(&str) -> Option<&'a Value>,
    ) -> Option<f64> {
        let vision = parameter("vision")?.as_str()?;
        let fraction = parameter("fraction")?.as_f64()?;
        let text = parameter("text").and_then(Value::as_str);
        let alone = self.columns.iter().all(|column| column.dataset == self.columns[0].dataset);
        let is =
            |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|wanted| Some(wanted) == has);
        let column = self.columns.iter().position(|column| {
            column.metric == metric
                && column.fraction == fraction
                && is(&column.vision, Some(vision))
                && dataset.map_or(alone, |dataset| column.dataset == dataset)
        })?;
        let named = |row: &Row| row.vision.is_some() || row.text.is_some();
        let row = self.rows.iter().find(|row| named(row) && is(&row.vision, Some(vision)) && is(&row.text, text))?;
        row.value(column)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The tables as the paper prints them.
    const PRINTED: [&str; 3] = [
        "\
BERT 77.0 79.0 81.3 81.3 84.8 86.1 82.8 85.3 86.8
BioBERT 76.8 79.1 81.2 82.2 85.1 86.1 84.4 85.6 86.7
ClinicalBERT 76.7 78.9 81.1 81.7 84.9 86.1 82.9 85.3 86.6
PubMedBERT 76.3 79.0 81.1 80.9 84.5 86.0 82.3 85.0 86.5
CXR-BERT 76.9 79.3 81.5 80.8 84.7 86.0 82.3 85.1 86.6",
        "\
Baseline (No Transformer) DSVE [27] 126.7 5.8 49.7 52.1 57.8 - - -
Baseline (No Transformer) VSE++ [28] 11.3 11.3 49.4 57.2 67.9 - - -
No Medical Pre-training Random Init 25.6 25.6 58.9 69.4 74.1 50.5 60.3 70.0
No Medical Pre-training ImageNet Init 25.6 25.6 74.9 74.5 76.3 64.8 78.8 86.3
Medical End-to-End Pre-training GLoRIA-MIMIC [29, 22] 134.2 134.2 86.1 88.0 88.6 67.3 77.8 89.0
Medical End-to-End Pre-training GLoRIA [29] 134.2 134.2 86.1 88.0 88.6 67.3 77.8 89.0
Medical End-to-End Pre-training ConVIRT [8] 138.1 138.1 77.4 80.1 81.3 72.5 82.5 92.0
Medical End-to-End Pre-training MGCA (ResNet-50) [6] 113.6 113.6 88.6 89.1 89.9 72.0 83.5 90.5
Medical End-to-End Pre-training MGCA (ViT-B) [6] 172.7 172.7 89.1 89.9 90.8 74.8 84.8 92.3
Medical Frozen-Backbone Pre-training (Ours) Adaptor (ViT-B) 208.3 12.2 84.4 85.6 86.8 71.0 87.5 92.3",
        "\
GLoRIA-MIMIC [29] 134.2 9.0 60.3 68.7 68.3 37.4 57.1 64.0
MGCA (ResNet50-UNet) [6] 113.6 9.0 63.0 68.3 69.8 49.7 59.3 64.2
Adaptor (ResNet-PubMedBERT) 12.0 20.1 76.5 74.3 76.2 73.1 73.1 73.1
Adaptor (ViT/B-BERT) 12.2 10.4 55.9 74.1 77.2 51.8 56.8 73.3
Adaptor (ViT/S-BERT) 11.9 10.4 56.0 71.6 78.1 53.1 58.7 73.7",
    ];

    #[test]
    fn all_values_are_the_papers() {
        assert_eq!(paper().tables.len(), PRINTED.len());
        for (table, printed) in paper().tables.iter().zip(PRINTED) {
            let lines: Vec<String> = table
                .rows
                .iter()
                .map(|row| {
                    assert_eq!(row.values.len(), table.columns.len());
                    let sizes = [row.parameters_m, row.trainable_m, row.decoder_m].into_iter().flatten().map(Some);
                    let values = (0..row.values.len()).map(|column| row.value(column).map(|value| value * 100.0));
                    let numbers = sizes
                        .chain(values)
                        .map(|number| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}")));
                    let words = row.strategy.iter().cloned().chain([row.label()]).chain(numbers);
                    words.collect::<Vec<_>>().join(" ")
                })
                .collect();
            assert_eq!(lines.join("\n"), printed, "{}", table.name);
        }
    }

    /// The same numbers in the paper's text, where that is at hand.
    #[test]
    fn all_values_stand_in_the_papers_text() {
        let shared = std::env::var_os("PERMAFROST_SHARED").unwrap_or_else(|| "../../shared".into());
        let path = std::path::Path::new(&shared).join("paper.txt");
        let Ok(text) = std::fs::read_to_string(&path) else {
            use std::io::Write;
            writeln!(std::io::stderr().lock(), "skipped: there is no {}", path.display()).ok();
            return;
        };
        for table in &paper().tables {
            for row in &table.rows {
                let one = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
                let sizes = [row.parameters_m, row.trainable_m, row.decoder_m].into_iter().flatten().map(Some);
                let numbers: Vec<String> = sizes.chain(row.values.iter().copied()).map(|value| one(&value)).collect();
                let line = format!("{} {}", row.label(), numbers.join(" "));
                assert!(text.contains(&line), "{line}");
            }
        }
    }

    #[test]
    fn cells_are_found_by_what_they_are() {
        let value = |table: &str, metric: &str, dataset: Option<&str>, cell: &Value| {
            Printed::named(table).unwrap().value(metric, dataset, |name| cell.get(name))
        };
        let cell = json!({"vision": "dinov2-b", "text": "bert", "fraction": 1});
        assert_eq!(value("paper-table-1", "auroc", Some("rsna"), &cell), Some(0.868));
        assert_eq!(value("paper-table-1", "auroc", None, &cell), Some(0.868));
        assert_eq!(value("paper-table-1", "auroc", Some("covidx"), &cell), None);
        assert_eq!(value("paper-table-1", "accuracy", Some("rsna"), &cell), None);
        assert_eq!(value("paper-table-2", "accuracy", Some("covidx"), &cell), Some(0.923));
        assert_eq!(value("paper-table-2", "accuracy", None, &cell), None, "of two data sets");
        assert_eq!(
            value("paper-table-2", "auroc", Some("rsna"), &json!({"vision": "dinov2-b", "fraction": 0.1})),
            Some(0.856)
        );
        assert_eq!(
            value("paper-table-2", "auroc", Some("rsna"), &json!({"vision": "dinov2-s", "fraction": 0.1})),
            None
        );
        assert_eq!(value("paper-table-3", "dice", Some("siim"), &cell), Some(0.733));
        assert_eq!(
            value("paper-table-1", "auroc", None, &json!({"vision": "dinov2-b", "text": "bert", "fraction": 0.5})),
            None
        );
        assert_eq!(value("paper-table-1", "auroc", None, &json!({"vision": "dinov2-b", "fraction": 1.0})), None);
        assert!(Printed::named("paper-table-9").is_none());
    }
}
