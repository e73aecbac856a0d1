//! Sends what the sampler saw, beside all else: it holds up nothing, and nothing that goes wrong here ends a worker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tracing::{debug, warn};
use uuid::Uuid;

use super::client::{AgentError, Client};
use crate::{device::Device, monitor::Sampler, protocol::Samples};

/// While nothing runs, samples gather so long: a commit a second of an idle machine is a waste.
const IDLE: Duration = Duration::from_secs(5);
/// Two requests are at least this far apart.
const APART: Duration = Duration::from_millis(100);
/// Pause after a coordinator that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The sampler of a worker and the task that sends; both end with it.
pub(super) struct Monitor(Option<(Arc<Sampler>, JoinHandle<()>)>);

impl Monitor {
    /// Starts to sample each `interval`; zero: never.
    pub(super) fn start(device: &Device, interval: Duration, client: &Client, worker: Uuid) -> Self {
        Self((!interval.is_zero()).then(|| {
            let sampler = Arc::new(Sampler::start(device.subject(), interval));
            let task = tokio::spawn(send(Arc::clone(&sampler), client.clone(), worker));
            (sampler, task)
        }))
    }

    /// Says how many trials run now. When the last has ended, its end is sampled.
    pub(super) fn runs(&self, members: usize) {
        if let Some((sampler, _)) = &self.0 {
            let was_busy = sampler.is_busy();
            sampler.set_members(members);
            if was_busy && members == 0 {
                sampler.want();
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.0 {
            task.abort();
        }
    }
}

async fn send(sampler: Arc<Sampler>, client: Client, worker: Uuid) {
    let mut sent = Instant::now();
    let mut was_busy = true;
    let mut refused = false;
    loop {
        sampler.news().await;
        // What was sampled while trials ran, and right after, is awaited.
        let busy = sampler.is_busy();
        if !busy && !was_busy && sent.elapsed() < IDLE {
            continue;
        }
        was_busy = busy;
        tokio::time::sleep(APART.saturating_sub(sent.elapsed())).await;
        sent = Instant::now();
        let Some(batch) = sampler.take() else { continue };
        let sent_at = Timestamp::now().as_millisecond();
        let body =
            Samples { worker, sent_at, device: batch.device, samples: batch.samples, incidents: batch.incidents };
        match client.samples(&body).await {
            Ok(_) => refused = false,
            Err(AgentError::Refused { refusal, .. }) => {
                // Said once: the next ones will be refused for the same reason.
                if !std::mem::replace(&mut refused, true) {
                    warn!(message = refusal.message, "the coordinator refused samples");
                }
            }
            Err(error) => {
                debug!(%error, "samples could not be sent");
                let Samples { device, samples, incidents, .. } = body;
                sampler.put_back(crate::monitor::Batch { device, samples, incidents });
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
