//! What other parts of the program add to the page.

use std::{pin::Pin, sync::Arc};

use serde::Serialize;

use crate::store::{Reader, StoreError};

/// An answer that is awaited.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Makes the text of `/metrics`.
pub type MetricsText = Arc<dyn Fn(Reader) -> Pending<String> + Send + Sync>;

/// What other parts of the program add. Routes of what is not there answer 404.
#[derive(Clone, Default)]
pub struct Extensions {
    /// `/metrics`, in Prometheus' text format.
    pub metrics: Option<MetricsText>,
    /// `/figures`.
    pub figures: Option<Arc<dyn Figures>>,
}

/// A figure that can be drawn.
#[derive(Clone, Debug, Serialize)]
pub struct FigureInfo {
    /// Its name in addresses: letters, digits and `-`.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What it shows; for people that do not see it, too.
    pub description: String,
}

/// A drawn figure.
#[derive(Clone, Debug)]
pub struct FigureFile {
    /// `image/svg+xml` or `image/png`.
    pub content_type: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Figures of a sweep.
pub trait Figures: Send + Sync {
    /// Those that there are.
    fn list(&self, reader: Reader, sweep: i64) -> Pending<Vec<FigureInfo>>;
    /// Draws one; nothing when there is none of that name. `extension` is `svg` or `png`.
    fn draw(&self, reader: Reader, sweep: i64, name: String, extension: String) -> Pending<Option<FigureFile>>;
}
