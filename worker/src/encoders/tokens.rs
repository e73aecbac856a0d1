//! WordPiece: texts to token ids, as `transformers.BertTokenizer` makes them.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;
use tokenizers::Tokenizer;

/// Special tokens that a text may spell out.
const SPECIAL: [&str; 5] = [PAD, UNKNOWN, FIRST, LAST, "[MASK]"];
const PAD: &str = "[PAD]";
const UNKNOWN: &str = "[UNK]";
const FIRST: &str = "[CLS]";
const LAST: &str = "[SEP]";

/// What is read of `tokenizer_config.json`; what is not there is as in the published uncased BERT.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Options {
    do_lower_case: bool,
    tokenize_chinese_chars: bool,
    /// None: exactly if text is lower-cased.
    strip_accents: Option<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Self { do_lower_case: true, tokenize_chinese_chars: true, strip_accents: None }
    }
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
}

impl WordPiece {
    /// A tokenizer with the words of `vocabulary`, one a line. Its ids are below `vocabulary_size`. Texts are cut to
    /// `max_tokens`, `[CLS]` and `[SEP]` included.
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
        let mut ids: HashMap<&str, u32> = HashMap::new();
        let mut count = 0;
        for (id, word) in (0..).zip(text.lines()) {
            ids.insert(word, id);
            count += 1;
        }
        if count > vocabulary_size {
            return Err(format!("{count} words, the encoder has embeddings for {vocabulary_size}"));
        }
        let special = |name: &str| ids.get(name).copied().ok_or_else(|| format!("no `{name}` among {count} words"));
        let (unknown, first, last) = (special(UNKNOWN)?, special(FIRST)?, special(LAST)?);
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
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "lowercase": options.do_lower_case,
                           "handle_chinese_chars": options.tokenize_chinese_chars,
                           "strip_accents": options.strip_accents},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": ids},
        });
        let tokenizer = Tokenizer::from_bytes(description.to_string()).map_err(|error| error.to_string())?;
        Ok(Self { tokenizer, unknown, first, last, max_tokens })
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

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nheart\n##s\n.\nHeart\ncaf\u{e9}\ncafe\n";

    fn ids(options: &Options, max_tokens: usize, text: &str) -> Tokens {
        WordPiece::new(WORDS.as_bytes(), 10, options, max_tokens).unwrap().tokens(text).unwrap()
    }

    #[test]
    fn words_pieces_and_what_is_unknown_or_cut() {
        let options = Options::default();
        let tokens = |ids: &[u32], cut, unknown| Tokens { ids: ids.to_vec(), cut, unknown };
        assert_eq!(ids(&options, 9, "Hearts, heart."), tokens(&[2, 4, 5, 1, 4, 6, 3], 0, 1));
        assert_eq!(ids(&options, 5, "Hearts, heart."), tokens(&[2, 4, 5, 1, 3], 2, 1));
        assert_eq!(ids(&options, 9, " \u{200b}\n"), tokens(&[2, 3], 0, 0));
        assert_eq!(ids(&options, 9, "Caf\u{e9}"), tokens(&[2, 9, 3], 0, 0));
        let cased = Options { do_lower_case: false, ..Options::default() };
        assert_eq!(ids(&cased, 9, "Heart Caf\u{e9} caf\u{e9}"), tokens(&[2, 7, 1, 8, 3], 0, 1));
    }

    #[test]
    fn bad_vocabularies_are_refused() {
        let new = |words: &[u8], size| WordPiece::new(words, size, &Options::default(), 9).map(|_| ());
        assert_eq!(new(b"[UNK]\n[CLS]\nheart\n", 9).unwrap_err(), "no `[SEP]` among 3 words");
        assert_eq!(new(WORDS.as_bytes(), 9).unwrap_err(), "10 words, the encoder has embeddings for 9");
        assert!(new(b"\xff\xfe", 9).unwrap_err().starts_with("not UTF-8"));
    }
}
