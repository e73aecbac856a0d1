//! Writing what devices did: samples of the last hour, minutes, and what attempts took.

use std::collections::HashMap;

use permafrost_worker::{
    monitor::xid_meaning,
    protocol::{Happening, Incident, Sample, SampledDevice},
};
use serde_json::json;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    change::DeviceNews,
    tables::{Tables, now_ms},
    usage::UsageRow,
    writer::Failed,
};

/// Samples are kept so long, in milliseconds.
const KEPT_MS: i64 = 3_600_000;
/// Old samples of a device are looked for when so many were added.
const TRIM_AFTER: usize = 60;
const MINUTE_MS: i64 = 60_000;

/// What the writer remembers of devices and of who samples them.
#[derive(Default)]
pub(super) struct Devices {
    workers: HashMap<Uuid, Place>,
    /// When each device was sampled last, whoever did it: no moment counts twice.
    last: HashMap<i64, i64>,
}

/// Where a worker runs, and the device that it samples.
struct Place {
    worker: i64,
    host: String,
    name: String,
    device: Option<(i64, SampledDevice)>,
    added: usize,
}

impl Devices {
    /// A worker has registered.
    pub(super) fn introduced(&mut self, id: Uuid, worker: i64, host: String, name: String) {
        self.workers.insert(id, Place { worker, host, name, device: None, added: 0 });
    }

    /// Milliseconds of a sample that no other has told of.
    fn news_ms(&mut self, device: i64, sample: &Sample) -> i64 {
        let last = self.last.insert(device, sample.at).unwrap_or(i64::MIN);
        (sample.span_ms as i64).min(sample.at.saturating_sub(last)).max(0)
    }
}

/// Sums of one request.
#[derive(Default)]
struct Totals {
    observed_s: f64,
    busy_s: f64,
    energy_j: Option<f64>,
}

impl Tables {
    /// Writes what the device of a worker did. A worker that has not registered is none of ours.
    pub(super) async fn samples(&mut self, db: &mut SqliteConnection, news: DeviceNews) -> Result<(), Failed> {
        let DeviceNews { worker, device: info, samples, incidents } = news;
        let Some(place) = self.devices.workers.get_mut(&worker) else { return Ok(()) };
        let device = match &place.device {
            Some((device, known)) if *known == info => *device,
            _ => {
                let device = upsert(db, &place.host, &place.name, &info).await?;
                place.device = Some((device, info));
                device
            }
        };
        place.added += samples.len();
        let trims = place.added >= TRIM_AFTER;
        if trims {
            place.added = 0;
        }
        let mut totals = Totals::default();
        for sample in &samples {
            let seconds = self.devices.news_ms(device, sample) as f64 / 1e3;
            let share = if sample.span_ms > 0 { seconds * 1e3 / sample.span_ms as f64 } else { 0.0 };
            let energy_j = sample.energy_j.map(|energy| energy * share);
            totals.observed_s += seconds;
            totals.busy_s += seconds * sample.utilisation.unwrap_or(0.0);
            totals.energy_j = [totals.energy_j, energy_j].into_iter().flatten().reduce(|a, b| a + b);
            insert(db, device, sample).await?;
            minute(db, device, sample, seconds, energy_j).await?;
            self.ledger.sampled(worker, device, sample);
        }
        if totals.observed_s > 0.0 {
            sqlx::query(
                "UPDATE devices SET observed_s = observed_s + ?2, busy_s = busy_s + ?3,
                     energy_j = coalesce(energy_j + ?4, energy_j, ?4) WHERE device = ?1",
            )
            .bind(device)
            .bind(totals.observed_s)
            .bind(totals.busy_s)
            .bind(totals.energy_j)
            .execute(&mut *db)
            .await?;
        }
        for incident in &incidents {
            self.incident(db, worker, device, incident).await?;
        }
        if trims {
            trim(db, Some(device)).await?;
        }
        let usage = self.ledger.due(worker, now_ms());
        write_usage(db, &usage).await
    }

    /// What is known of the attempts of a worker that has left, or of all.
    pub(super) async fn worker_left(&mut self, db: &mut SqliteConnection, worker: Option<Uuid>) -> Result<(), Failed> {
        match worker {
            None => self.devices = Devices::default(),
            Some(worker) => {
                self.devices.workers.remove(&worker);
            }
        }
        write_usage(db, &self.ledger.left(worker)).await
    }

    async fn incident(
        &mut self,
        db: &mut SqliteConnection,
        worker: Uuid,
        device: i64,
        incident: &Incident,
    ) -> Result<(), Failed> {
        let Some(place) = self.devices.workers.get(&worker) else { return Ok(()) };
        let (kind, what) = match &incident.what {
            Happening::Xid(number) => {
                sqlx::query("UPDATE devices SET xid_errors = xid_errors + 1, last_xid = ?2 WHERE device = ?1")
                    .bind(device)
                    .bind(i64::try_from(*number).unwrap_or(i64::MAX))
                    .execute(&mut *db)
                    .await?;
                let meaning = xid_meaning(*number).map(|meaning| format!(": {meaning}")).unwrap_or_default();
                ("xid", format!("critical error (XID) {number}{meaning}"))
            }
            Happening::Lost(why) => ("device-lost", format!("the driver does not reach the card any more: {why}")),
            Happening::Back => ("device-back", "the driver reaches the card again".to_owned()),
        };
        let detail = format!("{} on {}: {what}", place.name, place.host);
        self.events += 1;
        sqlx::query("INSERT INTO events (at, kind, worker, detail) VALUES (?, ?, ?, ?)")
            .bind(incident.at)
            .bind(kind)
            .bind(place.worker)
            .bind(detail)
            .execute(db)
            .await?;
        Ok(())
    }
}

