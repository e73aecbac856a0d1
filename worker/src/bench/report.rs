//! A comparison, and what came out of it.

use std::path::PathBuf;

use serde::Serialize;

use super::{
    AdaptorSetup, Contestant, GRID, HeadSetup, Measured, Peak, Script, Torch, adaptor_flops, adaptors, head_flops,
    heads, in_turn, largest_difference, peak,
};
use crate::{
    device::Device,
    error::{Error, Result},
    task::Precision,
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The work.
    pub what: What,
    /// Members of our arrays; each is timed.
    pub members: Vec<usize>,
    /// Rounds that count.
    pub rounds: u32,
    /// Steps a round; none: as many as take some moments.
    pub steps: Option<u32>,
    /// The Python that runs PyTorch beside ours.
    pub torch: Option<PathBuf>,
}

/// The work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Pre-training.
    Adaptor(AdaptorSetup),
    /// Classification heads.
    Heads(HeadSetup),
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `adaptor` or `heads`.
    pub what: &'static str,
    /// Of the matrix products.
    pub precision: Precision,
    /// Pairs or samples a step of each member.
    pub batch: usize,
    /// Rounds that count; the one before them does not.
    pub rounds: u32,
    /// What the device does at most, measured in this run.
    pub peak: Peak,
    /// Ours, then the yardsticks.
    pub rows: Vec<Row>,
    /// Of ours to the yardsticks.
    pub ratios: Vec<Ratio>,
    /// Losses of the yardsticks on equal weights and inputs, beside ours on the CPU.
    pub checks: Vec<Check>,
}

/// One contestant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `permafrost`, or as the yardstick calls itself.
    pub name: String,
    /// Adaptors or heads that are trained at once, or in turn.
    pub members: usize,
    /// What was measured; none when it failed.
    #[serde(flatten)]
    pub speed: Option<Speed>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How fast one was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// Milliseconds of one step of all members, median over the rounds.
    pub step_ms: f64,
    /// Those of the fastest and of the slowest round.
    pub fastest_step_ms: f64,
    /// See [`Self::fastest_step_ms`].
    pub slowest_step_ms: f64,
    /// Pairs or samples of all members together.
    pub per_second: f64,
    /// By the arithmetic that our step needs, in GFLOP/s.
    pub gflops: f64,
    /// Share of the measured peak.
    pub share_of_peak: f64,
    /// Seconds that the paper's grid would take at this rate: predicted, not measured.
    pub grid_seconds: Option<f64>,
}

/// How many times a yardstick's pairs or samples a second ours are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The yardstick.
    pub yardstick: String,
    /// Members of ours.
    pub members: usize,
    /// Above 1: ours is faster.
    pub ratio: f64,
}

/// How far losses are apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The yardstick.
    pub yardstick: String,
    /// Of all losses, relative to ours.
    pub largest_difference: f32,
}

/// Losses on equal weights and inputs may be so far apart, relatively, in f32.
const TOLERANCE: f32 = 1e-4;
/// Heads and steps that are compared before the yardsticks are timed.
const CHECKED_HEADS: usize = 3;
const CHECKED_STEPS: u32 = 3;
/// Threads of the process that a yardstick on CUDA leaves to Python.
const THREADS_BESIDE_CUDA: usize = 4;

impl What {
    const fn script(self) -> Script {
        match self {
            Self::Adaptor(_) => Script::Adaptor,
            Self::Heads(_) => Script::Heads,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Adaptor(_) => "adaptor",
            Self::Heads(_) => "heads",
        }
    }

    const fn batch(self) -> usize {
        match self {
            Self::Adaptor(setup) => setup.batch,
            Self::Heads(setup) => setup.batch,
        }
    }

    const fn precision(self) -> Precision {
        match self {
            Self::Adaptor(setup) => setup.precision,
            Self::Heads(_) => Precision::F32,
        }
    }

    /// Floating-point operations of a pair or sample.
    fn flops(self) -> f64 {
        match self {
            Self::Adaptor(setup) => adaptor_flops(setup.shape, setup.batch),
            Self::Heads(setup) => head_flops(setup.shape),
        }
    }

