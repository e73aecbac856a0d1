//! The splits of RSNA, COVIDx and SIIM-ACR that MGCA made and others took over, as lists of ids.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};

use super::{Amount, RandomState, Size, Sizes, sample, train_test_split};
use crate::{
    datasets::labels::{
        covidx::{Class, Sample},
        rsna::Patient,
        siim::Annotations,
    },
    error::{Error, Result},
};

/// Seed of all splits.
const SPLIT_SEED: u32 = 0;
/// Seed of all fractions.
const FRACTION_SEED: u32 = 42;

/// One value for each split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreeWay<T> {
    /// Trained on.
    pub train: T,
    /// Models are chosen on it.
    pub valid: T,
    /// Looked at once, at the end.
    pub test: T,
}

impl<T> ThreeWay<T> {
    /// The same of each split.
    pub fn map<U>(self, mut each: impl FnMut(T) -> U) -> ThreeWay<U> {
        ThreeWay { train: each(self.train), valid: each(self.valid), test: each(self.test) }
    }
}

impl<T: fmt::Display> fmt::Display for ThreeWay<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "train {}, valid {}, test {}", self.train, self.valid, self.test)
    }
}

/// Sizes of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Samples.
    pub samples: usize,
    /// Those with a finding.
    pub positive: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} positive)", self.samples, self.positive)
    }
}

/// Published sizes of [`rsna_classification`].
pub const RSNA_CLASSIFICATION: ThreeWay<Counts> = ThreeWay {
    train: Counts { samples: 18_678, positive: 4_162 },
    valid: Counts { samples: 4_003, positive: 928 },
    test: Counts { samples: 4_003, positive: 922 },
};

/// Published sizes of [`rsna_segmentation`].
pub const RSNA_SEGMENTATION: ThreeWay<Counts> = ThreeWay {
    train: Counts { samples: 16_010, positive: 3_579 },
    valid: Counts { samples: 5_337, positive: 1_182 },
    test: Counts { samples: 5_337, positive: 1_251 },
};

/// Published sizes of [`covidx`] in samples.
pub const COVIDX: ThreeWay<usize> = ThreeWay { train: 24_104, valid: 6_026, test: 400 };

/// Samples of each class in a list of COVIDx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CovidxCounts {
    /// Of [`Class::Normal`].
    pub normal: usize,
    /// Of [`Class::Pneumonia`].
    pub pneumonia: usize,
    /// Of [`Class::Covid19`].
    pub covid19: usize,
}

impl CovidxCounts {
    fn of(list: &[Sample]) -> Self {
        let count = |class| list.iter().filter(|sample| sample.class == class).count();
        Self { normal: count(Class::Normal), pneumonia: count(Class::Pneumonia), covid19: count(Class::Covid19) }
    }
}

impl fmt::Display for CovidxCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "normal {}, pneumonia {}, COVID-19 {}", self.normal, self.pneumonia, self.covid19)
    }
}

/// Published sizes of COVIDx's test list.
pub const COVIDX_TEST: CovidxCounts = CovidxCounts { normal: 100, pneumonia: 100, covid19: 200 };

/// Sizes of SIIM-ACR's label file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiimCounts {
    /// Lines after the header.
    pub rows: usize,
    /// Images.
    pub images: usize,
    /// Images with a pneumothorax.
    pub positive: usize,
}

impl fmt::Display for SiimCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} images ({} positive)", self.rows, self.images, self.positive)
    }
}

/// The file of the challenge's second stage, whose 12,047 images MGCA names.
pub const SIIM: SiimCounts = SiimCounts { rows: 12_954, images: 12_047, positive: 2_669 };

/// Cure for a file that is not the published one.
const UNCHANGED: &str = "use the publisher's label file unchanged";

