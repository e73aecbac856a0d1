//! The HTTP API: checks the token, hands requests to the actor, and answers.

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State, rejection::JsonRejection},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use permafrost_worker::protocol::Refusal;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::message::{ApiError, Message, Reply};
use crate::{
    monitor::metrics::{self, metrics},
    store::Reader,
};

/// A plan of 100,000 trials is some 80 MB of JSON.
const MAX_SUBMIT_BYTES: usize = 256 << 20;
/// A full report is some 2 MB.
const MAX_BODY_BYTES: usize = 16 << 20;

/// What handlers need.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) actor: mpsc::Sender<Message>,
    pub(super) token: String,
    /// Of its own, so that no scrape waits for what workers ask, nor they for it.
    pub(super) reader: Reader,
}

/// The routes.
pub(super) fn router(api: Api) -> Router {
    /// A route that turns its body into a message and waits for the actor's reply.
    macro_rules! route {
        ($message:ident) => {
            post(|State(api): State<Api>, body: Result<Json<_>, JsonRejection>| async move {
                ask(&api, body, |body, reply| Message::$message(body, reply)).await
            })
        };
    }
    let submit = Router::new().route("/v1/submit", route!(Submit)).layer(DefaultBodyLimit::max(MAX_SUBMIT_BYTES));
    Router::new()
        .route("/v1/workers", route!(Register))
        .route("/v1/lease", route!(Lease))
        .route("/v1/report", route!(Report))
        .route("/v1/finish", route!(Finish))
        .route("/v1/samples", route!(Samples))
        .route("/v1/control", route!(Control))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .route("/metrics", get(scrape))
        .merge(submit)
        .fallback(async || refuse(StatusCode::NOT_FOUND, "there is no such path".to_owned(), None))
        .method_not_allowed_fallback(async || {
            let message = "only POST is answered, and GET of /metrics".to_owned();
            refuse(StatusCode::METHOD_NOT_ALLOWED, message, None)
        })
        .layer(middleware::from_fn_with_state(api.clone(), check_token))
        .with_state(api)
}

async fn ask<B, R: Serialize>(
    api: &Api,
    body: Result<Json<B>, JsonRejection>,
    message: impl FnOnce(B, Reply<R>) -> Message,
) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return refuse(rejection.status(), rejection.body_text(), None),
    };
    let (reply, answer) = oneshot::channel();
    if api.actor.send(message(body, reply)).await.is_err() {
        return gone();
    }
    match answer.await {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(_) => gone(),
    }
}

/// Metrics for Prometheus.
async fn scrape(State(api): State<Api>) -> Response {
    match metrics(&api.reader).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}

async fn check_token(State(api): State<Api>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    // Comparing digests takes the same time wherever the tokens differ.
    if blake3::hash(given.as_bytes()) == blake3::hash(api.token.as_bytes()) {
        return next.run(request).await;
    }
    let cure = "the token is in the file `token` of the coordinator's home folder".to_owned();
    refuse(StatusCode::UNAUTHORIZED, "wrong token".to_owned(), Some(cure))
}

fn gone() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the coordinator is leaving".to_owned(), None)
}

fn refuse(status: StatusCode, message: String, cure: Option<String>) -> Response {
    (status, Json(Refusal { message, cure })).into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        refuse(self.status(), self.to_string(), self.cure())
    }
}
