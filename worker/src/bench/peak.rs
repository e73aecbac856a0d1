//! What the device can do at most, measured by a large matrix product in the same run, not taken from a data sheet.

use std::time::Instant;

use serde::Serialize;

use crate::{
    device::Device,
    error::Result,
    random::{Key, Purpose},
    task::Precision,
};

/// A measured peak.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// What was multiplied, and by what.
    pub of: String,
    /// Of the fastest of several products, in GFLOP/s.
    pub gflops: f64,
}

/// Measures it; none where there is no such product.
///
/// # Errors
/// When the device fails.
pub fn peak(device: &Device, precision: Precision) -> Result<Option<Peak>> {
    match (device, precision) {
        (Device::Cpu { threads }, Precision::F32) => Ok(Some(on_cpu(*threads))),
        (Device::Cpu { .. }, Precision::Bf16) | (Device::Cuda { .. }, _) => Ok(None),
    }
}

/// Side of the matrices on the CPU: 16 MiB each in f32, some 17 GFLOP a product.
const SIDE: usize = 2048;
const TRIES: usize = 4;

fn on_cpu(threads: usize) -> Peak {
    let n = SIDE;
    let matrix = |stream| {
        let mut x = vec![0.0_f32; n * n];
        Key::new(0, Purpose::Sample, 0).stream(stream).fill_uniform(&mut x, -1.0, 1.0);
        x
    };
    let (a, b, mut out) = (matrix(0), matrix(1), vec![0.0_f32; n * n]);
    let parallelism = if threads <= 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
    let mut product = || {
        let (row, start) = (n as isize, Instant::now());
        // SAFETY: all three are n x n row-major, and `out` is not borrowed elsewhere.
        unsafe {
            let (out, a, b) = (out.as_mut_ptr(), a.as_ptr(), b.as_ptr());
            gemm::gemm(n, n, n, out, 1, row, false, a, 1, row, b, 1, row, 0.0, 1.0, false, false, false, parallelism);
        }
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..TRIES).map(|_| product()).fold(f64::INFINITY, f64::min);
    let flops = 2.0 * (n as f64).powi(3);
    Peak { of: format!("f32 product of {n} x {n} matrices, {threads} threads"), gflops: flops / fastest / 1e9 }
}