/// MGCA's way of splitting `n` samples, by index: `train_test_split` holds out `held_out`, and halves that, the first
/// half being the test split; `random_state` 0 both times. In an odd half, the validation split has one more.
///
/// # Errors
/// [`Error::Input`] when a split would be empty, as [`train_test_split`] says it.
pub fn three_way(n: usize, held_out: Size) -> Result<ThreeWay<Vec<usize>>> {
    let outer = train_test_split(n, Sizes::Test(held_out), SPLIT_SEED)?;
    let inner = train_test_split(outer.test.len(), Sizes::Test(Size::Share(0.5)), SPLIT_SEED)?;
    let of = |half: Vec<usize>| half.into_iter().map(|i| outer.test[i]).collect();
    Ok(ThreeWay { valid: of(inner.test), test: of(inner.train), train: outer.train })
}

/// Ids of RSNA's patients for classification; 30 % are held out. `patients` are all of the file, sorted.
///
/// # Errors
/// [`Error::Input`] when the splits are not of the published sizes ([`RSNA_CLASSIFICATION`]).
pub fn rsna_classification(patients: &[Patient]) -> Result<ThreeWay<Vec<String>>> {
    rsna("RSNA classification", patients, Size::Share(0.3), RSNA_CLASSIFICATION)
}

/// Ids of RSNA's patients for segmentation; 2 x 5,337 are held out. `patients` are all of the file, sorted.
///
/// # Errors
/// [`Error::Input`] when the splits are not of the published sizes ([`RSNA_SEGMENTATION`]).
pub fn rsna_segmentation(patients: &[Patient]) -> Result<ThreeWay<Vec<String>>> {
    rsna("RSNA segmentation", patients, Size::Count(2 * 5_337), RSNA_SEGMENTATION)
}

fn rsna(
    what: &str,
    patients: &[Patient],
    held_out: Size,
    published: ThreeWay<Counts>,
) -> Result<ThreeWay<Vec<String>>> {
    let splits = three_way(patients.len(), held_out)?;
    let found = [&splits.train, &splits.valid, &splits.test].map(|indices| Counts {
        samples: indices.len(),
        positive: indices.iter().filter(|&&i| patients[i].is_positive()).count(),
    });
    let found = ThreeWay { train: found[0], valid: found[1], test: found[2] };
    published_is(what, &found, &published)?;
    Ok(splits.map(|indices| indices.into_iter().map(|i| patients[i].id.clone()).collect()))
}

/// Ids (file names) of COVIDx: 80 % of the training list train, the rest validate, drawn with `random_state` 0; the
/// test list is kept in its order.
///
/// As published, by image: half of the validation images are of patients who also have images in the training split.
///
/// # Errors
/// [`Error::Input`] when the lists are not of the published sizes ([`COVIDX`], [`COVIDX_TEST`]), or share a
/// file.
pub fn covidx(train: &[Sample], test: &[Sample]) -> Result<ThreeWay<Vec<String>>> {
    published_is("COVIDx test", &CovidxCounts::of(test), &COVIDX_TEST)?;
    let splits = train_test_split(train.len(), Sizes::Train(Size::Share(0.8)), SPLIT_SEED)?;
    let found = ThreeWay { train: splits.train.len(), valid: splits.test.len(), test: test.len() };
    published_is("COVIDx", &found, &COVIDX)?;
    let trained: HashSet<&str> = train.iter().map(|sample| sample.file.as_str()).collect();
    if let Some(both) = test.iter().find(|sample| trained.contains(sample.file.as_str())) {
        return Err(Error::input(format!("COVIDx: `{}` is in the training and in the test list", both.file)));
    }
    let ids = |indices: Vec<usize>| indices.into_iter().map(|i| train[i].file.clone()).collect();
    let test = test.iter().map(|sample| sample.file.clone()).collect();
    Ok(ThreeWay { train: ids(splits.train), valid: ids(splits.test), test })
}

/// What SIIM-ACR is split by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Images, in the order in which the file first names them. An image is in one split.
    #[default]
    Image,
    /// Lines of the file, as published. This leaks: an image with several lines can be in several splits.
    Row,
}

