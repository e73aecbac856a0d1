//! Milliseconds of one pre-training step of the paper's Adaptor (forward, backward, AdamW; 768-wide images and texts).
//!
//! ```text
//! cargo bench --workspace --bench adaptor_step -- [--threads N] [--rounds N] [--batch N] [--bf16]
//!     [--torch PYTHON ../tests/bench/adaptor_step_torch.py]
//! ```
//! Paths start at `worker/`. With `--torch`, PyTorch's steps of the same mathematics are measured in turn with ours, so that both see the same
//! machine; a ratio above 1 means that ours is faster. Medians over the rounds, after two rounds that do not count.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod torch;

use std::{path::Path, time::Instant};

use permafrost_worker::{
    matrix::Precision,
    model::{AdaptorShape, AdaptorStep, Dropout},
    random::{Key, Purpose},
    train::optimizer::AdamW,
};
use torch::{Result, Torch, median};

const SHAPE: AdaptorShape = AdaptorShape { image_width: 768, text_width: 768 };

struct Options {
    threads: usize,
    rounds: usize,
    batches: Vec<usize>,
    precision: Precision,
    torch: Option<(String, String)>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { threads: 1, rounds: 0, batches: vec![], precision: Precision::F32, torch: None };
        let mut bench = false;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => bench = true,
                "--threads" => options.threads = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--batch" => options.batches.push(value()?.parse()?),
                "--bf16" => options.precision = Precision::Bf16,
                "--torch" => options.torch = Some((value()?, value()?)),
                _ => return Err(format!("unknown argument {argument}").into()),
            }
        }
        // `cargo test --benches` runs this without `--bench`: then only show that it works.
        let (rounds, batches) = if bench { (9, vec![256, 1024]) } else { (1, vec![8]) };
        if options.rounds == 0 {
            options.rounds = rounds;
        }
        if options.batches.is_empty() {
            options.batches = batches;
        }
        Ok(options)
    }
}

/// Our step.
struct Ours {
    step: AdaptorStep,
    images: Vec<f32>,
    texts: Vec<f32>,
    batch: usize,
    threads: usize,
    p: Vec<f32>,
    g: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    t: u64,
}

impl Ours {
    fn new(batch: usize, threads: usize, precision: Precision) -> Self {
        let p = SHAPE.init(0);
        let n = p.len();
        let input = |stream, width: usize| {
            let mut x = vec![0.0; batch * width];
            Key::new(0, Purpose::Sample, 0).stream(stream).fill_normal(&mut x, 1.0);
            x
        };
        Self {
            step: AdaptorStep::with_precision(SHAPE, batch, precision),
            images: input(0, SHAPE.image_width),
            texts: input(1, SHAPE.text_width),
            batch,
            threads,
            p,
            g: vec![0.0; n],
            m: vec![0.0; n],
            v: vec![0.0; n],
            t: 0,
        }
    }

    fn seconds(&mut self) -> Result<f64> {
        let Self { step, images, texts, batch, threads, p, g, m, v, t } = self;
        let start = Instant::now();
        *t += 1;
        let dropout = Some(Dropout { p: 0.1, seed: 0, step: *t });
        let loss = step.forward_backward(p, g, images, texts, *batch, dropout, 0.75, *threads);
        AdamW::default().step(p, g, m, v, *t, 2e-5);
        let seconds = start.elapsed().as_secs_f64();
        if loss.is_finite() { Ok(seconds) } else { Err(format!("the loss is {loss}").into()) }
    }
}

fn measure(options: &Options, batch: usize) -> Result<()> {
    let mut ours = Ours::new(batch, options.threads, options.precision);
    let mut torches = vec![];
    match &options.torch {
        Some((python, script)) if Path::new(script).exists() => {
            for kind in ["official", "lean"] {
                let (batch, threads) = (batch.to_string(), options.threads.to_string());
                let mut arguments = vec!["--impl", kind, "--batch", &batch, "--threads", &threads];
                if options.precision == Precision::Bf16 {
                    arguments.push("--bf16");
                }
                torches.push(Torch::start(python, script, arguments)?);
            }
        }
        Some((_, script)) => println!("skipped: PyTorch, because {script} does not exist"),
        None => {}
    }
    let warmup = 2;
    let mut times = vec![vec![]; 1 + torches.len()];
    for round in 0..warmup + options.rounds {
        let mut row = vec![ours.seconds()?];
        for torch in &mut torches {
            row.push(torch.seconds()?);
        }
        if round >= warmup {
            times.iter_mut().zip(row).for_each(|(times, seconds)| times.push(seconds));
        }
    }
    let own = median(&mut times[0]);
    // Forward and backward of one pair, without queries and keys.
    let flops = 111e6 * batch as f64;
    println!(
        "adaptor step, {:?}, batch {batch}, {} threads: {:.1} ms ({:.0} GFLOP/s, fastest {:.1} ms)",
        options.precision,
        options.threads,
        own * 1e3,
        flops / own / 1e9,
        times[0][0] * 1e3
    );
    for (torch, times) in torches.iter().zip(&mut times[1..]) {
        let theirs = median(times);
        println!("  {}: {:.1} ms, ratio {:.2}", torch.name, theirs * 1e3, theirs / own);
    }
    Ok(())
}

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let options = Options::parse()?;
    options.batches.iter().try_for_each(|&batch| measure(&options, batch))
}
