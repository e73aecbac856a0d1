//! The SQL console.

use std::time::{Duration, Instant};

use permafrost::store::{DATABASE, QueryLimits, Reader};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::World;

fn path(route: &str, sql: &str) -> String {
    let encoded: String = sql.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/api/{route}?q={encoded}")
}

#[tokio::test]
async fn queries_are_answered_and_none_writes() {
    let world = World::new().await;
    let answer = world.json(&path("sql", "SELECT count(*) AS n, 'a' AS b, NULL AS c FROM trials")).await;
    assert_eq!(answer["columns"], serde_json::json!(["n", "b", "c"]));
    assert_eq!(answer["rows"], serde_json::json!([[world.made.len(), "a", null]]));
    let large = world.json(&path("sql", "SELECT 9007199254740993 AS n, -9007199254740992 AS m, 1.5 AS x")).await;
    assert_eq!(large["rows"], serde_json::json!([[{"integer": "9007199254740993"}, -9_007_199_254_740_992_i64, 1.5]]));
    let infinite = world.json(&path("sql", "SELECT 9e999 AS more, -9e999 AS less, NULL AS none")).await;
    assert_eq!(infinite["rows"], serde_json::json!([[{"real": "inf"}, {"real": "-inf"}, null]]));
    let writing = [
        "DELETE FROM trials",
        "UPDATE trials SET state = 'done'",
        "DROP TABLE results",
        "PRAGMA query_only = 0; DELETE FROM trials",
        "ATTACH '/tmp/x.sqlite' AS x",
        "VACUUM INTO '/tmp/x.sqlite'",
        "CREATE TEMP TABLE x (y)",
        "INSERT INTO events (at, kind) VALUES (1, 'x')",
    ];
    for sql in writing {
        let (status, message, cure) = world.refusal(&path("sql", sql)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{sql}: {message}");
        assert!(!cure.is_empty(), "{sql}");
    }
    assert_eq!(world.json(&path("sql", "SELECT count(*) FROM trials")).await["rows"][0][0], world.made.len());
    assert!(world.refusal(&path("sql", "SELEC 1")).await.1.contains("syntax error"));
    assert!(world.refusal("/api/sql").await.1.contains("no query"));
}

#[tokio::test]
async fn long_answers_are_cut_off_and_large_values_refused() {
    let world = World::new().await;
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 50000";
    let answer = world.json(&path("sql", many)).await;
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["truncated"]), (1_000, &Value::Bool(true)));
    let (status, message, _) = world.refusal(&path("sql", "SELECT length(zeroblob(500000000) || 'x')")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message.contains("too big"), "{message}");
}

#[tokio::test]
async fn a_query_that_does_not_end_is_ended() {
    let world = World::new().await;
    let reader = Reader::open(&world.home.path().join(DATABASE)).await.unwrap();
    let limits = QueryLimits { time: Duration::from_millis(200), rows: 10, bytes: 1_000 };
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let start = Instant::now();
    let error = reader.query_within(endless, limits).await.unwrap_err();
    assert!(error.to_string().contains("longer than 0.2 s"), "{error}");
    assert!(error.cure().unwrap().contains("LIMIT"));
    assert!(start.elapsed() < Duration::from_secs(20));
    let wide = reader.query_within("SELECT printf('%.*c', 900, 'x') FROM trials", limits).await.unwrap();
    assert!(wide.truncated && wide.rows.len() == 1, "{}", wide.rows.len());
}

#[tokio::test]
async fn answers_can_be_downloaded_as_csv() {
    let world = World::new().await;
    let response = world.get(&path("sql.csv", "SELECT 1 AS a, 'x,\"y' AS b UNION ALL SELECT 2, NULL")).await;
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    assert!(response.headers()["content-disposition"].to_str().unwrap().contains("query.csv"));
    assert_eq!(response.text().await.unwrap(), "a,b\n1,\"x,\"\"y\"\n2,\n");
}

#[tokio::test]
async fn csv_that_is_too_large_is_refused_and_says_so() {
    let world = World::new().await;
    // Quotes are doubled: 40 million of them are within the limit of values, and beyond that of files.
    let quotes = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                  SELECT replace(hex(zeroblob(500000)), '0', '\"') FROM n LIMIT 40";
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 200001";
    for sql in [quotes, many] {
        let (status, message, cure) = world.refusal(&path("sql.csv", sql)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{message}");
        assert!(message.contains("48 MiB") && cure.contains("--format csv"), "{message} {cure}");
    }
    // As much is answered.
    let numbers = many.replace("200001", "200000");
    assert_eq!(world.get(&path("sql.csv", &numbers)).await.text().await.unwrap().lines().count(), 200_001);
}

#[tokio::test]
async fn every_column_has_a_meaning_and_every_example_an_answer() {
    let world = World::new().await;
    let schema = world.json("/api/schema").await;
    let tables = schema["tables"].as_array().unwrap();
    assert!(tables.len() > 15);
    let described = |table: &Value| {
        let columns = table["columns"].as_array().unwrap();
        (columns.len(), columns.iter().filter(|column| !column["what"].as_str().unwrap().is_empty()).count())
    };
    for name in ["trials", "attempts", "leaderboard", "cells", "device_samples"] {
        let table = tables.iter().find(|table| table["name"] == name).unwrap();
        let (all, told) = described(table);
        assert!(!table["what"].as_str().unwrap().is_empty() && told == all, "{name}: {told} of {all}");
    }
    for example in schema["examples"].as_array().unwrap() {
        world.json(&path("sql", example["sql"].as_str().unwrap())).await;
    }
}
