//! A small database and a server on it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use permafrost::monitor::serve::{Server, Settings};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::Value;
use tempfile::TempDir;

use crate::database::{self, Made, Size};

/// What users may write anywhere.
pub const NASTY: &str = "<img src=x onerror=alert(1)>\"'&";
pub const SMALL: Size = Size { trials: 240, epochs: 6, running: 4, failed: 5, device_hours: 2 };

pub struct World {
    pub home: TempDir,
    pub base: String,
    pub url: String,
    pub client: Client,
    pub made: Vec<Made>,
}

impl World {
    /// With a database.
    pub async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let made = database::make(home.path(), SMALL, NASTY).await.unwrap();
        Self { made, ..Self::serve(home, Ipv4Addr::LOCALHOST.into(), false).await }
    }

    /// Without one.
    pub async fn serve(home: TempDir, host: IpAddr, require_token: bool) -> Self {
        let settings = Settings { home: home.path().to_owned(), address: SocketAddr::from((host, 0)), require_token };
        let server = Server::bind(settings).await.unwrap();
        let base = format!("http://127.0.0.1:{}", server.address().port());
        let url = server.url();
        tokio::spawn(server.run());
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { home, base, url, client, made: vec![] }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    /// JSON of a path that must be answered.
    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// What is wrong with a path, and what to do about it.
    pub async fn refusal(&self, path: &str) -> (StatusCode, String, String) {
        let response = self.get(path).await;
        let status = response.status();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
        (status, text("message"), text("cure"))
    }
}
