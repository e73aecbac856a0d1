//! WordPiece: texts to token ids, as `transformers.BertTokenizer` makes them.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

/// Special tokens that a text may spell out.
const SPECIAL: [&str; 5] = [PAD, UNKNOWN, FIRST, LAST, "[MASK]"];
const PAD: &str = "[PAD]";
const UNKNOWN: &str = "[UNK]";
const FIRST: &str = "[CLS]";
const LAST: &str = "[SEP]";

/// Share of upper-case words from which on a vocabulary counts as cased. Lower-cased ones have none but by accident; of the
/// published cased BERT's words it is every fourth.
const CASED: f64 = 0.01;

/// What is read of `tokenizer_config.json`. What is not there is as in the published BERT, but for case.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Options {
    do_lower_case: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
    do_basic_tokenize: Option<bool>,
}

/// A text as the encoder reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, from `[CLS]` to `[SEP]`.
    pub ids: Vec<u32>,
    /// Tokens that were cut off.
    pub cut: usize,
    /// `[UNK]`s among `ids`.
    pub unknown: usize,
}

/// Makes [`Tokens`].
#[derive(Debug)]
pub struct WordPiece {
    tokenizer: Tokenizer,
    unknown: u32,
    first: u32,
    last: u32,
    max_tokens: usize,
    case: String,
}

impl WordPiece {
    /// A tokenizer with the words of `vocabulary`, one a line (`vocab.txt`). Its ids are below `vocabulary_size`. Texts are cut
    /// to `max_tokens`, `[CLS]` and `[SEP]` included. Where `options` do not say whether texts are lower-cased, the words do:
    /// a vocabulary with upper-case words is of a cased encoder.
    ///
    /// # Errors
    /// What is wrong with the vocabulary.
    pub fn new(
        vocabulary: &[u8],
        vocabulary_size: usize,
        options: &Options,
        max_tokens: usize,
    ) -> Result<Self, String> {
        let text = std::str::from_utf8(vocabulary).map_err(|error| format!("not UTF-8: {error}"))?;
        let words: Vec<&str> = text.lines().collect();
        let ids: HashMap<&str, u32> = words.iter().copied().zip(0..).collect();
        if words.len() > vocabulary_size {
            return Err(format!("{} words, the encoder has embeddings for {vocabulary_size}", words.len()));
        }
        let (lower, case) = match options.do_lower_case {
            Some(lower) => (lower, configured(lower)),
            None => {
                let upper = words.iter().filter(|word| is_upper_case(word)).count();
                let lower = (upper as f64) < CASED * words.len() as f64;
                let counts = format!("{upper} of {} words of the vocabulary have upper-case letters", words.len());
                (lower, format!("{}: {counts}, and `do_lower_case` is not configured", verb(lower)))
            }
        };
        let added: Vec<_> = SPECIAL
            .iter()
            .filter_map(|name| Some((ids.get(name)?, name)))
            .map(|(id, name)| {
                json!({"id": id, "content": name, "special": true, "normalized": false,
                       "single_word": false, "lstrip": false, "rstrip": false})
            })
            .collect();
        // The format of `tokenizer.json`.
        let description = json!({
            "version": "1.0", "truncation": null, "padding": null, "post_processor": null, "decoder": null,
            "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "lowercase": lower,
                           "handle_chinese_chars": true, "strip_accents": null},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": ids},
        });
        Self::build(description, vocabulary_size, options, max_tokens, case)
    }

    /// A tokenizer as `tokenizer.json` describes it, but for what `options` say otherwise, as in `transformers`; see [`Self::new`].
    ///
    /// # Errors
    /// What is wrong with the description, or is no WordPiece.
    pub fn from_json(
        json: &[u8],
        vocabulary_size: usize,
        options: &Options,
        max_tokens: usize,
    ) -> Result<Self, String> {
        let description: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let model = description["model"]["type"].as_str().unwrap_or("WordPiece");
        if model != "WordPiece" {
            return Err(format!("its model is `{model}`, not `WordPiece`"));
        }
        let lower = description["normalizer"]["lowercase"].as_bool();
        let case = match (options.do_lower_case, lower) {
            (Some(lower), _) => configured(lower),
            (None, Some(lower)) => format!("{}: the normalizer of tokenizer.json", verb(lower)),
            (None, None) => return Err("its normalizer has no `lowercase`, as BERT's has".to_owned()),
        };
        Self::build(description, vocabulary_size, options, max_tokens, case)
    }

    fn build(
        mut description: Value,
        vocabulary_size: usize,
        options: &Options,
        max_tokens: usize,
        case: String,
    ) -> Result<Self, String> {
        if options.do_basic_tokenize == Some(false) {
            return Err("tokenizer_config.json turns `do_basic_tokenize` off".to_owned());
        }
        // Special tokens, truncation and padding are ours.
        for part in ["truncation", "padding", "post_processor"] {
            description[part] = Value::Null;
        }
        let configured = [
            ("lowercase", options.do_lower_case),
            ("handle_chinese_chars", options.tokenize_chinese_chars),
            ("strip_accents", options.strip_accents),
        ];
        for (name, value) in configured {
            if let Some(value) = value {
                description["normalizer"][name] = value.into();
            }
        }
        let tokenizer = Tokenizer::from_bytes(description.to_string()).map_err(|error| error.to_string())?;
        let words = tokenizer.get_vocab(true);
        let largest = words.values().max().map_or(0, |id| *id as usize);
        if largest >= vocabulary_size {
            return Err(format!("ids up to {largest}, the encoder has embeddings for {vocabulary_size}"));
        }
        let special =
            |name: &str| words.get(name).copied().ok_or_else(|| format!("no `{name}` among {} words", words.len()));
        let (unknown, first, last) = (special(UNKNOWN)?, special(FIRST)?, special(LAST)?);
        Ok(Self { tokenizer, unknown, first, last, max_tokens, case })
    }

    /// Whether texts are lower-cased, and what says so.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// Tokens of `text`. A text without any is `[CLS] [SEP]`.
    ///
    /// # Errors
    /// What the tokenizer says.
    pub fn tokens(&self, text: &str) -> Result<Tokens, String> {
        // Special tokens and truncation are done here: what was cut off is counted.
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|error| error.to_string())?;
        let found = encoding.get_ids();
        let kept = &found[..found.len().min(self.max_tokens.saturating_sub(2))];
        let ids: Vec<u32> = [self.first].into_iter().chain(kept.iter().copied()).chain([self.last]).collect();
        let unknown = kept.iter().filter(|id| **id == self.unknown).count();
        Ok(Tokens { ids, cut: found.len() - kept.len(), unknown })
    }
}

