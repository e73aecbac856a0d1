//! One row of the table, its cells understood.

use std::path::{Component, Path, PathBuf};

use super::{Columns, split_named};
use crate::{
    datasets::{Split, table::Row},
    error::{Error, Result},
};

/// A row, understood.
pub struct Sample {
    /// What it is called.
    pub id: String,
    /// Its image.
    pub image: Option<PathBuf>,
    /// Its mask.
    pub mask: Option<PathBuf>,
    /// Its text, as it stands there.
    pub text: Option<String>,
    /// What its report is called, where reports have names.
    pub report: Option<String>,
    /// Whom it shows.
    pub group: Option<String>,
    /// Its split, where a column says so.
    pub split: Option<Split>,
    /// Its labels, as [`Columns::binary`].
    pub binary: Vec<Option<bool>>,
    /// Its labels, as [`Columns::classes`].
    pub classes: Vec<Option<String>>,
    /// Its labels, as [`Columns::numbers`].
    pub numbers: Vec<Option<f64>>,
}

/// Where each kind of cell stands in a row of the wanted columns.
pub struct Layout<'a> {
    columns: &'a Columns,
    /// Single columns that there are, in the order of [`Layout::single`].
    single: Vec<&'a str>,
}

impl<'a> Layout<'a> {
    /// Where the cells of `columns` stand.
    ///
    /// # Errors
    /// [`Error::Input`] when nothing names the samples, or two labels are one column.
    pub fn new(columns: &'a Columns) -> Result<Self> {
        if columns.id.is_none() && columns.image.is_none() {
            return Err(Error::Input {
                what: "nothing says what a sample is called".to_owned(),
                cure: Some("name the column of the id, or of the image".to_owned()),
            });
        }
        let labels: Vec<&String> =
            [&columns.binary, &columns.classes, &columns.numbers].into_iter().flatten().collect();
        if let Some((_, twice)) = labels.iter().enumerate().find(|(at, label)| labels[..*at].contains(label)) {
            return Err(Error::input(format!("the label `{twice}` is wanted twice")));
        }
        let Columns { id, image, text, report, mask, split, group, .. } = columns;
        let single = [id, image, text, report, mask, split, group].into_iter().flatten().map(String::as_str).collect();
        Ok(Self { columns, single })
    }

    /// The columns that a row must hold, in order.
    pub fn wanted(&self) -> Vec<&'a str> {
        let labels = [&self.columns.binary, &self.columns.classes, &self.columns.numbers];
        self.single.iter().copied().chain(labels.into_iter().flatten().map(String::as_str)).collect()
    }

    /// Understands a row of the wanted columns.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, row: &Row<'_>) -> Result<Sample, String> {
        let mut cells = row.cells.iter().map(|cell| &**cell);
        let mut next = |column: &Option<String>| column.as_ref().and_then(|_| cells.next()).unwrap_or_default();
        let columns = self.columns;
        let [id, image, text, report, mask, split, group] = [
            next(&columns.id),
            next(&columns.image),
            next(&columns.text),
            next(&columns.report),
            next(&columns.mask),
            next(&columns.split),
            next(&columns.group),
        ];
        let id = if columns.id.is_some() { id } else { image };
        for (column, cell) in [(&columns.id, id), (&columns.image, image), (&columns.group, group)] {
            if let (Some(column), "") = (column, cell) {
                return Err(format!("`{column}` is empty"));
            }
        }
        let mut labels = |columns: &'a [String]| -> Vec<(&'a str, &str)> {
            columns.iter().map(|column| (column.as_str(), cells.next().unwrap_or_default())).collect()
        };
        let (binary, classes, numbers) = (labels(&columns.binary), labels(&columns.classes), labels(&columns.numbers));
        let some = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
        Ok(Sample {
            id: id.to_owned(),
            image: path(image)?,
            mask: path(mask)?,
            text: some(text),
            report: some(report),
            group: some(group),
            split: columns.split.as_ref().map(|_| split_named(split)).transpose()?,
            binary: binary.into_iter().map(|(column, cell)| truth(column, cell)).collect::<Result<_, _>>()?,
            classes: classes.into_iter().map(|(_, cell)| some(cell)).collect(),
            numbers: numbers.into_iter().map(|(column, cell)| number(column, cell)).collect::<Result<_, _>>()?,
        })
    }
}

/// A file below the root; none for an empty cell.
fn path(cell: &str) -> Result<Option<PathBuf>, String> {
    let path = Path::new(cell);
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{cell}` leaves the folder of the images"));
    }
    Ok((!cell.is_empty()).then(|| path.to_owned()))
}

/// A binary label. `1.0` and `0.0` are what pandas writes where some are unknown.
fn truth(column: &str, cell: &str) -> Result<Option<bool>, String> {
    match cell.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "1" | "1.0" | "true" => Ok(Some(true)),
        "0" | "0.0" | "false" => Ok(Some(false)),
        _ => Err(format!("`{cell}` in `{column}` is no binary label: it must be 0, 1, true, false or empty")),
    }
}

fn number(column: &str, cell: &str) -> Result<Option<f64>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    let number = cell.parse().ok().filter(|number: &f64| number.is_finite());
    number.map(Some).ok_or_else(|| format!("`{cell}` in `{column}` is no finite number"))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_of_labels() {
        assert_eq!(
            ["", "1", "True", "0.0"].map(|cell| truth("x", cell).unwrap()),
            [None, Some(true), Some(true), Some(false)]
        );
        assert!(truth("x", "-1.0").unwrap_err().contains("`-1.0` in `x`"));
        assert_eq!(["", "1e3", "-2"].map(|cell| number("x", cell).unwrap()), [None, Some(1000.0), Some(-2.0)]);
        for cell in ["nan", "inf", "54 years"] {
            assert!(number("age", cell).unwrap_err().contains("`age`"), "{cell}");
        }
        assert!(path("a/../../b").is_err());
        assert_eq!(path("a/b.png").unwrap().as_deref(), Some(Path::new("a/b.png")));
    }

    proptest! {
        #[test]
        fn no_cells_make_it_panic(cells in proptest::collection::vec("\\PC{0,8}", 0..12), named in any::<[bool; 7]>()) {
            let names = ["id", "image", "text", "report", "mask", "split", "group"];
            let [id, image, text, report, mask, split, group] =
                std::array::from_fn(|at| named[at].then(|| names[at].to_owned()));
            let labels = |name: &str| vec![name.to_owned()];
            let (binary, classes, numbers) = (labels("b"), labels("c"), labels("n"));
            let columns = Columns { id, image, text, report, mask, split, group, binary, classes, numbers };
            if let Ok(layout) = Layout::new(&columns) {
                layout.parse(&Row { line: 1, cells: cells.iter().map(|cell| Cow::Borrowed(cell.as_str())).collect() }).ok();
            }
        }
    }
}