    fn grid_seconds(self, per_second: f64) -> Option<f64> {
        matches!(self, Self::Adaptor(_)).then(|| GRID.seconds(per_second))
    }

    /// Sizes, for a yardstick.
    fn arguments(self, members: usize) -> Vec<String> {
        let numbers = match self {
            Self::Adaptor(setup) => vec![
                ("--batch", setup.batch),
                ("--image-width", setup.shape.image_width),
                ("--text-width", setup.shape.text_width),
            ],
            Self::Heads(setup) => vec![
                ("--batch", setup.batch),
                ("--classes", setup.shape.classes),
                ("--heads", members),
                ("--check-steps", CHECKED_STEPS as usize),
            ],
        };
        numbers.into_iter().flat_map(|(name, number)| [name.to_owned(), number.to_string()]).collect()
    }

    /// Yardsticks: the arguments that make each.
    fn yardsticks(self, device: &Device) -> Vec<Vec<&'static str>> {
        let cuda = matches!(device, Device::Cuda { .. });
        match (self, self.precision(), cuda) {
            (Self::Adaptor(_), Precision::F32, false) => vec![vec!["--impl", "official"], vec!["--impl", "lean"]],
            (Self::Adaptor(_), Precision::F32, true) => vec![
                vec!["--impl", "official"],
                vec!["--impl", "lean"],
                vec!["--impl", "lean", "--tf32"],
                vec!["--impl", "lean", "--tf32", "--compile", "default"],
            ],
            (Self::Adaptor(_), Precision::Bf16, false) => {
                vec![vec!["--impl", "official", "--bf16"], vec!["--impl", "lean", "--bf16"]]
            }
            (Self::Adaptor(_), Precision::Bf16, true) => vec![
                vec!["--impl", "official", "--bf16"],
                vec!["--impl", "lean", "--bf16"],
                vec!["--impl", "lean", "--bf16", "--compile", "default"],
                vec!["--impl", "lean", "--bf16", "--compile", "reduce-overhead"],
            ],
            (Self::Heads(_), _, false) => {
                vec![vec!["--impl", "fused"], vec!["--impl", "default"], vec!["--impl", "batched"]]
            }
            (Self::Heads(_), _, true) => vec![
                vec!["--impl", "fused"],
                vec!["--impl", "default"],
                vec!["--impl", "batched"],
                vec!["--impl", "batched", "--tf32"],
                vec!["--impl", "batched", "--tf32", "--compile", "default"],
            ],
        }
    }

    /// Losses of our step on the CPU, and what they come from.
    fn reference(self, device: &Device) -> (Vec<f32>, Vec<f32>) {
        match self {
            Self::Adaptor(setup) => setup.reference(CHECKED_STEPS, device.threads()),
            Self::Heads(setup) => setup.reference(CHECKED_HEADS, CHECKED_STEPS as usize),
        }
    }
}

impl Comparison {
    /// Steps a round of so many members: some tens of milliseconds to some seconds on a usual machine.
    fn steps(&self, device: &Device, members: usize) -> u32 {
        let many = match (self.what, device) {
            (What::Adaptor(_), Device::Cpu { .. }) => 1,
            (What::Adaptor(_), Device::Cuda { .. }) => 20,
            // Of each head before the next one's turn.
            (What::Heads(_), Device::Cpu { .. }) => (1280 / members).clamp(5, 100),
            (What::Heads(_), Device::Cuda { .. }) => 50,
        };
        self.steps.unwrap_or(many as u32)
    }

    /// A yardstick trains its heads one after another and needs no cache to stay warm between them.
    fn yardstick_steps(&self, device: &Device, members: usize) -> u32 {
        match self.what {
            What::Adaptor(_) => self.steps(device, 1),
            What::Heads(_) => self.steps.unwrap_or((128 / members).clamp(1, 50) as u32),
        }
    }

