//! Weight files: what is written is read back, and what is not whole is refused by name.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use permafrost_worker::model::{AdaptorShape, Dims, HeadShape, RunningStats, WeightsError};
use proptest::prelude::*;
use safetensors::{
    SafeTensors,
    tensor::{Dtype, TensorView},
};

const SMALL: Dims = Dims { image_width: 5, text_width: 4, width: 6, heads: 3, hidden: 7, layers: 2 };
const HEAD: HeadShape = HeadShape { width: 6, hidden: 5, classes: 2 };

/// Owned tensors of a file, to be changed and written again.
type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn parse(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let own = |(name, view): (&str, TensorView<'_>)| {
        (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec())
    };
    file.iter().map(own).collect()
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let views =
        tensors.iter().map(|(name, kind, shape, data)| (name, TensorView::new(*kind, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn head_file() -> Vec<u8> {
    let stats = RunningStats { mean: vec![0.5; 5], variance: vec![2.0; 5], batches: 1 << 40 };
    HEAD.to_safetensors(&HEAD.init(4), &stats)
}

#[test]
fn weights_survive_the_round_trip() {
    let shape = AdaptorShape { image_width: 384, text_width: 768 };
    let p = shape.init(9);
    let bytes = shape.to_safetensors(&p);
    assert_eq!(bytes, shape.to_safetensors(&p));
    assert_eq!(shape.from_safetensors(&bytes).unwrap(), p);
    let scale = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(scale.tensor("logit_scale").unwrap().shape(), [0_usize; 0]);

    let stats = RunningStats { mean: vec![0.5; 5], variance: vec![2.0; 5], batches: 1 << 40 };
    assert_eq!(HEAD.from_safetensors(&head_file()).unwrap(), (HEAD.init(4), stats));
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let (adaptor, head) = (SMALL.to_safetensors(&SMALL.init(1)), head_file());
    for length in 0..adaptor.len() {
        let error = SMALL.from_safetensors(&adaptor[..length]).unwrap_err();
        assert!(matches!(error, WeightsError::Damaged(_)), "{length}: {error}");
    }
    for length in 0..head.len() {
        let error = HEAD.from_safetensors(&head[..length]).unwrap_err();
        assert!(matches!(error, WeightsError::Damaged(_)), "{length}: {error}");
    }
}

#[test]
fn a_tensor_that_is_missing_or_strange_is_named() {
    let bytes = SMALL.to_safetensors(&SMALL.init(1));
    let names: Vec<String> = parse(&bytes).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), SMALL.layout().len());
    for name in names {
        let mut tensors = parse(&bytes);
        tensors.retain(|tensor| tensor.0 != name);
        let error = SMALL.from_safetensors(&file(&tensors)).unwrap_err();
        assert!(matches!(&error, WeightsError::Missing(missing) if *missing == name), "{error}");
    }
    let mut tensors = parse(&bytes);
    tensors.push(("layers.2.norm1.bias".to_owned(), Dtype::F32, vec![1], vec![0; 4]));
    let error = SMALL.from_safetensors(&file(&tensors)).unwrap_err();
    assert_eq!(error.to_string(), "tensor `layers.2.norm1.bias` does not belong to this model");

    let mut tensors = parse(&head_file());
    tensors.retain(|tensor| tensor.0 != "norm.num_batches_tracked");
    let error = HEAD.from_safetensors(&file(&tensors)).unwrap_err();
    assert_eq!(error.to_string(), "tensor `norm.num_batches_tracked` is missing");
}

#[test]
fn a_wrong_shape_or_type_is_named() {
    let bytes = SMALL.to_safetensors(&SMALL.init(1));
    let mut other = SMALL;
    other.image_width = 8;
    let error = other.from_safetensors(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "tensor `image_projection.weight` has shape [6, 5], not [6, 8]");

    let mut tensors = parse(&bytes);
    let bias = tensors.iter_mut().find(|tensor| tensor.0 == "layers.0.linear1.bias").unwrap();
    (bias.1, bias.3) = (Dtype::F16, vec![0; 14]);
    let error = SMALL.from_safetensors(&file(&tensors)).unwrap_err();
    assert_eq!(error.to_string(), "tensor `layers.0.linear1.bias` holds F16, not F32");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut p = SMALL.init(1);
        let slot = SMALL.layout().into_iter().find(|slot| slot.name == "layers.1.norm2.weight").unwrap();
        p[slot.range.start + 4] = poison;
        let error = SMALL.from_safetensors(&SMALL.to_safetensors(&p)).unwrap_err();
        assert_eq!(error.to_string(), format!("tensor `layers.1.norm2.weight` holds {poison} at position 4"));
    }
    let stats = RunningStats { mean: vec![0.0; 5], variance: vec![1.0, 1.0, -0.5, 1.0, 1.0], batches: 1 };
    let error = HEAD.from_safetensors(&HEAD.to_safetensors(&HEAD.init(1), &stats)).unwrap_err();
    assert_eq!(error.to_string(), "tensor `norm.running_var` holds a negative value at position 2");
}

proptest! {
    /// Whatever is done to a byte, reading ends with an error or with finite values of the right number.
    #[test]
    fn a_damaged_byte_never_panics(position in 0_usize..4000, value: u8) {
        let mut bytes = SMALL.to_safetensors(&SMALL.init(1));
        let position = position % bytes.len();
        bytes[position] = value;
        if let Ok(p) = SMALL.from_safetensors(&bytes) {
            prop_assert_eq!(p.len(), SMALL.parameters());
            prop_assert!(p.iter().all(|value| value.is_finite()));
        }
    }
}
