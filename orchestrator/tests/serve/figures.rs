//! Figures and metrics on the page's server.

use axum::http::StatusCode;

use crate::support::World;

#[tokio::test]
async fn figures_are_listed_and_drawn() {
    let world = World::new().await;
    let list = world.json("/api/figures").await;
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|figure| figure["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"curves") && names.contains(&"fractions"), "{names:?}");

    let told = |name: &str| list.as_array().unwrap().iter().find(|figure| figure["name"] == name).cloned().unwrap();
    assert!(told("curves")["reason"].is_null(), "{list}");
    // What cannot be drawn says why, and nothing that is asked for in vain is listed without a reason.
    for figure in list.as_array().unwrap() {
        let path = format!("/api/figures/{}.svg", figure["name"].as_str().unwrap());
        let drawn = world.get(&path).await.status() == StatusCode::OK;
        assert_eq!(drawn, figure["reason"].is_null(), "{figure}");
        assert!(!figure["cure"].as_str().unwrap_or_default().contains("`--"), "{figure}");
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
