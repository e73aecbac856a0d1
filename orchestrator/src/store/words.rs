//! A filter of trials as people type it.

use serde_json::{Map, Value};

/// Words that all must fit. `name=value` means that value of that parameter, or a part of a text; anything else a part of a text,
/// of a parameter's value, or the first digits of an identity. Case does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// Of what was typed.
    pub fn of(filter: &str) -> Self {
        Self(filter.to_lowercase().split_whitespace().map(str::to_owned).collect())
    }

    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all words fit something of this identity, these texts, and the parameters that this JSON object holds.
    pub fn fit(&self, id: &str, texts: &[&str], parameters: &str) -> bool {
        if self.is_empty() {
            return true;
        }
        let parameters: Map<String, Value> = serde_json::from_str(parameters).unwrap_or_default();
        self.0.iter().all(|word| {
            id.starts_with(word)
                || texts.iter().any(|text| text.to_lowercase().contains(word))
                || parameters.iter().any(|(name, value)| has(name, value, word))
        })
    }
}

fn has(name: &str, value: &Value, word: &str) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned).to_lowercase();
    match word.split_once('=') {
        Some((asked, wanted)) if name.to_lowercase() == asked => match (value.as_f64(), wanted.parse::<f64>()) {
            // 1 is 1.0.
            (Some(number), Ok(wanted)) => number == wanted,
            _ => text == wanted,
        },
        _ => text.contains(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_must_fit() {
        let parameters = r#"{"vision": "edges", "fraction": 0.01, "seed": 10, "label": "view=PA"}"#;
        let fit = |filter: &str| Words::of(filter).fit("95f6c3", &["classify", "failed"], parameters);
        for filter in
            ["", " ", "vision=edges 0.01", "VISION=Edges", "fraction=1e-2", "seed=10.0", "95f6", "edge fail", "view=pa"]
        {
            assert!(fit(filter), "{filter}");
        }
        for filter in ["vision=edge", "seed=1", "text=edges", "vision=edges 0.1", "f6c3", "edges done", "seed"] {
            assert!(!fit(filter), "{filter}");
        }
        assert!(Words::of("failed").fit("", &["failed"], "not JSON"));
    }
}
