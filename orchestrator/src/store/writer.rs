//! The one task that writes. It takes all that is queued into one transaction: many requests share one fsync.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    change::{Change, Recorded},
    error::StoreError,
    open,
    tables::Tables,
};
use crate::core::Restored;

/// Calls that may share a transaction.
const MAX_GROUP: usize = 1024;

struct Request {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<Recorded, StoreError>>,
}

/// The database, for the one process that writes it.
///
/// The queue has no bound of its own: every request of a client waits for its commit, so it is as long as the requests in
/// flight.
pub struct Store {
    queue: mpsc::UnboundedSender<Request>,
    restored: Option<Vec<Restored>>,
    task: tokio::task::JoinHandle<Result<(), StoreError>>,
}

impl Store {
    /// Opens the file, creates it where needed, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]: not a database, a newer one, or not writable.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = open::for_writing(path).await?;
        let (tables, restored) = Tables::load(&mut connection).await.map_err(|error| error.at(path))?;
        let (queue, requests) = mpsc::unbounded_channel();
        let task = tokio::spawn(write(connection, tables, requests, path.to_owned()));
        Ok(Self { queue, restored: Some(restored), task })
    }

    /// The trials that were there when the file was opened. Empty the second time.
    pub fn restore(&mut self) -> Vec<Restored> {
        self.restored.take().unwrap_or_default()
    }

    /// Queues changes: all of them are made, or none. Calls are carried out in the order in which they were made.
    pub fn enqueue(&self, changes: Vec<Change>) -> Commit {
        let (done, waiting) = oneshot::channel();
        // A writer that has ended drops `done`, which is an answer too.
        self.queue.send(Request { changes, done }).ok();
        Commit(waiting)
    }

    /// Makes changes and waits until they are on disk.
    ///
    /// # Errors
    /// [`StoreError`]; after the first one the store takes nothing more.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Recorded, StoreError> {
        self.enqueue(changes).await
    }

    /// Writes what is queued, and closes the file.
    ///
    /// # Errors
    /// [`StoreError`] when something could not be written.
    pub async fn close(self) -> Result<(), StoreError> {
        drop(self.queue);
        self.task.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Resolves when the changes are on disk.
#[must_use = "a change is on disk only when this has resolved"]
pub struct Commit(oneshot::Receiver<Result<Recorded, StoreError>>);

impl Future for Commit {
    type Output = Result<Recorded, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}

async fn write(
    mut connection: SqliteConnection,
    mut tables: Tables,
    mut requests: mpsc::UnboundedReceiver<Request>,
    path: PathBuf,
) -> Result<(), StoreError> {
    let mut group = Vec::new();
    while requests.recv_many(&mut group, MAX_GROUP).await > 0 {
        match transaction(&mut connection, &mut tables, &mut group).await {
            Ok(recorded) => {
                for (request, recorded) in group.drain(..).zip(recorded) {
                    request.done.send(Ok(recorded)).ok();
                }
            }
            Err(error) => {
                // What is kept in memory may be ahead of the file now: take nothing more.
                let error = error.at(&path);
                requests.close();
                while let Ok(request) = requests.try_recv() {
                    group.push(request);
                }
                for request in group {
                    request.done.send(Err(error.clone())).ok();
                }
                return Err(error);
            }
        }
    }
    open::close(connection, &path).await
}

async fn transaction(
    connection: &mut SqliteConnection,
    tables: &mut Tables,
    group: &mut [Request],
) -> Result<Vec<Recorded>, Failed> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut all = Vec::with_capacity(group.len());
    for request in group {
        let mut recorded = Recorded::default();
        tables.write(&mut transaction, std::mem::take(&mut request.changes), &mut recorded).await?;
        tables.record_refused(&mut transaction, &recorded.refused).await?;
        all.push(recorded);
    }
    tables.trim_events(&mut transaction).await?;
    transaction.commit().await?;
    Ok(all)
}

/// An error before it knows which file it is about.
#[derive(Debug)]
pub(super) enum Failed {
    Sqlx(sqlx::Error),
    Content(String),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl Failed {
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sqlx(error) => StoreError::from_sqlx(path, error),
            Self::Content(what) => StoreError::Content(what),
        }
    }
}
