//! Metrics: the one table with many rows.
//!
//! Values are bound, many rows a statement: text would not keep every bit, and a statement a row would cost more than the row.

use std::collections::{HashSet, VecDeque};

use permafrost_worker::{
    id::TrialId,
    protocol::{Attempt, Point},
};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{
    change::{Change, Refused},
    tables::{Tables, rows_sql, running},
    writer::Failed,
};

/// Rows of metrics a statement. SQLite allows 32,766 parameters.
const POINT_ROWS: usize = 1_000;

/// What one attempt reported.
pub(super) struct Reported {
    pub(super) trial: TrialId,
    pub(super) attempt: Attempt,
    pub(super) points: Vec<Point>,
}

impl Reported {
    /// Takes the [`Change::Points`] at the front, as far as they are of distinct trials: they are written as one.
    pub(super) fn take(changes: &mut VecDeque<Change>) -> Vec<Self> {
        let mut seen = HashSet::new();
        let mut taken = Vec::new();
        while matches!(changes.front(), Some(Change::Points { trial, .. }) if seen.insert(*trial)) {
            if let Some(Change::Points { trial, attempt, points }) = changes.pop_front() {
                taken.push(Self { trial, attempt, points });
            }
        }
        taken
    }
}

struct Row {
    trial: i64,
    metric: i64,
    step: i64,
    attempt: Attempt,
    value: f64,
}

impl Tables {
    /// Writes what attempts reported, as far as they run.
    pub(super) async fn points(
        &mut self,
        db: &mut SqliteConnection,
        reported: Vec<Reported>,
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        let leases = self.pairs(reported.iter().map(|reported| (reported.trial, reported.attempt)))?;
        let accepted = running(db, &leases, "metrics", refused).await?;
        let mut rows = Vec::with_capacity(reported.iter().map(|reported| reported.points.len()).sum());
        for (reported, lease) in reported.iter().zip(&leases) {
            if !accepted.contains(&lease.row) {
                continue;
            }
            for point in &reported.points {
                let metric = self.metric(db, &point.name).await?;
                let (trial, attempt) = (lease.row, reported.attempt);
                rows.push(Row { trial, metric, step: point.step as i64, attempt, value: point.value });
            }
        }
        for rows in rows.chunks(POINT_ROWS) {
            let mut query = sqlx::query(AssertSqlSafe(points_sql(rows.len())));
            for row in rows {
                query = query.bind(row.trial).bind(row.metric).bind(row.step).bind(row.attempt).bind(row.value);
            }
            // Only the full chunk's statement is worth keeping.
            query.persistent(rows.len() == POINT_ROWS || rows.len() <= 4).execute(&mut *db).await?;
        }
        Ok(())
    }

    async fn metric(&mut self, db: &mut SqliteConnection, name: &str) -> Result<i64, Failed> {
        if let Some(&id) = self.metrics.get(name) {
            return Ok(id);
        }
        let id = sqlx::query_scalar("INSERT INTO metric_names (name) VALUES (?) RETURNING metric")
            .bind(name)
            .fetch_one(&mut *db)
            .await?;
        self.metrics.insert(name.to_owned(), id);
        Ok(id)
    }
}

/// A resumed attempt may report a step twice: the last value counts.
fn points_sql(rows: usize) -> String {
    format!(
        "INSERT OR REPLACE INTO metrics (trial, metric, step, attempt, value) VALUES {}",
        rows_sql("(?,?,?,?,?)", rows)
    )
}