/// Ids of SIIM-ACR's images: 70 % train, 15 % validate, 15 % test. In a split no id is twice; ids by row are in the
/// order of their first row.
///
/// # Errors
/// [`Error::Input`] when the file is not of the `expected` sizes ([`SIIM`]) or a split would be empty.
pub fn siim(annotations: &Annotations, unit: Unit, expected: SiimCounts) -> Result<ThreeWay<Vec<String>>> {
    let images = annotations.images();
    let indices = match unit {
        Unit::Image => {
            check_siim(annotations, expected)?;
            three_way(images.len(), Size::Share(0.3))?
        }
        Unit::Row => siim_rows(annotations, expected)?.map(|rows| {
            let mut seen = HashSet::new();
            rows.into_iter().map(|row| annotations.rows()[row].image).filter(|&image| seen.insert(image)).collect()
        }),
    };
    Ok(indices.map(|of_split| of_split.into_iter().map(|image| images[image].id.clone()).collect()))
}

/// The rows of SIIM-ACR by [`Unit::Row`]: indices into [`Annotations::rows`]. With the published code, the mask of an
/// image in a split unites only that split's rows.
///
/// # Errors
/// As [`siim`].
pub fn siim_rows(annotations: &Annotations, expected: SiimCounts) -> Result<ThreeWay<Vec<usize>>> {
    check_siim(annotations, expected)?;
    three_way(annotations.rows().len(), Size::Share(0.3))
}

fn check_siim(annotations: &Annotations, expected: SiimCounts) -> Result<()> {
    let found = SiimCounts {
        rows: annotations.rows().len(),
        images: annotations.images().len(),
        positive: annotations.images().iter().filter(|image| image.positive).count(),
    };
    published_is("SIIM-ACR", &found, &expected)
}

/// The training ids of SIIM-ACR that segmentation uses: all positives, then as many negatives, both in the order of
/// `train`. The negatives are NumPy's `RandomState(seed).choice(negatives, positives, replace=False)`; which seed was
/// used for publication is not known.
///
/// # Errors
/// [`Error::Input`] when there are fewer negatives than positives.
pub fn balance(train: &[String], is_positive: impl Fn(&str) -> bool, seed: u32) -> Result<Vec<String>> {
    let (mut chosen, negatives): (Vec<String>, Vec<String>) = train.iter().cloned().partition(|id| is_positive(id));
    let drawn: HashSet<usize> = RandomState::new(seed).choice(negatives.len(), chosen.len())?.into_iter().collect();
    let drawn = negatives.into_iter().enumerate().filter(|(i, _)| drawn.contains(i)).map(|(_, id)| id);
    chosen.extend(drawn);
    Ok(chosen)
}

/// The published `share` of a training list: pandas' `sample(frac=share, random_state=42)`, in its order; all of
/// `train`, in the order it has, when `share` is 1. Smaller shares of a list are the beginnings of larger ones below 1.
///
/// # Errors
/// [`Error::Input`] when `share` is not in [0, 1].
pub fn fraction<T: Clone>(train: &[T], share: f64) -> Result<Vec<T>> {
    // The published code does not sample at 1.
    if share == 1.0 {
        return Ok(train.to_vec());
    }
    Ok(sample(train.len(), Amount::Share(share), FRACTION_SEED)?.into_iter().map(|i| train[i].clone()).collect())
}

