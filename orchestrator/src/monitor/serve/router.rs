//! Routes.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    access, answer, assets, compare, console, curves, devices,
    error::{Answer, Refusal},
    extensions::FigureInfo,
    grid, live, overview, parallel,
    scope::{Wanted, number},
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
        .route("/api/figures", get(figures))
        .route("/api/figures/{file}", get(figure))
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
    figures: bool,
    metrics: bool,
}

async fn about(State(site): State<Arc<Site>>) -> Answer<About> {
    Ok(Json(About {
        program: permafrost_worker::PROGRAM_VERSION,
        home: site.home.display().to_string(),
        figures: site.extensions.figures.is_some(),
        metrics: site.extensions.metrics.is_some(),
    }))
}

fn not_offered(what: &str) -> Refusal {
    Refusal::not_found(format!("this server offers no {what}"), "use a version of the program that does")
}

async fn metrics(State(site): State<Arc<Site>>) -> Result<Response, Refusal> {
    let make = site.extensions.metrics.as_ref().ok_or_else(|| not_offered("metrics"))?;
    let text = make(site.reader().await?).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn figures(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Vec<FigureInfo>> {
    let figures = site.extensions.figures.as_ref().ok_or_else(|| not_offered("figures"))?;
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, number(&asked, "sweep")?).await?;
    Ok(Json(figures.list(reader, loaded.row.sweep).await?))
}

async fn figure(
    State(site): State<Arc<Site>>,
    Path(file): Path<String>,
    Wanted(asked): Wanted,
) -> Result<Response, Refusal> {
    let figures = site.extensions.figures.as_ref().ok_or_else(|| not_offered("figures"))?;
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, number(&asked, "sweep")?).await?;
    let (name, extension) = file.rsplit_once('.').unwrap_or((&file, "svg"));
    let drawn = figures.draw(reader, loaded.row.sweep, name.to_owned(), extension.to_owned()).await?;
    let drawn = drawn.ok_or_else(|| Refusal::not_found(format!("there is no figure `{file}`"), "see /api/figures"))?;
    Ok(([(header::CONTENT_TYPE, drawn.content_type)], drawn.bytes).into_response())
}
