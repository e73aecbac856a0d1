//! Server-sent events: what changed, in a few words. A page then asks for what it shows.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use super::{error::Refusal, site::Site};
use crate::{
    monitor::coordinator::coordinator,
    store::{Glance, StoreError},
};

/// How often the database is looked at, while somebody listens.
const POLL: Duration = Duration::from_millis(500);
/// A page that hears nothing for three times as long says so.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Pages that listen at once.
const MAX_STREAMS: usize = 64;
/// News that a slow page may be behind; beyond, it is told that everything changed.
const BACKLOG: usize = 16;

/// Who listens.
pub(super) struct Live {
    news: broadcast::Sender<News>,
    room: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self { news: broadcast::channel(BACKLOG).0, room: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct News {
    /// Whether there is a database; otherwise why there is none.
    database: Option<String>,
    /// There is none because nothing was launched yet.
    missing: bool,
    /// A coordinator came or went.
    coordinator: bool,
    /// Sweeps were launched.
    sweeps: bool,
    /// States of trials.
    trials: bool,
    /// Progress and metrics of trials that run.
    progress: bool,
    /// Events.
    events: bool,
    /// Samples of devices.
    devices: bool,
}

impl News {
    fn everything() -> Self {
        Self {
            sweeps: true,
            trials: true,
            progress: true,
            events: true,
            devices: true,
            coordinator: true,
            ..Self::default()
        }
    }

    fn without(error: &StoreError) -> Self {
        let missing = matches!(error, StoreError::Missing(_));
        Self { database: Some(error.to_string()), missing, ..Self::default() }
    }

    fn between(before: &Glance, after: &Glance) -> Option<Self> {
        let news = Self {
            sweeps: before.sweep != after.sweep,
            trials: before.states != after.states,
            progress: before.running != after.running,
            events: before.event != after.event,
            devices: before.sampled != after.sampled,
            ..Self::default()
        };
        (news != Self::default()).then_some(news)
    }
}

/// Looks at the database as long as anybody listens, and tells them.
pub(super) async fn follow(site: Arc<Site>) {
    let (mut follower, mut glance, mut generation) = (None, Glance::default(), 0);
    let mut trouble: Option<String> = None;
    let mut led = None;
    loop {
        tokio::time::sleep(POLL).await;
        if site.live.news.receiver_count() == 0 {
            // What happens meanwhile is told to nobody; who comes asks for everything.
            follower = None;
            continue;
        }
        let looked = async {
            let now = site.generation().await?;
            let fresh = follower.is_none() || now != generation;
            if fresh {
                follower = Some(site.reader().await?.follower().await?);
                // A connection counts commits for itself.
                let before = if now == generation { std::mem::take(&mut glance) } else { Glance::default() };
                (glance, generation) = (Glance { version: -1, ..before }, now);
            }
            let Some(follower) = &mut follower else { return Ok(None) };
            let after = follower.glance(&glance).await?;
            let news = News::between(&glance, &after);
            glance = after;
            Ok::<_, StoreError>(news)
        };
        match looked.await {
            Ok(news) => {
                let mut news = if trouble.take().is_some() { Some(News::everything()) } else { news };
                let now = coordinator(&site.home).map(|found| found.pid);
                if led.replace(now).is_some_and(|before| before != now) {
                    news.get_or_insert_default().coordinator = true;
                }
                if let Some(news) = news {
                    site.live.news.send(news).ok();
                }
            }
            Err(error) => {
                follower = None;
                let words = error.to_string();
                if trouble.as_ref() != Some(&words) {
                    site.live.news.send(News::without(&error)).ok();
                    trouble = Some(words);
                }
            }
        }
    }
}

/// The stream of one page.
pub(super) async fn stream(
    State(site): State<Arc<Site>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let Ok(permit) = Arc::clone(&site.live.room).try_acquire_owned() else {
        let message = format!("{MAX_STREAMS} pages are open already");
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message, "close some; this page tries again"));
    };
    let first = match site.reader().await {
        Ok(_) => News::everything(),
        Err(error) => News::without(&error),
    };
    let listener = Listener { news: site.live.news.subscribe(), first: Some(first), _permit: permit };
    let events = stream::unfold(listener, |mut listener| async {
        let news = match listener.first.take() {
            Some(first) => first,
            None => match listener.news.recv().await {
                Ok(news) => news,
                Err(broadcast::error::RecvError::Lagged(_)) => News::everything(),
                Err(broadcast::error::RecvError::Closed) => return None,
            },
        };
        let event = Event::default().event("news").json_data(news).unwrap_or_default();
        Some((Ok(event), listener))
    });
    let tick = KeepAlive::new().interval(KEEP_ALIVE).event(Event::default().event("tick").data("1"));
    Ok(Sse::new(events).keep_alive(tick))
}

struct Listener {
    news: broadcast::Receiver<News>,
    first: Option<News>,
    _permit: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_say_what_changed_and_nothing_else() {
        let before = Glance { version: 1, states: "done1".to_owned(), ..Glance::default() };
        assert_eq!(News::between(&before, &Glance { version: 2, ..before.clone() }), None);
        let after = Glance { version: 3, states: "done2".to_owned(), event: 4, ..Glance::default() };
        let news = News::between(&before, &after);
        assert_eq!(news, Some(News { trials: true, events: true, ..News::default() }));
    }
}
