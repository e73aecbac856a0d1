//! Figures and metrics on the page's server.

use axum::http::StatusCode;
use permafrost::store::DATABASE;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, sqlite::SqliteConnectOptions};

use crate::support::World;

#[tokio::test]
async fn figures_are_listed_and_drawn() {
    let world = World::new().await;
    let list = world.json("/api/figures").await;
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|figure| figure["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fractions", "params", "curves"]);
    for name in &names {
        let told = world.json(&format!("/api/figures/{name}.json")).await;
        assert!(told["svg"].as_str().is_some_and(|svg| svg.ends_with("</svg>\n")), "{name}: {told}");
        assert!(told["reason"].is_null() && told["cure"].is_null(), "{told}");
    }

    let drawn = world.get("/api/figures/curves.svg").await;
    assert_eq!(drawn.status(), StatusCode::OK);
    assert_eq!(drawn.headers()["content-type"], "image/svg+xml");
    let light = drawn.text().await.unwrap();
    assert!(light.contains("</svg>"));
    assert_ne!(world.get("/api/figures/curves.svg?theme=dark").await.text().await.unwrap(), light);
    let png = world.get("/api/figures/curves.png").await.bytes().await.unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let csv = world.get("/api/figures/curves.csv").await.text().await.unwrap();
    assert!(csv.lines().count() > 1, "{csv}");

    for none in ["/api/figures/nothing.svg", "/api/figures/curves.exe", "/api/figures/curves"] {
        assert_eq!(world.refusal(none).await.0, StatusCode::NOT_FOUND, "{none}");
    }
}

#[tokio::test]
async fn what_cannot_be_drawn_says_why_to_a_page_and_is_not_there_for_others() {
    let world = World::new().await;
    let path = world.home.path().join(DATABASE);
    let mut db = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    for table in ["results", "metrics"] {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}")).into_sql_str()).execute(&mut db).await.unwrap();
    }
    db.close().await.unwrap();
    for name in ["fractions", "params", "curves"] {
        let told = world.json(&format!("/api/figures/{name}.json")).await;
        assert!(
            told["svg"].is_null() && told["reason"].as_str().is_some_and(|text| text.contains("no trial")),
            "{told}"
        );
        assert!(told["cure"].as_str().is_some_and(|cure| cure.contains("status") && !cure.contains("`--")), "{told}");
        assert_eq!(world.refusal(&format!("/api/figures/{name}.svg")).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn metrics_are_served() {
    let world = World::new().await;
    let answer = world.get("/metrics").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.text().await.unwrap().contains("\npermafrost_trials{"));
}
