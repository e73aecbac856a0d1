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
        assert!(EXAMPLES.iter().all(|example| !example.title.is_empty() && !example.sql.contains("```")));
    }
}
