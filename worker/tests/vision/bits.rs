//! The same bits whatever the threads and the company.

use candle_core::{Device, Tensor};
use permafrost_worker::{
    encoders::{
        dinov2::{Dinov2, Interpolation},
        resnet_ae::ResNetAe,
    },
    random::{Key, Purpose},
};

use super::bench::{fixture, narrow};

fn images(shape: (usize, usize, usize, usize)) -> Tensor {
    let mut bits = vec![0; shape.0 * shape.1 * shape.2 * shape.3];
    Key::new(1, Purpose::Sample, 0).bits(&mut bits);
    let values: Vec<f32> = bits.into_iter().map(|bits| bits as f32 / u32::MAX as f32 * 2.0 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// `encode` gives outputs of images, with so many threads.
fn check<const N: usize>(images: &Tensor, encode: impl Fn(&Tensor, usize) -> [Tensor; N]) {
    let reference = encode(images, 1).map(|output| bits(&output));
    for threads in 2..4 {
        assert_eq!(encode(images, threads).map(|output| bits(&output)), reference, "{threads} threads");
    }
    let count = images.dim(0).unwrap();
    for i in 0..count {
        // Alone, and after the last one.
        for (company, at) in [(vec![i], 0), (vec![count - 1, i, 0], 1)] {
            let parts: Vec<Tensor> = company.iter().map(|&j| images.narrow(0, j, 1).unwrap()).collect();
            let found = encode(&Tensor::cat(&parts, 0).unwrap(), 2);
            for (found, reference) in found.iter().zip(&reference) {
                let found = bits(&found.narrow(0, at, 1).unwrap());
                let size = reference.len() / count;
                assert_eq!(found, reference[i * size..][..size], "image {i} among {company:?}");
            }
        }
    }
}

#[test]
fn threads_and_company_change_no_bit_of_dinov2() {
    for name in ["dinov2", "dinov2-swiglu"] {
        let model = Dinov2::load(&fixture(name), Interpolation::Size, &Device::Cpu).unwrap();
        for (height, width) in [(56, 56), (70, 42)] {
            check(&images((5, 3, height, width)), |images, threads| {
                let found = model.forward(images, threads).unwrap();
                [found.pooled, found.tokens]
            });
        }
    }
}

#[test]
fn threads_and_company_change_no_bit_of_resnet_ae() {
    let model = ResNetAe::load_as(&fixture("resnet-ae"), &narrow(), &Device::Cpu);
    // The folder has the references beside the weights.
    assert!(model.is_err());
    let model = ResNetAe::load_as(&fixture("resnet-ae/model.pt"), &narrow(), &Device::Cpu).unwrap();
    let images = (images((4, 1, 96, 130)) * 1024.0).unwrap();
    check(&images, |images, threads| {
        let maps = model.forward(images, threads).unwrap();
        [maps.stem, maps.layer1, maps.layer2, maps.layer3, maps.spatial, maps.pooled]
    });
}
