//! Which images a head is trained and tested on, and what is known of them.

use std::sync::Arc;

use crate::{
    datasets::{Dataset, Split, splits},
    error::{Error, Result},
    task::{Classify, Subset, Target},
    train::sampling,
};

/// Most classes whose names a message lists.
const MAX_NAMES: usize = 20;

/// What a head tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    /// The label, as the sweep names it.
    pub(super) name: String,
    /// Names of the classes; of a binary label `negative` and `positive`.
    pub(super) classes: Vec<String>,
    /// One class an image of the collection; none: unknown.
    of_image: Vec<Option<u32>>,
}

impl Labels {
    /// Those that `task` asks for.
    ///
    /// # Errors
    /// [`Error::Input`] when the collection has no such label.
    pub(super) fn of(task: &Classify, dataset: &Dataset) -> Result<Self> {
        let name = task.label.clone();
        Ok(match task.target {
            Target::Binary => {
                let of_image = dataset.binary(&name)?.into_iter().map(|label| label.map(u32::from)).collect();
                Self { name, classes: ["negative", "positive"].map(str::to_owned).to_vec(), of_image }
            }
            Target::Classes => {
                let (column, of_image) = dataset.classes_of(&name)?;
                let classes = column.values.clone();
                Self { name, classes, of_image }
            }
        })
    }
}

/// Samples of one split: which image, and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Samples {
    /// Indices into the collection's images.
    pub(super) images: Vec<usize>,
    /// The class of each, an index into [`Labels::classes`].
    pub(super) classes: Vec<u32>,
}

/// The samples of all splits.
#[derive(Clone, Debug)]
pub(super) struct Splits {
    pub(super) labels: Arc<Labels>,
    pub(super) train: Samples,
    pub(super) valid: Samples,
    pub(super) test: Samples,
}

impl Splits {
    /// The samples of `task`; of the training split those that its fraction uses.
    ///
    /// # Errors
    /// [`Error::Input`] for an unknown label, or when a split lacks what training needs.
    pub(super) fn of(task: &Classify, dataset: &Dataset) -> Result<Self> {
        let labels = Arc::new(Labels::of(task, dataset)?);
        let samples = |split| Samples::of(dataset, &labels, split).check(task, &labels, split.name());
        let all = samples(Split::Train)?;
        let chosen = match task.subset {
            Subset::Nested => {
                let names: Vec<&str> = labels.classes.iter().map(String::as_str).collect();
                sampling::fraction(&all.classes, &names, task.fraction, task.seed)
            }
            Subset::Published => splits::fraction(&(0..all.images.len()).collect::<Vec<_>>(), task.fraction)?,
        };
        let train = Samples {
            images: chosen.iter().map(|&i| all.images[i]).collect(),
            classes: chosen.iter().map(|&i| all.classes[i]).collect(),
        };
        // A published fraction is drawn without regard to classes.
        let train = train.check(task, &labels, "chosen training")?;
        Ok(Self { train, valid: samples(Split::Valid)?, test: samples(Split::Test)?, labels })
    }
}

impl Samples {
    fn of(dataset: &Dataset, labels: &Labels, split: Split) -> Self {
        let of_split = dataset.images.iter().enumerate().filter(|(_, image)| image.split == split);
        let (images, classes) = of_split.filter_map(|(i, _)| Some((i, labels.of_image[i]?))).unzip();
        Self { images, classes }
    }

    /// Samples of the class.
    pub(super) fn count(&self, class: u32) -> usize {
        self.classes.iter().filter(|&&found| found == class).count()
    }

    /// Whether each is of class 1.
    pub(super) fn positive(&self) -> Vec<bool> {
        self.classes.iter().map(|&class| class == 1).collect()
    }

    /// How many there are of each class, in words.
    pub(super) fn describe(&self, labels: &Labels) -> String {
        let counts = (0..).zip(labels.classes.iter().take(MAX_NAMES));
        let counts: Vec<String> = counts.map(|(class, name)| format!("{} {name}", self.count(class))).collect();
        let more = if labels.classes.len() > MAX_NAMES { ", ..." } else { "" };
        format!("{} ({}{more})", self.images.len(), counts.join(", "))
    }

