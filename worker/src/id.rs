//! Identities: the BLAKE3 of the canonical typed JSON of everything that determines a result.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// Identity of a trial. Equal identity means the same trial, in whichever sweep it appears.
///
/// Written as 64 lowercase hexadecimal digits; [`TrialId::short`] is what people see.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrialId([u8; 32]);

impl TrialId {
    /// The identity of a value: BLAKE3 of its canonical JSON.
    ///
    /// # Errors
    /// When the value cannot be written as JSON, or holds a number that is not finite.
    pub fn of<T: Serialize>(value: &T) -> Result<Self, IdError> {
        let value = serde_json::to_value(value).map_err(IdError::Json)?;
        let mut text = String::new();
        canonical(&value, &mut text);
        Ok(Self(*blake3::hash(text.as_bytes()).as_bytes()))
    }

    /// The identity whose 32 bytes are `bytes`.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The first ten hexadecimal digits: enough for people, and accepted by every command.
    pub fn short(&self) -> String {
        self.hex()[..10].to_owned()
    }
}

/// Why a value has no identity, or a text is none.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// The value cannot be written as JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The text is not 64 hexadecimal digits.
    #[error("`{0}` is not 64 hexadecimal digits")]
    Hex(String),
}

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for TrialId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| IdError::Hex(text.to_owned()))?;
        Ok(Self(*hash.as_bytes()))
    }
}

impl Serialize for TrialId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for TrialId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Writes `value` with sorted keys and no white space. Numbers keep their type: `1` and `1.0` differ.
///
/// Keys are sorted here, whatever map `serde_json` was built with.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn identity_ignores_key_order_and_sees_types() {
        let a: Value = serde_json::from_str(r#"{"b": [1, 2], "a": 0.5}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a": 0.5, "b": [1, 2]}"#).unwrap();
        assert_eq!(TrialId::of(&a).unwrap(), TrialId::of(&b).unwrap());
        assert_ne!(TrialId::of(&json!({"a": 1})).unwrap(), TrialId::of(&json!({"a": 1.0})).unwrap());
    }

    #[test]
    fn identity_is_what_it_always_was() {
        // A changed value here would make every user's finished work run again.
        let id = TrialId::of(&json!({"kind": "noop", "n": 1, "x": 0.1})).unwrap();
        assert_eq!(id.hex(), blake3::hash(br#"{"kind":"noop","n":1,"x":0.1}"#).to_hex().to_string());
    }

    #[test]
    fn text_form_round_trips() {
        let id = TrialId::of(&"x").unwrap();
        assert_eq!(id.hex().parse::<TrialId>().unwrap(), id);
        assert!("abc".parse::<TrialId>().is_err());
        assert_eq!(id.short().len(), 10);
    }
}
