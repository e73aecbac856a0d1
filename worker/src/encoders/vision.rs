//! Batches of images through an encoder.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Tensor};

use super::lanes;
use crate::error::{Error, Result};

/// What `encode` makes of `images`, [B, channels, height, width]: tensors whose first dimension is B.
///
/// On the CPU each image goes through alone, `threads` of them side by side, each on one thread. So neither threads nor
/// company change a bit of an image's outputs. On CUDA a batch goes through as one: there, products of other shapes may round
/// otherwise.
pub(super) fn encode<const N: usize>(
    images: &Tensor,
    threads: usize,
    encode: impl Fn(&Tensor) -> candle_core::Result<[Tensor; N]> + Sync,
) -> Result<[Tensor; N]> {
    if !images.device().is_cpu() {
        return Ok(encode(images)?);
    }
    let count = images.dim(0)?;
    let outputs: Vec<Mutex<Option<[Tensor; N]>>> = (0..count).map(|_| Mutex::default()).collect();
    lanes::run(count, threads, |i| {
        let found = encode(&images.narrow(0, i, 1)?.contiguous()?)?;
        *outputs[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(true)
    })?;
    let outputs: Vec<[Tensor; N]> =
        outputs.into_iter().filter_map(|output| output.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
    let mut joined = Vec::with_capacity(N);
    for output in 0..N {
        let parts: Vec<&Tensor> = outputs.iter().map(|parts| &parts[output]).collect();
        joined.push(Tensor::cat(&parts, 0)?);
    }
    joined.try_into().map_err(|_| Error::input("no images"))
}

/// Height and width of `images`.
///
/// # Errors
/// [`Error::Input`] when they are not f32 of shape [B, channels, height, width], none of them 0, height and width multiples of
/// `multiple`.
pub(super) fn size(images: &Tensor, channels: usize, multiple: usize) -> Result<(usize, usize)> {
    match *images.dims() {
        [batch, found, height, width]
            if batch > 0
                && found == channels
                && images.dtype() == DType::F32
                && [height, width].iter().all(|side| *side > 0 && side.is_multiple_of(multiple)) =>
        {
            Ok((height, width))
        }
        _ => {
            let sides = if multiple == 1 { String::new() } else { format!(", H and W multiples of {multiple}") };
            Err(Error::Input {
                what: format!("images of {:?}, {:?}", images.dtype(), images.dims()),
                cure: Some(format!("give F32, [B, {channels}, H, W], none of them 0{sides}")),
            })
        }
    }
}

/// Equal up to rounding.
#[cfg(test)]
pub(super) fn assert_close(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims());
    let largest = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    let error = largest(&(found - expected).unwrap()) / largest(expected);
    // Also false for NaN.
    assert!(error <= 1e-5, "{error}");
}
