//! Grey levels to what encoders want. Levels run from 0, black, to 255, row by row.

use serde::{Deserialize, Serialize};

/// How DINOv2's pixels are normalised. Levels are divided by 255 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DinoPixels {
    /// By mean and standard deviation of ImageNet's three channels, as DINOv2 was trained.
    ImageNet,
    /// `(x - 0.5) / 0.5`, as the paper's authors did.
    Symmetric,
}

impl DinoPixels {
    /// Mean and standard deviation of red, green and blue.
    fn mean_and_deviation(self) -> [(f32, f32); 3] {
        match self {
            // torchvision's documentation of its models gives these.
            Self::ImageNet => [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)],
            Self::Symmetric => [(0.5, 0.5); 3],
        }
    }
}

/// The grey image `levels`, [H * W], as DINOv2's three channels, [3 * H * W].
pub fn dinov2(levels: &[f32], pixels: DinoPixels) -> Vec<f32> {
    let channel = |(mean, deviation): (f32, f32)| levels.iter().map(move |level| (level / 255.0 - mean) / deviation);
    pixels.mean_and_deviation().into_iter().flat_map(channel).collect()
}

/// The grey image `levels`, [H * W], as ResNet-AE's one channel, [H * W]: `(2 x / 255 - 1) * 1024`, torchxrayvision's range.
pub fn resnet_ae(levels: &[f32]) -> Vec<f32> {
    levels.iter().map(|level| (2.0 * level / 255.0 - 1.0) * 1024.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{found}, not {expected}");
        }
    }

    #[test]
    fn black_grey_and_white() {
        let levels = [0.0, 127.5, 255.0];
        close(&resnet_ae(&levels), &[-1024.0, 0.0, 1024.0]);
        close(&dinov2(&levels, DinoPixels::Symmetric), &[-1.0, 0.0, 1.0].repeat(3));
        let image_net = [
            [-2.117_904, 0.065_502_18, 2.248_908_3],
            [-2.035_714_4, 0.196_428_57, 2.428_571_5],
            [-1.804_444_4, 0.417_777_78, 2.64],
        ];
        close(&dinov2(&levels, DinoPixels::ImageNet), image_net.as_flattened());
    }
}
