//! Families of series whose labels are texts.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Characters of a label that are kept: users choose some of them.
const MAX_LABEL: usize = 200;

type Labels = Vec<(String, String)>;

fn owned(labels: &[(&str, &str)]) -> Labels {
    let label = |(name, value): &(&str, &str)| ((*name).to_owned(), value.chars().take(MAX_LABEL).collect());
    labels.iter().map(label).collect()
}

/// What goes up and down.
pub(super) struct Gauges(Family<Labels, Gauge<f64, AtomicU64>>);

impl Gauges {
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self(family)
    }

    pub(super) fn set(&self, labels: &[(&str, &str)], value: f64) {
        self.0.get_or_create(&owned(labels)).set(value);
    }
}

/// What only grows; `_total` is added to its name.
pub(super) struct Counters(Family<Labels, Counter<f64, AtomicU64>>);

impl Counters {
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self(family)
    }

    pub(super) fn add(&self, labels: &[(&str, &str)], value: f64) {
        self.0.get_or_create(&owned(labels)).inc_by(value);
    }
}
