//! Published values.

use serde_json::Value;

/// A published table.
#[derive(Debug, PartialEq)]
pub(super) struct Reference {
    /// Its name in a sweep file.
    pub(super) name: &'static str,
    /// The same in a line under a table.
    pub(super) short: &'static str,
    /// Where it stands.
    pub(super) citation: &'static str,
    /// The result that it has.
    pub(super) metric: &'static str,
    vision: &'static [&'static str],
    fraction: &'static [f64],
    /// A text encoder, and its values by vision encoder and fraction, in tenths of a per cent.
    rows: &'static [(&'static str, [[u16; 3]; 3])],
}

const PAPER_TABLE_1: Reference = Reference {
    name: "paper-table-1",
    short: "Freeze the backbones, arXiv 2401.01179, Table 1, AUROC on RSNA",
    citation: "Freeze the backbones: A Parameter-Efficient Contrastive Approach to Robust Medical Vision-Language Pre-training \
               (arXiv 2401.01179), Table 1: AUROC on RSNA",
    metric: "auroc",
    vision: &["resnet-ae", "dinov2-s", "dinov2-b"],
    fraction: &[0.01, 0.1, 1.0],
    rows: &[
        ("bert", [[770, 790, 813], [813, 848, 861], [828, 853, 868]]),
        ("biobert", [[768, 791, 812], [822, 851, 861], [844, 856, 867]]),
        ("clinicalbert", [[767, 789, 811], [817, 849, 861], [829, 853, 866]]),
        ("pubmedbert", [[763, 790, 811], [809, 845, 860], [823, 850, 865]]),
        ("cxr-bert", [[769, 793, 815], [808, 847, 860], [823, 851, 866]]),
    ],
};

impl Reference {
    /// The table of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        [&PAPER_TABLE_1].into_iter().find(|reference| reference.name == name)
    }

    /// The value for a cell, given its parameters.
    pub(super) fn value<'a>(&self, parameter: impl Fn(&str) -> Option<&'a Value>) -> Option<f64> {
        let vision = parameter("vision")?.as_str()?;
        let text = parameter("text")?.as_str()?;
        let fraction = parameter("fraction")?.as_f64()?;
        let block = self.vision.iter().position(|known| *known == vision)?;
        let column = self.fraction.iter().position(|known| *known == fraction)?;
        let (_, values) = self.rows.iter().find(|(known, _)| *known == text)?;
        Some(f64::from(values[block][column]) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Table 1 as the paper has it.
    const PRINTED: &str = "\
BERT 77.0 79.0 81.3 81.3 84.8 86.1 82.8 85.3 86.8
BioBERT 76.8 79.1 81.2 82.2 85.1 86.1 84.4 85.6 86.7
ClinicalBERT 76.7 78.9 81.1 81.7 84.9 86.1 82.9 85.3 86.6
PubMedBERT 76.3 79.0 81.1 80.9 84.5 86.0 82.3 85.0 86.5
CXR-BERT 76.9 79.3 81.5 80.8 84.7 86.0 82.3 85.1 86.6";

    #[test]
    fn all_45_values_are_the_papers() {
        let mut seen = 0;
        for line in PRINTED.lines() {
            let mut words = line.split(' ');
            let text = json!(words.next().unwrap().to_lowercase());
            for vision in ["resnet-ae", "dinov2-s", "dinov2-b"].map(|name| json!(name)) {
                for fraction in [json!(0.01), json!(0.1), json!(1)] {
                    let printed: f64 = words.next().unwrap().parse().unwrap();
                    let ours = PAPER_TABLE_1.value(|name| match name {
                        "vision" => Some(&vision),
                        "text" => Some(&text),
                        "fraction" => Some(&fraction),
                        _ => None,
                    });
                    assert!((ours.unwrap() * 100.0 - printed).abs() < 1e-9, "{vision} {text} {fraction}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 45);
    }

    #[test]
    fn what_the_paper_lacks_has_no_value() {
        let (vision, text, fraction) = (json!("dinov2-s"), json!("bert"), json!(0.5));
        let get = |name: &str| match name {
            "vision" => Some(&vision),
            "text" => Some(&text),
            "fraction" => Some(&fraction),
            _ => None,
        };
        assert_eq!(PAPER_TABLE_1.value(get), None);
        assert_eq!(PAPER_TABLE_1.value(|name| get(name).filter(|_| name != "text")), None);
        assert!(Reference::named("paper-table-9").is_none());
    }
}