    /// Measures. `progress` is told how many runs of how many are done.
    ///
    /// # Errors
    /// When the device cannot do the work, or Python cannot be started. What fails in one row stands there.
    pub fn run(&self, device: &Device, mut progress: impl FnMut(usize, usize)) -> Result<Report> {
        let mut workload = match self.what {
            What::Adaptor(setup) => adaptors(device, setup)?,
            What::Heads(setup) => heads(device, setup)?,
        };
        let peak = peak(device, self.what.precision())?;
        let what = self.what;
        let mut report = Report {
            what: what.name(),
            precision: what.precision(),
            batch: what.batch(),
            rounds: self.rounds,
            peak,
            rows: vec![],
            ratios: vec![],
            checks: vec![],
        };
        let mut contestants = vec![];
        let ours = |&members: &usize| Contestant::Ours { members, steps: self.steps(device, members) };
        contestants.extend(self.members.iter().map(ours));
        contestants.extend(self.torches(device, &mut report)?);
        let (mut done, total) = (0, contestants.len() * (self.rounds as usize + 1));
        let measured = in_turn(&mut *workload, &mut contestants, self.rounds, || {
            done += 1;
            progress(done, total);
        });
        for (contestant, measured) in contestants.iter().zip(measured) {
            let (name, members) = match contestant {
                Contestant::Ours { members, .. } => ("permafrost".to_owned(), *members),
                Contestant::Torch { torch, members, .. } => (torch.name.clone(), *members),
            };
            report.rows.push(match measured {
                Ok(measured) => {
                    let speed = Some(self.speed(&measured, members, &report.peak));
                    Row { name, members, speed, error: None }
                }
                Err(error) => Row { name, members, speed: None, error: Some(error.to_string()) },
            });
        }
        // Those that did not even start stand last.
        report.rows.sort_by_key(|row| row.speed.is_none());
        report.ratios = report.compare(matches!(what, What::Heads(_)));
        Ok(report)
    }

    fn speed(&self, measured: &Measured, members: usize, peak: &Peak) -> Speed {
        let per_second = (members * self.what.batch()) as f64 / measured.median;
        let gflops = per_second * self.what.flops() / 1e9;
        Speed {
            step_ms: measured.median * 1e3,
            fastest_step_ms: measured.fastest * 1e3,
            slowest_step_ms: measured.slowest * 1e3,
            per_second,
            gflops,
            share_of_peak: gflops / peak.gflops,
            grid_seconds: self.what.grid_seconds(per_second),
        }
    }

    /// Starts the yardsticks and compares their losses with ours. One that cannot be started is a row; if none can, that is the error.
    fn torches(&self, device: &Device, report: &mut Report) -> Result<Vec<Contestant>> {
        let Some(python) = &self.torch else { return Ok(vec![]) };
        let reference = match self.what.precision() {
            Precision::F32 => Some(self.what.reference(device)),
            Precision::Bf16 => None,
        };
        // An Adaptor is trained after the other; of heads so many as ours.
        let members = match self.what {
            What::Adaptor(_) => vec![1],
            What::Heads(_) => self.members.clone(),
        };
        let (place, threads) = match device {
            Device::Cpu { threads } => ("cpu".to_owned(), *threads),
            Device::Cuda { ordinal, .. } => (format!("cuda:{ordinal}"), THREADS_BESIDE_CUDA),
        };
        let (mut contestants, mut first_error) = (vec![], None);
        for members in members {
            for yardstick in self.what.yardsticks(device) {
                let mut arguments = self.what.arguments(members);
                arguments.extend(yardstick.iter().map(|&argument| argument.to_owned()));
                arguments.extend(["--device".to_owned(), place.clone(), "--threads".to_owned(), threads.to_string()]);
                // TF32 has 10 bits.
                let reference = reference.as_ref().filter(|_| !yardstick.contains(&"--tf32"));
                let started =
                    Torch::start(python, self.what.script(), &arguments, reference.map(|(input, _)| &input[..]));
                let checked = started.and_then(|torch| {
                    let apart = reference.map(|(_, losses)| largest_difference(losses, &torch.losses)).transpose()?;
                    Ok((torch, apart))
                });
                match checked {
                    Ok((torch, Some(apart))) if apart > TOLERANCE => {
                        let error = format!("its losses differ from ours by {apart:.1e}: it does something else");
                        report.rows.push(Row { name: torch.name.clone(), members, speed: None, error: Some(error) });
                    }
                    Ok((torch, apart)) => {
                        let check = |apart| Check { yardstick: torch.name.clone(), largest_difference: apart };
                        report.checks.extend(apart.map(check));
                        let steps = self.yardstick_steps(device, members);
                        contestants.push(Contestant::Torch { torch, members, steps });
                    }
                    Err(error) => {
                        let name = format!("torch {}", yardstick.join(" ").replace("--impl ", ""));
                        report.rows.push(Row { name, members, speed: None, error: Some(error.to_string()) });
                        first_error = first_error.or(Some(error));
                    }
                }
            }
        }
        match first_error {
            Some(error) if contestants.is_empty() => Err::<_, Error>(error),
            _ => Ok(contestants),
        }
    }
}

