//! What the database has for the cells of the paper's tables: trials, matched by what they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use permafrost_worker::{
    id::TrialId,
    task::{Subset, Task},
};
use serde_json::json;

use super::super::{
    cell::Cell,
    lineage::{self, Lineage},
    pairing,
};
use crate::store::ResultRow;

/// The collection that the paper pre-trains on.
const PAIRS: &str = "mimic-cxr";

/// A head on an Adaptor, by what it is.
struct Member {
    /// Reader of the collection that it was tested on.
    dataset: &'static str,
    vision: String,
    text: String,
    fraction: f64,
    /// The same for trials that differ in seeds alone.
    settings: String,
    published: bool,
    row: ResultRow,
}

/// All heads that could stand in a table of the paper.
pub(super) struct Members {
    members: Vec<Member>,
    /// Readers of all collections in the database.
    readers: BTreeSet<&'static str>,
    /// Heads by the collection that they were tested on, whose Adaptors were trained on other pairs.
    pub(super) elsewhere: BTreeMap<&'static str, usize>,
    /// Cells that had trials of several settings.
    pub(super) chosen: usize,
}

impl Members {
    /// From heads, each once, and all that they were made from.
    pub(super) fn new(lineage: &Lineage, heads: Vec<ResultRow>) -> Self {
        let prepared = lineage.tasks().filter_map(|(_, task)| match task {
            Task::Prepare(task) => Some(lineage::reader(&task.reader)),
            _ => None,
        });
        let readers = prepared.collect();
        let mut found = Self { members: Vec::new(), readers, elsewhere: BTreeMap::new(), chosen: 0 };
        for row in heads {
            found.take(lineage, row);
        }
        found
    }

    fn take(&mut self, lineage: &Lineage, row: ResultRow) -> Option<()> {
        let id: TrialId = row.id.parse().ok()?;
        let Task::Classify(head) = lineage.task(id)? else { return None };
        let dataset = lineage::reader(&lineage.prepare(head.dataset)?.reader);
        let adaptor = lineage.pretrain(head.adaptor?)?;
        if lineage::reader(&lineage.prepare(adaptor.dataset)?.reader) != PAIRS {
            *self.elsewhere.entry(dataset).or_default() += 1;
            return None;
        }
        let called = |name: &str| row.parameters.get(name).and_then(serde_json::Value::as_str);
        let vision = lineage.encoder(head.image, called("vision"))?;
        let text = lineage.encoder(adaptor.text, called("text"))?;
        let (seed, adaptors) = lineage.seeds(head);
        let parameters = [("seed".to_owned(), json!(seed)), ("pretrain.seed".to_owned(), json!(adaptors))];
        self.members.push(Member {
            dataset,
            vision,
            text,
            fraction: head.fraction,
            settings: lineage.settings(id),
            published: head.subset == Subset::Published,
            row: ResultRow { parameters: parameters.into(), ..row },
        });
        Some(())
    }

    /// Pairs of encoders of heads on these collections, image encoder first.
    pub(super) fn encoders(&self, datasets: &[&str]) -> BTreeSet<(String, String)> {
        let of = self.members.iter().filter(|member| datasets.contains(&member.dataset));
        of.map(|member| (member.vision.clone(), member.text.clone())).collect()
    }

    /// A cell. Where there are trials of several settings, those on the published samples are taken, and of these the ones that are best on
    /// validation; never those that are best on the test.
    pub(super) fn cell(&mut self, dataset: &str, metric: &str, encoders: Option<(&str, &str)>, fraction: f64) -> Cell {
        let is = |member: &&Member| {
            member.dataset == dataset
                && member.fraction == fraction
                && encoders.is_some_and(|(vision, text)| member.vision == vision && member.text == text)
        };
        let mut settings: HashMap<&str, Vec<&Member>> = HashMap::new();
        for member in self.members.iter().filter(is) {
            settings.entry(&member.settings).or_default().push(member);
        }
        let several = settings.len() > 1;
        let validation = format!("val_{metric}");
        let rank = |members: &[&Member]| {
            let rows: Vec<&ResultRow> = members.iter().map(|member| &member.row).collect();
            let score = Cell::new(&rows, &validation).mean().unwrap_or(f64::NEG_INFINITY);
            (members[0].published, score)
        };
        let best = settings.into_iter().max_by(|(one, a), (other, b)| {
            let ((a_published, a), (b_published, b)) = (rank(a), rank(b));
            // Equal in all else, the order of identities decides: the answer must not depend on that of a map.
            a_published.cmp(&b_published).then(a.total_cmp(&b)).then(one.cmp(other))
        });
        let Some((_, members)) = best else {
            return Cell::without(if self.readers.contains(dataset) { NOT_RUN } else { NO_DATA });
        };
        let rows: Vec<&ResultRow> = members.iter().map(|member| &member.row).collect();
        let keys = ["seed".to_owned(), "pretrain.seed".to_owned()];
        let cell = Cell { pairs: pairing::values(&rows, metric, &keys), ..Cell::new(&rows, metric) };
        self.chosen += usize::from(several);
        cell
    }
}

/// The database has no collection of that reader.
pub(super) const NO_DATA: &str = "no data";
/// It has, but no such trials.
pub(super) const NOT_RUN: &str = "not run";
