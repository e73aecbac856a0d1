//! Devices over time.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    error::Answer,
    scope::{Wanted, number, sweep_of},
    site::Site,
};
use crate::{
    monitor::coordinator::coordinator,
    store::{ArrayRow, DeviceBucket, KnownDevice},
};

/// Stretches of time that are shown.
const BUCKETS: i64 = 480;
/// Arrays that are shown, the latest.
const MAX_ARRAYS: i64 = 1_500;
/// Samples are kept for an hour.
const SAMPLED_MS: i64 = 3_600_000;

/// Devices between two moments.
#[derive(Serialize)]
pub(super) struct Timeline {
    from: i64,
    to: i64,
    bucket_ms: i64,
    devices: Vec<KnownDevice>,
    buckets: Vec<DeviceBucket>,
    arrays: Vec<ArrayRow>,
    /// There are more.
    arrays_cut: bool,
    now: i64,
    /// A coordinator leads the home folder: arrays without an end run.
    led: bool,
    /// Until when they ran: now, or when a worker was heard from last.
    ran_until: i64,
}

/// `GET /api/devices`: `range` is in milliseconds until now, or `all`: from the first to the last attempt; without it, of the sweep's.
pub(super) async fn timeline(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Timeline> {
    let reader = site.reader().await?;
    let now = jiff::Timestamp::now().as_millisecond();
    let led = coordinator(&site.home).is_some();
    let (from, to) = match asked.get("range").map(String::as_str) {
        range @ (None | Some("" | "all")) => {
            let sweep = match range {
                Some("all") => None,
                _ => Some(site.sweep(&reader, sweep_of(&asked)).await?.row.sweep),
            };
            match reader.active_span(sweep).await? {
                // What a coordinator that died has left as running ran until its worker was heard from last.
                Some(span) if span.running && led => (span.first, now),
                Some(span) => (span.first, span.last),
                None => (now - SAMPLED_MS, now),
            }
        }
        Some(_) => (now - number(&asked, "range")?.unwrap_or(SAMPLED_MS).clamp(60_000, 366 * 86_400_000), now),
    };
    let to = to.max(from + 1_000);
    let fine = from >= now - SAMPLED_MS;
    let least = if fine { 1_000 } else { 60_000 };
    let bucket_ms = ((to - from) / BUCKETS / least + 1) * least;
    let (devices, buckets, mut arrays) = tokio::try_join!(
        reader.known_devices(),
        reader.device_buckets(from, to, bucket_ms, fine),
        reader.arrays(from, to, MAX_ARRAYS + 1),
    )?;
    let arrays_cut = arrays.len() as i64 > MAX_ARRAYS;
    arrays.truncate(MAX_ARRAYS as usize);
    let ran_until = if led || arrays.iter().all(|array| array.ended.is_some()) {
        now
    } else {
        reader.active_span(None).await?.map_or(now, |span| span.last)
    };
    Ok(Json(Timeline { from, to, bucket_ms, devices, buckets, arrays, arrays_cut, now, led, ran_until }))
}
