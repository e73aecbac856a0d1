//! Files and images that are not what they should be.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use permafrost_worker::{
    encoders::{
        dinov2::{Dinov2, Interpolation},
        resnet_ae::ResNetAe,
    },
    error::{Error, Result},
    protocol::FailureClass,
};
use safetensors::Dtype;
use serde_json::Value;

use super::bench::{Reference, Tensors, bytes, fixture, narrow, read, resnet_ae_tensors};

/// It must fail for its input, with all of `expected` in the message and a cure, which is returned.
fn refused<T>(result: Result<T>, expected: &[&str]) -> String {
    let Err(error) = result else { panic!("accepted, where {expected:?} was expected") };
    assert_eq!(error.class(), FailureClass::Input, "{error}");
    for part in expected {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
    error.cure().unwrap_or_else(|| panic!("no cure: {error}"))
}

/// Loads the tiny DINOv2 with other weights and another config.
fn dinov2(weights: &[u8], change: impl FnOnce(&mut Value)) -> Result<Dinov2> {
    let folder = tempfile::tempdir().unwrap();
    let config = std::fs::read(fixture("dinov2/config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    change(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    Dinov2::load(folder.path(), Interpolation::Size, &Device::Cpu)
}

fn dinov2_with(change: impl FnOnce(&mut Tensors)) -> Result<Dinov2> {
    let mut tensors = read(&fixture("dinov2/model.safetensors"));
    change(&mut tensors);
    dinov2(&bytes(&tensors), |_| ())
}

/// Loads a narrow ResNet-AE of a file with these bytes.
fn resnet_ae(weights: &[u8], name: &str) -> Result<ResNetAe> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), weights).unwrap();
    ResNetAe::load_as(folder.path(), &narrow(), &Device::Cpu)
}

fn resnet_ae_with(change: impl FnOnce(&mut Tensors)) -> Result<ResNetAe> {
    let mut tensors = resnet_ae_tensors();
    change(&mut tensors);
    resnet_ae(&bytes(&tensors), "model.safetensors")
}

#[test]
fn all_that_is_wrong_with_a_dinov2_is_said_at_once() {
    let result = dinov2_with(|tensors| {
        tensors.remove("layernorm.bias");
        tensors.get_mut("encoder.layer.1.norm1.weight").unwrap().1 = vec![4, 8];
        tensors.get_mut("embeddings.cls_token").unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        tensors.get_mut("encoder.layer.0.mlp.fc1.bias").unwrap().0 = Dtype::I32;
        tensors.insert("encoder.layer.2.norm1.weight".to_owned(), (Dtype::F32, vec![1], vec![0; 4]));
    });
    let expected = [
        "model.safetensors: ",
        "`layernorm.bias` or `layernorm.beta` is missing",
        "`encoder.layer.1.norm1.weight` is [4, 8], not [32]",
        "`embeddings.cls_token` has 1 values that are not finite",
        "`encoder.layer.0.mlp.fc1.bias` is of type I32",
        "`encoder.layer.2.norm1.weight` is not expected",
    ];
    assert!(refused(result, &expected).contains("config.json"));
}

#[test]
fn a_damaged_dinov2_is_refused() {
    let weights = std::fs::read(fixture("dinov2/model.safetensors")).unwrap();
    refused(dinov2(&weights[..weights.len() - 1], |_| ()), &["model.safetensors: not whole as safetensors"]);
    refused(dinov2(&weights[..40], |_| ()), &["not whole as safetensors"]);
    refused(dinov2(&weights[..4], |_| ()), &["neither safetensors nor of `torch.save`"]);
    refused(dinov2(b"", |_| ()), &["neither safetensors nor of `torch.save`"]);
}

#[test]
fn configs_of_other_models_are_refused() {
    let weights = std::fs::read(fixture("dinov2/model.safetensors")).unwrap();
    let refuse = |key: &str, value: Value, expected: &[&str]| {
        refused(dinov2(&weights, |config| config[key] = value), expected);
    };
    refuse("model_type", "vit".into(), &["config.json: `model_type` is `vit`, not `dinov2`"]);
    refuse("hidden_act", "gelu_new".into(), &["`hidden_act` is `gelu_new`, not `gelu`"]);
    refuse("num_attention_heads", 5.into(), &["`hidden_size` 32 is not a multiple of `num_attention_heads` 5"]);
    refuse("num_attention_heads", 0.into(), &["`num_attention_heads` is 0"]);
    refuse("image_size", 57.into(), &["`image_size` 57 is not a multiple of `patch_size` 14"]);
    refuse("image_size", vec![56, 56].into(), &["config.json: invalid type"]);
    refuse("layer_norm_eps", 0.into(), &["`layer_norm_eps` is 0"]);
    refuse("qkv_bias", false.into(), &["`qkv_bias` is not true"]);
    refuse("image_size", 70.into(), &["`embeddings.position_embeddings` is [1, 17, 32], not [1, 26, 32]"]);
    refuse("use_swiglu_ffn", true.into(), &["`encoder.layer.1.mlp.weights_in.weight` is missing"]);
}

#[test]
fn files_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = |folder: &Path| Dinov2::load(folder, Interpolation::Size, &Device::Cpu);
    let Err(error) = load(folder.path()) else { panic!("loaded from an empty folder") };
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("config.json")), "{error}");
    std::fs::copy(fixture("dinov2/config.json"), folder.path().join("config.json")).unwrap();
    refused(load(folder.path()), &["neither model.safetensors nor pytorch_model.bin"]);
    refused(ResNetAe::load(folder.path(), &Device::Cpu), &["0 files of weights"]);
    let missing = folder.path().join("model.pt");
    assert!(matches!(ResNetAe::load(&missing, &Device::Cpu), Err(Error::Io { path, .. }) if path == missing));
}

