//! Permutations, splits and samples against NumPy, scikit-learn and pandas, and the published splits of the real label
//! files.
//!
//! The references are made by `tests/fixtures/make_splits.py`. Tests of real files need
//! `torchxrayvision-1.5.7-py3-none-any.whl` (`pip download --no-deps`) in the folder that the environment variable
//! `PERMAFROST_WHEELS` names, and COVID-Net's two lists in the one that `PERMAFROST_COVIDX` names. They say `skipped:
//! ...` without.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Display, Write as _},
    io::{Cursor, Read, Write},
    path::{Path, PathBuf},
};

use permafrost_worker::datasets::{
    labels::{
        covidx::{self, Class},
        mask::SIDE,
        rle, rsna, siim,
    },
    splits::{self, Amount, RSNA_CLASSIFICATION, RandomState, SIIM, Size, Sizes, ThreeWay, Unit},
    wheel::Wheel,
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/splits").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// SHA-256 of the items, each with a line feed.
fn digest(items: impl IntoIterator<Item = impl Display>) -> String {
    let mut hasher = Sha256::new();
    for item in items {
        hasher.update(format!("{item}\n"));
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[derive(Deserialize)]
struct Cases {
    words: Vec<Words>,
    intervals: Vec<Intervals>,
    permutations: Vec<Permutation>,
    large_permutations: Vec<LargePermutation>,
    shuffles: Vec<Shuffle>,
    train_test: Vec<TrainTest>,
    train_test_refused: Vec<TrainTest>,
    rounded_sizes: Vec<RoundedSizes>,
    samples: Vec<Sample>,
    samples_refused: Vec<Sample>,
}

#[derive(Deserialize)]
struct Words {
    seed: u32,
    words: Vec<(usize, u32)>,
}

#[derive(Deserialize)]
struct Intervals {
    seed: u32,
    max: String,
    values: Vec<String>,
}

#[derive(Deserialize)]
struct Permutation {
    seed: u32,
    n: usize,
    first: Vec<usize>,
    second: Vec<usize>,
}

#[derive(Deserialize)]
struct LargePermutation {
    seed: u32,
    n: usize,
    sha256: String,
}

#[derive(Deserialize)]
struct Shuffle {
    seed: u32,
    n: usize,
    array: Vec<usize>,
    items: Vec<String>,
    rows: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Number {
    Share(f64),
    Count(usize),
}

#[derive(Debug, Deserialize)]
struct TrainTest {
    n: usize,
    #[serde(default)]
    seed: u32,
    test_size: Option<Number>,
    train_size: Option<Number>,
    #[serde(default)]
    train: Vec<usize>,
    #[serde(default)]
    test: Vec<usize>,
}

impl TrainTest {
    fn sizes(&self) -> Sizes {
        let size = |number| match number {
            Number::Share(share) => Size::Share(share),
            Number::Count(count) => Size::Count(count),
        };
        match (self.train_size.map(size), self.test_size.map(size)) {
            (Some(train), Some(test)) => Sizes::Both { train, test },
            (Some(train), None) => Sizes::Train(train),
            (None, Some(test)) => Sizes::Test(test),
            (None, None) => panic!("a case without sizes"),
        }
    }
}

/// Sizes for the shares 1 / 200 to 199 / 200; none where refused.
#[derive(Deserialize)]
struct RoundedSizes {
    n: usize,
    tested: Vec<Option<usize>>,
    trained: Vec<Option<usize>>,
    sampled: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    rows: usize,
    #[serde(default)]
    seed: u32,
    amount: Number,
    #[serde(default)]
    sampled: Vec<usize>,
}

impl Sample {
    fn amount(&self) -> Amount {
        match self.amount {
            Number::Share(share) => Amount::Share(share),
            Number::Count(count) => Amount::Count(count),
        }
    }
}

fn cases() -> Cases {
    fixture("cases.json")
}

#[test]
fn words_and_intervals_are_those_of_numpy() {
    let Cases { words, intervals, .. } = cases();
    for case in &words {
        let mut state = RandomState::new(case.seed);
        let found: Vec<u32> = (0..10_000).map(|_| state.next_u32()).collect();
        for &(at, expected) in &case.words {
            assert_eq!(found[at], expected, "seed {}, word {at}", case.seed);
        }
    }
    for case in &intervals {
        let mut state = RandomState::new(case.seed);
        let max = case.max.parse().unwrap();
        let found: Vec<String> = case.values.iter().map(|_| state.random_interval(max).to_string()).collect();
        assert_eq!(found, case.values, "seed {}, 0..={max}", case.seed);
    }
    assert!(words.len() >= 5 && intervals.len() >= 30);
}

#[test]
fn permutations_are_those_of_numpy() {
    let Cases { permutations, large_permutations, .. } = cases();
    for case in &permutations {
        let mut state = RandomState::new(case.seed);
        assert_eq!(state.permutation(case.n), case.first, "seed {}, {}", case.seed, case.n);
        assert_eq!(state.permutation(case.n), case.second, "seed {}, {}, the second", case.seed, case.n);
    }
    for case in &large_permutations {
        let found = RandomState::new(case.seed).permutation(case.n);
        assert_eq!(digest(found), case.sha256, "seed {}, {}", case.seed, case.n);
    }
    assert!(permutations.len() >= 30 && large_permutations.len() >= 5);
}

#[test]
fn shuffles_are_those_of_numpy() {
    let cases = cases().shuffles;
    for case in &cases {
        let mut state = RandomState::new(case.seed);
        let mut array: Vec<usize> = (0..case.n).map(|i| 3 * i).collect();
        let mut items: Vec<String> = (0..case.n).map(|i| format!("item {i}")).collect();
        let mut rows: Vec<usize> = (0..case.n).collect();
        state.shuffle(&mut array);
        state.shuffle(&mut items);
        state.shuffle(&mut rows);
        assert_eq!((&array, &items, &rows), (&case.array, &case.items, &case.rows), "seed {}, {}", case.seed, case.n);
    }
    assert!(cases.len() >= 8);
}

#[test]
fn splits_are_those_of_scikit_learn() {
    let Cases { train_test, train_test_refused, .. } = cases();
    for case in &train_test {
        let found = splits::train_test_split(case.n, case.sizes(), case.seed).unwrap();
        assert_eq!((&found.train, &found.test), (&case.train, &case.test), "{case:?}");
    }
    for case in &train_test_refused {
        assert!(splits::train_test_split(case.n, case.sizes(), 0).is_err(), "{case:?}");
    }
    assert!(splits::train_test_split(10, Sizes::Test(Size::Share(f64::NAN)), 0).is_err());
    assert!(train_test.len() >= 60 && train_test_refused.len() >= 20);
}

#[test]
fn samples_are_those_of_pandas() {
    let Cases { samples, samples_refused, .. } = cases();
    for case in &samples {
        let found = splits::sample(case.rows, case.amount(), case.seed).unwrap();
        assert_eq!(found, case.sampled, "{case:?}");
    }
    for case in &samples_refused {
        assert!(splits::sample(case.rows, case.amount(), 0).is_err(), "{case:?}");
    }
    assert!(splits::sample(10, Amount::Share(f64::NAN), 0).is_err());
    assert!(samples.len() >= 40 && samples_refused.len() >= 4);
}

#[test]
fn shares_are_rounded_as_by_the_libraries() {
    let cases = cases().rounded_sizes;
    for RoundedSizes { n, tested, trained, sampled } in &cases {
        assert_eq!((tested.len(), trained.len(), sampled.len()), (199, 199, 199));
        for k in 1..200 {
            let share = k as f64 / 200.0;
            let split = |sizes| splits::train_test_split(*n, sizes, 0).ok();
            let test = split(Sizes::Test(Size::Share(share))).map(|parts| parts.test.len());
            let train = split(Sizes::Train(Size::Share(share))).map(|parts| parts.train.len());
            let rows = splits::sample(*n, Amount::Share(share), 0).unwrap().len();
            let expected = (tested[k - 1], trained[k - 1], sampled[k - 1]);
            assert_eq!((test, train, rows), expected, "{k} / 200 of {n}");
        }
    }
    assert!(cases.len() >= 5);
}

/// What the libraries make of the real label files.
#[derive(Deserialize)]
struct Real {
    lists: BTreeMap<String, List>,
    rsna_area: usize,
    siim_leaked: usize,
    siim_area: usize,
    siim_first: Extent,
}

#[derive(Debug, Deserialize, PartialEq)]
struct List {
    samples: usize,
    positive: usize,
    sha256: String,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Extent {
    x: [usize; 2],
    y: [usize; 2],
    area: usize,
}

/// Compares the lists whose names begin with `name`: ids in the same order, and how many are positive.
fn check_lists(real: &Real, name: &str, found: &[(&str, &[String])], is_positive: impl Fn(&str) -> bool) {
    for (part, ids) in found {
        let positive = ids.iter().filter(|id| is_positive(id)).count();
        let list = List { samples: ids.len(), positive, sha256: digest(*ids) };
        assert_eq!(&list, &real.lists[&format!("{name} {part}")], "{name} {part}");
    }
    let expected = real.lists.keys().filter(|key| key.starts_with(&format!("{name} "))).count();
    assert_eq!(found.len(), expected, "lists of {name}");
}

/// The file `file` in the folder that `variable` names, or a visible line.
fn real_file(variable: &str, file: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(|folder| PathBuf::from(folder).join(file));
    let Some(path) = path else {
        // Not `eprintln!`, which the test runner hides.
        writeln!(std::io::stderr().lock(), "skipped: {variable} names no folder with {file}").unwrap();
        return None;
    };
    assert!(path.exists(), "{} is missing", path.display());
    Some(path)
}

/// A file of the torchxrayvision wheel.
fn of_wheel(name: &str) -> Option<Vec<u8>> {
    let wheel = real_file("PERMAFROST_WHEELS", "torchxrayvision-1.5.7-py3-none-any.whl")?;
    Some(Wheel::open_path(wheel).unwrap().read(&format!("torchxrayvision/data/{name}")).unwrap())
}

#[test]
fn the_real_rsna_is_split_as_published() {
    let Some(packed) = of_wheel("kaggle_stage_2_train_labels.csv.zip") else { return };
    let real: Real = fixture("real.json");
    let mut csv = Vec::new();
    let mut inner = zip::ZipArchive::new(Cursor::new(packed)).unwrap();
    inner.by_name("stage_2_train_labels.csv").unwrap().read_to_end(&mut csv).unwrap();
    let patients = rsna::read(csv.as_slice(), "stage_2_train_labels.csv").unwrap();
    assert_eq!(patients.len(), 26_684);
    let positives: BTreeSet<&str> =
        patients.iter().filter(|patient| patient.is_positive()).map(|patient| patient.id.as_str()).collect();
    assert_eq!(positives.len(), 6_012);

    let ThreeWay { train, valid, test } = splits::rsna_classification(&patients).unwrap();
    let [one, ten] = [0.01, 0.1].map(|share| splits::fraction(&train, share).unwrap());
    let count = |ids: &[String]| (ids.len(), ids.iter().filter(|id| positives.contains(id.as_str())).count());
    assert_eq!((count(&train), count(&one), count(&ten)), ((18_678, 4_162), (187, 36), (1_868, 414)));
    assert_eq!((count(&valid), count(&test)), ((4_003, 928), (4_003, 922)));
    assert_eq!(count(&train), (RSNA_CLASSIFICATION.train.samples, RSNA_CLASSIFICATION.train.positive));
    let lists: [(&str, &[String]); 5] =
        [("train", &train), ("train 0.01", &one), ("train 0.1", &ten), ("valid", &valid), ("test", &test)];
    check_lists(&real, "rsna classification", &lists, |id| positives.contains(id));

    let ThreeWay { train, valid, test } = splits::rsna_segmentation(&patients).unwrap();
    assert_eq!([&train, &valid, &test].map(|ids| count(ids)), [(16_010, 3_579), (5_337, 1_182), (5_337, 1_251)]);
    let lists: [(&str, &[String]); 3] = [("train", &train), ("valid", &valid), ("test", &test)];
    check_lists(&real, "rsna segmentation", &lists, |id| positives.contains(id));

    let area = |patient: &rsna::Patient| if patient.is_positive() { patient.mask().area() } else { 0 };
    assert_eq!(patients.iter().map(area).sum::<usize>(), real.rsna_area);
}

#[test]
fn the_real_siim_is_split_as_by_the_libraries() {
    let Some(packed) = of_wheel("siim-pneumothorax-train-rle.csv.gz") else { return };
    let real: Real = fixture("real.json");
    let csv = std::io::BufReader::new(flate2::read::GzDecoder::new(packed.as_slice()));
    let annotations = siim::read(csv, "train-rle.csv").unwrap();
    let images = annotations.images();
    let positives: BTreeSet<&str> =
        images.iter().filter(|image| image.positive).map(|image| image.id.as_str()).collect();
    assert_eq!((annotations.rows().len(), images.len(), positives.len()), (12_954, 12_047, 2_669));

    for (name, unit, leaked) in [("siim image", Unit::Image, 0), ("siim row", Unit::Row, real.siim_leaked)] {
        let ThreeWay { train, valid, test } = splits::siim(&annotations, unit, SIIM).unwrap();
        let balanced = splits::balance(&train, |id| positives.contains(id), 0).unwrap();
        let lists: [(&str, &[String]); 4] =
            [("train", &train), ("valid", &valid), ("test", &test), ("balanced", &balanced)];
        check_lists(&real, name, &lists, |id| positives.contains(id));
        let mut splits_of: BTreeMap<&String, usize> = BTreeMap::new();
        for id in [&train, &valid, &test].into_iter().flatten() {
            *splits_of.entry(id).or_default() += 1;
        }
        assert_eq!(splits_of.len(), 12_047);
        assert_eq!(splits_of.values().filter(|&&splits| splits > 1).count(), leaked, "{name}");
    }
    assert!(real.siim_leaked > 0, "the published split leaks");
    check_siim_masks(&real, &annotations);
}

/// All masks have the libraries' area, the first their extent, and encoding gives back the runs of an image of one row.
fn check_siim_masks(real: &Real, annotations: &siim::Annotations) {
    let mut area = 0;
    let mut first = None;
    for (i, image) in annotations.images().iter().filter(|image| image.positive).enumerate() {
        let mask = annotations.mask(&image.rows);
        area += mask.area();
        first.get_or_insert_with(|| mask.clone());
        // Runs that touch are joined by encoding.
        let runs = &annotations.rows()[image.rows[0]].runs;
        let apart = runs.windows(2).all(|pair| pair[0].start + pair[0].length < pair[1].start);
        if i % 20 == 0 && image.rows.len() == 1 && apart {
            assert_eq!(&rle::decode(&rle::encode(&mask)).unwrap(), runs, "{}", image.id);
        }
    }
    assert_eq!(area, real.siim_area);
    let mask = first.unwrap();
    let set: Vec<(usize, usize)> =
        (0..SIDE * SIDE).map(|i| (i % SIDE, i / SIDE)).filter(|&(x, y)| mask.is_set(x, y)).collect();
    let range =
        |of: fn(&(usize, usize)) -> usize| [set.iter().map(of).min().unwrap(), set.iter().map(of).max().unwrap()];
    let found = Extent { x: range(|&(x, _)| x), y: range(|&(_, y)| y), area: set.len() };
    assert_eq!(found, real.siim_first);
}

#[test]
fn the_real_covidx_is_split_as_published() {
    let files = ["train_COVIDx9A.txt", "test_COVIDx9A.txt"];
    let Some(train) = real_file("PERMAFROST_COVIDX", files[0]) else { return };
    let paths = [train.clone(), train.with_file_name(files[1])];
    let real: Real = fixture("real.json");
    let lists: Vec<Vec<covidx::Sample>> = std::iter::zip(paths, files)
        .map(|(path, name)| covidx::read(std::fs::read(path).unwrap().as_slice(), name).unwrap())
        .collect();
    let covid: BTreeSet<&str> = lists
        .iter()
        .flatten()
        .filter(|sample| sample.class == Class::Covid19)
        .map(|sample| sample.file.as_str())
        .collect();
    let ThreeWay { train, valid, test } = splits::covidx(&lists[0], &lists[1]).unwrap();
    let [one, ten] = [0.01, 0.1].map(|share| splits::fraction(&train, share).unwrap());
    assert_eq!([&train, &one, &ten, &valid, &test].map(Vec::len), [24_104, 241, 2_410, 6_026, 400]);
    let lists: [(&str, &[String]); 5] =
        [("train", &train), ("train 0.01", &one), ("train 0.1", &ten), ("valid", &valid), ("test", &test)];
    check_lists(&real, "covidx", &lists, |id| covid.contains(id));
}
