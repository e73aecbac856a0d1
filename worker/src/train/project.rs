//! Lays out the images of a split in the plane, before and after a frozen Adaptor, and says how well their classes are apart (paper,
//! Fig. 3).

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use super::{
    array,
    features::{self, Features, Source},
    inputs::Inputs,
};
use crate::{
    datasets::Dataset,
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    files,
    protocol::Outcome,
    random::{Key, Purpose, derive_seed},
    task::{Project, Target, Task},
    tsne::{self, KNN, Points, Separability, Settings},
};

/// Name of the artifact that holds the places of the images.
pub const COORDINATES: &str = "coordinates.csv";
/// Its columns; coordinates have no unit.
pub const COLUMNS: [&str; 6] = ["image", "class", "before_x", "before_y", "after_x", "after_y"];
/// Steps that the search for neighbours counts as.
const SEARCH: u64 = 50;

/// Runs the members, side by side.
///
/// # Errors
/// When the device cannot be used; each member has its own outcome otherwise.
pub fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let inputs = Inputs::default();
    let stream = device.stream()?;
    array::run(job.leases.len(), device.threads(), reporter, |member, threads| {
        let lease = &job.leases[member];
        let Task::Project(task) = &lease.task else { return Err(Error::input("not a projection task")) };
        let dataset = inputs.dataset(job, lease, task.dataset)?;
        let embeddings = inputs.embeddings(job, lease, task.image, task.image_width)?;
        let of = |adaptor| {
            let source = Source { dataset: task.dataset, image: task.image, adaptor };
            features::of(source, &dataset, &embeddings, job, lease, threads, stream.as_ref())
        };
        let (before, after) = (of(None)?, of(Some(task.adaptor))?);
        let samples = Samples::of(task, &dataset, &before)?;
        reporter.log(member, &samples.describe(task));
        let work = Work { task, samples, job, member, reporter, threads };
        work.run(&dataset, [&before, &after])
    });
    Ok(())
}

/// The images that are laid out.
struct Samples {
    /// Names of the classes.
    classes: Vec<String>,
    /// Indices into the collection's images, ascending.
    images: Vec<usize>,
    /// The class of each.
    class_of: Vec<u32>,
}

impl Samples {
    /// Those of the split that have features and a known class; of too many, some.
    fn of(task: &Project, dataset: &Dataset, features: &Features) -> Result<Self> {
        let (classes, of_image): (Vec<String>, Vec<Option<u32>>) = match task.target {
            Target::Binary => {
                let of_image = dataset.binary(&task.label)?.into_iter().map(|label| label.map(u32::from)).collect();
                (vec![format!("no {}", task.label), task.label.clone()], of_image)
            }
            Target::Classes => {
                let (column, of_image) = dataset.classes_of(&task.label)?;
                (column.values.clone(), of_image)
            }
        };
        let all: Vec<usize> = (0..dataset.images.len())
            .filter(|&i| dataset.images[i].split == task.split && of_image[i].is_some() && features.has(i))
            .collect();
        let images = if all.len() > task.samples {
            let key = Key::new(derive_seed(task.seed, "projection"), Purpose::Sample, 0);
            let mut chosen: Vec<usize> =
                key.permutation(all.len()).into_iter().take(task.samples).map(|i| all[i as usize]).collect();
            chosen.sort_unstable();
            chosen
        } else {
            all
        };
        let class_of: Vec<u32> = images.iter().filter_map(|&i| of_image[i]).collect();
        let present = (0..classes.len() as u32).filter(|class| class_of.contains(class)).count();
        let least = task.perplexity as usize + 2;
        if images.len() < least {
            return Err(Error::Input {
                what: format!(
                    "{} {} images have `{}`, a perplexity of {} needs {least}",
                    images.len(),
                    task.split.name(),
                    task.label,
                    task.perplexity
                ),
                cure: Some("lower `perplexity`: a third of the images at most".to_owned()),
            });
        }
        if present < 2 {
            return Err(Error::Input {
                what: format!(
                    "the {} {} images are all of one class of `{}`",
                    images.len(),
                    task.split.name(),
                    task.label
                ),
                cure: Some("choose another `label` or `split`".to_owned()),
            });
        }
        Ok(Self { classes, images, class_of })
    }