impl Report {
    /// Ratios of ours to the yardsticks; `equal`: of equally many members.
    fn compare(&self, equal: bool) -> Vec<Ratio> {
        let speeds = |ours: bool| {
            let rows = self.rows.iter().filter(move |row| (row.name == "permafrost") == ours);
            rows.filter_map(|row| Some((row, row.speed.as_ref()?.per_second)))
        };
        let mut ratios = vec![];
        for (theirs, their_rate) in speeds(false) {
            for (ours, own_rate) in speeds(true).filter(|(ours, _)| !equal || ours.members == theirs.members) {
                let (yardstick, members) = (theirs.name.clone(), ours.members);
                ratios.push(Ratio { yardstick, members, ratio: own_rate / their_rate });
            }
        }
        ratios
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AdaptorShape, HeadShape};

    /// Small, and all that needs no Python.
    #[test]
    fn small_ones_are_measured() {
        let shape = AdaptorShape { image_width: 3, text_width: 2 };
        let adaptor = AdaptorSetup { shape, batch: 2, precision: Precision::F32, dropout: 0.1 };
        let head = HeadSetup { shape: HeadShape { width: 5, hidden: 4, classes: 1 }, batch: 3, dropout: 0.1 };
        for what in [What::Adaptor(adaptor), What::Heads(head)] {
            let comparison = Comparison { what, members: vec![1, 3], rounds: 2, steps: Some(2), torch: None };
            let mut last = (0, 0);
            let report = comparison.run(&Device::Cpu { threads: 2 }, |done, total| last = (done, total)).unwrap();
            assert_eq!(last, (6, 6));
            assert_eq!(report.rows.iter().map(|row| row.members).collect::<Vec<_>>(), [1, 3]);
            for row in &report.rows {
                let speed = row.speed.as_ref().unwrap();
                let expected = (row.members * what.batch()) as f64 / speed.step_ms * 1e3;
                assert!((speed.per_second / expected - 1.0).abs() < 1e-9, "{row:?}");
                assert_eq!(speed.share_of_peak, speed.gflops / report.peak.gflops);
                assert_eq!(speed.grid_seconds.is_some(), report.what == "adaptor");
            }
            assert!(report.ratios.is_empty() && report.checks.is_empty());
        }
    }

    #[test]
    fn ratios_are_of_pairs_a_second() {
        let row = |name: &str, members, per_second| {
            let (step_ms, fastest_step_ms, slowest_step_ms) = (1.0, 1.0, 1.0);
            let (share_of_peak, grid_seconds, gflops) = (1.0, None, 1.0);
            let speed =
                Speed { step_ms, fastest_step_ms, slowest_step_ms, per_second, gflops, share_of_peak, grid_seconds };
            Row { name: name.to_owned(), members, speed: Some(speed), error: None }
        };
        let rows = vec![row("permafrost", 1, 30.0), row("permafrost", 15, 300.0), row("torch", 1, 20.0)];
        let (rounds, batch, precision) = (1, 1, Precision::F32);
        let peak = Peak { of: "nothing".to_owned(), gflops: 1.0 };
        let (what, ratios, checks) = ("adaptor", vec![], vec![]);
        let report = Report { what, precision, batch, rounds, peak, rows, ratios, checks };
        let told = |equal| report.compare(equal).iter().map(|ratio| (ratio.members, ratio.ratio)).collect::<Vec<_>>();
        assert_eq!(told(false), [(1, 1.5), (15, 15.0)]);
        assert_eq!(told(true), [(1, 1.5)]);
    }
}
