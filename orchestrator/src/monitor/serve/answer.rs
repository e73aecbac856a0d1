//! The last touch on a response: a tag by which a browser sees that it has it already, and compression.

use std::io::Write;

use axum::{
    body::{self, Body},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use tokio::task::spawn_blocking;

use super::error::Refusal;

/// Responses of less are sent as they are.
const MIN_COMPRESSED: usize = 2_048;
/// Nothing here is larger; what is comes from a fault.
const MAX_BYTES: usize = 64 << 20;
/// Responses of more are worked on apart, so that others need not wait.
const LARGE: usize = 1 << 20;

/// Tags and compresses.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let gzip = accepts_gzip(request.headers());
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if response.status() != StatusCode::OK || kind.starts_with("text/event-stream") {
        return response;
    }
    let compressible = kind.starts_with("text/") || kind.contains("json") || kind.contains("svg");
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = body::to_bytes(body, MAX_BYTES).await else {
        let message = format!("the answer has more than {} MiB", MAX_BYTES >> 20);
        return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message, "ask for less").into_response();
    };
    let work = {
        let (bytes, gzip) = (bytes.clone(), gzip && compressible && bytes.len() >= MIN_COMPRESSED);
        move || pack(&bytes, known.as_ref(), gzip)
    };
    let packed = if bytes.len() < LARGE { work() } else { spawn_blocking(work).await.unwrap_or_default() };
    if let Some(tag) = packed.tag {
        parts.headers.insert(header::ETAG, tag);
    }
    if packed.seen {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(packed) = packed.gzip {
        parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::from(packed));
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// What is made of a response.
#[derive(Default)]
struct Packed {
    tag: Option<HeaderValue>,
    /// The browser has it already.
    seen: bool,
    gzip: Option<Vec<u8>>,
}

fn pack(bytes: &[u8], known: Option<&HeaderValue>, gzip: bool) -> Packed {
    // Weak: compressed or not, it says the same.
    let tag = HeaderValue::from_str(&format!("W/\"{}\"", &blake3::hash(bytes).to_hex()[..32])).ok();
    let seen = tag.is_some() && known == tag.as_ref();
    let compressed = || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).ok()
    };
    Packed { tag, seen, gzip: if gzip && !seen { compressed() } else { None } }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| coding.trim() == "gzip" || coding.trim().starts_with("gzip;q=1"))
}