/// Checks sizes against the published ones.
fn published_is<T: PartialEq + fmt::Display>(what: &str, found: &T, published: &T) -> Result<()> {
    if found == published {
        return Ok(());
    }
    Err(Error::Input {
        what: format!("{what}: found {found}; published are {published}"),
        cure: Some(UNCHANGED.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::datasets::labels;

    /// Images called by their number, with so many rows each; none: a negative.
    fn annotations(rows: &[usize]) -> (Annotations, SiimCounts) {
        let mut text = "ImageId, EncodedPixels\n".to_owned();
        for (image, &rows) in rows.iter().enumerate() {
            if rows == 0 {
                text += &format!("{image}, -1\n");
            }
            for row in 0..rows {
                text += &format!("{image}, {row} 1\n");
            }
        }
        let found = labels::siim::read(text.as_bytes(), "rle.csv").unwrap();
        let lines = rows.iter().map(|&rows| rows.max(1)).sum();
        let positive = rows.iter().filter(|&&rows| rows > 0).count();
        (found, SiimCounts { rows: lines, images: rows.len(), positive })
    }

    fn sets<T: Ord + Clone>(splits: &ThreeWay<Vec<T>>) -> [BTreeSet<T>; 3] {
        let set = |of: &[T]| {
            let set: BTreeSet<T> = of.iter().cloned().collect();
            assert_eq!(set.len(), of.len(), "something is twice in a split");
            set
        };
        [set(&splits.train), set(&splits.valid), set(&splits.test)]
    }

    /// How many are in more than one split.
    fn shared<T: Ord + Clone>(splits: &ThreeWay<Vec<T>>) -> usize {
        let sets = sets(splits);
        sets.iter().map(BTreeSet::len).sum::<usize>() - sets.iter().flatten().collect::<BTreeSet<_>>().len()
    }

    proptest! {
        #[test]
        fn splits_partition(n in 4_usize..3000, share in 0.05_f64..0.9) {
            let count = (n as f64 * share).ceil() as usize;
            prop_assume!((2..n).contains(&count));
            for held_out in [Size::Share(share), Size::Count(count)] {
                let splits = three_way(n, held_out).unwrap();
                prop_assert_eq!(shared(&splits), 0);
                let all: BTreeSet<_> = sets(&splits).into_iter().flatten().collect();
                prop_assert_eq!(all, (0..n).collect());
                prop_assert_eq!(splits.test.len(), count / 2);
                prop_assert_eq!(splits.valid.len(), count.div_ceil(2));
            }
        }

        #[test]
        fn no_image_is_in_two_splits_by_image(rows in prop::collection::vec(0_usize..6, 5..300)) {
            let (found, counts) = annotations(&rows);
            let splits = siim(&found, Unit::Image, counts).unwrap();
            prop_assert_eq!(shared(&splits), 0);
            prop_assert_eq!(sets(&splits).iter().map(BTreeSet::len).sum::<usize>(), rows.len());
        }

        #[test]
        fn rows_partition_and_their_ids_are_those_of_the_rows(rows in prop::collection::vec(0_usize..6, 5..300)) {
            let (found, counts) = annotations(&rows);
            let by_row = siim_rows(&found, counts).unwrap();
            prop_assert_eq!(shared(&by_row), 0);
            let all: BTreeSet<_> = sets(&by_row).into_iter().flatten().collect();
            prop_assert_eq!(all, (0..counts.rows).collect());
            let ids = by_row.map(|rows| {
                rows.into_iter().map(|row| found.images()[found.rows()[row].image].id.clone()).collect::<BTreeSet<_>>()
            });
            prop_assert_eq!([ids.train, ids.valid, ids.test], sets(&siim(&found, Unit::Row, counts).unwrap()));
        }

        #[test]
        fn balancing_keeps_positives_and_takes_as_many_negatives(
            positives in 0_usize..50, more in 0_usize..50, seed in any::<u32>(),
        ) {
            let train: Vec<String> = (0..2 * positives + more).map(|i| i.to_string()).collect();
            let is_positive = |id: &str| id.parse::<usize>().unwrap() < positives;
            let chosen = balance(&train, is_positive, seed).unwrap();
            prop_assert_eq!(&chosen[..positives], &train[..positives]);
            prop_assert_eq!(chosen.len(), 2 * positives);
            let numbers: Vec<usize> = chosen.iter().map(|id| id.parse().unwrap()).collect();
            prop_assert!(numbers.is_sorted_by(|a, b| a < b));
        }

        #[test]
        fn fractions_are_parts_and_begin_alike(n in 0_usize..2000, shares in (0.0_f64..1.0, 0.0_f64..1.0)) {
            let train: Vec<usize> = (0..n).map(|i| i + 7).collect();
            let (small, large) = (shares.0.min(shares.1), shares.0.max(shares.1));
            let (small, large) = (fraction(&train, small).unwrap(), fraction(&train, large).unwrap());
            prop_assert_eq!(&large[..small.len()], &small);
            let set: BTreeSet<_> = large.iter().copied().collect();
            prop_assert_eq!(set.len(), large.len());
            prop_assert!(set.iter().all(|i| train.contains(i)));
            prop_assert_eq!(fraction(&train, 1.0).unwrap(), train);
        }
    }

    #[test]
    fn rows_leak_images_that_have_several() {
        let (found, counts) = annotations(&[4; 50]);
        let splits = siim(&found, Unit::Row, counts).unwrap();
        let [train, _, test] = sets(&splits);
        let leaked = train.intersection(&test).count();
        assert!(leaked > 10, "{leaked} of 50 images are in the training and the test split");
        let (found, counts) = annotations(&[1; 50]);
        assert_eq!(shared(&siim(&found, Unit::Row, counts).unwrap()), 0, "one row an image cannot leak");
        assert_eq!(Unit::default(), Unit::Image);
    }

    /// COVIDx has nothing but its lists' sizes to go by here.
    #[test]
    fn covidx_has_its_sizes() {
        let sample = |prefix: &str, i: usize, class| Sample {
            file: format!("{prefix}{i}.png"),
            patient: "1".to_owned(),
            class,
            source: "rsna".to_owned(),
        };
        let train: Vec<_> = (0..30_130).map(|i| sample("a", i, Class::Normal)).collect();
        let class = |i| {
            if i < 100 {
                Class::Normal
            } else if i < 200 {
                Class::Pneumonia
            } else {
                Class::Covid19
            }
        };
        let mut test: Vec<_> = (0..400).map(|i| sample("b", i, class(i))).collect();
        let splits = covidx(&train, &test).unwrap();
        assert_eq!(shared(&splits), 0);
        for (share, expected) in [(0.01, 241), (0.1, 2_410), (1.0, 24_104)] {
            assert_eq!(fraction(&splits.train, share).unwrap().len(), expected);
        }
        let error = covidx(&train[1..], &test).unwrap_err();
        assert_eq!(
            error.to_string(),
            "COVIDx: found train 24103, valid 6026, test 400; published are train 24104, valid 6026, test 400"
        );
        assert_eq!(error.cure().as_deref(), Some(UNCHANGED));
        test[0].file = "a3.png".to_owned();
        assert_eq!(
            covidx(&train, &test).unwrap_err().to_string(),
            "COVIDx: `a3.png` is in the training and in the test list"
        );
        test[0].class = Class::Covid19;
        assert_eq!(
            covidx(&train, &test).unwrap_err().to_string(),
            "COVIDx test: found normal 99, pneumonia 100, COVID-19 201; \
             published are normal 100, pneumonia 100, COVID-19 200"
        );
    }

    #[test]
    fn files_of_other_sizes_are_refused() {
        let patient = |i: usize| Patient { id: format!("{i:05}"), boxes: Vec::new() };
        let patients: Vec<_> = (0..26_684).map(patient).collect();
        for found in [rsna_classification(&patients), rsna_segmentation(&patients)] {
            let error = found.unwrap_err().to_string();
            assert!(error.contains("train 1") && error.contains("(0 positive)"), "{error}");
        }
        let (found, counts) = annotations(&[0, 1, 2, 0, 0, 1, 0, 0]);
        for unit in [Unit::Image, Unit::Row] {
            assert!(siim(&found, unit, counts).is_ok());
            let error = siim(&found, unit, SIIM).unwrap_err().to_string();
            assert!(error.starts_with("SIIM-ACR: found 9 rows, 8 images (3 positive); published are "), "{error}");
        }
        let error = balance(&["a".to_owned()], |_| true, 0).unwrap_err().to_string();
        assert_eq!(error, "cannot choose 1 of 0 without repeating some");
    }
}
