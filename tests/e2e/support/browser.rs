//! Chromium without a window, driven over WebDriver.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{World, kill};

/// A busy machine takes its time to start a browser.
const PATIENCE: Duration = Duration::from_secs(120);
/// WebDriver's codes of keys.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const CONTROL: &str = "\u{e009}";
pub const RIGHT: &str = "\u{e014}";
pub const DOWN: &str = "\u{e015}";

pub struct Browser {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A browser with a window of that size; nothing where there is none, and then the test says that it is skipped.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        let found = |name: &str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.exists())
        };
        let (Some(program), Some(chromium)) = (found("chromedriver"), found("chromium")) else {
            writeln!(
                std::io::stderr().lock(),
                "skipped: no chromium and chromedriver (apt install chromium chromium-driver)"
            )
            .unwrap();
            return None;
        };
        let mut driver =
            Command::new(program).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("chromedriver says where it listens").unwrap();
            if let Some((_, rest)) = line.split_once("started successfully on port ") {
                break rest.trim_end_matches('.').parse::<u16>().unwrap();
            }
        };
        // What it says later must not fill a pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            format!("--window-size={width},{height}"),
        ];
        let mut options = json!({"args": arguments, "binary": chromium});
        if width < 500 {
            options["mobileEmulation"] =
                json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0, "mobile": true}});
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}});
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut browser =
            Self { runtime, client, driver, session: format!("http://127.0.0.1:{port}"), _profile: profile };
        let session = browser.call("POST", "/session", Some(wanted));
        browser.session = format!("{}/session/{}", browser.session, session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.session);
        let mut request = self.client.request(method.parse().unwrap(), &url).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer: Value = self.runtime.block_on(async { request.send().await.unwrap().json().await.unwrap() });
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {}", answer["value"]);
        answer["value"].clone()
    }

    pub fn go(&self, url: &str) {
        self.call("POST", "/url", Some(json!({"url": url})));
    }

    /// What a script returns.
    pub fn script(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", Some(json!({"script": script, "args": []})))
    }

    /// A text that a script returns.
    pub fn text(&self, script: &str) -> String {
        self.script(script).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a script returns true.
    pub fn wait(&self, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.script(script) != Value::Bool(true) {
            let page = self.text("return location.href + '\\n' + document.body.innerText");
            assert!(Instant::now() < deadline, "never true: {script}\n{page}\n{:?}", self.complaints());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Opens a page and waits until it shows what it has.
    pub fn open(&self, url: &str) {
        self.go(url);
        self.wait(
            "const m = document.getElementById('main'); return Boolean(m && m.dataset.updated && !m.hasAttribute('aria-busy'))",
        );
    }

    /// Presses keys together, lets them go, and so on with the next.
    pub fn press(&self, chords: &[&[&str]]) {
        let mut actions = Vec::new();
        for keys in chords {
            actions.extend(keys.iter().map(|key| json!({"type": "keyDown", "value": key})));
            actions.extend(keys.iter().rev().map(|key| json!({"type": "keyUp", "value": key})));
        }
        self.call("POST", "/actions", Some(json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]})));
    }

    /// What the console has against the pages since it was asked last: errors, refused requests, and what the policy forbade.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.call("POST", "/se/log", Some(json!({"type": "browser"})));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let loud = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        loud.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser with its children; the driver alone would leave them.
        let end = async { self.client.delete(&self.session).timeout(Duration::from_secs(20)).send().await };
        self.runtime.block_on(end).ok();
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// `permafrost serve`, ended when it is dropped.
pub struct Page {
    child: Child,
    pub url: String,
}

impl Page {
    pub fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command();
        command.args(["serve", "--port", "0", "--json"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut text = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            text.push_str(&line.unwrap());
            if text.ends_with('}') {
                break;
            }
        }
        let told: Value = serde_json::from_str(&text).unwrap();
        Self { child, url: told["url"].as_str().unwrap().trim_end_matches('/').to_owned() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        kill(self.child.id());
        self.child.wait().ok();
    }
}
