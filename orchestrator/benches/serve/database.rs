//! A database as a large sweep leaves it, or as it is while the sweep runs: made with the store that the coordinator uses.

use std::{collections::BTreeMap, path::Path};

use permafrost::{
    core::{AttemptState, TrialState},
    store::{
        Change, DATABASE, EndedAttempt, NewSweep, NewWorker, PlannedRow, Progress, ResultRows, StateChange, Store,
    },
};
use permafrost_worker::{
    id::TrialId,
    protocol::{Artifact, DeviceInfo, Point},
    task::{Noop, NoopEnd, Task},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Trials that changes are written for at once.
const CHUNK: usize = 500;
const TEXT: [&str; 5] = ["bert", "biobert", "clinicalbert", "pubmedbert", "cxr-bert"];
const VISION: [&str; 3] = ["resnet-ae", "dinov2-s", "dinov2-b"];
const FRACTION: [f64; 3] = [0.01, 0.1, 1.0];

/// What is made.
#[derive(Clone, Copy)]
pub struct Size {
    /// Trials of the stage that has most.
    pub trials: usize,
    /// Epochs of each; two metrics an epoch.
    pub epochs: u64,
    /// Of the trials: those that run.
    pub running: usize,
    /// Of the trials: those that failed.
    pub failed: usize,
    /// Hours of minutes that devices were sampled.
    pub device_hours: i64,
}

/// One trial.
pub struct Made {
    /// Identity.
    pub id: TrialId,
    /// Parameters.
    pub parameters: Value,
    /// AUROC, where it is done.
    pub auroc: Option<f64>,
}

/// Makes the database; `name` is that of the sweep, and of what users may write freely.
///
/// # Errors
/// When it cannot be written.
pub async fn make(home: &Path, size: Size, name: &str) -> Result<Vec<Made>> {
    let store = Store::open(&home.join(DATABASE)).await?;
    let worker = Uuid::from_u128(1);
    let device =
        DeviceInfo { name: "cuda:0".to_owned(), model: "A card".to_owned(), threads: 8, memory_bytes: 80 << 30 };
    let (host, program) = ("a-host".to_owned(), "0.1.0".to_owned());
    store.apply(vec![Change::Worker(NewWorker { worker, host, pid: 1, program, device })]).await?;
    let (plan, mut made) = plan(size, name)?;
    store.apply(vec![Change::Submit(plan)]).await?;
    let all: Vec<usize> = (0..made.len()).collect();
    for chunk in all.chunks(CHUNK) {
        write(&store, worker, chunk, &mut made, size).await?;
    }
    store.close().await?;
    let mut db: SqliteConnection = SqliteConnectOptions::new().filename(home.join(DATABASE)).connect().await?;
    adaptors(&mut db).await?;
    devices(&mut db, size).await?;
    db.close().await?;
    Ok(made)
}

/// The points of a pre-training stage of fifteen pairs, and of heads on each.
fn plan(size: Size, name: &str) -> Result<(NewSweep, Vec<Made>)> {
    let mut trials = Vec::new();
    let mut made = Vec::new();
    let mut add = |stage: &str, parameters: Value, inputs: Vec<TrialId>| -> Result<TrialId> {
        let index = made.len() as u64;
        let task = Task::Noop(Noop { index, steps: 1, step_ms: 0, after: inputs.clone(), end: NoopEnd::Done });
        let id = task.id()?;
        trials.push(PlannedRow {
            id,
            kind: task.kind().name(),
            task: serde_json::to_string(&task)?,
            array_key: stage.to_owned(),
            inputs,
            stage: stage.to_owned(),
            parameters: parameters.to_string(),
        });
        made.push(Made { id, parameters, auroc: None });
        Ok(id)
    };
    let mut adaptors = Vec::new();
    for text in TEXT {
        for vision in VISION {
            let parameters = json!({"text": text, "vision": vision, "batch_size": 1024, "epochs": 50, "learning_rate": 2e-5,
                "dropout": 0.1, "warmup": 0.02, "weight_decay": 0.01, "seed": 0, "precision": "f32", "note": name});
            adaptors.push((text, vision, add("pretrain", parameters, vec![])?));
        }
    }
    for index in 0..size.trials {
        let (text, vision, adaptor) = adaptors[index % adaptors.len()];
        let rest = index / adaptors.len();
        let (fraction, rest) = (FRACTION[rest % 3], rest / 3);
        let (seed, rest) = (rest % 5, rest / 5);
        let decay = [0.0, 1e-4, 1e-3][rest / 20 % 3];
        let parameters = json!({"text": text, "vision": vision, "fraction": fraction, "seed": seed,
            "learning_rate": 1e-5 * 1.35_f64.powi((rest % 20) as i32), "weight_decay": decay, "batch_size": 64,
            "dropout": 0.1, "epochs": 50, "patience": 4, "min_delta": 0.001, "subset": "nested", "label": name,
            "pretrain.learning_rate": 2e-5, "pretrain.batch_size": 1024, "pretrain.epochs": 50, "pretrain.dropout": 0.1,
            "pretrain.warmup": 0.02, "pretrain.weight_decay": 0.01, "pretrain.seed": 0, "pretrain.precision": "f32"});
        add("classify", parameters, vec![adaptor])?;
    }
    let report = json!({
        "stages": [
            {"name": "pretrain", "kind": "pretrain", "trials": 15, "note": "grid 5 text x 3 vision", "metric": "val_loss", "maximize": false},
            {"name": "classify", "kind": "classify", "trials": size.trials, "note": "heads", "metric": "auroc", "maximize": true}],
        "tables": [{"title": name, "rows": ["text"], "columns": ["vision", "fraction"], "stage": "classify", "metric": "auroc",
            "filter": {}, "note": null, "reference": "paper-table-1"}],
    });
    let sweep = NewSweep {
        name: name.to_owned(),
        source: format!("name: {name}"),
        digest: format!("{name} {}", size.trials),
        report: report.to_string(),
        tags: vec![name.to_owned()],
        trials,
    };
    Ok((sweep, made))
}

async fn write(store: &Store, worker: Uuid, chunk: &[usize], made: &mut [Made], size: Size) -> Result<()> {
    let count = made.len();
    let states = |from, to, places: &mut dyn Iterator<Item = usize>, made: &[Made]| {
        let change = |place: usize| StateChange { trial: made[place].id, from, to, not_before_in_ms: None };
        Change::States(places.map(change).collect())
    };
    let runs = |place: usize| place >= count - size.running;
    let fails = |place: usize| !runs(place) && place >= count - size.running - size.failed;
    let all = || chunk.iter().copied();
    let mut changes = vec![
        states(TrialState::Waiting, TrialState::Ready, &mut all(), made),
        Change::Grant { worker, leases: all().map(|place| (made[place].id, 1)).collect() },
    ];
    for place in all() {
        let skill = skill(&made[place].parameters, place);
        let epochs = if runs(place) { size.epochs / 2 } else { size.epochs };
        let points = (0..epochs).flat_map(|epoch| {
            let loss =
                0.7 - (skill - 0.5) * (1.0 - (-(epoch as f64) / 12.0).exp()) + noise(place as u64 * 997 + epoch) * 0.02;
            let metric = if place < 15 { "val_loss" } else { "val_auroc" };
            let other = if place < 15 { loss + 0.1 } else { 1.2 - loss };
            [("train_loss", loss), (metric, other)].map(|(name, value)| Point {
                name: name.to_owned(),
                step: epoch,
                value,
            })
        });
        changes.push(Change::Points { trial: made[place].id, attempt: 1, points: points.collect() });
        if runs(place) {
            let progress = Progress { trial: made[place].id, attempt: 1, done: 25, total: 50, resumed_step: None };
            changes.push(Change::Progress(vec![progress]));
        }
    }
    let results = all().filter(|&place| !runs(place) && !fails(place)).map(|place| {
        let value = skill(&made[place].parameters, place);
        let names: [(&str, f64); 4] =
            [("auroc", value), ("accuracy", value - 0.05), ("val_auroc", value + 0.01), ("epochs", 50.0)];
        let mut summary: BTreeMap<String, f64> =
            names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if place < 15 {
            summary.insert("val_loss".to_owned(), 2.0 - value);
        }
        let path = format!("artifacts/{place}/head.safetensors").into();
        let artifact = Artifact { name: "head.safetensors".to_owned(), path, bytes: 4096, blake3: "ab".repeat(32) };
        (place, ResultRows { trial: made[place].id, attempt: 1, summary, artifacts: vec![artifact] })
    });
    let results: Vec<(usize, ResultRows)> = results.collect();
    for (place, rows) in &results {
        made[*place].auroc = rows.summary.get("auroc").copied();
    }
    changes.push(Change::Results(results.into_iter().map(|(_, rows)| rows).collect()));
    let ended = all().filter(|&place| !runs(place)).map(|place| EndedAttempt {
        trial: made[place].id,
        attempt: 1,
        state: if fails(place) { AttemptState::Failed } else { AttemptState::Done },
        class: fails(place).then_some("resources"),
        message: fails(place).then(|| "out of memory on <b>cuda:0</b>".to_owned()),
        cure: fails(place).then(|| "use a smaller `batch_size`".to_owned()),
    });
    changes.push(Change::Ended(ended.collect()));
    changes.push(states(TrialState::Running, TrialState::Done, &mut all().filter(|&p| !runs(p) && !fails(p)), made));
    changes.push(states(TrialState::Running, TrialState::Failed, &mut all().filter(|&p| fails(p)), made));
    let recorded = store.apply(changes).await?;
    if recorded.refused.is_empty() { Ok(()) } else { Err(format!("{:?}", recorded.refused).into()) }
}

/// What a trial of these parameters would reach.
fn skill(parameters: &Value, place: usize) -> f64 {
    let vision = VISION.iter().position(|name| parameters["vision"] == *name).unwrap_or(0) as f64;
    let fraction = parameters["fraction"].as_f64().unwrap_or(1.0);
    let rate = (parameters["learning_rate"].as_f64().unwrap_or(1e-4) / 4e-4).ln();
    0.77 + 0.02 * vision + 0.025 * fraction.log10().max(-2.0) / 2.0 - 0.004 * rate * rate + 0.012 * noise(place as u64)
}

/// A number between -0.5 and 0.5.
fn noise(index: u64) -> f64 {
    let mut z = index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// Tells of what trials did that they were about Adaptors: figures ask for that.
async fn adaptors(db: &mut SqliteConnection) -> Result<()> {
    let of_stage = "SELECT trial FROM sweep_trials WHERE stage =";
    for sql in [
        format!(
            "UPDATE trials SET task = json_set(task, '$.image_width', 768, '$.text_width', 768) WHERE trial IN ({of_stage} 'pretrain')"
        ),
        format!(
            "UPDATE trials SET task = json_set(task, '$.adaptor', (SELECT i.id FROM trial_inputs e JOIN trials i ON i.trial = e.input
             WHERE e.trial = trials.trial)) WHERE trial IN ({of_stage} 'classify')"
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql).into_sql_str()).execute(&mut *db).await?;
    }
    Ok(())
}

