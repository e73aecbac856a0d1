//! Image encoders: from grey levels to rows.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use crate::{
    cache::{Layout, Row},
    encoders::{
        Family,
        dinov2::{Dinov2, Features},
        pixels::{self, DinoPixels},
        resnet_ae::{Maps, ResNetAe},
        source::Source,
    },
    error::{Error, Result},
    images::MAX_SIDE,
    protocol::Lease,
    task::{Dtype, Embed, Encoder, Output, Pixels},
};

/// A frozen image encoder on a device, for images of one size.
pub(super) struct Model {
    network: Network,
    device: Device,
    /// Side of the images, in pixels.
    side: usize,
}

pub(super) enum Network {
    Dinov2 { network: Dinov2, normalise: DinoPixels },
    ResNetAe(ResNetAe),
}

/// What a [`Model`] makes of some images.
pub(super) enum Encoded {
    Dinov2(Features),
    ResNetAe(Maps),
}

impl Model {
    /// Loads the encoder of `task`; also what it reads of an image, and how messages name it.
    ///
    /// # Errors
    /// [`Error::Input`] when a file is missing or not what it should be, or the size does not fit the encoder.
    pub(super) fn open(
        task: &Embed,
        lease: &Lease,
        home: &std::path::Path,
        device: &Device,
    ) -> Result<(Self, Pixels, String)> {
        let open = |family, weights| Source::open(family, weights, home, &lease.inputs);
        let (network, pixels, source) = match &task.encoder {
            Encoder::Dinov2 { weights, pixels, normalise, interpolation } => {
                let mut source = open(Family::Dinov2, weights)?;
                let network = Dinov2::of_source(&mut source, *interpolation, device)?;
                (Network::Dinov2 { network, normalise: *normalise }, *pixels, source)
            }
            Encoder::ResNetAe { weights, pixels } => {
                let mut source = open(Family::ResNetAe, weights)?;
                (Network::ResNetAe(ResNetAe::of_source(&mut source, device)?), *pixels, source)
            }
            _ => return Err(Error::input("no image encoder among image encoders")),
        };
        let multiple = match &network {
            Network::Dinov2 { network, .. } => network.patch(),
            Network::ResNetAe(_) => 1,
        };
        check_pixels(pixels, multiple)?;
        Ok((Self::new(network, device.clone(), pixels.crop), pixels, source.place().to_owned()))
    }

    pub(super) fn new(network: Network, device: Device, side: usize) -> Self {
        Self { network, device, side }
    }

    /// Values of a pooled output, and of a token.
    pub(super) fn width(&self) -> usize {
        match &self.network {
            Network::Dinov2 { network, .. } => network.width(),
            Network::ResNetAe(network) => network.width(),
        }
    }

    /// What a row of `output` is made of.
    ///
    /// # Errors
    /// [`Error::Input`] when this encoder has no such output.
    pub(super) fn layout(&self, output: Output, dtype: Dtype) -> Result<Layout> {
        let width = self.width();
        match (&self.network, output) {
            (_, Output::Pooled) => Ok(Layout::pooled(width, dtype)),
            (Network::Dinov2 { network, .. }, Output::Tokens) => {
                Ok(Layout::tokens((self.side / network.patch()).pow(2), width, dtype))
            }
            (Network::Dinov2 { .. }, Output::Maps) => Err(Error::Input {
                what: "a DINOv2 has no maps".to_owned(),
                cure: Some("use `output: tokens`, which the decoder of a DINOv2 reads".to_owned()),
            }),
            (Network::ResNetAe(network), Output::Tokens) => {
                let [.., [_, height, across]] = network.shapes(self.side);
                Ok(Layout::tokens(height * across, width, dtype))
            }
            (Network::ResNetAe(network), Output::Maps) => {
                let [maps @ .., _] = network.shapes(self.side);
                let names = ["stem", "layer1", "layer2", "layer3"];
                let tensors = names.into_iter().zip(maps).map(|(name, shape)| (name.to_owned(), shape.to_vec()));
                Ok(Layout { tensors: tensors.collect(), dtype })
            }
        }
    }

