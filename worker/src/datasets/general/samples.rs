//! Samples gathered row by row, checked against each other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
};

use super::{Collection, Counts, MAX_CLASSES, Options, row::Sample};
use crate::{
    datasets::{ClassColumn, Dataset, Image, LabelColumns, Report, Split, text},
    error::Result,
};

/// Samples so far.
pub struct Samples<'a> {
    options: &'a Options,
    root: &'a Path,
    /// Those that are kept.
    pub images: Vec<Image>,
    /// What was counted.
    pub counts: Counts,
    reports: Vec<Report>,
    /// Ids of all rows, kept or not, by the line on which they are.
    lines: HashMap<String, u64>,
    /// Index of each report, its split where a column says so, and the line that said it.
    report_of: HashMap<String, (usize, Option<Split>, u64)>,
    /// Ids of reports whose text was too short.
    too_short: HashSet<String>,
    /// Split of each group, and the line that said it.
    split_of: HashMap<String, (Split, u64)>,
    crossing: BTreeSet<String>,
    /// Position of each class, column by column, in the order in which they came.
    classes: Vec<BTreeMap<String, u32>>,
}

/// Samples that must stay in one split.
pub struct Parts {
    /// What each part is called.
    pub names: Vec<String>,
    /// The part of each image.
    pub of_image: Vec<usize>,
}

impl<'a> Samples<'a> {
    /// None yet.
    pub fn new(options: &'a Options, root: &'a Path) -> Self {
        Self {
            options,
            root,
            images: Vec::new(),
            counts: Counts::default(),
            reports: Vec::new(),
            lines: HashMap::new(),
            report_of: HashMap::new(),
            too_short: HashSet::new(),
            split_of: HashMap::new(),
            crossing: BTreeSet::new(),
            classes: vec![BTreeMap::new(); options.columns.classes.len()],
        }
    }

