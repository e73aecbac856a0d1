//! What figures need beyond results.

use std::collections::BTreeMap;

use permafrost_worker::{id::TrialId, model::AdaptorShape};
use serde_json::json;

use super::{error::StoreError, reader::Reader};

/// What a stage's trials are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Reader of the collection, such as `rsna`.
    pub reader: String,
    /// Label column.
    pub label: String,
}

impl Reader {
    /// The folder that the database lies in, which paths of artifacts are relative to.
    pub fn folder(&self) -> std::path::PathBuf {
        self.path.parent().unwrap_or(std::path::Path::new("")).to_owned()
    }

    /// Trainable parameters of the Adaptor that each of these trials is on, by identity. Trials without one are not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn adaptor_parameters(&self, trials: &[i64]) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT t.id, a.task ->> '$.image_width', a.task ->> '$.text_width'
             FROM json_each(?) wanted JOIN trials t ON t.trial = wanted.value JOIN trials a ON a.id = t.task ->> '$.adaptor'",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let parameters = |image: i64, text: i64| {
            let shape = AdaptorShape { image_width: image as usize, text_width: text as usize };
            shape.parameters() as u64
        };
        Ok(rows.into_iter().map(|(id, image, text)| (id, parameters(image, text))).collect())
    }

    /// What these trials are about.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn subjects(&self, trials: &[i64]) -> Result<Vec<Subject>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT DISTINCT d.task ->> '$.reader.name', t.task ->> '$.label'
             FROM json_each(?) wanted JOIN trials t ON t.trial = wanted.value JOIN trials d ON d.id = t.task ->> '$.dataset'
             WHERE d.task ->> '$.reader.name' IS NOT NULL AND t.task ->> '$.label' IS NOT NULL ORDER BY 1, 2",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows.into_iter().map(|(reader, label)| Subject { reader, label }).collect())
    }

    /// The artifact of that name that a trial left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn artifact(
        &self,
        trial: TrialId,
        name: &str,
    ) -> Result<Option<permafrost_worker::protocol::Artifact>, StoreError> {
        let row: Option<super::reader::FileRow> = sqlx::query_as(
            "SELECT a.name, a.path, a.bytes, a.blake3 FROM trials t JOIN artifacts a USING (trial) WHERE t.id = ? AND a.name = ?",
        )
        .bind(trial.hex())
        .bind(name)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(row.map(Into::into))
    }
}
