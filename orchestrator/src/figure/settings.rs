//! Which of many trials a figure shows.
//!
//! A sweep of ten thousand trials has hundreds of settings, and a figure room for some tens. Settings are told apart by columns, which is
//! fast however many trials there are; only of those that are shown all is read.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{
    error::{FigureError, data},
    groups::shown,
};
use crate::{
    report::repeats::is_seed,
    store::{Column, StageColumns},
};

/// Values that are named where none is the one asked for.
const NAMED: usize = 8;

/// Trials of a stage.
#[derive(Clone, Debug)]
pub(super) struct Trials<'a> {
    stage: &'a StageColumns,
    /// Places in the stage, in the order of the plan.
    places: Vec<usize>,
}

impl<'a> Trials<'a> {
    /// Those whose parameters have these values; a list of values stands for any of them.
    ///
    /// # Errors
    /// [`FigureError::Data`] when a parameter is not known, and when there are none.
    pub(super) fn of(stage: &'a StageColumns, filter: &Map<String, Value>) -> Result<Self, FigureError> {
        let mut wanted: Vec<(&Column, Vec<bool>)> = Vec::new();
        for (name, values) in filter {
            let column = stage.parameters.get(name).ok_or_else(|| {
                let known: Vec<&str> = stage.parameters.keys().map(String::as_str).collect();
                data(
                    format!("trials of the stage have no parameter `{name}`"),
                    format!("there are {}", known.join(", ")),
                )
            })?;
            let values = values.as_array().map_or(std::slice::from_ref(values), Vec::as_slice);
            let meant = |value: &Value| values.iter().any(|wanted| is(value, wanted));
            let meant: Vec<bool> = column.values.iter().map(meant).collect();
            if !meant.contains(&true) {
                let known: Vec<String> = column.values.iter().take(NAMED).map(|value| shown(name, value)).collect();
                let more = if column.values.len() > NAMED { ", ..." } else { "" };
                let values = values.iter().map(|value| shown(name, value)).collect::<Vec<_>>().join(" or ");
                return Err(data(
                    format!("no trial of stage `{}` has {name} {values}", stage.name),
                    format!("there are {}{more}", known.join(", ")),
                ));
            }
            wanted.push((column, meant));
        }
        let fits = |place: &usize| {
            wanted.iter().all(|(column, meant)| meant.get(column.of[*place] as usize).copied().unwrap_or(false))
        };
        let places: Vec<usize> = (0..stage.trials.len()).filter(fits).collect();
        if places.is_empty() {
            return Err(data(
                format!("no trial of stage `{}` has these parameters", stage.name),
                "`permafrost results --trials` shows which there are",
            ));
        }
        Ok(Self { stage, places })
    }

    /// Rows of the trials.
    pub(super) fn rows(&self) -> Vec<i64> {
        self.places.iter().map(|&place| self.stage.trials[place]).collect()
    }

    /// Their results, of the values of all trials of the stage.
    pub(super) fn values<'v>(&'v self, all: &'v [Option<f64>]) -> impl Iterator<Item = f64> + 'v {
        self.places.iter().filter_map(|&place| all[place])
    }

    fn varies(&self, column: &Column) -> bool {
        self.places.iter().any(|&place| column.of[place] != column.of[self.places[0]])
    }

    /// Parameters but seeds of which these have several values, and some of them one: that one.
    pub(super) fn same_in(&self, some: &Self) -> Vec<(&'a str, &'a Value)> {
        let columns = self.stage.parameters.iter().filter(|(name, _)| !is_seed(name));
        let same = columns.filter(|(_, column)| self.varies(column) && !some.varies(column));
        same.filter_map(|(name, column)| Some((name.as_str(), column.value(*some.places.first()?)?))).collect()
    }

    /// Trials that agree in every parameter but seeds and these, in the order in which they first appear.
    pub(super) fn settings(&self, apart_from: &[&str]) -> Vec<Self> {
        let columns: Vec<&Column> = self
            .stage
            .parameters
            .iter()
            .filter(|(name, column)| !is_seed(name) && !apart_from.contains(&name.as_str()) && self.varies(column))
            .map(|(_, column)| column)
            .collect();
        let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut settings: Vec<Self> = Vec::new();
        for &place in &self.places {
            let key: Vec<u32> = columns.iter().map(|column| column.of[place]).collect();
            let at = *known.entry(key).or_insert_with(|| {
                settings.push(Self { stage: self.stage, places: Vec::new() });
                settings.len() - 1
            });
            settings[at].places.push(place);
        }
        settings
    }

    /// By each value of a parameter that is a number, the smallest first: which trials have it. Those without one come before all.
    pub(super) fn by(&self, name: &str) -> Vec<(Option<f64>, Self)> {
        let Some(column) = self.stage.parameters.get(name) else { return vec![(None, self.clone())] };
        let mut parts: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for &place in &self.places {
            parts.entry(column.of[place]).or_default().push(place);
        }
        let number = |code: u32| column.values.get(code as usize).and_then(Value::as_f64);
        let part = |(code, places)| (number(code), Self { stage: self.stage, places });
        let mut parts: Vec<_> = parts.into_iter().map(part).collect();
        parts.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        parts
    }

    /// The first of them.
    pub(super) fn first(&self) -> Option<i64> {
        Some(self.stage.trials[*self.places.first()?])
    }

