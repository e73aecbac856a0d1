//! The files that a browser gets. They are part of the program.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// A file.
#[derive(Clone, Copy)]
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal: $kind:expr),* $(,)?) => {
        &[$(Asset { path: concat!("/assets/", $path), content_type: $kind, bytes: include_bytes!(concat!("../../../assets/", $path)) }),*]
    };
}

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

const ASSETS: &[Asset] = assets! {
    "app.css": CSS,
    "charts.css": CSS,
    "icon.svg": "image/svg+xml",
    "theme.js": JS,
    "login.js": JS,
    "main.js": JS,
    "api.js": JS,
    "dom.js": JS,
    "format.js": JS,
    "color.js": JS,
    "chart.js": JS,
    "controls.js": JS,
    "live.js": JS,
    "help.js": JS,
    "pages/overview.js": JS,
    "pages/trials.js": JS,
    "pages/curves.js": JS,
    "pages/grid.js": JS,
    "pages/trial.js": JS,
    "pages/compare.js": JS,
    "pages/parallel.js": JS,
    "pages/devices.js": JS,
    "pages/sql.js": JS,
    "pages/figures.js": JS,
};

/// What is needed to ask for the token.
const PUBLIC: [&str; 4] = ["/assets/app.css", "/assets/icon.svg", "/assets/theme.js", "/assets/login.js"];

/// The one HTML file.
pub(super) const PAGE: &str = include_str!("../../../assets/index.html");

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], self.bytes).into_response()
    }
}

/// The file of that path.
pub(super) fn find(path: &str) -> Option<Asset> {
    ASSETS.iter().find(|asset| asset.path == path).copied()
}

/// A file that everybody may have.
pub(super) fn public(path: &str) -> Option<Asset> {
    find(path).filter(|asset| PUBLIC.contains(&asset.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        for page in [PAGE, include_str!("../../../assets/login.html")] {
            for word in ["style=", "<style", "onclick", "onload", "javascript:"] {
                assert!(!page.contains(word), "{word}");
            }
            for script in page.split("<script").skip(1) {
                assert!(script.split('>').next().unwrap().contains("src="), "{script}");
            }
        }
        for asset in ASSETS.iter().filter(|asset| asset.content_type == JS) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for word in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "https://"]
            {
                assert!(!text.contains(word), "{} has {word}", asset.path);
            }
        }
    }

    #[test]
    fn every_module_that_is_imported_is_there() {
        for asset in ASSETS.iter().filter(|asset| asset.content_type == JS) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for from in text.split(" from \"").skip(1).chain(text.split("import(\"").skip(1)) {
                let path = from.split('"').next().unwrap();
                assert!(find(path).is_some(), "{} imports {path}", asset.path);
            }
        }
    }
}