/// Four devices with an hour of samples and many of minutes.
async fn devices(db: &mut SqliteConnection, size: Size) -> Result<()> {
    let now = jiff::Timestamp::now().as_millisecond();
    for device in 0..4_i64 {
        sqlx::query("INSERT INTO devices (device, host, name, model, memory_bytes, power_limit_w) VALUES (?1, 'a-host', 'cuda:' || ?2, 'A card', 85899345920, 700)")
            .bind(device + 1).bind(device).execute(&mut *db).await?;
    }
    let samples = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 3599)
        INSERT INTO device_samples (device, at, utilisation, memory_used_bytes, power_w, temperature_c, sm_clock_mhz, processes, members)
        SELECT d.device, ?1 - i * 1000, 0.5 + 0.4 * ((i * 7 + d.device) % 10) / 10.0, 2e10, 400, 60, 1980, 1, 16 FROM n, devices d";
    let minutes = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 * 60)
        INSERT INTO device_minutes (device, minute, samples, utilisation, memory_used_bytes, power_w, energy_j, temperature_c, sm_clock_mhz, throttled, busy_members)
        SELECT d.device, (?1 / 60000 - i) * 60000, 60, 0.5 + 0.4 * ((i * 7 + d.device) % 10) / 10.0, 2e10, 400, 24000, 60, 1980, 0, 16 FROM n, devices d";
    sqlx::query(samples).bind(now).execute(&mut *db).await?;
    sqlx::query(minutes).bind(now).bind(size.device_hours).execute(&mut *db).await?;
    let usage = "INSERT INTO attempt_usage (trial, attempt, device, device_s, busy_s, energy_j, memory_peak_bytes)
        SELECT trial, attempt, 1, 12.5, 10, 5000, 2e9 FROM attempts WHERE state = 'done'";
    sqlx::query(usage).execute(&mut *db).await?;
    Ok(())
}