    /// The encoder's input of an image, of `side` x `side` grey levels.
    pub(super) fn input(&self, levels: &[u8]) -> Vec<f32> {
        let levels: Vec<f32> = levels.iter().copied().map(f32::from).collect();
        match &self.network {
            Network::Dinov2 { normalise, .. } => pixels::dinov2(&levels, *normalise),
            Network::ResNetAe(_) => pixels::resnet_ae(&levels),
        }
    }

    /// Encodes `images`, what [`Self::input`] made of so many one after the other. On the CPU, on this thread alone.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the device fails.
    pub(super) fn encode(&self, images: Vec<f32>, count: usize) -> Result<Encoded> {
        let shape = (count, images.len() / (count * self.side * self.side), self.side, self.side);
        let images = Tensor::from_vec(images, shape, &self.device)?;
        Ok(match &self.network {
            Network::Dinov2 { network, .. } => Encoded::Dinov2(network.forward_here(&images)?),
            Network::ResNetAe(network) => Encoded::ResNetAe(network.forward_here(&images)?),
        })
    }
}

impl Encoded {
    /// The rows of each of the images for each of `outputs`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the device fails.
    pub(super) fn rows(&self, outputs: impl Iterator<Item = Output>) -> Result<Vec<BTreeMap<Output, Row>>> {
        let mut rows: Vec<BTreeMap<Output, Row>> = Vec::new();
        for output in outputs {
            let tensors = self.tensors(output)?;
            let mut values = Vec::with_capacity(tensors.len());
            for tensor in tensors {
                // At once, as it may have to come from a card.
                values.push(tensor.flatten_from(1)?.to_vec2::<f32>()?.into_iter());
            }
            let count = values.first().map_or(0, ExactSizeIterator::len);
            rows.resize_with(count, BTreeMap::new);
            for row in &mut rows {
                row.insert(output, Row::Values(values.iter_mut().filter_map(Iterator::next).collect()));
            }
        }
        Ok(rows)
    }

    /// Tensors of an output, in the order of its [`Model::layout`].
    fn tensors(&self, output: Output) -> candle_core::Result<Vec<Tensor>> {
        Ok(match (self, output) {
            (Self::Dinov2(features), Output::Pooled) => vec![features.pooled.clone()],
            (Self::Dinov2(features), _) => vec![features.tokens.clone()],
            (Self::ResNetAe(maps), Output::Pooled) => vec![maps.pooled.clone()],
            (Self::ResNetAe(maps), Output::Tokens) => vec![maps.spatial.flatten_from(2)?.transpose(1, 2)?],
            (Self::ResNetAe(maps), Output::Maps) => {
                [&maps.stem, &maps.layer1, &maps.layer2, &maps.layer3].map(Tensor::clone).to_vec()
            }
        })
    }
}

