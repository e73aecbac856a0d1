//! `permafrost bench`: how fast this machine trains.

use std::{collections::BTreeMap, io::IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use permafrost_worker::{
    PROGRAM_VERSION,
    bench::{AdaptorSetup, Comparison, GRID, HeadSetup, Report, Row, What},
    device::Device,
    task::Precision,
};
use serde_json::json;

use super::{
    args::{Bench, BenchAdaptor, BenchHeads, BenchPrecision, BenchWhat, Global},
    error::CliError,
    ui,
};

/// Pairs and samples a step, where none are given: those of pre-training in the paper, and of the quickstart's heads.
const PAIRS: usize = 1024;
const SAMPLES: usize = 64;
/// Classes of COVIDx.
const CLASSES: usize = 3;

/// Measures, and prints what came out.
pub(super) fn run(global: &Global, args: &Bench) -> Result<(), CliError> {
    let device = Device::open(&args.device, args.threads.map(usize::from))?;
    let comparisons = match &args.what {
        None => selection(args, &device),
        Some(BenchWhat::Adaptor(what)) => adaptor(args, what),
        Some(BenchWhat::Heads(what)) => vec![heads(args, what)],
    };
    let info = device.info();
    let (name, model, threads) = (&info.name, &info.model, info.threads);
    if !global.json {
        ui::out(format_args!("permafrost {PROGRAM_VERSION} on {name}: {model}, {}", ui::counted(threads, "thread")))?;
    }
    let mut reports = vec![];
    for comparison in &comparisons {
        let bar = bar(comparison, global.json);
        let report = comparison.run(&device, |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let report = report?;
        if !global.json {
            print(&report)?;
        }
        reports.push(report);
    }
    if global.json {
        ui::json(&json!({"version": PROGRAM_VERSION, "device": info, "comparisons": reports}))?;
    }
    let failed = reports.iter().flat_map(|report| &report.rows).filter(|row| row.error.is_some()).count();
    if failed > 0 { Err(CliError::Unmeasured(failed)) } else { Ok(()) }
}

/// What shows most in the shortest time.
fn selection(args: &Bench, device: &Device) -> Vec<Comparison> {
    let (adaptors, heads, precisions) = match device {
        Device::Cpu { threads } => {
            let mut adaptors = vec![1, *threads];
            adaptors.dedup();
            (adaptors, vec![1, 64], vec![Precision::F32, Precision::Bf16])
        }
        Device::Cuda { .. } => (vec![1, 3, 5, 15], vec![1, 10, 100, 1000], vec![Precision::Bf16, Precision::F32]),
    };
    let of = |what, members: &[usize]| comparison(args, what, members.to_vec(), None);
    let adaptors =
        precisions.into_iter().map(|precision| of(What::Adaptor(AdaptorSetup::paper(PAIRS, precision)), &adaptors));
    adaptors.chain([of(What::Heads(HeadSetup::paper(SAMPLES, CLASSES)), &heads)]).collect()
}

fn adaptor(args: &Bench, what: &BenchAdaptor) -> Vec<Comparison> {
    let precisions = what.precision.iter().map(|precision| match precision {
        BenchPrecision::F32 => Precision::F32,
        BenchPrecision::Bf16 => Precision::Bf16,
    });
    let setups = precisions.map(|precision| AdaptorSetup::paper(what.batch as usize, precision));
    setups.map(|setup| comparison(args, What::Adaptor(setup), sizes(&what.members), what.steps)).collect()
}

fn heads(args: &Bench, what: &BenchHeads) -> Comparison {
    let setup = HeadSetup::paper(what.batch as usize, what.classes as usize);
    comparison(args, What::Heads(setup), sizes(&what.members), what.steps)
}

fn sizes(members: &[u32]) -> Vec<usize> {
    members.iter().map(|&members| members as usize).collect()
}

fn comparison(args: &Bench, what: What, members: Vec<usize>, steps: Option<u32>) -> Comparison {
    Comparison { what, members, rounds: args.rounds, steps, torch: args.torch.clone() }
}

fn bar(comparison: &Comparison, quiet: bool) -> ProgressBar {
    let hidden = quiet || !std::io::stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let name = match comparison.what {
        What::Adaptor(setup) => format!("adaptor {}", setup.precision.name()),
        What::Heads(_) => "heads".to_owned(),
    };
    let bar = ProgressBar::with_draw_target(None, target).with_prefix(name);
    if let Ok(style) = ProgressStyle::with_template("{prefix}: {pos}/{len} {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar.tick();
    bar
}

fn print(report: &Report) -> Result<(), CliError> {
    let adaptor = report.what == "adaptor";
    let (things, items) = if adaptor { ("Adaptors", "pairs") } else { ("heads", "samples") };
    ui::out(format_args!(
        "\nSteps of {things} in {}, {} {items} each; median of {}",
        report.precision.name(),
        report.batch,
        ui::counted(report.rounds as usize, "round")
    ))?;
    let per_second = format!("{items}/s");
    let mut headers = vec!["", things, "ms/step", &per_second, "GFLOP/s", "of peak"];
    if adaptor {
        headers.push("paper's grid");
    }
    let rows = report.rows.iter().map(|row| cells(row, adaptor)).collect();
    ui::out(ui::grid(&headers, rows, &[1, 2, 3, 4, 5, 6]))?;
    for row in &report.rows {
        if let Some(error) = &row.error {
            ui::out(format_args!("{}, {}: {error}", row.name, row.members))?;
        }
    }
    ui::out(format_args!("Peak: {:.0} GFLOP/s, measured now, of a {}.", report.peak.gflops, report.peak.of))?;
    if adaptor {
        let (pairs, epochs, adaptors) = (GRID.pairs, GRID.epochs, GRID.adaptors);
        let batch =
            if report.batch == PAIRS { String::new() } else { format!(" The paper's steps have {PAIRS} pairs.") };
        ui::out(format_args!(
            "Paper's grid: predicted from pairs/s, {pairs} pairs x {epochs} epochs x {adaptors} Adaptors (3 vision and 5 text encoders), \
             without validation.{batch}"
        ))?;
    }
    ratios(report)
}

fn cells(row: &Row, adaptor: bool) -> Vec<String> {
    let mut cells = vec![row.name.clone(), row.members.to_string()];
    let Some(speed) = &row.speed else {
        cells.push("failed".to_owned());
        return cells;
    };
    cells.extend([format!("{:.2}", speed.step_ms), format!("{:.0}", speed.per_second), format!("{:.0}", speed.gflops)]);
    cells.push(format!("{:.0} %", 100.0 * speed.share_of_peak));
    if adaptor {
        cells.push(speed.grid_seconds.map_or_else(String::new, |seconds| ui::duration((seconds * 1e3) as i64)));
    }
    cells
}

/// A row a yardstick, a column a size of ours.
fn ratios(report: &Report) -> Result<(), CliError> {
    if report.ratios.is_empty() {
        return Ok(());
    }
    let mut sizes: Vec<usize> = report.ratios.iter().map(|ratio| ratio.members).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut names: Vec<&str> = report.ratios.iter().map(|ratio| ratio.yardstick.as_str()).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let of: BTreeMap<(&str, usize), f64> =
        report.ratios.iter().map(|ratio| ((ratio.yardstick.as_str(), ratio.members), ratio.ratio)).collect();
    let rows = names.iter().map(|name| {
        let ratio = |size: &usize| of.get(&(*name, *size)).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        [(*name).to_owned()].into_iter().chain(sizes.iter().map(ratio)).collect()
    });
    let headers: Vec<String> =
        ["faster than".to_owned()].into_iter().chain(sizes.iter().map(|size| format!("{size}:"))).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let right: Vec<usize> = (1..headers.len()).collect();
    ui::out("")?;
    ui::out(ui::grid(&headers, rows.collect(), &right))?;
    let apart = report.checks.iter().map(|check| check.largest_difference).fold(0.0, f32::max);
    match report.checks.len() {
        0 => Ok(()),
        _ => {
            ui::out(format_args!("On equal weights and inputs, without dropout, losses differ by at most {apart:.0e}."))
        }
    }
}