    /// A binary label needs both classes in every split: there is no AUROC without. Several classes need two to train on, and
    /// anything to test on.
    fn check(self, task: &Classify, labels: &Labels, name: &str) -> Result<Self> {
        let all = self.images.len();
        if task.target == Target::Binary {
            let positives = self.count(1);
            if positives == 0 || positives == all {
                return Err(Error::input(format!(
                    "{positives} of the {all} {name} samples have `{}`: both classes are needed",
                    labels.name
                )));
            }
            return Ok(self);
        }
        let different = (0..labels.classes.len() as u32).filter(|&class| self.count(class) > 0).count();
        let needed = if name.contains(Split::Train.name()) { 2 } else { 1 };
        if different < needed {
            return Err(Error::input(format!(
                "the {all} {name} samples are of {different} classes of `{}`, {needed} are needed",
                labels.name
            )));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        datasets::{ClassColumn, Image, LabelColumns},
        id::TrialId,
    };

    /// So many training images, and four for each other split; every third one is sick; kinds go round.
    fn dataset(train: usize) -> Dataset {
        let columns = LabelColumns {
            binary: vec!["sick".to_owned()],
            classes: vec![ClassColumn {
                name: "kind".to_owned(),
                values: ["x", "y=z", "w"].map(str::to_owned).to_vec(),
            }],
            numbers: vec![],
        };
        let splits = [(Split::Train, train), (Split::Valid, 4), (Split::Test, 4)];
        let image = |(split, i): (Split, usize)| Image {
            id: format!("{}-{i}", split.name()),
            split,
            labels: vec![Some(i % 3 == 0)],
            // Of some, the kind is unknown.
            classes: vec![(i % 12 != 2).then_some(i as u32 % 3)],
            ..Image::default()
        };
        let images = splits.into_iter().flat_map(|(split, count)| (0..count).map(move |i| (split, i))).map(image);
        Dataset::with_columns(columns, vec![], images.collect()).unwrap()
    }

    fn task(label: &str, target: Target) -> Classify {
        let id = TrialId::of(&"any").unwrap();
        Classify {
            dataset: id,
            image: id,
            adaptor: None,
            image_width: 1,
            label: label.to_owned(),
            target,
            fraction: 0.1,
            subset: Subset::Published,
            dropout: 0.0,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            epochs: 1,
            batch_size: 2,
            patience: None,
            min_delta: 0.0,
            seed: 0,
        }
    }

    #[test]
    fn a_published_fraction_is_pandas_whatever_the_seed() {
        let dataset = dataset(100);
        let ids: Vec<String> = (0..100).map(|i| format!("train-{i}")).collect();
        for share in [0.05, 0.1, 1.0] {
            for seed in [0, 7] {
                let task = Classify { fraction: share, seed, ..task("sick", Target::Binary) };
                let found = Splits::of(&task, &dataset).unwrap();
                let found: Vec<&str> = found.train.images.iter().map(|&i| dataset.images[i].id.as_str()).collect();
                assert_eq!(found, splits::fraction(&ids, share).unwrap());
            }
        }
        // pandas.Series(range(100)).sample(frac=0.05, random_state=42)
        let task = Classify { fraction: 0.05, ..task("sick", Target::Binary) };
        assert_eq!(Splits::of(&task, &dataset).unwrap().train.images, [83, 53, 70, 45, 44]);
    }

    #[test]
    fn one_class_against_the_rest_keeps_what_is_unknown() {
        let dataset = dataset(24);
        let all = |label: &str, target| Splits::of(&Classify { fraction: 1.0, ..task(label, target) }, &dataset);
        let kinds = all("kind", Target::Classes).unwrap();
        assert_eq!(kinds.labels.classes, ["x", "y=z", "w"]);
        assert_eq!(kinds.train.describe(&kinds.labels), "22 (8 x, 8 y=z, 6 w)");
        let rest = all("kind=y=z", Target::Binary).unwrap();
        assert_eq!(rest.train.images, kinds.train.images);
        assert_eq!(rest.train.positive(), kinds.train.classes.iter().map(|&kind| kind == 1).collect::<Vec<_>>());
        for (label, target, expected) in [
            ("kind", Target::Binary, "no binary label `kind`: use one of: sick, kind=x, kind=y=z, kind=w"),
            ("kind=v", Target::Binary, "no binary label `kind=v`: use one of: sick, kind=x, kind=y=z, kind=w"),
            ("sick", Target::Classes, "no label of several classes `sick`: use one of: kind"),
        ] {
            let error = all(label, target).unwrap_err();
            let said = format!("{error}: {}", error.cure().unwrap());
            assert_eq!(said, format!("the collection has {expected}"));
        }
    }

    #[test]
    fn splits_without_what_training_needs_are_refused() {
        let mut dataset = dataset(24);
        let refused = |dataset: &Dataset, task: &Classify| Splits::of(task, dataset).unwrap_err().to_string();
        let task = |label: &str, target, fraction| Classify { fraction, ..task(label, target) };
        let error = refused(&dataset, &task("kind", Target::Classes, 0.05));
        assert_eq!(error, "the 1 chosen training samples are of 1 classes of `kind`, 2 are needed");
        let error = refused(&dataset, &task("sick", Target::Binary, 0.05));
        assert!(error.ends_with("of the 1 chosen training samples have `sick`: both classes are needed"), "{error}");
        dataset.images.iter_mut().filter(|image| image.split == Split::Test).for_each(|image| image.classes[0] = None);
        let error = refused(&dataset, &task("kind", Target::Classes, 1.0));
        assert_eq!(error, "the 0 test samples are of 0 classes of `kind`, 1 are needed");
    }
}