/// Writes a device, or what has changed of it.
async fn upsert(db: &mut SqliteConnection, host: &str, name: &str, info: &SampledDevice) -> Result<i64, Failed> {
    let row = sqlx::query_scalar(
        "INSERT INTO devices (host, name, uuid, model, memory_bytes, power_limit_w, driver) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (host, name, uuid) DO UPDATE SET model = excluded.model, memory_bytes = excluded.memory_bytes,
             power_limit_w = excluded.power_limit_w, driver = excluded.driver RETURNING device",
    )
    .bind(host)
    .bind(name)
    .bind(&info.uuid)
    .bind(&info.model)
    .bind(info.memory_bytes as i64)
    .bind(info.power_limit_w)
    .bind(&info.driver)
    .fetch_one(db)
    .await?;
    Ok(row)
}

async fn insert(db: &mut SqliteConnection, device: i64, sample: &Sample) -> Result<(), Failed> {
    // Two workers of one processor may sample it in the same millisecond.
    sqlx::query(
        "INSERT OR REPLACE INTO device_samples (device, at, utilisation, memory_used_bytes, own_memory_bytes, power_w, temperature_c,
             sm_clock_mhz, memory_clock_mhz, throttle, ecc_corrected, ecc_uncorrected, processes, host_utilisation, members)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(device)
    .bind(sample.at)
    .bind(sample.utilisation)
    .bind(sample.memory_used_bytes.map(|bytes| bytes as i64))
    .bind(sample.own_memory_bytes.map(|bytes| bytes as i64))
    .bind(sample.power_w)
    .bind(sample.temperature_c)
    .bind(sample.sm_clock_mhz)
    .bind(sample.memory_clock_mhz)
    .bind(&sample.throttle)
    .bind(sample.ecc_corrected.map(|errors| errors as i64))
    .bind(sample.ecc_uncorrected.map(|errors| errors as i64))
    .bind(sample.processes)
    .bind(sample.host_utilisation)
    .bind(sample.members)
    .execute(db)
    .await?;
    Ok(())
}

/// Adds a sample to its minute; means are weighted by the seconds that samples stand for.
async fn minute(
    db: &mut SqliteConnection,
    device: i64,
    sample: &Sample,
    seconds: f64,
    energy_j: Option<f64>,
) -> Result<(), Failed> {
    // A quotient by 0 is NULL: the first sample of a device has no weight, and its value stands until there is one that has.
    sqlx::query(
        "INSERT INTO device_minutes AS m (device, minute, samples, seconds, utilisation, memory_used_bytes, power_w, energy_j,
             temperature_c, sm_clock_mhz, throttled, busy_members)
         VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (device, minute) DO UPDATE SET samples = m.samples + 1, seconds = m.seconds + ?3,
             utilisation = coalesce((m.utilisation * m.seconds + ?4 * ?3) / (m.seconds + ?3), m.utilisation, ?4),
             memory_used_bytes = coalesce(max(m.memory_used_bytes, ?5), m.memory_used_bytes, ?5),
             power_w = coalesce((m.power_w * m.seconds + ?6 * ?3) / (m.seconds + ?3), m.power_w, ?6),
             energy_j = coalesce(m.energy_j + ?7, m.energy_j, ?7),
             temperature_c = coalesce(max(m.temperature_c, ?8), m.temperature_c, ?8),
             sm_clock_mhz = coalesce((m.sm_clock_mhz * m.seconds + ?9 * ?3) / (m.seconds + ?3), m.sm_clock_mhz, ?9),
             throttled = coalesce((m.throttled * m.seconds + ?10 * ?3) / (m.seconds + ?3), m.throttled),
             busy_members = coalesce((m.busy_members * m.seconds + ?11 * ?3) / (m.seconds + ?3), m.busy_members)",
    )
    .bind(device)
    .bind(sample.at - sample.at.rem_euclid(MINUTE_MS))
    .bind(seconds)
    .bind(sample.utilisation)
    .bind(sample.memory_used_bytes.map(|bytes| bytes as i64))
    .bind(sample.power_w)
    .bind(energy_j)
    .bind(sample.temperature_c)
    .bind(sample.sm_clock_mhz)
    .bind(f64::from(u8::from(sample.throttle.is_some())))
    .bind(f64::from(sample.members))
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what attempts took: what stands there is replaced.
pub(super) async fn write_usage(db: &mut SqliteConnection, rows: &[UsageRow]) -> Result<(), Failed> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let used = &row.used;
            json!([
                row.key.0,
                row.key.1,
                row.device,
                used.device_s,
                used.busy_s,
                used.energy_j,
                used.memory_peak_bytes,
                used.samples
            ])
        })
        .collect();
    sqlx::query(
        "INSERT OR REPLACE INTO attempt_usage (trial, attempt, device, device_s, busy_s, energy_j, memory_peak_bytes, samples)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
         FROM json_each(?)",
    )
    .bind(json!(rows).to_string())
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets samples that are older than an hour, of one device or of all.
pub(super) async fn trim(db: &mut SqliteConnection, device: Option<i64>) -> Result<(), Failed> {
    let oldest = now_ms() - KEPT_MS;
    let query = match device {
        Some(device) => {
            sqlx::query("DELETE FROM device_samples WHERE device = ?2 AND at < ?1").bind(oldest).bind(device)
        }
        None => sqlx::query("DELETE FROM device_samples WHERE at < ?1").bind(oldest),
    };
    query.execute(db).await?;
    Ok(())
}
