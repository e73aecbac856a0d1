//! Studies whose report no rule can cut, and where its conclusion was found by hand. The table is MIT-LCP's
//! (`MIT-LCP/mimic-cxr`, `txt/section_parser.py`, MIT licence): study numbers with a section's name or two offsets.

use super::{
    names::{COMPARISON, FINDINGS, IMPRESSION, LAST_PARAGRAPH},
    sections::{Sections, strip, unix_lines},
};

/// Where the conclusion of such a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// In the last section of that normalised name.
    Section(&'static str),
    /// From one character to before another, counted from 0 in the report with `\n` as line ends. Equal ones: it has none.
    Characters(usize, usize),
}

/// Studies whose conclusion is in a section of another name.
const SECTIONS: [(&str, &[u32]); 6] = [
    ("recommendations", &[50913680, 59768032, 59067458, 59087630, 58157373, 56482935, 58375018]),
    ("examination", &[59363654, 53356173, 50743547, 59215320, 55157853]),
    ("technique", &[59279892, 53202765, 50808053]),
    ("indication", &[57936451, 50058765, 51966317, 55124749, 54365831, 54654948]),
    ("note", &[56451190]),
    ("history", &[51491012]),
];

/// Studies whose conclusion stands between two characters.
const CHARACTERS: [(u32, usize, usize); 31] = [
    (50525523, 201, 349),
    (57564132, 233, 554),
    (59982525, 313, 717),
    (53488209, 149, 475),
    (54875119, 234, 988),
    (50196495, 59, 399),
    (56579911, 59, 218),
    (52648681, 292, 631),
    (59889364, 172, 453),
    (53514462, 73, 377),
    (59505494, 59, 450),
    (53182247, 59, 412),
    (51410602, 47, 320),
    (56412866, 522, 822),
    (54986978, 59, 306),
    (59003148, 262, 505),
    (57150433, 61, 394),
    (56760320, 219, 457),
    (59562049, 158, 348),
    (52674888, 145, 296),
    (55258338, 192, 568),
    (59330497, 140, 655),
    (52119491, 179, 454),
    (58235663, 0, 0),
    (50798377, 0, 0),
    (54168089, 0, 0),
    (53071062, 0, 0),
    (56724958, 0, 0),
    (54231141, 0, 0),
    (53607029, 0, 0),
    (52035334, 0, 0),
];

impl Exception {
    /// The exception for `study`, if it is one.
    pub fn of(study: u32) -> Option<Self> {
        let characters = CHARACTERS.iter().find(|(number, ..)| *number == study);
        let section = SECTIONS.iter().find(|(_, studies)| studies.contains(&study));
        characters
            .map(|&(_, from, to)| Self::Characters(from, to))
            .or_else(|| section.map(|(name, _)| Self::Section(name)))
    }
}

/// What MIT-LCP takes for the radiologist's conclusion: where `exception` says, else the last section of the first of
/// these names that there is: impression, findings, last paragraph, comparison. None when there is none, or nothing in it.
pub fn conclusion(report: &str, exception: Option<Exception>) -> Option<String> {
    let found = match exception {
        Some(Exception::Characters(from, to)) => {
            unix_lines(report).chars().skip(from).take(to.saturating_sub(from)).collect()
        }
        Some(Exception::Section(name)) => Sections::parse(report).last(name)?.to_owned(),
        None => {
            let sections = Sections::parse(report);
            let names = [IMPRESSION, FINDINGS, LAST_PARAGRAPH, COMPARISON];
            names.iter().find_map(|name| sections.last(name))?.to_owned()
        }
    };
    (!strip(&found).is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_study_is_there_once() {
        let sections = SECTIONS.iter().flat_map(|(_, studies)| *studies).copied();
        let mut all: Vec<u32> = sections.chain(CHARACTERS.iter().map(|(study, ..)| *study)).collect();
        assert_eq!(all.len(), 54);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 54);
    }

    #[test]
    fn exceptions_say_where_the_conclusion_is() {
        assert_eq!(Exception::of(51491012), Some(Exception::Section("history")));
        assert_eq!(Exception::of(58235663), Some(Exception::Characters(0, 0)));
        assert_eq!(Exception::of(50414267), None);
        let report = "A\r\n HISTORY: \u{e9}Clear.\r\n COMPARISON: none\r\n";
        assert_eq!(conclusion(report, Some(Exception::Section("history"))).as_deref(), Some("\u{e9}Clear."));
        assert_eq!(conclusion(report, Some(Exception::Section("note"))), None);
        assert_eq!(conclusion(report, Some(Exception::Characters(12, 18))).as_deref(), Some("\u{e9}Clear"));
        assert_eq!(conclusion(report, Some(Exception::Characters(0, 0))), None);
        assert_eq!(conclusion(report, None).as_deref(), Some("none"));
    }

    proptest! {
        #[test]
        fn no_offsets_make_it_panic(report in "\\PC{0,20}", from in 0..40_usize, to in 0..40_usize) {
            conclusion(&report, Some(Exception::Characters(from, to)));
        }
    }
}
