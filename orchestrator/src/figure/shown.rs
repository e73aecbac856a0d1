//! The settings that a figure shows where a sweep has too many of them.

use super::{
    groups,
    settings::{Trials, chosen},
};
use crate::report::stats::moments;

/// The share of the labels, which is an axis or makes panels.
pub(super) const FRACTION: &str = "fraction";

/// What settings are ranked by: the mean of all their trials, of those with the largest share of the labels, or of each share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    Mean,
    AtLargest,
    AtEach,
}

/// How many settings are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// All, if there are no more than these. Otherwise ...
    pub(super) limit: usize,
    /// ... the best of each ranking ...
    pub(super) best: usize,
    /// ... and so many with others, evenly by rank.
    pub(super) all: usize,
    pub(super) rank: Rank,
}

/// Values of a result.
pub(super) struct Scores<'a> {
    /// Its name.
    pub(super) metric: &'a str,
    /// Of all trials of the stage.
    pub(super) values: &'a [Option<f64>],
    pub(super) more_is_better: bool,
}

impl Scores<'_> {
    /// The mean, with a sign that makes less of it better.
    fn of(&self, trials: &Trials<'_>) -> Option<f64> {
        let (mean, _) = moments(&trials.values(self.values).collect::<Vec<_>>())?;
        Some(if self.more_is_better { -mean } else { mean })
    }
}

/// What a figure shows, with a note where that is not all.
pub(super) struct Shown<'a> {
    pub(super) settings: Vec<Trials<'a>>,
    pub(super) note: Option<String>,
}

/// The settings of `trials` that are shown: all, or where they are too many, the best and some of the others. What has no value has no place
/// in a figure of values; curves are there before.
pub(super) fn shown<'a>(trials: &Trials<'a>, settings: Vec<Trials<'a>>, scores: &Scores<'_>, room: Room) -> Shown<'a> {
    if settings.len() <= room.limit {
        return Shown { settings, note: None };
    }
    let valued: Vec<Trials<'a>> = settings.iter().filter(|setting| scores.of(setting).is_some()).cloned().collect();
    let (all, what) = match room.rank {
        Rank::AtLargest | Rank::AtEach if !valued.is_empty() => (valued, "settings with a value"),
        _ => (settings, "settings"),
    };
    if all.len() <= room.limit {
        return Shown { settings: all, note: None };
    }
    let rankings = rankings(trials, &all, scores, room);
    let ranked: Vec<&[Option<f64>]> = rankings.iter().map(|(_, scores)| scores.as_slice()).collect();
    let bests = chosen(&ranked, room.best, 0).len();
    let places = match bests {
        0 => (0..room.best.min(all.len())).collect(),
        _ => chosen(&ranked, room.best, room.all),
    };
    let metric = scores.metric;
    let which = match (room.rank, rankings.first()) {
        _ if bests == 0 => format!("the first {}", places.len()),
        (Rank::AtEach, _) => format!("the best {} of each panel by their mean {metric}", room.best),
        (Rank::AtLargest, Some((Some(share), _))) => {
            format!("the best {bests} by their mean {metric} at {} of the labels", groups::percent(*share))
        }
        _ => format!("the best {bests} by their mean {metric}"),
    };
    let others = if bests > 0 && places.len() > bests { ", and others evenly by rank" } else { "" };
    let settings: Vec<Trials<'a>> = places.into_iter().map(|place| all[place].clone()).collect();
    let same = trials.same_in(&trials.among(&settings)).into_iter();
    let same: Vec<String> = same.map(|(name, value)| format!("{name} {}", groups::shown(name, value))).collect();
    let same = if same.is_empty() { String::new() } else { format!("; all with {}", same.join(", ")) };
    let note = format!("shown: {} of {} {what}, {which}{others}{same}", settings.len(), all.len());
    Shown { settings, note: Some(note) }
}

/// A ranking with the share of the labels that it is about.
type Ranking = (Option<f64>, Vec<Option<f64>>);

