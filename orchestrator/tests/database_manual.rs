//! `docs/database.md` describes the database as it is: every table and column, and queries that run.

use permafrost::store::{DATABASE, QueryResult, Reader, SqlValue, Store};

const MANUAL: &str = include_str!("../../docs/database.md");

/// The blocks of the manual in that language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    MANUAL.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn texts(result: &QueryResult) -> Vec<&str> {
    result
        .rows
        .iter()
        .filter_map(|row| match row.first() {
            Some(SqlValue::Text(text)) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn the_manual_is_current() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    Store::open(&path).await.unwrap().close().await.unwrap();
    let reader = Reader::open(&path).await.unwrap();

    let queries = blocks("sql");
    assert!(queries.len() >= 10);
    for query in queries {
        assert!(!reader.query(query).await.unwrap().columns.is_empty(), "{query}");
    }

    let each = reader.query("SELECT key, value FROM json_each('[1]') WHERE value > 1").await.unwrap();
    assert_eq!(each.columns, ["key", "value"]);

    // Without SQLite's own tables and that of the migrations.
    let names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT GLOB '*sql*'";
    let names = reader.query(names).await.unwrap();
    assert!(texts(&names).len() > 10);
    for name in texts(&names) {
        let at = MANUAL.find(&format!("**{name}**")).unwrap_or_else(|| panic!("{name} is not in the manual"));
        let section = MANUAL[at..].split("\n**").next().unwrap_or_default();
        let columns = reader.query(&format!("SELECT name FROM pragma_table_info('{name}')")).await.unwrap();
        for column in texts(&columns) {
            assert!(section.contains(&format!("`{column}`")), "{name}.{column} is not in the manual");
        }
    }
}
