//! Milliseconds of one training step of each of many classification heads (forward, backward, AdamW; 768 -> 512 -> 3, batches of 64).
//!
//! ```text
//! cargo bench --workspace --bench heads -- [--threads N] [--heads N] [--rounds N] [--steps N] [--torch PYTHON]
//! ```
//! Ours as the product does it: member by member, many steps each, spread over the cores. With `--torch`, PyTorch is measured in turn with it: one
//! head after another with fused and with default AdamW, and all heads at once as batched products. Before that, losses of a few
//! heads are compared on equal weights and batches, without dropout. Medians over the rounds, after one that does not count.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::path::PathBuf;

use permafrost_worker::{
    bench::{self, Contestant, HeadSetup, Script, Torch, head_flops},
    device::Device,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Heads and steps whose losses are compared.
const CHECKED: (usize, usize) = (3, 5);
/// Largest relative difference between two losses.
const TOLERANCE: f32 = 1e-4;

struct Options {
    threads: usize,
    heads: usize,
    rounds: u32,
    steps: u32,
    torch: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut arguments = std::env::args().skip(1).peekable();
        // `cargo test --benches` runs this without `--bench`: then only show that it works.
        let bench = std::env::args().any(|argument| argument == "--bench");
        let (heads, rounds, steps) = if bench { (64, 5, 20) } else { (2, 1, 2) };
        let mut options = Self { threads: 2, heads, rounds, steps, torch: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--threads" => options.threads = value()?.parse()?,
                "--heads" => options.heads = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--steps" => options.steps = value()?.parse()?,
                "--torch" => options.torch = Some(value()?.into()),
                _ => return Err(format!("unknown argument {argument}").into()),
            }
        }
        Ok(options)
    }
}

/// Yardsticks, each after its losses were compared with ours.
fn yardsticks(options: &Options, setup: HeadSetup) -> Result<Vec<Torch>> {
    let Some(python) = &options.torch else { return Ok(vec![]) };
    let (heads, steps) = CHECKED;
    let (input, losses) = setup.reference(heads, steps);
    let mut torches = vec![];
    for kind in ["fused", "default", "batched"] {
        let numbers = [options.threads, options.heads, setup.batch, setup.shape.classes, steps];
        let names = ["--threads", "--heads", "--batch", "--classes", "--check-steps"];
        let mut arguments = vec!["--impl".to_owned(), kind.to_owned()];
        arguments.extend(names.iter().zip(numbers).flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]));
        let torch = Torch::start(python, Script::Heads, &arguments, Some(&input))?;
        let apart = bench::largest_difference(&losses, &torch.losses)?;
        println!("{}: losses of {heads} heads over {steps} steps differ by at most {apart:.1e}", torch.name);
        if apart > TOLERANCE {
            return Err(format!("losses differ by more than {TOLERANCE:.0e}").into());
        }
        torches.push(torch);
    }
    Ok(torches)
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    let setup = HeadSetup::paper(64, 3);
    let device = Device::Cpu { threads: options.threads };
    let mut workload = bench::heads(&device, setup)?;
    let (members, steps) = (options.heads, options.steps);
    let mut contestants = vec![Contestant::Ours { members, steps }];
    let torches = yardsticks(&options, setup)?.into_iter();
    contestants.extend(torches.map(|torch| Contestant::Torch { torch, members, steps: 1 }));
    let measured = bench::in_turn(&mut *workload, &mut contestants, options.rounds, || {});
    let mut own = 0.0;
    for (contestant, measured) in contestants.iter().zip(measured) {
        let measured = measured?;
        let (median, fastest) = (measured.median * 1e3, measured.fastest * 1e3);
        match contestant {
            Contestant::Ours { members, .. } => {
                own = median;
                let flops = head_flops(setup.shape) * (members * setup.batch) as f64;
                println!(
                    "one step of {members} heads, batch {}, {} threads: {median:.1} ms ({:.0} GFLOP/s, fastest {fastest:.1} ms)",
                    setup.batch,
                    options.threads,
                    flops / measured.median / 1e9
                );
            }
            Contestant::Torch { torch, .. } => {
                println!("  {}: {median:.1} ms, ratio {:.2} (fastest {fastest:.1} ms)", torch.name, median / own);
            }
        }
    }
    Ok(())
}
