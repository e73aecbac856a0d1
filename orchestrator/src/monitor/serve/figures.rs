//! Figures of a sweep: those that its file asks for, and of each other kind the usual one.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    error::{Answer, Refusal},
    scope::{Wanted, sweep_of},
    site::{Loaded, Site},
};
use crate::{
    figure::{self, DPI, FigureError, Request},
    sweep::{FigureKind, Theme},
};

const KINDS: [FigureKind; 4] = [FigureKind::Fractions, FigureKind::Params, FigureKind::Curves, FigureKind::Tsne];

/// A figure that can be asked for.
#[derive(Debug, Serialize)]
pub(super) struct FigureInfo {
    /// Its name in addresses.
    name: String,
    /// Heading.
    title: String,
    /// What it shows.
    description: &'static str,
}

/// A figure, or why there is none: for a page, which is not to ask for pictures in vain.
#[derive(Debug, Serialize)]
pub(super) struct Drawing {
    svg: Option<String>,
    /// Why it cannot be drawn now.
    reason: Option<String>,
    /// What to do about it.
    cure: Option<String>,
}

/// Those of a sweep.
pub(super) async fn list(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Vec<FigureInfo>> {
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, sweep_of(&asked)).await?;
    let info = |(name, request): (String, Request)| FigureInfo {
        title: request.title.unwrap_or_else(|| name.clone()),
        description: description(request.kind),
        name,
    };
    Ok(Json(requests(&loaded).into_iter().map(info).collect()))
}

/// Draws one: `NAME.svg`, `NAME.png`, `NAME.csv`, or `NAME.json`, which also tells why it cannot be.
pub(super) async fn file(
    State(site): State<Arc<Site>>,
    Path(file): Path<String>,
    Wanted(asked): Wanted,
) -> Result<Response, Refusal> {
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, sweep_of(&asked)).await?;
    let none = || Refusal::not_found(format!("there is no figure `{file}`"), "see /api/figures");
    let (name, form) = file.rsplit_once('.').ok_or_else(none)?;
    let (_, mut request) = requests(&loaded).into_iter().find(|(known, _)| known == name).ok_or_else(none)?;
    if asked.get("theme").is_some_and(|theme| theme == "dark") {
        request.theme = Theme::Dark;
    }
    let drawn = figure::draw(&reader, &loaded.row, &loaded.plan, &request).await;
    if form == "json" {
        let drawing = match drawn {
            Ok(figure) => Drawing { svg: Some(figure.svg.as_str().to_owned()), reason: None, cure: None },
            Err(FigureError::Store(error)) => return Err(error.into()),
            Err(error) => Drawing {
                svg: None,
                cure: error.cure().map(|cure| on_a_page(&cure, request.kind, &loaded.row.name)),
                reason: Some(error.to_string()),
            },
        };
        return Ok(Json(drawing).into_response());
    }
    let figure = drawn?;
    let (kind, bytes) = match form {
        "svg" => ("image/svg+xml", figure.svg.as_str().as_bytes().to_vec()),
        "png" => {
            // Some tenths of a second: not for a thread that answers others.
            let drawn = tokio::task::spawn_blocking(move || figure.svg.to_png(DPI.2)).await;
            ("image/png", drawn.map_err(|error| FigureError::Pixels(error.to_string()))??)
        }
        "csv" => ("text/csv; charset=utf-8", figure.data.to_csv().into_bytes()),
        _ => return Err(none()),
    };
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// Advice that names options is about a command: here the whole of it is told.
fn on_a_page(cure: &str, kind: FigureKind, sweep: &str) -> String {
    // To leave an option out is to take it out of the sweep file: the page itself sets none.
    let plain = |letter: char| letter.is_alphanumeric() || "._-".contains(letter);
    let sweep = if sweep.chars().all(plain) { sweep.to_owned() } else { format!("'{}'", sweep.replace('\'', r"'\''")) };
    let cure = cure.replace("leave `--", "in the sweep file, leave `");
    cure.replace("`--", &format!("`permafrost figure {} {sweep} --", kind.name()))
}

/// Names and what they stand for.
fn requests(loaded: &Loaded) -> Vec<(String, Request)> {
    let asked = &loaded.report.figures;
    let mut all: Vec<(String, Request)> =
        asked.iter().map(|spec| (spec.name.clone(), Request::of_spec(spec))).collect();
    for kind in KINDS {
        let possible = loaded.report.stages.iter().any(|stage| kind.stages().contains(&stage.kind));
        let there = asked.iter().any(|spec| spec.kind == kind || spec.name == kind.name());
        if possible && !there {
            all.push((kind.name().to_owned(), Request::new(kind)));
        }
    }
    all
}

const fn description(kind: FigureKind) -> &'static str {
    match kind {
        FigureKind::Params => {
            "Trainable parameters against the score, beside published methods where the data are the paper's."
        }
        FigureKind::Tsne => "t-SNE of image embeddings before and after the Adaptor, coloured by class.",
        FigureKind::Curves => "Metrics by epochs trained: mean over seeds with the 95 % interval.",
        FigureKind::Fractions => "The score against the share of the labels: mean over seeds with the 95 % interval.",
    }
}

impl From<FigureError> for Refusal {
    fn from(error: FigureError) -> Self {
        match error {
            FigureError::Store(error) => error.into(),
            other => Self::not_found(other.to_string(), other.cure().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_on_a_page_is_a_command_to_run() {
        let odd = on_a_page("`--stage`", FigureKind::Curves, "it's");
        assert_eq!(odd, r"`permafrost figure curves 'it'\''s' --stage`");
        let told = |cure| on_a_page(cure, FigureKind::Tsne, "s");
        assert_eq!(
            told("choose some: `--filter vision=NAME`"),
            "choose some: `permafrost figure tsne s --filter vision=NAME`"
        );
        assert_eq!(
            told("`permafrost status` says how far the sweep is"),
            "`permafrost status` says how far the sweep is"
        );
        assert_eq!(told("leave `--metric` out to see all"), "in the sweep file, leave `metric` out to see all");
    }
}