    /// Those of these settings, in the order of the plan.
    pub(super) fn among(&self, settings: &[Self]) -> Self {
        let mut places: Vec<usize> = settings.iter().flat_map(|setting| &setting.places).copied().collect();
        places.sort_unstable();
        Self { stage: self.stage, places }
    }
}

/// Whether a value is the one that was written.
fn is(value: &Value, wanted: &Value) -> bool {
    match (value.as_f64(), wanted.as_f64()) {
        (Some(a), Some(b)) => a == b,
        // On a command line a text may look like a number.
        _ if value.is_string() && !wanted.is_string() => value.as_str() == Some(wanted.to_string().as_str()),
        _ => value == wanted,
    }
}

/// Which settings are shown where there is not room for all, by scores of which less is better: the `best` of each ranking, and up to `all` of
/// them with others, evenly by the first one. What has no score comes last, and is none of the best.
pub(super) fn chosen(rankings: &[&[Option<f64>]], best: usize, all: usize) -> Vec<usize> {
    let mut chosen = Vec::new();
    let orders: Vec<Vec<usize>> = rankings.iter().map(|scores| order(scores)).collect();
    for (order, scores) in orders.iter().zip(rankings) {
        chosen.extend(order.iter().filter(|at| scores[**at].is_some()).take(best));
    }
    chosen.sort_unstable();
    chosen.dedup();
    let rest: Vec<usize> =
        orders.first().into_iter().flatten().copied().filter(|at| chosen.binary_search(at).is_err()).collect();
    let others = all.saturating_sub(chosen.len()).min(rest.len());
    chosen.extend((0..others).map(|i| rest[i * rest.len() / others]));
    chosen.sort_unstable();
    chosen
}

fn order(scores: &[Option<f64>]) -> Vec<usize> {
    let score = |at: &usize| scores[*at].unwrap_or(f64::INFINITY);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| score(a).total_cmp(&score(b)));
    order
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stage() -> StageColumns {
        let mut all = Vec::new();
        for vision in ["a", "b"] {
            for fraction in [1.0, 0.01] {
                all.extend(
                    (0..3).map(|seed| json!({"vision": vision, "fraction": fraction, "seed": seed, "epochs": 5})),
                );
            }
        }
        all.push(json!({"vision": "b", "seed": 0, "epochs": 5}));
        StageColumns::of_parameters("classify", &all)
    }

    #[test]
    fn trials_that_differ_in_seeds_are_one_setting() {
        let stage = stage();
        let all = Trials::of(&stage, &Map::new()).unwrap();
        assert_eq!(all.rows().len(), 13);
        assert_eq!(all.settings(&[]).iter().map(|setting| setting.rows().len()).collect::<Vec<_>>(), [3, 3, 3, 3, 1]);
        let settings = all.settings(&["fraction"]);
        assert_eq!(settings[1].rows(), [7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(all.among(&settings).rows(), all.rows());
        assert_eq!(all.same_in(&settings[1]), [("vision", &json!("b"))]);
        let parts = settings[1].by("fraction");
        assert_eq!(parts.iter().map(|(share, _)| *share).collect::<Vec<_>>(), [None, Some(0.01), Some(1.0)]);
        assert_eq!(parts[1].1.rows(), [10, 11, 12]);
        assert_eq!(settings[0].by("dropout")[0].0, None);
        let values: Vec<Option<f64>> = (0..13).map(|i| (i != 11).then_some(f64::from(i))).collect();
        assert_eq!(parts[1].1.values(&values).collect::<Vec<_>>(), [9.0, 10.0]);
    }

    #[test]
    fn filters_mean_values_and_lists() {
        let stage = stage();
        let count = |filter: Value| Trials::of(&stage, filter.as_object().unwrap()).map(|trials| trials.rows().len());
        assert_eq!(count(json!({"vision": "b", "fraction": 1})).unwrap(), 3);
        assert_eq!(count(json!({"fraction": [1.0, 0.01], "seed": [0, 1]})).unwrap(), 8);
        let refused = count(json!({"vision": ["c", "d"]})).unwrap_err();
        assert_eq!(refused.to_string(), "no trial of stage `classify` has vision c or d");
        assert_eq!(refused.cure().unwrap(), "there are a, b");
        let refused = count(json!({"fraction": 0.01, "seed": 3})).unwrap_err();
        assert!(refused.cure().unwrap().ends_with("0, 1, 2"), "{refused}");
        let refused = count(json!({"depth": 6})).unwrap_err();
        assert!(refused.cure().unwrap().contains("epochs, fraction, seed, vision"), "{refused}");
    }

    #[test]
    fn the_best_of_each_ranking_are_shown_and_others_evenly() {
        let scores: Vec<Option<f64>> = (0..10).map(|i| Some(f64::from((i * 7) % 10))).collect();
        // In order of their scores: 0 3 6 9 2 5 8 1 4 7.
        assert_eq!(chosen(&[&scores], 3, 3), [0, 3, 6]);
        assert_eq!(chosen(&[&scores], 2, 6), [0, 2, 3, 4, 6, 8]);
        let backwards: Vec<Option<f64>> = scores.iter().map(|score| score.map(|score| -score)).collect();
        assert_eq!(chosen(&[&scores, &backwards], 2, 4), [0, 3, 4, 7]);
        assert_eq!(chosen(&[&scores], 99, 99).len(), 10);
        assert_eq!(chosen(&[&[None, Some(2.0), Some(1.0), None]], 3, 3), [0, 1, 2]);
        assert_eq!(chosen(&[&[None, Some(2.0), Some(1.0), None]], 3, 0), [1, 2]);
    }
}
