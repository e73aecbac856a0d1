//! What went wrong, by name: some names, and how many there are.

use serde::{Deserialize, Serialize};

/// Most names that a [`Listing`] holds.
pub const MAX_NAMES: usize = 20;

/// A bounded list of names and the count of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// All of them.
    pub count: usize,
    /// The first [`MAX_NAMES`].
    pub first: Vec<String>,
}

impl Listing {
    /// Counts one more, and keeps its name while there is room.
    pub fn add(&mut self, name: impl Into<String>) {
        self.count += 1;
        if self.first.len() < MAX_NAMES {
            self.first.push(name.into());
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl std::fmt::Display for Listing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let more = if self.count > self.first.len() { ", ..." } else { "" };
        write!(out, "{} ({}{more})", self.count, self.first.join(", "))
    }
}
