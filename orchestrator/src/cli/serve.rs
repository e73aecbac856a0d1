//! `permafrost serve`.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

use serde_json::json;

use super::{
    args::{Global, Serve},
    error::CliError,
    ui,
};
use crate::{
    monitor::serve::{Server, Settings},
    store::DATABASE,
};

/// Serves the page until Ctrl-C.
pub(super) async fn run(global: &Global, args: &Serve) -> Result<(), CliError> {
    let address = SocketAddr::from((args.host, args.port));
    let settings = Settings { home: global.home.clone(), address, require_token: args.token };
    let server = Server::bind(settings).await?;
    let (url, elsewhere, address) = (server.url(), server.url_elsewhere(), server.address());
    if global.json {
        ui::json(&json!({"url": url, "url_elsewhere": elsewhere, "address": address}))?;
    } else {
        ui::out(format_args!("{url}"))?;
        if let Some(elsewhere) = elsewhere {
            ui::out(format_args!("{elsewhere}"))?;
        }
        if !address.ip().is_loopback() {
            ui::say(
                "anybody who has this address can read all results; it is not encrypted: `ssh -L` is (docs/serve.md)",
            );
        }
        if !global.home.join(DATABASE).exists() {
            ui::say(format_args!(
                "there is no database in {} yet; the page fills as soon as a sweep is launched",
                global.home.display()
            ));
        }
        ui::say("Ctrl-C ends it; sweeps go on");
    }
    if args.open {
        open(&url);
    }
    tokio::select! {
        ended = server.run() => Ok(ended?),
        _ = interrupted() => Ok(()),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Opens an address in the user's browser.
fn open(url: &str) {
    let openers: &[&str] = if cfg!(target_os = "macos") { &["open"] } else { &["xdg-open", "wslview"] };
    let start = |opener: &&str| {
        Command::new(opener).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
    };
    if !openers.iter().any(start) {
        ui::say("no browser could be started: open the address above");
    }
}