/// Whether a text that was lower-cased cannot have this word.
fn is_upper_case(word: &str) -> bool {
    let special = word.starts_with('[') && word.ends_with(']');
    !special && word.chars().any(|letter| letter.is_uppercase() && !letter.to_lowercase().eq([letter]))
}

const fn verb(lower: bool) -> &'static str {
    if lower { "texts are lower-cased" } else { "texts keep their case" }
}

fn configured(lower: bool) -> String {
    format!("{}: `do_lower_case` of tokenizer_config.json", verb(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nheart\n##s\n.\nHeart\ncaf\u{e9}\ncafe\n";

    fn ids(options: &Options, max_tokens: usize, text: &str) -> Tokens {
        WordPiece::new(WORDS.as_bytes(), 10, options, max_tokens).unwrap().tokens(text).unwrap()
    }

    #[test]
    fn words_pieces_and_what_is_unknown_or_cut() {
        let options = Options { do_lower_case: Some(true), ..Options::default() };
        let tokens = |ids: &[u32], cut, unknown| Tokens { ids: ids.to_vec(), cut, unknown };
        assert_eq!(ids(&options, 9, "Hearts, heart."), tokens(&[2, 4, 5, 1, 4, 6, 3], 0, 1));
        assert_eq!(ids(&options, 5, "Hearts, heart."), tokens(&[2, 4, 5, 1, 3], 2, 1));
        assert_eq!(ids(&options, 9, " \u{200b}\n"), tokens(&[2, 3], 0, 0));
        assert_eq!(ids(&options, 9, "Caf\u{e9}"), tokens(&[2, 9, 3], 0, 0));
        let cased = Options { do_lower_case: Some(false), ..Options::default() };
        assert_eq!(ids(&cased, 9, "Heart Caf\u{e9} caf\u{e9}"), tokens(&[2, 7, 1, 8, 3], 0, 1));
    }

    #[test]
    fn bad_vocabularies_are_refused() {
        let new = |words: &[u8], size| WordPiece::new(words, size, &Options::default(), 9).map(|_| ());
        assert_eq!(new(b"[UNK]\n[CLS]\nheart\n", 9).unwrap_err(), "no `[SEP]` among 3 words");
        assert_eq!(new(WORDS.as_bytes(), 9).unwrap_err(), "10 words, the encoder has embeddings for 9");
        assert!(new(b"\xff\xfe", 9).unwrap_err().starts_with("not UTF-8"));
    }

    #[test]
    fn without_a_configuration_the_vocabulary_tells_the_case() {
        let tokens = |words: &str| {
            let found = WordPiece::new(words.as_bytes(), 200, &Options::default(), 9).unwrap();
            (found.tokens("Heart").unwrap().ids[1], found.case().to_owned())
        };
        let (id, case) = tokens(WORDS);
        assert_eq!(id, 7);
        assert!(case.starts_with("texts keep their case: 1 of 10 words"), "{case}");
        let lower = WORDS.replace("Heart", "[unused A]");
        let (id, case) = tokens(&lower);
        assert_eq!(id, 4);
        assert!(case.starts_with("texts are lower-cased: 0 of 10 words"), "{case}");
        // One word of 101 by accident, and a letter that has no lower case.
        let accident = format!("{lower}\u{211d}\nX\n{}", (0..89).map(|i| format!("{i}\n")).collect::<String>());
        assert!(tokens(&accident).1.starts_with("texts are lower-cased: 1 of 101 words"));
    }

    #[test]
    fn a_description_gives_the_ids_of_its_vocabulary() {
        let vocabulary: HashMap<&str, usize> = WORDS.lines().zip(0..).collect();
        let json = |lower: bool, model: &str| {
            json!({
                "version": "1.0", "added_tokens": [], "decoder": null, "post_processor": null,
                "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
                "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
                            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
                "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                               "strip_accents": null, "lowercase": lower},
                "pre_tokenizer": {"type": "BertPreTokenizer"},
                "model": {"type": model, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                          "max_input_chars_per_word": 100, "vocab": vocabulary},
            })
            .to_string()
        };
        let text = "Hearts, heart. Heart Caf\u{e9}";
        for lower in [true, false] {
            let set = Options { do_lower_case: Some(lower), ..Options::default() };
            let expected = ids(&set, 9, text);
            for (described, options) in [(lower, &Options::default()), (!lower, &set)] {
                let found = WordPiece::from_json(json(described, "WordPiece").as_bytes(), 10, options, 9).unwrap();
                assert_eq!(found.tokens(text).unwrap(), expected, "{}", found.case());
            }
        }
        let refused = |json: &str, size, options: &Options| {
            WordPiece::from_json(json.as_bytes(), size, options, 9).map(|_| ()).unwrap_err()
        };
        assert_eq!(refused(&json(true, "BPE"), 10, &Options::default()), "its model is `BPE`, not `WordPiece`");
        let small = refused(&json(true, "WordPiece"), 9, &Options::default());
        assert_eq!(small, "ids up to 9, the encoder has embeddings for 9");
        let none = json(true, "WordPiece").replace("lowercase", "other");
        assert!(refused(&none, 10, &Options::default()).contains("no `lowercase`"));
        let off = Options { do_basic_tokenize: Some(false), ..Options::default() };
        assert!(refused(&json(true, "WordPiece"), 10, &off).contains("do_basic_tokenize"));
    }
}
