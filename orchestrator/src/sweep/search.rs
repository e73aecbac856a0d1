//! Search spaces, and the points that a method takes from them.

use serde_json::{Map, Value, json};

/// A parameter's values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Space {
    /// These; with weights for random search, all alike where there are none.
    Values { values: Vec<Value>, probabilities: Option<Vec<f64>> },
    /// Evenly between two numbers.
    Uniform { min: f64, max: f64 },
    /// Evenly among whole numbers, both ends included.
    IntUniform { min: i64, max: i64 },
    /// Evenly between two numbers, rounded to multiples of `q`.
    QUniform { min: f64, max: f64, q: f64 },
    /// Evenly in the logarithm, between two values.
    LogUniform { min: f64, max: f64 },
}

/// A named parameter.
pub(super) type Axis = (String, Space);

impl Space {
    /// One value.
    pub(super) fn constant(value: Value) -> Self {
        Self::Values { values: vec![value], probabilities: None }
    }

    /// Its values, where they can be listed.
    pub(super) fn values(&self) -> Option<&[Value]> {
        match self {
            Self::Values { values, .. } => Some(values),
            _ => None,
        }
    }

    /// The value at `unit`, evenly drawn from [0, 1).
    fn at(&self, unit: f64) -> Value {
        match self {
            Self::Values { values, probabilities } => {
                let total: f64 = probabilities.as_ref().map_or(values.len() as f64, |p| p.iter().sum());
                let mut left = unit * total;
                for (i, value) in values.iter().enumerate() {
                    left -= probabilities.as_ref().map_or(1.0, |p| p[i]);
                    if left < 0.0 {
                        return value.clone();
                    }
                }
                values.last().cloned().unwrap_or(Value::Null)
            }
            Self::Uniform { min, max } => json!(rounded(min + unit * (max - min))),
            Self::IntUniform { min, max } => {
                let count = (max - min) as f64 + 1.0;
                json!((min + (unit * count) as i64).min(*max))
            }
            Self::QUniform { min, max, q } => json!(rounded(((min + unit * (max - min)) / q).round() * q)),
            Self::LogUniform { min, max } => json!(rounded((min.ln() + unit * (max.ln() - min.ln())).exp())),
        }
    }
}

/// Six significant digits: easy to read, and the same on every platform's logarithm.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Points of a grid; nothing when an axis cannot be listed.
pub(super) fn grid_size(axes: &[Axis]) -> Option<u128> {
    axes.iter().try_fold(1_u128, |size, (_, space)| Some(size.saturating_mul(space.values()?.len() as u128)))
}

/// Every point of the grid, the last axis fastest. Call it only for a size that was checked.
pub(super) fn grid(axes: &[Axis]) -> Vec<Map<String, Value>> {
    let mut points = vec![Map::new()];
    for (name, space) in axes {
        let values = space.values().unwrap_or_default();
        let longer = points.iter().flat_map(|point| {
            values.iter().map(move |value| {
                let mut point = point.clone();
                point.insert(name.clone(), value.clone());
                point
            })
        });
        points = longer.collect();
    }
    points
}

/// `count` different points, drawn at random: the same for the same seed and stage. Fewer where the space has no more.
pub(super) fn random(axes: &[Axis], seed: u64, stage: &str, count: usize) -> Vec<Map<String, Value>> {
    let mut points = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for draw in 0..count.saturating_mul(20) {
        let point: Map<String, Value> =
            axes.iter().map(|(name, space)| (name.clone(), drawn(space, seed, stage, draw, name))).collect();
        if seen.insert(Value::Object(point.clone()).to_string()) {
            points.push(point);
            if points.len() == count {
                break;
            }
        }
    }
    points
}

fn drawn(space: &Space, seed: u64, stage: &str, draw: usize, name: &str) -> Value {
    let mut hasher = blake3::Hasher::new();
    hasher.update(json!([seed, stage, draw, name]).to_string().as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    space.at((u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(name: &str, space: Space) -> Axis {
        (name.to_owned(), space)
    }

    #[test]
    fn a_grid_is_every_combination_in_order() {
        let list =
            |values: &[i64]| Space::Values { values: values.iter().map(|v| json!(v)).collect(), probabilities: None };
        let axes = [axis("a", list(&[1, 2])), axis("b", list(&[3, 4, 5]))];
        assert_eq!(grid_size(&axes), Some(6));
        let points: Vec<(i64, i64)> =
            grid(&axes).iter().map(|p| (p["a"].as_i64().unwrap(), p["b"].as_i64().unwrap())).collect();
        assert_eq!(points, [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]);
        assert_eq!(grid_size(&[axis("x", Space::Uniform { min: 0.0, max: 1.0 })]), None);
    }

    #[test]
    fn random_search_repeats_itself_and_follows_its_distributions() {
        let axes = [
            axis("u", Space::Uniform { min: -1.0, max: 1.0 }),
            axis("l", Space::LogUniform { min: 1e-5, max: 1e-1 }),
            axis("i", Space::IntUniform { min: 2, max: 4 }),
            axis("q", Space::QUniform { min: 0.0, max: 1.0, q: 0.25 }),
            axis("c", Space::Values { values: vec![json!("x"), json!("y")], probabilities: Some(vec![0.9, 0.1]) }),
        ];
        let points = random(&axes, 7, "s", 2_000);
        assert_eq!(points, random(&axes, 7, "s", 2_000));
        assert_ne!(points[0], random(&axes, 8, "s", 1)[0]);
        assert_ne!(points[0], random(&axes, 7, "t", 1)[0]);
        let numbers = |name: &str| points.iter().map(|p| p[name].as_f64().unwrap()).collect::<Vec<_>>();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean(&numbers("u")).abs() < 0.06);
        assert!((mean(&numbers("l").iter().map(|v| v.log10()).collect::<Vec<_>>()) + 3.0).abs() < 0.12);
        assert!(numbers("i").iter().all(|v| [2.0, 3.0, 4.0].contains(v)));
        assert!(numbers("q").iter().all(|v| (v * 4.0).fract() == 0.0));
        let share = points.iter().filter(|p| p["c"] == "x").count() as f64 / 2_000.0;
        assert!((share - 0.9).abs() < 0.03, "{share}");
    }

    #[test]
    fn a_small_space_gives_what_it_has() {
        let axes = [axis("i", Space::IntUniform { min: 0, max: 4 })];
        assert_eq!(random(&axes, 0, "s", 50).len(), 5);
    }
}
