//! Labels by name, as sweep files write them.

use super::{ClassColumn, Dataset};
use crate::error::{Error, Result};

/// Most names that a message lists.
const MAX_NAMES: usize = 30;

impl Dataset {
    /// One value an image of the binary label `name`; none: unknown. `column=class` is true for images of that class, false for
    /// those of another one.
    ///
    /// # Errors
    /// [`Error::Input`] that lists the labels there are.
    pub fn binary(&self, name: &str) -> Result<Vec<Option<bool>>> {
        if let Some(column) = self.labels.iter().position(|label| label == name) {
            return Ok(self.images.iter().map(|image| image.labels[column]).collect());
        }
        // Names of columns and classes may hold `=` themselves.
        let one_of = |(at, column): (usize, &ClassColumn)| {
            let value = name.strip_prefix(column.name.as_str())?.strip_prefix('=')?;
            Some((at, column.values.iter().position(|known| known == value)? as u32))
        };
        if let Some((column, class)) = self.classes.iter().enumerate().find_map(one_of) {
            return Ok(self.images.iter().map(|image| image.classes[column].map(|found| found == class)).collect());
        }
        let of_classes = self.classes.iter().flat_map(|column| {
            let column_name = &column.name;
            column.values.iter().map(move |value| format!("{column_name}={value}"))
        });
        Err(unknown("binary label", name, self.labels.iter().cloned().chain(of_classes)))
    }

    /// The class column `name`, and one position in its values an image; none: unknown.
    ///
    /// # Errors
    /// [`Error::Input`] that lists the class columns there are.
    pub fn classes_of(&self, name: &str) -> Result<(&ClassColumn, Vec<Option<u32>>)> {
        let at = self.classes.iter().position(|column| column.name == name);
        let at = at.ok_or_else(|| {
            unknown("label of several classes", name, self.classes.iter().map(|column| column.name.clone()))
        })?;
        Ok((&self.classes[at], self.images.iter().map(|image| image.classes[at]).collect()))
    }
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = String>) -> Error {
    let mut names: Vec<String> = known.take(MAX_NAMES + 1).collect();
    if names.len() > MAX_NAMES {
        names[MAX_NAMES] = "...".to_owned();
    }
    Error::Input {
        what: format!("the collection has no {what} `{name}`"),
        cure: Some(if names.is_empty() {
            "it has none at all".to_owned()
        } else {
            format!("use one of: {}", names.join(", "))
        }),
    }
}
