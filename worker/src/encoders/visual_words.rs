//! Visual words of images, one-hot, through a fixed random projection.
//!
//! Each word (a descriptor with its code) has its own row of normal numbers, drawn from a sequence keyed by the seed and
//! the word's name alone. So an image's embedding depends neither on the other images nor on the order of anything. It is
//! the sum of its words' rows over the root of `descriptors * width`: about unit norm. A descriptor that an image lacks adds
//! nothing, as in a one-hot code without a one; an image without any word is a row of zeros.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    cache,
    datasets::{Dataset, Image},
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    protocol::Outcome,
    random::{Key, Purpose, derive_seed},
    task::{Embed, Encoder},
};

/// Runs the members one after another: each takes a fraction of a second.
///
/// Leaves a summary: `samples`, `width`, `descriptors`, `words` (different ones), `words_missing` (descriptors that an
/// image lacks, summed over the images), `images_without_words`.
///
/// # Errors
/// When the collection cannot be read; each member has its own outcome otherwise.
pub(super) fn run(job: &Job, reporter: &dyn Reporter) -> Result<()> {
    super::in_turn(job, reporter, |member, task, dataset| embed(job, member, task, dataset, reporter))
}

fn embed(job: &Job, member: usize, task: &Embed, dataset: &Dataset, reporter: &dyn Reporter) -> Result<Outcome> {
    let Encoder::VisualWords { descriptors, width, seed } = &task.encoder else {
        return Err(Error::input("another encoder among visual words"));
    };
    cache::only_pooled(task.output)?;
    check(descriptors, *width, &dataset.images)?;
    let mut projection = Projection { seed: *seed, width: *width, rows: HashMap::new() };
    let scale = 1.0 / ((descriptors.len() * width) as f32).sqrt();
    let mut values = Vec::with_capacity(dataset.images.len() * width);
    let (mut missing, mut without) = (0, 0);
    let total = dataset.images.len() as u64;
    for (done, image) in dataset.images.iter().enumerate() {
        // Looking around costs more than an image.
        if done.is_multiple_of(1024) {
            if let Some(why) = reporter.stop(member) {
                return Ok(stopped(why));
            }
            reporter.progress(member, done as u64, total);
        }
        let start = values.len();
        values.resize(start + width, 0.0);
        let lacking = project(image, descriptors, &mut projection, scale, &mut values[start..]);
        missing += lacking;
        without += usize::from(lacking == descriptors.len());
    }
    let rows: Vec<(&str, &[f32])> =
        dataset.images.iter().map(|image| image.id.as_str()).zip(values.chunks_exact(*width)).collect();
    let artifacts = cache::write(job, member, *width, &rows)?;
    reporter.progress(member, total, total);
    let counts = [
        ("samples", rows.len()),
        ("width", *width),
        ("descriptors", descriptors.len()),
        ("words", projection.rows.len()),
        ("words_missing", missing),
        ("images_without_words", without),
    ];
    let summary: BTreeMap<String, f64> =
        counts.into_iter().map(|(name, count)| (name.to_owned(), count as f64)).collect();
    Ok(Outcome::Done { summary, artifacts })
}

/// Checks that `descriptors` are different ones and that the collection has them.
fn check(descriptors: &[String], width: usize, images: &[Image]) -> Result<()> {
    let wrong = |what: String, cure: String| Err(Error::Input { what, cure: Some(cure) });
    if descriptors.is_empty() || width == 0 {
        let cure = "give at least one descriptor and a width of at least 1".to_owned();
        return wrong(format!("visual words with {} descriptors and width {width}", descriptors.len()), cure);
    }
    let known: BTreeSet<&str> = images.iter().flat_map(|image| image.words.keys()).map(String::as_str).collect();
    let mut seen = BTreeSet::new();
    for descriptor in descriptors {
        if !known.contains(descriptor.as_str()) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let cure = if known.is_empty() { "this collection has no visual words".to_owned() } else { known };
            return wrong(format!("no image has a visual word of `{descriptor}`"), format!("there are: {cure}"));
        }
        if !seen.insert(descriptor) {
            return wrong(format!("descriptor `{descriptor}` is listed twice"), "list it once".to_owned());
        }
    }
    Ok(())
}