    fn describe(&self, task: &Project) -> String {
        let count = |class: u32| self.class_of.iter().filter(|&&found| found == class).count();
        let counts = (0..).zip(self.classes.iter().take(20)).map(|(class, name)| format!("{} {name}", count(class)));
        let counts: Vec<String> = counts.collect();
        format!("{} {} images ({})", self.images.len(), task.split.name(), counts.join(", "))
    }
}

/// One member at work.
struct Work<'a> {
    task: &'a Project,
    samples: Samples,
    job: &'a Job,
    member: usize,
    reporter: &'a dyn Reporter,
    threads: usize,
}

/// A layout and how well the classes are apart in the space that it shows.
struct Shown {
    places: Vec<[f64; 2]>,
    divergence: f64,
    apart: Separability,
}

impl Work<'_> {
    fn run(&self, dataset: &Dataset, features: [&Features; 2]) -> Result<Outcome> {
        let mut shown = Vec::with_capacity(2);
        for (turn, features) in (0..).zip(features) {
            match self.layout(features, turn) {
                Some(found) => shown.push(found),
                None => match self.reporter.stop(self.member) {
                    Some(why) => return Ok(stopped(why)),
                    None => return Err(Error::input("a projection broke off by itself")),
                },
            }
        }
        let [before, after] = <[Shown; 2]>::try_from(shown).map_err(|_| Error::input("a projection is missing"))?;
        if let Some(what) = [("kl_before", &before), ("kl_after", &after)].into_iter().find(|(_, s)| !s.is_finite()) {
            return Ok(Outcome::Diverged { step: u64::from(self.task.iterations), what: what.0.to_owned() });
        }
        let path = self.job.folder(self.member).join(COORDINATES);
        self.write(&path, dataset, &before, &after)?;
        let summary = BTreeMap::from(
            [
                ("silhouette_after", after.apart.silhouette),
                ("silhouette_before", before.apart.silhouette),
                ("knn_accuracy_after", after.apart.knn_accuracy),
                ("knn_accuracy_before", before.apart.knn_accuracy),
                ("kl_after", after.divergence),
                ("kl_before", before.divergence),
                ("samples", self.samples.images.len() as f64),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        Ok(Outcome::Done { summary, artifacts: vec![files::describe(&self.job.home, &path)?] })
    }

    /// Lays out features; nothing when it is told to stop.
    fn layout(&self, features: &Features, turn: u64) -> Option<Shown> {
        let Self { task, samples, member, reporter, threads, .. } = self;
        let values: Vec<f32> = samples.images.iter().flat_map(|&image| features.row(image)).copied().collect();
        let points = Points::new(&values, features.width);
        let each = SEARCH + u64::from(task.iterations);
        let step = |done: u64| {
            reporter.progress(*member, turn * each + done, 2 * each);
            if reporter.stop(*member).is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let k = tsne::neighbours_wanted(points.count(), task.perplexity).max(KNN.min(points.count() - 1));
        let classes = samples.classes.len();
        let found = tsne::scan(points, k, &samples.class_of, classes, *threads, &mut || step(0))?;
        let apart = Separability::of(&found, &samples.class_of, classes);
        let Project { perplexity, iterations, seed, .. } = **task;
        let settings = Settings { perplexity, iterations, theta: tsne::THETA, seed, threads: *threads };
        let layout = tsne::layout(points, &found, &settings, &mut |i| step(SEARCH + u64::from(i)))?;
        Some(Shown { places: layout.places, divergence: layout.divergence, apart })
    }

    fn write(&self, path: &Path, dataset: &Dataset, before: &Shown, after: &Shown) -> Result<()> {
        let Samples { classes, images, class_of } = &self.samples;
        files::write_atomic(path, |out| {
            let mut table = csv::Writer::from_writer(out);
            table.write_record(COLUMNS)?;
            let rows = images.iter().zip(class_of).zip(before.places.iter().zip(&after.places));
            for ((&image, &class), (before, after)) in rows {
                let names = [dataset.images[image].id.clone(), classes[class as usize].clone()];
                let places = before.iter().chain(after).map(|value| (*value as f32).to_string());
                table.write_record(names.into_iter().chain(places))?;
            }
            table.flush()
        })
    }
}

impl Shown {
    fn is_finite(&self) -> bool {
        self.divergence.is_finite() && self.places.iter().flatten().all(|value| value.is_finite())
    }
}
