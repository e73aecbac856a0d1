//! Figures and metrics on the page's server.

use axum::http::StatusCode;

use crate::support::World;

#[tokio::test]
async fn figures_are_listed_and_drawn() {
    let world = World::new().await;
    let list = world.json("/api/figures").await;
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|figure| figure["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"curves") && names.contains(&"fractions"), "{names:?}");

    assert!(world.json("/api/figures/curves.json").await["svg"].as_str().unwrap().ends_with("</svg>\n"));
    // What cannot be drawn says why to a page, and is not there for others.
    for name in &names {
        let told = world.json(&format!("/api/figures/{name}.json")).await;
        let drawn = world.get(&format!("/api/figures/{name}.svg")).await.status() == StatusCode::OK;
        assert_eq!((drawn, drawn), (told["svg"].is_string(), told["reason"].is_null()), "{told}");
        assert!(!told["cure"].as_str().unwrap_or_default().contains("`--"), "{told}");
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
async fn metrics_are_served() {
    let world = World::new().await;
    let answer = world.get("/metrics").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.text().await.unwrap().contains("\npermafrost_trials{"));
}
