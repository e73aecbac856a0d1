//! Texts through a BERT.

use std::collections::{BTreeMap, HashMap};

use super::{
    Family,
    batches::batches,
    bert::{
        Bert, Padded,
        weights::{self, Config},
    },
    lanes,
    pass::Pass,
    pooling,
    source::Source,
    tokens::{Options, Tokens, WordPiece},
};
use crate::{
    datasets::Dataset,
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    task::Encoder,
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
    check_array(job)?;
    let lease = &job.leases[0];
    let task = super::task(job, 0)?;
    let Encoder::Bert { weights, max_tokens, .. } = &task.encoder else {
        return Err(Error::input("no BERT among texts"));
    };
    let dataset = super::dataset(job)?;
    let mut source = Source::open(Family::Bert, weights, &job.home, &lease.inputs)?;
    let (bert, word_piece) = open(&mut source, *max_tokens, &device.candle())?;
    let texts = Texts::of(&dataset, &word_piece)?;
    let batches = batches(&texts.distinct);
    for member in 0..job.leases.len() {
        let (reports, texts, batches) = (dataset.reports.len(), texts.distinct.len(), batches.len());
        reporter.log(member, &format!("encoder: {}; {}", source.place(), word_piece.case()));
        reporter.log(member, &format!("{reports} reports with {texts} different texts, in {batches} batches"));
    }
    let mut pass = Pass::new(job, reporter, &bert, &source.display(WEIGHTS));
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

/// Members of an array share collection, encoder and cut.
fn check_array(job: &Job) -> Result<()> {
    let mut keys = job.leases.iter().map(|lease| lease.task.array_key());
    let first = keys.next();
    if keys.any(|key| Some(key) != first) {
        return Err(Error::input("an array of texts or encoders that differ"));
    }
    Ok(())
}

/// Numbers of a BERT's files; see [`Family::files`].
const CONFIG: usize = 0;
const WEIGHTS: usize = 1;
const VOCABULARY: usize = 2;
const OPTIONS: usize = 3;

/// Reads encoder and vocabulary.
fn open(source: &mut Source, max_tokens: usize, device: &candle_core::Device) -> Result<(Bert, WordPiece)> {
    let config = Config::parse(&source.read(CONFIG)?).map_err(|what| source.wrong(CONFIG, &what))?;
    if !(3..=config.max_position_embeddings).contains(&max_tokens) {
        return Err(Error::Input {
            what: format!("texts cannot be cut to {max_tokens} tokens"),
            cure: Some(format!("set the encoder's `max_tokens` to 3 to {}", config.max_position_embeddings)),
        });
    }
    let options = match source.name(OPTIONS) {
        Some(_) => {
            serde_json::from_slice(&source.read(OPTIONS)?).map_err(|error| source.wrong(OPTIONS, &error.to_string()))?
        }
        None => Options::default(),
    };
    let vocabulary = source.read(VOCABULARY)?;
    let word_piece = match source.name(VOCABULARY) {
        Some("tokenizer.json") => WordPiece::from_json(&vocabulary, config.vocab_size, &options, max_tokens),
        _ => WordPiece::new(&vocabulary, config.vocab_size, &options, max_tokens),
    };
    let word_piece = word_piece.map_err(|what| source.wrong(VOCABULARY, &what))?;
    let file = source.weights(WEIGHTS)?;
    let bert = weights::load(&file, &config, device).map_err(|what| source.wrong(WEIGHTS, &what))?;
    Ok((bert, word_piece))
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

#[cfg(test)]
mod parity;
