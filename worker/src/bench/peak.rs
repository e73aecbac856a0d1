//! What the device can do at most, measured by a large matrix product in the same run, not taken from a data sheet.

use std::time::Instant;

use serde::Serialize;

use super::cuda;
use crate::{
    device::Device,
    error::Result,
    matrix::{How, Matrix, product},
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

/// Measures it.
///
/// # Errors
/// When the device fails.
pub fn peak(device: &Device, precision: Precision) -> Result<Peak> {
    match device.stream()? {
        Some(stream) => cuda::peak(&stream, precision, cuda::SIDE),
        None => Ok(on_cpu(precision, device.threads())),
    }
}

/// Side of the matrices on the CPU: 16 MiB each in f32, some 17 GFLOP a product.
const SIDE: usize = 2048;
const TRIES: usize = 4;

/// By the products that training uses.
fn on_cpu(precision: Precision, threads: usize) -> Peak {
    let n = SIDE;
    let matrix = |stream| {
        let mut x = vec![0.0_f32; n * n];
        Key::new(0, Purpose::Sample, 0).stream(stream).fill_uniform(&mut x, -1.0, 1.0);
        x
    };
    let (a, b, mut out) = (matrix(0), matrix(1), vec![0.0_f32; n * n]);
    let mut seconds = || {
        let start = Instant::now();
        product(&mut out, Matrix::new(&a, n, n), Matrix::new(&b, n, n), How::new(precision, threads));
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..TRIES).map(|_| seconds()).fold(f64::INFINITY, f64::min);
    let flops = 2.0 * (n as f64).powi(3);
    let plural = if threads == 1 { "" } else { "s" };
    let of = format!("{} product of {n} x {n} matrices, {threads} thread{plural}", precision.name());
    Peak { of, gflops: flops / fastest / 1e9 }
}
