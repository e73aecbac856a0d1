//! Texts of reports: bytes to text, and cleaning by the paper's rule for MIMIC-CXR.

use std::borrow::Cow;

/// What stands for words that were removed to protect patients in the Indiana University collection.
const PLACEHOLDER: &str = "xxxx";

/// Sentences of at most this many tokens are dropped.
const SHORTEST_SENTENCE: usize = 2;

/// Reports of fewer tokens are dropped.
const SHORTEST_REPORT: usize = 3;

/// Cleans a text of the Indiana University collection: as [`clean_words`], but tokens that are not ASCII and `xxxx`
/// tokens (removed words) are dropped before a sentence's tokens are counted: they say nothing about the image, and a
/// WordPiece vocabulary cuts each `xxxx` into several pieces. None when fewer than three tokens are left.
pub fn clean(raw: &str) -> Option<String> {
    cleaned(raw, &|sentence| {
        let kept: Vec<String> = sentence.filter_map(ascii).filter(|token| token != PLACEHOLDER).collect();
        (kept.len() >= SHORTEST_SENTENCE).then_some(kept)
    })
}

/// Cleans `raw` as the paper's code does: newlines become spaces; sentences end at full stops, and a number before one
/// (an enumeration) goes with it; tokens are lowercase runs of letters, digits and underscores; sentences of one token
/// are dropped; then tokens are reduced to ASCII. None when fewer than three tokens are left.
///
/// Removed words (`___` in MIMIC-CXR) are tokens like others. Letters beyond ASCII are Rust's, which differ from those
/// of Python's `\w` in some combining marks of Indic scripts only.
pub fn clean_words(raw: &str) -> Option<String> {
    cleaned(raw, &|sentence| {
        let tokens: Vec<&str> = sentence.collect();
        (tokens.len() >= SHORTEST_SENTENCE).then(|| tokens.into_iter().filter_map(ascii).collect())
    })
}

/// The tokens of one sentence, before they are reduced to ASCII.
type Tokens<'a> = &'a mut dyn Iterator<Item = &'a str>;

/// Cuts `raw` into sentences and joins what `keep` leaves of each.
fn cleaned(raw: &str, keep: &dyn for<'a> Fn(Tokens<'a>) -> Option<Vec<String>>) -> Option<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut sentences = raw.split('.').peekable();
    while let Some(sentence) = sentences.next() {
        // The pieces before a full stop lose the digits that touch it. The last piece has none after it.
        let at_stop = sentences.peek().is_some();
        let sentence = if at_stop { sentence.trim_end_matches(|c: char| c.is_ascii_digit()) } else { sentence };
        let sentence = sentence.to_lowercase();
        let mut tokens = sentence.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|token| !token.is_empty());
        kept.extend(keep(&mut tokens).unwrap_or_default());
    }
    (kept.len() >= SHORTEST_REPORT).then(|| kept.join(" "))
}

/// The ASCII characters of `token`; none when there is none.
fn ascii(token: &str) -> Option<String> {
    let kept: String = token.chars().filter(char::is_ascii).collect();
    (!kept.is_empty()).then_some(kept)
}

/// The text of `bytes`: UTF-8 or, where they are not, Latin-1, which any bytes are; and whether it was Latin-1. A byte
/// order mark is dropped.
pub fn decode(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)), false),
        Err(_) => (Cow::Owned(latin1(bytes)), true),
    }
}

/// The text of `bytes` in Latin-1.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{clean, clean_words, decode};

    #[test]
    fn sentences_tokens_and_placeholders() {
        let cases = [
            ("Normal chest x-XXXX.", Some("normal chest x")),
            ("1. Heart size\nnormal. 2. No effusion.", Some("heart size normal no effusion")),
            // One token: dropped, and with it too little is left.
            ("Normal. Stable heart.", None),
            ("Stable. The heart is large", Some("the heart is large")),
            // `[0-9]+\.` cuts inside numbers too.
            ("A nodule of 1.5 cm is seen", Some("a nodule of 5 cm is seen")),
            ("level T12", None),
            ("ends at level T12", Some("ends at level t12")),
            ("Caf\u{e9} au lait spots", Some("caf au lait spots")),
            ("under_score stays one", Some("under_score stays one")),
            ("XXXX XXXX. XXXX heart.", None),
            ("", None),
            ("...", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean(raw).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn the_papers_rule_counts_before_it_reduces_and_keeps_removed_words() {
        let cases = [
            ("\u{e9} heart. No effusion.", Some("heart no effusion")),
            ("Seen by Dr ___.", Some("seen by dr ___")),
            ("XXXX XXXX. XXXX heart.", Some("xxxx xxxx xxxx heart")),
            ("Clear.", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean_words(raw).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(decode(b"caf\xc3\xa9"), ("caf\u{e9}".into(), false));
        assert_eq!(decode(b"caf\xe9"), ("caf\u{e9}".into(), true));
        assert_eq!(decode(b"\xef\xbb\xbfid"), ("id".into(), false));
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(raw in "\\PC{0,80}|[a-zA-Z0-9_. \\n\u{e9}\u{130}]{0,80}") {
            for rule in [clean, clean_words] {
                if let Some(once) = rule(&raw) {
                    prop_assert!(once.is_ascii());
                    prop_assert_eq!(rule(&once), Some(once));
                }
            }
        }
    }
}