    /// Adds the sample of one line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, sample: Sample, line: u64) -> Result<(), String> {
        if let Some(first) = self.lines.insert(sample.id.clone(), line) {
            return Err(format!("sample `{}` is on line {first}, too", sample.id));
        }
        if let (Some(group), Some(split)) = (&sample.group, sample.split) {
            self.check_group(group, split, line)?;
        }
        if self.options.check_files
            && let Some(file) = &sample.image
            && !self.root.join(file).is_file()
        {
            self.counts.images_missing.add(file.display().to_string());
            return Ok(());
        }
        let report = self.report(&sample, line)?;
        let classes = sample.classes.iter().enumerate().map(|(column, class)| self.class(column, class.as_deref()));
        let classes = classes.collect::<Result<_, _>>()?;
        let mask = sample.mask.filter(|mask| {
            let there = !self.options.check_files || self.root.join(mask).is_file();
            if !there {
                self.counts.masks_missing.add(mask.display().to_string());
            }
            there
        });
        self.images.push(Image {
            id: sample.id,
            report,
            split: sample.split.unwrap_or_default(),
            labels: sample.binary,
            words: BTreeMap::new(),
            classes,
            numbers: sample.numbers,
            file: sample.image,
            mask,
            group: sample.group,
        });
        Ok(())
    }

    /// A group must not be in two splits, or is counted.
    fn check_group(&mut self, group: &str, split: Split, line: u64) -> Result<(), String> {
        let (first, first_line) = *self.split_of.entry(group.to_owned()).or_insert((split, line));
        if first == split {
            return Ok(());
        }
        if !self.options.groups_may_cross {
            let (name, other) = (split.name(), first.name());
            return Err(format!("group `{group}` is in {name} here and in {other} on line {first_line}"));
        }
        self.crossing.insert(group.to_owned());
        Ok(())
    }

    /// Index of the sample's report, new or known.
    fn report(&mut self, sample: &Sample, line: u64) -> Result<Option<usize>, String> {
        let Some(raw) = &sample.text else { return Ok(None) };
        let text = if self.options.clean_texts { text::clean_words(raw) } else { Some(raw.clone()) };
        let id = sample.report.as_ref().unwrap_or(&sample.id);
        let Some(text) = text else {
            self.counts.texts_too_short += 1;
            self.too_short.insert(id.clone());
            return match self.report_of.get(id) {
                Some((_, _, first)) => Err(format!("report `{id}` has another text on line {first}")),
                None => Ok(None),
            };
        };
        if self.too_short.contains(id) {
            return Err(format!("report `{id}` has another text on a line before"));
        }
        if let Some(&(index, split, first)) = self.report_of.get(id) {
            if self.reports[index].text != text {
                return Err(format!("report `{id}` has another text on line {first}"));
            }
            if split != sample.split {
                return Err(format!("report `{id}` is in another split on line {first}"));
            }
            return Ok(Some(index));
        }
        let index = self.reports.len();
        self.report_of.insert(id.clone(), (index, sample.split, line));
        self.reports.push(Report { id: id.clone(), text });
        Ok(Some(index))
    }

    fn class(&mut self, column: usize, class: Option<&str>) -> Result<Option<u32>, String> {
        let Some(class) = class else { return Ok(None) };
        let known = &mut self.classes[column];
        let next = known.len() as u32;
        if known.len() >= MAX_CLASSES && !known.contains_key(class) {
            let name = &self.options.columns.classes[column];
            return Err(format!("`{name}` has more than {MAX_CLASSES} classes: is it one of classes?"));
        }
        Ok(Some(*known.entry(class.to_owned()).or_insert(next)))
    }

    /// The images by group, or each alone where it has none; groups that share a report are one part.
    pub fn parts(&self) -> Parts {
        let mut of_group: HashMap<&str, usize> = HashMap::new();
        let mut of_report: HashMap<usize, usize> = HashMap::new();
        let mut parent: Vec<usize> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut of_image = Vec::with_capacity(self.images.len());
        for image in &self.images {
            let name = image.group.as_deref().unwrap_or(&image.id);
            let part = *of_group.entry(name).or_insert_with(|| {
                parent.push(parent.len());
                names.push(name);
                parent.len() - 1
            });
            if let Some(report) = image.report {
                let other = *of_report.entry(report).or_insert(part);
                let (a, b) = (root_of(&parent, part), root_of(&parent, other));
                // The earlier one names them all, whatever the order of the unions.
                parent[a.max(b)] = a.min(b);
            }
            of_image.push(part);
        }
        let roots: Vec<usize> = (0..parent.len()).filter(|&part| parent[part] == part).collect();
        let position: HashMap<usize, usize> = roots.iter().enumerate().map(|(at, &root)| (root, at)).collect();
        Parts {
            names: roots.iter().map(|&root| names[root].to_owned()).collect(),
            of_image: of_image.into_iter().map(|part| position[&root_of(&parent, part)]).collect(),
        }
    }

    /// The checked collection.
    ///
    /// # Errors
    /// [`crate::error::Error::Input`] when it does not fit together.
    pub fn finish(mut self) -> Result<Collection> {
        let mut classes = Vec::with_capacity(self.classes.len());
        for (column, known) in self.classes.iter().enumerate() {
            // In the order of their names: which class came first must not matter.
            let sorted: Vec<u32> = known.values().copied().collect();
            for image in &mut self.images {
                let class = &mut image.classes[column];
                *class = class.and_then(|class| sorted.iter().position(|&first| first == class).map(|at| at as u32));
            }
            let name = self.options.columns.classes[column].clone();
            classes.push(ClassColumn { name, values: known.keys().cloned().collect() });
        }
        let groups: HashSet<&str> = self.images.iter().filter_map(|image| image.group.as_deref()).collect();
        self.counts.groups = groups.len();
        self.counts.images = self.images.len();
        self.counts.reports = self.reports.len();
        self.counts.images_with_report = self.images.iter().filter(|image| image.report.is_some()).count();
        self.crossing.into_iter().for_each(|group| self.counts.groups_across_splits.add(group));
        let columns = LabelColumns {
            binary: self.options.columns.binary.clone(),
            classes,
            numbers: self.options.columns.numbers.clone(),
        };
        Ok(Collection { dataset: Dataset::with_columns(columns, self.reports, self.images)?, counts: self.counts })
    }
}

/// The first part of those that `part` belongs with.
fn root_of(parent: &[usize], mut part: usize) -> usize {
    while parent[part] != part {
        part = parent[part];
    }
    part
}
