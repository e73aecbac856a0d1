//! Cleaning of reports, by the paper's rule for MIMIC-CXR.

/// What stands for words that were removed to protect patients in the Indiana University collection.
const PLACEHOLDER: &str = "xxxx";

/// Sentences of at most this many tokens are dropped.
const SHORTEST_SENTENCE: usize = 2;

/// Reports of fewer tokens are dropped.
const SHORTEST_REPORT: usize = 3;

/// Cleans `raw`: newlines become spaces; sentences end at full stops, and a number before one (an enumeration) goes
/// with it; tokens are lowercase runs of letters, digits and underscores, reduced to ASCII; sentences of one token are
/// dropped. None when fewer than three tokens are left.
///
/// Beyond that rule, `xxxx` tokens (removed words) are dropped before counting: they say nothing about the image, and a
/// WordPiece vocabulary cuts each into several pieces.
pub fn clean(raw: &str) -> Option<String> {
    let mut kept: Vec<String> = Vec::new();
    for sentence in raw.split('.') {
        // The pieces before a full stop lose the digits that touch it. The last piece has none after it.
        let at_stop = sentence.as_ptr() as usize + sentence.len() < raw.as_ptr() as usize + raw.len();
        let sentence = if at_stop { sentence.trim_end_matches(|c: char| c.is_ascii_digit()) } else { sentence };
        let tokens: Vec<String> = sentence
            .to_lowercase()
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .map(|token| token.chars().filter(char::is_ascii).collect::<String>())
            .filter(|token| !token.is_empty() && token != PLACEHOLDER)
            .collect();
        if tokens.len() >= SHORTEST_SENTENCE {
            kept.extend(tokens);
        }
    }
    (kept.len() >= SHORTEST_REPORT).then(|| kept.join(" "))
}

#[cfg(test)]
mod tests {
    use super::clean;

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
}