/// Refuses sizes that no image can have; the side that is encoded must be a multiple of `multiple`.
fn check_pixels(pixels: Pixels, multiple: usize) -> Result<()> {
    let Pixels { resize, crop } = pixels;
    if resize > MAX_SIDE || crop == 0 || crop > resize {
        return Err(Error::Input {
            what: format!("images cannot be resized to {resize} pixels and cut to {crop}"),
            cure: Some(format!("choose a `crop` of at least 1, and a `resize` from there to {MAX_SIDE}")),
        });
    }
    if !crop.is_multiple_of(multiple) {
        let (below, above) = (crop / multiple * multiple, crop.next_multiple_of(multiple));
        let nearest = if below == 0 { above.to_string() } else { format!("{below} or {above}") };
        return Err(Error::Input {
            what: format!("images of {crop} pixels a side are no whole number of patches of {multiple}"),
            cure: Some(format!("set `crop` to a multiple of {multiple}, such as {nearest}")),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::encoders::{
        dinov2::Interpolation,
        resnet_ae::{Config, Stage},
    };

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vision").join(name)
    }

    fn resnet_ae(side: usize) -> Model {
        let stage = |width, blocks, stride| Stage { width, blocks, stride };
        let config = Config { stem: 4, stages: [stage(2, 2, 1), stage(4, 2, 2), stage(6, 3, 2), stage(3, 2, 6)] };
        let network = ResNetAe::load_as(&fixture("resnet-ae/model.pt"), &config, &Device::Cpu).unwrap();
        Model::new(Network::ResNetAe(network), Device::Cpu, side)
    }

    fn dinov2(side: usize) -> Model {
        let network = Dinov2::load(&fixture("dinov2"), Interpolation::Size, &Device::Cpu).unwrap();
        Model::new(Network::Dinov2 { network, normalise: DinoPixels::Symmetric }, Device::Cpu, side)
    }

    #[test]
    fn rows_are_of_their_layouts() {
        let all = [Output::Pooled, Output::Tokens, Output::Maps];
        for (model, outputs) in
            [(dinov2(56), &all[..2]), (dinov2(70), &all[..2]), (resnet_ae(96), &all[..]), (resnet_ae(71), &all[..])]
        {
            let levels: Vec<u8> = (0..model.side * model.side).map(|i| (i * 7 % 256) as u8).collect();
            let images = [model.input(&levels), model.input(&vec![0; levels.len()])].concat();
            let rows = model.encode(images, 2).unwrap().rows(outputs.iter().copied()).unwrap();
            assert_eq!(rows.len(), 2);
            for &output in outputs {
                let layout = model.layout(output, Dtype::F32).unwrap();
                let lengths: Vec<usize> = layout.tensors.iter().map(|(_, shape)| shape.iter().product()).collect();
                for row in &rows {
                    let Row::Values(values) = &row[&output] else { panic!("{row:?}") };
                    assert_eq!(values.iter().map(Vec::len).collect::<Vec<_>>(), lengths, "{layout:?}");
                }
            }
        }
    }

    /// Not by channel, as the network has them.
    #[test]
    fn tokens_of_a_resnet_ae_are_by_place() {
        let model = resnet_ae(160);
        let levels: Vec<u8> = (0..160 * 160).map(|i| (i / 640) as u8).collect();
        let encoded = model.encode(model.input(&levels), 1).unwrap();
        let Encoded::ResNetAe(maps) = &encoded else { panic!("another network") };
        let spatial = maps.spatial.squeeze(0).unwrap().to_vec3::<f32>().unwrap();
        let rows = encoded.rows([Output::Tokens].into_iter()).unwrap();
        let Row::Values(values) = &rows[0][&Output::Tokens] else { panic!("{rows:?}") };
        let (height, across) = (spatial[0].len(), spatial[0][0].len());
        assert!(height > 1);
        for (at, token) in values[0].chunks_exact(spatial.len()).enumerate() {
            let expected: Vec<f32> = spatial.iter().map(|map| map[at / across][at % across]).collect();
            assert_eq!(token, expected);
        }
        assert_eq!(values[0].len(), height * across * spatial.len());
    }

    #[test]
    fn sizes_and_outputs_that_cannot_be_are_refused() {
        let check = |resize, crop, multiple| {
            check_pixels(Pixels { resize, crop }, multiple).map_err(|error| error.cure().unwrap())
        };
        assert_eq!(check(256, 224, 14), Ok(()));
        assert_eq!(check(224, 224, 1), Ok(()));
        assert!(check(256, 225, 14).unwrap_err().contains("224 or 238"));
        assert!(check(256, 7, 14).unwrap_err().ends_with("such as 14"));
        assert!(check(224, 238, 14).is_err() && check(0, 0, 1).is_err() && check(MAX_SIDE + 1, 14, 14).is_err());
        let error = dinov2(56).layout(Output::Maps, Dtype::F32).unwrap_err();
        assert!(error.cure().unwrap().contains("output: tokens"), "{error}");
    }
}
