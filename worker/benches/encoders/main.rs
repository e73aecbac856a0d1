//! Images and reports a second through frozen encoders: whole `embed` trials, from PNG files and tokens to embeddings on disk.
//!
//! ```text
//! cargo bench --workspace --bench encoders -- [--threads N] [--rounds N] [--only images|reports]
//!     [--weights FOLDER] [--data FOLDER] [--torch PYTHON ../tests/bench/encoders_torch.py]
//! ```
//! Paths start at `worker/`. `--weights` has a DINOv2 in `dinov2-s` and a BERT in `minilm-l6`; `--data` is a folder of chest X-rays, with
//! `images` and a table `pairs.csv` whose `text` are notes. Without both, the tests' tiny encoders and images are used.
//! With `--torch`, PyTorch and `transformers` do the same work in turn, so that both see the same machine, in batches of 1 and of 16,
//! of which the faster one counts; a ratio above 1 means that ours is faster. Medians over the rounds, after one that does not count.
//! Outputs must be equal to 1e-4.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod collection;
#[path = "../torch/mod.rs"]
mod torch;
mod trial;

use std::path::{Path, PathBuf};

use collection::Collection;
use torch::{Result, Torch, median};
use trial::Trial;

/// Sizes of PyTorch's batches.
const BATCHES: [usize; 2] = [1, 16];
/// Largest difference of outputs, relative to the largest value.
const TOLERANCE: f32 = 1e-4;

struct Options {
    threads: usize,
    rounds: usize,
    only: Option<String>,
    weights: Option<PathBuf>,
    data: Option<PathBuf>,
    torch: Option<(String, String)>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { threads: 1, rounds: 1, only: None, weights: None, data: None, torch: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--threads" => options.threads = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--only" => options.only = Some(value()?),
                "--weights" => options.weights = Some(value()?.into()),
                "--data" => options.data = Some(value()?.into()),
                "--torch" => options.torch = Some((value()?, value()?)),
                _ => return Err(format!("unknown argument {argument}").into()),
            }
        }
        Ok(options)
    }
}

/// Largest difference of embeddings by id, relative to the largest value.
fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().flatten().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let differences = found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs());
    differences.fold(0.0_f32, |worst, difference| if difference <= worst { worst } else { difference }) / largest
}

fn measure(options: &Options, what: &str, mut trial: Trial) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut torches = vec![];
    if let Some((python, script)) = options.torch.as_ref().filter(|(_, script)| Path::new(script).exists()) {
        let input = folder.path().join("input.json");
        trial.describe(&input)?;
        for batch in BATCHES {
            let output = folder.path().join(format!("output-{batch}.f32"));
            let arguments = [what, &input.display().to_string(), &output.display().to_string()].map(str::to_owned);
            let numbers = ["--batch", &batch.to_string(), "--threads", &options.threads.to_string()].map(str::to_owned);
            torches.push((Torch::start(python, script, arguments.into_iter().chain(numbers))?, output));
        }
    }
    let mut times = vec![vec![]; 1 + torches.len()];
    for round in 0..=options.rounds {
        let mut row = vec![trial.seconds(options.threads)?];
        for (torch, _) in &mut torches {
            row.push(torch.seconds()?);
        }
        if round > 0 {
            times.iter_mut().zip(row).for_each(|(times, seconds)| times.push(seconds));
        }
    }
    let count = trial.count() as f64;
    let own = median(&mut times[0]);
    println!("{what}, {count} by {}, {} threads: {:.2} a second", trial.encoder(), options.threads, count / own);
    let mut best = f64::INFINITY;
    for ((torch, output), times) in torches.iter().zip(&mut times[1..]) {
        let bytes = std::fs::read(output)?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let rows: Vec<Vec<f32>> = values.chunks(values.len() / trial.count()).map(<[f32]>::to_vec).collect();
        let difference = difference(&trial.embeddings()?, &rows);
        if difference.is_nan() || difference > TOLERANCE {
            return Err(format!("{}: outputs differ by {difference}", torch.name).into());
        }
        let theirs = median(times);
        best = best.min(theirs);
        println!("  {}: {:.2} a second, outputs within {difference:.0e}", torch.name, count / theirs);
    }
    if best.is_finite() {
        println!("  ratio {:.2}", best / own);
    }
    Ok(())
}

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let options = Options::parse()?;
    let collection = Collection::open(options.data.as_deref())?;
    if options.only.as_deref() != Some("reports") {
        measure(&options, "images", Trial::of_images(&collection, options.weights.as_deref())?)?;
    }
    if options.only.as_deref() != Some("images") {
        measure(&options, "reports", Trial::of_reports(&collection, options.weights.as_deref())?)?;
    }
    Ok(())
}
