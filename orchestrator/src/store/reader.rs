//! Reading the database, beside the writer or long after it. These connections cannot write: SQLite refuses.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use permafrost_worker::{
    id::TrialId,
    protocol::{Artifact, Checkpoint},
    task::Task,
};
use serde_json::json;
use sqlx::{FromRow, SqlitePool, sqlite::SqlitePoolOptions};

use super::{error::StoreError, open};

/// Connections that read side by side.
const CONNECTIONS: u32 = 4;
/// Candidates named when a prefix is ambiguous.
const CANDIDATES: usize = 5;

/// Reads the database.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) pool: SqlitePool,
    pub(super) path: PathBuf,
}

/// What a worker needs to run a trial.
#[derive(Clone, Debug)]
pub struct Payload {
    /// What to do.
    pub task: Task,
    /// Files of its inputs, and those that it left itself when it was done before.
    pub inputs: BTreeMap<TrialId, Vec<Artifact>>,
    /// Where it can go on, newest first.
    pub checkpoints: Vec<Checkpoint>,
}

#[derive(FromRow)]
pub(super) struct FileRow {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) bytes: i64,
    pub(super) blake3: String,
}

impl From<FileRow> for Artifact {
    fn from(row: FileRow) -> Self {
        Self { name: row.name, path: row.path.into(), bytes: row.bytes as u64, blake3: row.blake3 }
    }
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or one of the wrong version or kind.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(open::reading(path))
            .await
            .map_err(|error| StoreError::from_sqlx(path, error))?;
        let reader = Self { pool, path: path.to_owned() };
        let mut connection = reader.pool.acquire().await.map_err(|error| reader.failed(error))?;
        open::check_version(&mut connection, path).await?;
        drop(connection);
        Ok(reader)
    }

    pub(super) fn failed(&self, error: sqlx::Error) -> StoreError {
        StoreError::from_sqlx(&self.path, error)
    }

    /// The trial whose identity begins so.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTrial`] and [`StoreError::Ambiguous`].
    pub async fn find_trial(&self, prefix: &str) -> Result<TrialId, StoreError> {
        let wanted = prefix.to_ascii_lowercase();
        if wanted.is_empty() || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StoreError::NoSuchTrial(prefix.to_owned()));
        }
        // `g` comes after every hexadecimal digit: a range that the index serves.
        let found: Vec<String> =
            sqlx::query_scalar("SELECT id FROM trials WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT ?2")
                .bind(&wanted)
                .bind(CANDIDATES as i64 + 1)
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.failed(error))?;
        match found.as_slice() {
            [] => Err(StoreError::NoSuchTrial(prefix.to_owned())),
            [id] => parse_id(id),
            several => Err(StoreError::Ambiguous {
                prefix: prefix.to_owned(),
                candidates: several.iter().take(CANDIDATES).map(|id| id[..10].to_owned()).collect(),
            }),
        }
    }

    /// What a worker needs to run these, in the order asked for.
    ///
    /// # Errors
    /// [`StoreError`], also when a trial is not there.
    pub async fn payloads(&self, trials: &[TrialId]) -> Result<Vec<Payload>, StoreError> {
        let ids = json!(trials.iter().map(TrialId::hex).collect::<Vec<_>>()).to_string();
        let tasks: Vec<(String, String)> =
            sqlx::query_as("SELECT id, task FROM trials WHERE id IN (SELECT value FROM json_each(?))")
                .bind(&ids)
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.failed(error))?;
        let inputs: Vec<(String, String, String, String, i64, String)> = sqlx::query_as(
            "SELECT t.id, i.id, a.name, a.path, a.bytes, a.blake3
             FROM trials t JOIN trial_inputs e USING (trial) JOIN trials i ON i.trial = e.input JOIN artifacts a ON a.trial = i.trial
             WHERE t.id IN (SELECT value FROM json_each(?1))
             UNION ALL
             SELECT t.id, t.id, a.name, a.path, a.bytes, a.blake3 FROM trials t JOIN artifacts a USING (trial)
             WHERE t.id IN (SELECT value FROM json_each(?1)) ORDER BY 3",
        )
        .bind(&ids)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let checkpoints: Vec<(String, i64, String, i64, String)> = sqlx::query_as(
            "SELECT t.id, c.step, c.path, c.bytes, c.blake3 FROM trials t JOIN checkpoints c USING (trial)
             WHERE t.id IN (SELECT value FROM json_each(?)) ORDER BY c.step DESC",
        )
        .bind(&ids)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;

        let mut found: HashMap<String, Payload> = HashMap::new();
        for (id, task) in tasks {
            let task =
                serde_json::from_str(&task).map_err(|error| StoreError::Content(format!("task of {id}: {error}")))?;
            found.insert(id, Payload { task, inputs: BTreeMap::new(), checkpoints: Vec::new() });
        }
        for (id, input, name, path, bytes, blake3) in inputs {
            if let Some(payload) = found.get_mut(&id) {
                let file = FileRow { name, path, bytes, blake3 }.into();
                payload.inputs.entry(parse_id(&input)?).or_default().push(file);
            }
        }
        for (id, step, path, bytes, blake3) in checkpoints {
            if let Some(payload) = found.get_mut(&id) {
                let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
                let file = FileRow { name, path, bytes, blake3 }.into();
                payload.checkpoints.push(Checkpoint { step: step as u64, file });
            }
        }
        let take = |id: &TrialId| found.remove(&id.hex()).ok_or_else(|| StoreError::NoSuchTrial(id.short()));
        trials.iter().map(take).collect()
    }
}

pub(super) fn parse_id(text: &str) -> Result<TrialId, StoreError> {
    text.parse().map_err(|error| StoreError::Content(format!("trial id: {error}")))
}
