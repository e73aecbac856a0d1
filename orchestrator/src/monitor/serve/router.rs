//! Routes.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    access, answer, assets, compare, console, curves, devices,
    error::{Answer, Refusal},
    figures, grid, live, overview, parallel,
    site::Site,
    trial, trials,
};

/// Paths of pages; what they show is the script's business.
const PAGES: [&str; 10] =
    ["/", "/trials", "/curves", "/grid", "/trial/{id}", "/compare", "/parallel", "/devices", "/sql", "/figures"];

/// All routes.
pub(super) fn router(site: Arc<Site>) -> Router {
    let mut router = Router::new();
    for path in PAGES {
        router = router.route(path, get(async || Html(assets::PAGE)));
    }
    let answered = router
        .route("/assets/{*path}", get(asset))
        .route("/api/site", get(about))
        .route("/api/sweeps", get(overview::sweeps))
        .route("/api/overview", get(overview::overview))
        .route("/api/fields", get(trials::fields))
        .route("/api/trials", get(trials::trials))
        .route("/api/curves", get(curves::curves))
        .route("/api/grid", get(grid::grid))
        .route("/api/trial/{id}", get(trial::trial))
        .route("/api/trial/{id}/curves", get(trial::curves))
        .route("/api/trial/{id}/log", get(trial::log))
        .route("/api/compare", get(compare::compare))
        .route("/api/parallel", get(parallel::parallel))
        .route("/api/devices", get(devices::timeline))
        .route("/api/schema", get(console::schema))
        .route("/api/sql", get(console::query))
        .route("/api/sql.csv", get(console::csv))
        .route("/api/figures", get(figures::list))
        .route("/api/figures/{file}", get(figures::file))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), at_work))
        .layer(middleware::from_fn(answer::finish));
    answered
        .route("/api/live", get(live::stream))
        .fallback(lost)
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this server only reads: GET alone is answered", "use GET")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&site), access::check))
        .layer(middleware::from_fn(access::headers))
        .with_state(site)
}

/// Lets so many requests work at once.
async fn at_work(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    match site.at_work.acquire().await {
        Ok(_permit) => next.run(request).await,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn asset(request: Request) -> Response {
    match assets::find(request.uri().path()) {
        Some(asset) => asset.into_response(),
        None => Refusal::not_found("there is no such file", "reload the page").into_response(),
    }
}

/// What is not there: the page says so to people, JSON to programs.
async fn lost(request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        return Refusal::not_found("there is no such path", "docs/serve.md lists them").into_response();
    }
    (StatusCode::NOT_FOUND, Html(assets::PAGE)).into_response()
}

/// What the server is.
#[derive(Serialize)]
struct About {
    program: &'static str,
    home: String,
}

async fn about(State(site): State<Arc<Site>>) -> Answer<About> {
    Ok(Json(About { program: permafrost_worker::PROGRAM_VERSION, home: site.home.display().to_string() }))
}

async fn metrics(State(site): State<Arc<Site>>) -> Result<Response, Refusal> {
    let text = crate::monitor::metrics::metrics(&site.reader().await?).await?;
    Ok(([(header::CONTENT_TYPE, crate::monitor::metrics::CONTENT_TYPE)], text).into_response())
}
