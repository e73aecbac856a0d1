//! The web page: an HTTP server that only reads the database, and the files that a browser gets.
//!
//! A page is one HTML file and a JavaScript module that asks the JSON API below `/api/`; what changed comes as server-sent events.
//! Nothing is fetched from elsewhere, and what users wrote reaches a page only as JSON and is shown as text.

mod access;
mod answer;
mod assets;
mod compare;
mod console;
mod curves;
mod devices;
mod error;
mod figures;
mod grid;
mod live;
mod manual;
mod overview;
mod parallel;
mod router;
mod scope;
mod server;
mod site;
mod trial;
mod trials;

pub use access::token_file;
pub use error::ServeError;
pub use server::{Server, Settings};