#[test]
fn names_of_classifiers_are_read() {
    let image = &Reference::open(&fixture("dinov2")).images()[1];
    let pooled = |model: Dinov2| model.forward(image, 1).unwrap().pooled.to_vec2::<f32>().unwrap();
    let classifier = dinov2_with(|tensors| {
        let renamed = std::mem::take(tensors).into_iter().map(|(name, tensor)| (format!("dinov2.{name}"), tensor));
        *tensors = renamed.collect();
        tensors.insert("classifier.bias".to_owned(), (Dtype::F32, vec![1], vec![0; 4]));
        tensors.remove("dinov2.embeddings.mask_token");
    });
    assert_eq!(pooled(classifier.unwrap()), pooled(dinov2_with(|_| ()).unwrap()));
}

#[test]
fn all_that_is_wrong_with_a_resnet_ae_is_said_at_once() {
    let result = resnet_ae_with(|tensors| {
        tensors.remove("conv1.weight");
        tensors.remove("layer4.0.downsample.1.running_mean");
        tensors.get_mut("layer3.2.bn3.bias").unwrap().1 = vec![4, 6];
        tensors.get_mut("layer2.1.conv2.weight").unwrap().2[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        tensors.insert("layer5.0.conv1.weight".to_owned(), (Dtype::F32, vec![1], vec![0; 4]));
    });
    let expected = [
        "model.safetensors: `conv1.weight` is missing",
        "`layer4.0.downsample.1.running_mean` is missing",
        "`layer3.2.bn3.bias` is [4, 6], not [24]",
        "`layer2.1.conv2.weight` has 1 values that are not finite",
        "`layer5.0.conv1.weight` is not expected",
    ];
    assert!(refused(result, &expected).contains("torchxrayvision"));
    let names = ["layer1.0.bn1.running_var", "layer4.1.bn3.running_var"];
    let negative = resnet_ae_with(|tensors| {
        for name in names {
            tensors.get_mut(name).unwrap().2[..4].copy_from_slice(&(-1.0_f32).to_le_bytes());
        }
    });
    refused(negative, &names.map(|name| format!("`{name}` has values below 0")).each_ref().map(String::as_str));
    // The published one has more of everything.
    refused(
        ResNetAe::load(&fixture("resnet-ae/model.pt"), &Device::Cpu),
        &["model.pt: `conv1.weight` is [4, 1, 7, 7]"],
    );
}

/// It holds one tensor of a narrow encoder.
#[test]
fn a_file_of_pytorch_before_1_6_is_read() {
    let expected = ["legacy.pt: `conv1.weight` is [4, 1, 7, 7]", "`bn1.weight` is missing"];
    refused(ResNetAe::load(&fixture("legacy.pt"), &Device::Cpu), &expected);
}

#[test]
fn a_damaged_resnet_ae_is_refused() {
    let weights = std::fs::read(fixture("resnet-ae/model.pt")).unwrap();
    refused(resnet_ae(&weights[..weights.len() / 2], "model.pt"), &["model.pt: not whole as a zip"]);
    let mut changed = weights.clone();
    // A value near the end of the file, behind which stands the zip's table of contents.
    let at = changed.len() * 2 / 3;
    changed[at] ^= 0x40;
    refused(resnet_ae(&changed, "model.pt"), &["model.pt: not whole as a zip"]);
    refused(resnet_ae(&weights[..3], "model.pt"), &["model.pt: neither safetensors nor of `torch.save`"]);
    refused(resnet_ae(b"<!DOCTYPE html><html>", "model.pt"), &["neither safetensors nor of `torch.save`"]);
}

#[test]
fn formats_are_told_by_content_and_give_the_same() {
    let image = &Reference::open(&fixture("resnet-ae")).images()[1];
    let pooled = |model: Result<ResNetAe>| model.unwrap().forward(image, 1).unwrap().pooled.to_vec2::<f32>().unwrap();
    let zip = std::fs::read(fixture("resnet-ae/model.pt")).unwrap();
    let expected = pooled(resnet_ae(&zip, "model.pt"));
    assert_eq!(pooled(resnet_ae(&zip, "model.safetensors")), expected);
    assert_eq!(pooled(resnet_ae_with(|_| ())), expected);
    assert_eq!(pooled(resnet_ae(&bytes(&resnet_ae_tensors()), "model.pth")), expected);
    // No part of the decoder is needed.
    let encoder = resnet_ae_with(|tensors| {
        tensors.retain(|name, _| !name.starts_with("uplayer") && !name.starts_with("conv1_1"))
    });
    assert_eq!(pooled(encoder), expected);
}

#[test]
fn images_of_other_shapes_are_refused() {
    let dinov2 = Dinov2::load(&fixture("dinov2"), Interpolation::Size, &Device::Cpu).unwrap();
    let resnet_ae = ResNetAe::load_as(&fixture("resnet-ae/model.pt"), &narrow(), &Device::Cpu).unwrap();
    let images = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    for shape in [&[1, 3, 28, 30][..], &[1, 1, 28, 28], &[0, 3, 28, 28], &[3, 28, 28], &[1, 3, 0, 28]] {
        let cure = refused(dinov2.forward(&images(shape, DType::F32), 1), &[&format!("{shape:?}")]);
        assert!(cure.contains("multiples of 14"), "{cure}");
    }
    refused(dinov2.forward(&images(&[1, 3, 28, 28], DType::F64), 1), &["F64"]);
    for shape in [&[1, 3, 28, 28][..], &[0, 1, 28, 28], &[1, 1, 28, 0]] {
        refused(resnet_ae.forward(&images(shape, DType::F32), 1), &[&format!("{shape:?}")]);
    }
}