/// Rows of the projection that were needed so far.
struct Projection<'a> {
    seed: u64,
    width: usize,
    rows: HashMap<(&'a str, &'a str), Vec<f32>>,
}

impl<'a> Projection<'a> {
    fn row(&mut self, descriptor: &'a str, code: &'a str) -> &[f32] {
        let (seed, width) = (self.seed, self.width);
        self.rows.entry((descriptor, code)).or_insert_with(|| {
            let mut row = vec![0.0; width];
            let seed = derive_seed(seed, &format!("visual word {descriptor}:{code}"));
            Key::new(seed, Purpose::Projection, 0).fill_normal(&mut row, 1.0);
            row
        })
    }
}

/// Adds up the rows of the words of `image`; how many of the `descriptors` it lacks.
fn project<'a>(
    image: &'a Image,
    descriptors: &'a [String],
    projection: &mut Projection<'a>,
    scale: f32,
    out: &mut [f32],
) -> usize {
    let mut lacking = 0;
    // In the order of names, whatever the order in the sweep file: sums of f32 depend on it.
    let mut sorted: Vec<&'a str> = descriptors.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    for descriptor in sorted {
        match image.words.get(descriptor).filter(|code| !code.is_empty()) {
            Some(code) => {
                for (value, x) in out.iter_mut().zip(projection.row(descriptor, code)) {
                    *value += scale * x;
                }
            }
            None => lacking += 1,
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(words: &[(&str, &str)]) -> Image {
        Image {
            id: "i".to_owned(),
            words: words.iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned())).collect(),
            ..Image::default()
        }
    }

    fn embedding(image: &Image, descriptors: &[&str], seed: u64) -> (Vec<f32>, usize) {
        let descriptors: Vec<String> = descriptors.iter().map(ToString::to_string).collect();
        let mut projection = Projection { seed, width: 512, rows: HashMap::new() };
        let mut out = vec![0.0; 512];
        let lacking =
            project(image, &descriptors, &mut projection, 1.0 / ((descriptors.len() * 512) as f32).sqrt(), &mut out);
        (out, lacking)
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn rows_have_unit_norm_and_depend_on_names_alone() {
        let names = ["CEDD", "FCTH"];
        let (first, _) = embedding(&image(&[("CEDD", "a1"), ("FCTH", "b1")]), &names, 1);
        let (half, _) = embedding(&image(&[("CEDD", "a1"), ("FCTH", "b2")]), &names, 1);
        let (other, _) = embedding(&image(&[("CEDD", "b1"), ("FCTH", "a1")]), &names, 1);
        assert!((dot(&first, &first) - 1.0).abs() < 0.25, "{}", dot(&first, &first));
        assert!((dot(&first, &half) - 0.5).abs() < 0.2, "one word in common: {}", dot(&first, &half));
        assert!(dot(&first, &other).abs() < 0.2, "codes of other descriptors: {}", dot(&first, &other));
        // Descriptors in another order, and words that are not used.
        let more = image(&[("Z", "c"), ("FCTH", "b1"), ("CEDD", "a1")]);
        assert_eq!(embedding(&more, &["FCTH", "CEDD"], 1).0, first);
        assert_ne!(embedding(&more, &names, 2).0, first);
    }

    #[test]
    fn what_is_missing_adds_nothing_and_is_counted() {
        let names = ["CEDD", "FCTH"];
        let (row, lacking) = embedding(&image(&[("CEDD", "a1"), ("FCTH", "")]), &names, 1);
        assert_eq!(lacking, 1);
        assert!((dot(&row, &row) - 0.5).abs() < 0.15);
        assert_eq!(embedding(&image(&[]), &names, 1), (vec![0.0; 512], 2));
    }

    #[test]
    fn unknown_doubled_and_no_descriptors_are_refused() {
        let images = [image(&[("CEDD", "a1")])];
        let check = |names: &[&str], width| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            check(&names, width, &images).map_err(|error| format!("{error}; {}", error.cure().unwrap()))
        };
        assert_eq!(check(&["CEDD"], 1), Ok(()));
        assert_eq!(check(&["SIFT"], 1).unwrap_err(), "no image has a visual word of `SIFT`; there are: CEDD");
        assert!(check(&["CEDD", "CEDD"], 1).unwrap_err().contains("twice"));
        assert!(check(&[], 1).is_err() && check(&["CEDD"], 0).is_err());
    }
}
