//! Numbers of parameters, by arithmetic on published shapes.

use permafrost_worker::model::{AdaptorShape, HeadShape, WIDTH};

/// Sizes of a BERT: its `config.json` on the hub.
struct Bert {
    name: &'static str,
    vocabulary: usize,
}

/// The paper's five are BERT-base with vocabularies of their own.
const BERTS: [Bert; 5] = [
    Bert { name: "bert", vocabulary: 30_522 },
    Bert { name: "biobert", vocabulary: 28_996 },
    Bert { name: "clinicalbert", vocabulary: 28_996 },
    Bert { name: "pubmedbert", vocabulary: 30_522 },
    Bert { name: "cxr-bert", vocabulary: 30_522 },
];

/// A dense layer with its bias.
const fn linear(from: usize, to: usize) -> usize {
    from * to + to
}

/// Parameters of a text encoder of the paper, pooler included.
pub(super) fn text(name: &str) -> Option<usize> {
    let Bert { vocabulary, .. } = BERTS.iter().find(|known| known.name == name)?;
    let (width, hidden, norm) = (768, 3072, 2 * 768);
    let embeddings = (vocabulary + 512 + 2) * width + norm;
    let layer = 4 * linear(width, width) + linear(width, hidden) + linear(hidden, width) + 2 * norm;
    Some(embeddings + 12 * layer + linear(width, width))
}

/// Parameters of an image encoder of the paper, and the width of its embedding.
pub(super) fn vision(name: &str) -> Option<(usize, usize)> {
    let dinov2 = |width: usize| {
        let (norm, positions, patch) = (2 * width, 1370, 3 * 14 * 14);
        let embeddings = 2 * width + positions * width + linear(patch, width);
        let attention = 4 * linear(width, width);
        let layer = 2 * norm + attention + linear(width, 4 * width) + linear(4 * width, width) + 2 * width;
        (embeddings + 12 * layer + norm, width)
    };
    match name {
        "dinov2-s" => Some(dinov2(384)),
        "dinov2-b" => Some(dinov2(768)),
        // The encoder alone, of ResNet-101 with a last stage of two narrow blocks.
        "resnet-ae" => Some((resnet_ae(), 512)),
        _ => None,
    }
}

/// Bottlenecks of three convolutions without biases, each with a BatchNorm of two parameters a channel; the first of a stage has a fourth.
fn resnet_ae() -> usize {
    let norm = |channels: usize| 2 * channels;
    let mut total = 7 * 7 * 64 + norm(64);
    let mut from = 64;
    for (planes, blocks) in [(64, 3), (128, 4), (256, 23), (128, 2)] {
        for block in 0..blocks {
            total += from * planes + norm(planes) + 9 * planes * planes + norm(planes);
            total += planes * 4 * planes + norm(4 * planes);
            if block == 0 {
                total += from * 4 * planes + norm(4 * planes);
            }
            from = 4 * planes;
        }
    }
    total
}

/// Parameters that are there, and those of them that pre-training trains: an Adaptor between two encoders of the paper.
pub(super) fn adaptor(vision: &str, text: &str) -> Option<(usize, usize)> {
    let (image, image_width) = self::vision(vision)?;
    let trained = AdaptorShape { image_width, text_width: 768 }.parameters();
    Some((image + self::text(text)? + trained, trained))
}

/// Parameters of a classification head.
pub(super) fn head(classes: usize) -> usize {
    HeadShape { width: WIDTH, hidden: 512, classes }.parameters()
}

/// Parameters of the paper's decoders for segmentation, computed from the layers that its authors' code has. This version does not train them.
pub(super) fn decoder(vision: &str) -> usize {
    if vision == "resnet-ae" { 20_146_817 } else { 10_401_409 }
}

/// In millions, with one decimal.
pub(super) fn millions(parameters: usize) -> f64 {
    (parameters as f64 / 1e5).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_published_models() {
        // Counted in PyTorch: `sum(p.numel() for p in model.parameters())` of the hub's models.
        assert_eq!(text("bert"), Some(109_482_240));
        assert_eq!(text("biobert"), Some(108_310_272));
        assert_eq!(vision("dinov2-b"), Some((86_580_480, 768)));
        assert_eq!(vision("dinov2-s"), Some((22_056_576, 384)));
        assert_eq!(vision("resnet-ae"), Some((28_680_128, 512)));
        assert_eq!((head(1), head(3)), (394_753, 395_779));
        let trained = |vision| adaptor(vision, "bert").unwrap().1;
        assert_eq!(["dinov2-b", "dinov2-s", "resnet-ae"].map(trained), [12_207_617, 11_912_705, 12_011_009]);
        assert_eq!(adaptor("dinov2-b", "minilm"), None);
    }

    /// Table 2 and Table 3 print 208.3, 12.2, 12.0, 11.9, 20.1 and 10.4 million.
    #[test]
    fn sizes_are_the_papers() {
        let (all, trained) = adaptor("dinov2-b", "bert").unwrap();
        assert_eq!((millions(all), millions(trained)), (208.3, 12.2));
        assert_eq!(["resnet-ae", "dinov2-s"].map(|vision| millions(adaptor(vision, "bert").unwrap().1)), [12.0, 11.9]);
        assert_eq!((millions(decoder("resnet-ae")), millions(decoder("dinov2-b"))), (20.1, 10.4));
    }
}
