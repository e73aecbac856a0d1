//! Fixtures of the vision encoders.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor};
use permafrost_worker::encoders::resnet_ae::{Config, Stage};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vision").join(name)
}

/// Sizes of the ResNet-AE of the fixtures.
pub fn narrow() -> Config {
    let stage = |width, blocks, stride| Stage { width, blocks, stride };
    Config { stem: 4, stages: [stage(2, 2, 1), stage(4, 2, 2), stage(6, 3, 2), stage(3, 2, 6)] }
}

/// Images and what a reference library makes of them.
pub struct Reference(HashMap<String, Tensor>);

impl Reference {
    pub fn open(folder: &Path) -> Self {
        Self(candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap())
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        self.0[name].clone()
    }

    pub fn images(&self) -> Vec<Tensor> {
        let images: Vec<Tensor> = (0..).map_while(|i| self.0.get(&format!("image.{i}")).cloned()).collect();
        assert!(images.len() >= 2, "{} images", images.len());
        images
    }
}

/// Tensors of a file by name: type, shape and bytes.
pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

pub fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    file.iter().map(|(name, view)| (name.to_owned(), tensor(view))).collect()
}

pub fn bytes(tensors: &Tensors) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The ResNet-AE of the fixtures as safetensors.
pub fn resnet_ae_tensors() -> Tensors {
    let tensors = candle_core::pickle::read_all(fixture("resnet-ae/model.pt")).unwrap();
    let floats = tensors.into_iter().filter(|(_, tensor)| tensor.dtype().is_float());
    let tensor = |tensor: Tensor| {
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        (Dtype::F32, tensor.dims().to_vec(), values.into_iter().flat_map(f32::to_le_bytes).collect())
    };
    floats.map(|(name, found)| (name, tensor(found))).collect()
}