/// Scores of the settings: of each share that has some, the largest first, or of the largest one at which there are enough to tell the best.
fn rankings<'a>(trials: &Trials<'a>, settings: &[Trials<'a>], scores: &Scores<'_>, room: Room) -> Vec<Ranking> {
    let parts = |trials: &Trials<'a>| match room.rank {
        Rank::Mean => vec![(None, trials.clone())],
        Rank::AtLargest | Rank::AtEach => trials.by(FRACTION),
    };
    let apart: Vec<_> = settings.iter().map(parts).collect();
    let shares = parts(trials).into_iter().rev().map(|(share, _)| {
        let score = |parts: &Vec<(Option<f64>, Trials<'a>)>| scores.of(&parts.iter().find(|(at, _)| *at == share)?.1);
        (share, apart.iter().map(score).collect::<Vec<_>>())
    });
    let count = |ranking: &Ranking| ranking.1.iter().flatten().count();
    let mut rankings: Vec<Ranking> = shares.filter(|ranking| count(ranking) > 0).collect();
    if room.rank == Rank::AtLargest {
        let most = rankings.iter().map(count).max().unwrap_or(0);
        rankings.retain(|ranking| count(ranking) >= room.best.min(most));
        rankings.truncate(1);
    }
    rankings
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::store::StageColumns;

    const ROOM: Room = Room { limit: 6, best: 2, all: 4, rank: Rank::Mean };

    /// Ten settings, two shares, two seeds: better with `depth` at the small share, worse at the large one.
    fn stage() -> (StageColumns, Vec<Option<f64>>) {
        let (mut all, mut values) = (Vec::new(), Vec::new());
        for depth in 0..10 {
            for fraction in [0.01, 1.0] {
                for seed in 0..2 {
                    let width = if depth < 5 { "narrow" } else { "wide" };
                    all.push(json!({"depth": depth, "width": width, "fraction": fraction, "seed": seed}));
                    let value =
                        if fraction < 0.5 { 0.5 + 0.01 * f64::from(depth) } else { 0.9 - 0.02 * f64::from(depth) };
                    values.push(Some(value + 0.001 * f64::from(seed)));
                }
            }
        }
        (StageColumns::of_parameters("classify", &all), values)
    }

    fn told(values: &[Option<f64>], stage: &StageColumns, more_is_better: bool, room: Room) -> (Vec<i64>, String) {
        let trials = Trials::of(stage, &Map::new()).unwrap();
        let scores = Scores { metric: "auroc", values, more_is_better };
        let Shown { settings, note } = shown(&trials, trials.settings(&[FRACTION]), &scores, room);
        (settings.iter().map(|setting| setting.first().unwrap() / 4).collect(), note.unwrap_or_default())
    }

    #[test]
    fn a_note_says_what_is_shown() {
        let (stage, values) = stage();
        let at = |rank| told(&values, &stage, true, Room { rank, ..ROOM });
        let note = "shown: 4 of 10 settings, the best 2 by their mean auroc, and others evenly by rank";
        assert_eq!(at(Rank::Mean), (vec![0, 1, 2, 6], note.to_owned()));
        let few = told(&values, &stage, true, Room { rank: Rank::AtLargest, all: 2, ..ROOM });
        let note = "shown: 2 of 10 settings with a value, the best 2 by their mean auroc at 100 % of the labels; all with width narrow";
        assert_eq!(few, (vec![0, 1], note.to_owned()));
        let note = "shown: 4 of 10 settings with a value, the best 2 of each panel by their mean auroc";
        assert_eq!(at(Rank::AtEach), (vec![0, 1, 8, 9], note.to_owned()));
        assert_eq!(told(&values, &stage, false, ROOM).0, [3, 7, 8, 9]);
        assert_eq!(told(&values, &stage, true, Room { limit: 10, ..ROOM }), ((0..10).collect(), String::new()));
    }

    #[test]
    fn settings_without_a_value_give_way_but_for_curves() {
        let (stage, values) = stage();
        let none = vec![None; values.len()];
        let note = "shown: 2 of 10 settings, the first 2; all with width narrow".to_owned();
        assert_eq!(told(&none, &stage, true, ROOM), (vec![0, 1], note));
        let mut some = none;
        some[12..28].copy_from_slice(&values[12..28]);
        let at_each = Room { rank: Rank::AtEach, ..ROOM };
        assert_eq!(told(&some, &stage, true, at_each), (vec![3, 4, 5, 6], String::new()));
        let note = "shown: 4 of 10 settings, the best 2 by their mean auroc, and others evenly by rank".to_owned();
        assert_eq!(told(&some, &stage, true, ROOM), (vec![2, 3, 4, 5], note));
        // While the large share is not there, the small one ranks.
        let small: Vec<Option<f64>> = values.iter().enumerate().map(|(i, v)| v.filter(|_| i % 4 < 2)).collect();
        let room = Room { rank: Rank::AtLargest, all: 2, ..ROOM };
        let (places, note) = told(&small, &stage, true, room);
        assert_eq!(places, [8, 9]);
        assert!(note.contains("at 1 % of the labels"), "{note}");
        // One setting alone at the large share does not tell the best.
        let mut begun = small;
        begun[2] = values[2];
        assert_eq!(told(&begun, &stage, true, room), (places, note));
    }
}
