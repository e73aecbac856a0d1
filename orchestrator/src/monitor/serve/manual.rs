//! The manual of the database, as the console shows it beside the query: `docs/database.md` is read once.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Serialize;

const MANUAL: &str = include_str!("../../../../docs/database.md");

/// What the manual says.
pub(super) static ENTRIES: LazyLock<BTreeMap<String, Entry>> = LazyLock::new(|| entries(MANUAL));
/// Its examples.
pub(super) static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| examples(MANUAL));

/// A table or view.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Entry {
    /// What it is.
    pub(super) what: String,
    /// What its columns mean.
    pub(super) columns: BTreeMap<String, String>,
}

/// A query with a title.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Example {
    /// What it asks.
    title: String,
    /// The query.
    sql: String,
}

impl Example {
    /// The same about another sweep than that of the manual. Where it compares two revisions, they stay.
    pub(super) fn about(&self, sweep: Option<(&str, i64)>) -> Self {
        let Some((name, revision)) = sweep else { return self.clone() };
        let sql = self.sql.replace("'quickstart'", &format!("'{}'", name.replace('\'', "''")));
        let compares = sql.contains("revision = 2");
        let sql = if compares { sql } else { sql.replace("revision = 1", &format!("revision = {revision}")) };
        Self { title: self.title.clone(), sql }
    }
}

fn entries(manual: &str) -> BTreeMap<String, Entry> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut now: Vec<String> = Vec::new();
    for line in manual.lines() {
        if let Some(rest) = line.strip_prefix("**") {
            now.clear();
            // One paragraph may describe several: `**a**: ... **b**: ...`.
            for part in format!("**{rest}").split("**").collect::<Vec<_>>()[1..].chunks(2) {
                let [name, what] = part else { continue };
                let Some(what) = what.strip_prefix(':') else { continue };
                entries.insert((*name).to_owned(), Entry { what: plain(what), columns: BTreeMap::new() });
                now.push((*name).to_owned());
            }
        } else if let Some(cells) = line.strip_prefix("| `") {
            let Some((names, meaning)) = cells.split_once('|') else { continue };
            for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
                if let Some(entry) = now.last().and_then(|table| entries.get_mut(table)) {
                    entry.columns.insert(name.to_owned(), plain(meaning.trim_end_matches('|')));
                }
            }
        } else if line.starts_with('#') {
            now.clear();
        }
    }
    entries
}

/// Text without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "").trim().to_owned()
}

fn examples(manual: &str) -> Vec<Example> {
    let parts: Vec<&str> = manual.split("```sql\n").collect();
    let pairs = parts.windows(2).filter_map(|pair| {
        let title = pair[0].trim_end().lines().last()?.trim_end_matches(':');
        let sql = pair[1].split("```").next()?;
        Some(Example { title: plain(title), sql: sql.trim().trim_end_matches(';').to_owned() })
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_is_read() {
        assert!(ENTRIES["trials"].what.contains("every trial ever planned"), "{:?}", ENTRIES["trials"]);
        assert!(ENTRIES["trials"].columns["array_key"].contains("one array"));
        assert!(ENTRIES.contains_key("metrics") && ENTRIES.contains_key("device_samples"));
        assert!(EXAMPLES.len() >= 10);
        let about: Vec<Example> = EXAMPLES.iter().map(|example| example.about(Some(("o'x", 3)))).collect();
        assert!(about.iter().any(|example| example.sql.contains("'o''x' AND revision = 3")));
        assert!(about.iter().all(|example| !example.sql.contains("quickstart")));
        assert!(EXAMPLES.iter().all(|example| !example.title.is_empty() && !example.sql.contains("```")));
    }
}
