//! Which trials a request is about: `sweep`, `stage`, `state`, `q`, and `f.NAME=VALUE` for parameters.

use std::{collections::HashMap, sync::Arc};

use axum::extract::{FromRequestParts, Query};
use serde_json::Value;

use super::{
    error::Refusal,
    site::{Loaded, Site},
};
use crate::{
    core::TrialState,
    store::{Reader, StageColumns},
};

/// What a request asks for.
pub(super) type Asked = HashMap<String, String>;

/// The parameters of an address; what cannot be read is refused.
pub(super) struct Wanted(pub(super) Asked);

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Refusal> {
        let Query(asked) = Query::<Asked>::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::wrong(error.body_text(), "check the address"))?;
        Ok(Self(asked))
    }
}

/// A stage of a sweep, and which of its trials are meant.
pub(super) struct Scope {
    pub(super) reader: Reader,
    pub(super) loaded: Arc<Loaded>,
    stage: usize,
    /// States of all trials of the stage.
    pub(super) states: Vec<TrialState>,
    /// Places of those that are meant, in the order of the plan.
    pub(super) places: Vec<usize>,
}

impl Scope {
    /// The trials that a request is about.
    pub(super) async fn of(site: &Site, asked: &Asked) -> Result<Self, Refusal> {
        let reader = site.reader().await?;
        let loaded = site.sweep(&reader, sweep_of(asked)).await?;
        let stage = match asked.get("stage").filter(|name| !name.is_empty()) {
            Some(name) => loaded.plan.stages.iter().position(|stage| stage.name == *name).ok_or_else(|| {
                let cure = format!("there are {}", loaded.stage_names().join(", "));
                Refusal::not_found(format!("sweep `{}` has no stage `{name}`", loaded.row.name), cure)
            })?,
            None => {
                let subject = loaded.subject().map(|stage| stage.name.as_str());
                let at = loaded.plan.stages.iter().position(|stage| Some(stage.name.as_str()) == subject);
                at.ok_or_else(|| Refusal::not_found("the sweep has no trials", "choose another sweep"))?
            }
        };
        let states = reader.stage_states(loaded.row.sweep, &loaded.plan.stages[stage]).await?;
        let mut scope = Self { reader, loaded, stage, states, places: Vec::new() };
        scope.places = scope.matching(asked)?;
        Ok(scope)
    }

    /// The stage.
    pub(super) fn stage(&self) -> &StageColumns {
        &self.loaded.plan.stages[self.stage]
    }

    /// A final value of all trials of the stage.
    pub(super) async fn values(&self, name: &str) -> Result<Vec<Option<f64>>, Refusal> {
        Ok(self.reader.stage_values(self.loaded.row.sweep, self.stage(), name).await?)
    }

    fn matching(&self, asked: &Asked) -> Result<Vec<usize>, Refusal> {
        let stage = self.stage();
        // By column: which of its values are meant.
        let mut columns: Vec<(&[u32], Vec<bool>)> = Vec::new();
        for (key, wanted) in asked {
            let Some(name) = key.strip_prefix("f.").filter(|_| !wanted.is_empty()) else { continue };
            let column = stage.parameters.get(name).ok_or_else(|| {
                let cure = "choose one of those that the page offers";
                Refusal::wrong(format!("trials of `{}` have no parameter `{name}`", stage.name), cure)
            })?;
            columns.push((&column.of, column.values.iter().map(|value| is(value, wanted)).collect()));
        }
        let state = asked.get("state").map(String::as_str).filter(|state| !state.is_empty());
        let words = asked.get("q").map(String::as_str).unwrap_or_default().to_lowercase();
        let words: Vec<Word<'_>> = words.split_whitespace().map(|word| Word::of(stage, word)).collect();
        let fits = |&place: &usize| {
            columns.iter().all(|(of, meant)| meant.get(of[place] as usize).copied().unwrap_or(false))
                && state.is_none_or(|state| is_in(self.states[place], state))
                && words.iter().all(|word| word.fits(stage, place))
        };
        Ok((0..stage.trials.len()).filter(fits).collect())
    }
}

/// Whether a state is the one asked for; `unsuccessful` stands for those without a result.
fn is_in(state: TrialState, asked: &str) -> bool {
    match asked {
        "unsuccessful" => state.ended_without_result(),
        name => state.name() == name,
    }
}

/// A word that is searched for: an identity begins so, or a parameter that varies has it.
struct Word<'a> {
    text: String,
    /// By parameter: which of its values have it. Each is looked at once, however many trials there are.
    columns: Vec<(&'a [u32], Vec<bool>)>,
}

impl<'a> Word<'a> {
    /// `name=value` means that value of that parameter, anything else a part of a value.
    fn of(stage: &'a StageColumns, word: &str) -> Self {
        let has = |name: &str, value: &Value| match word.split_once('=') {
            Some((asked, wanted)) => {
                name.to_lowercase() == asked && (is(value, wanted) || text(value).to_lowercase() == wanted)
            }
            None => text(value).to_lowercase().contains(word),
        };
        let columns = stage.varying().map(|(name, column)| {
            (column.of.as_slice(), column.values.iter().map(|value| has(name, value)).collect::<Vec<bool>>())
        });
        Self { text: word.to_owned(), columns: columns.filter(|(_, has)| has.contains(&true)).collect() }
    }

    fn fits(&self, stage: &StageColumns, place: usize) -> bool {
        stage.ids[place].starts_with(&self.text)
            || self.columns.iter().any(|(of, has)| has.get(of[place] as usize).copied().unwrap_or(false))
    }
}

/// The sweep of a request, as [`find_sweep`](super::site::find_sweep) takes it.
pub(super) fn sweep_of(asked: &Asked) -> Option<&str> {
    asked.get("sweep").map(String::as_str).filter(|text| !text.is_empty())
}

/// A number of a request.
pub(super) fn number<T: std::str::FromStr>(asked: &Asked, name: &str) -> Result<Option<T>, Refusal> {
    match asked.get(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| Refusal::wrong(format!("`{name}` must be a number, not `{text}`"), "check the address")),
    }
}

/// Whether a value is the one that somebody wrote: 1 is 1.0.
fn is(value: &Value, wanted: &str) -> bool {
    match (value.as_f64(), wanted.parse::<f64>()) {
        (Some(number), Ok(wanted)) => number == wanted,
        _ => text(value) == wanted,
    }
}

/// A value as people write it.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Names in a list, separated by commas.
pub(super) fn list(asked: &Asked, name: &str) -> Vec<String> {
    let text = asked.get(name).map(String::as_str).unwrap_or_default();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
