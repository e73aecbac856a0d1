//! Kernels on sizes that whole steps of small models do not reach.

use half::bf16;

use super::support::{close, devices, uniform};
use crate::cuda::{
    Buffer, Kind,
    kernels::{Kernels, Parameters},
    loss::{LossBuffers, Record},
};

/// More pairs than a block has threads.
const BATCH: usize = 300;
const MEMBERS: usize = 2;

/// The loss, the gradient of every cosine, and that of the scale, in f64.
fn plain(cosines: &[f32], scale: f32, weight: f64) -> (f64, Vec<f64>, f64) {
    let factor = f64::from(scale).exp();
    let logit = |i: usize, j: usize| factor * f64::from(cosines[i * BATCH + j]);
    let sum = |terms: &dyn Fn(usize) -> f64| (0..BATCH).map(|i| terms(i).exp()).sum::<f64>().ln();
    let rows: Vec<f64> = (0..BATCH).map(|i| sum(&|j| logit(i, j))).collect();
    let columns: Vec<f64> = (0..BATCH).map(|j| sum(&|i| logit(i, j))).collect();
    let n = BATCH as f64;
    let pairs: f64 =
        (0..BATCH).map(|i| weight * (rows[i] - logit(i, i)) + (1.0 - weight) * (columns[i] - logit(i, i))).sum();
    let mut gradient = Vec::new();
    let mut by_scale = 0.0;
    for (i, row) in rows.iter().enumerate() {
        for (j, column) in columns.iter().enumerate() {
            let own = if i == j { 1.0 } else { 0.0 };
            let to_text = weight * ((logit(i, j) - row).exp() - own);
            let to_image = (1.0 - weight) * ((logit(i, j) - column).exp() - own);
            let by_logit = (to_text + to_image) / n;
            gradient.push(factor * by_logit);
            by_scale += logit(i, j) * by_logit;
        }
    }
    (pairs / n, gradient, by_scale)
}

#[test]
fn the_loss_of_a_large_batch_and_its_gradient() {
    for stream in devices() {
        let kernels = Kernels { stream: std::sync::Arc::clone(&stream) };
        let cosines = uniform(1, MEMBERS * BATCH * BATCH, -1.0, 1.0);
        let scales = [2.6592_f32, 0.5];
        let weights = [0.75, 0.3];
        let p = Buffer::from_slice(&stream, &[9.0, scales[0], 9.0, scales[1]]).unwrap();
        let parameters = Parameters { p: &p, stride: 2 };
        let vector = || Buffer::<f32>::undefined(&stream, MEMBERS * BATCH).unwrap();
        for kind in [Kind::F32, Kind::Bf16] {
            let mut buffers = LossBuffers {
                cosines: Buffer::from_slice(&stream, &cosines).unwrap(),
                row_sums: vector(),
                column_sums: vector(),
                pairs: vector(),
                products: vector(),
                i2t_weights: Buffer::from_slice(&stream, &weights).unwrap(),
            };
            let losses = Buffer::zeros(&stream, MEMBERS * 3).unwrap();
            let mut record = Record { losses, steps: 3, position: Buffer::from_slice(&stream, &[1]).unwrap() };
            let mut active = Buffer::from_slice(&stream, &[1, 1]).unwrap();
            kernels.loss(MEMBERS, BATCH, &mut buffers, parameters, 1, &mut record, Some(&mut active)).unwrap();
            let mut g = Buffer::<f32>::zeros(&stream, 2 * MEMBERS).unwrap();
            kernels.loss_gradient(MEMBERS, BATCH, kind, &mut buffers, parameters, 1, &mut g, 2).unwrap();
            let (losses, g) = (record.losses.download().unwrap(), g.download().unwrap());
            let slopes = buffers.cosines.download().unwrap();
            assert_eq!(active.download().unwrap(), [1, 1]);
            for member in 0..MEMBERS {
                let own = member * BATCH * BATCH..(member + 1) * BATCH * BATCH;
                let (loss, gradient, by_scale) = plain(&cosines[own.clone()], scales[member], weights[member]);
                close(&losses[3 * member..3 * member + 3], &[0.0, loss as f32, 0.0], 1e-5, "loss");
                close(&[g[2 * member], g[2 * member + 1]], &[0.0, by_scale as f32], 1e-5, "by the scale");
                let expected: Vec<f32> = gradient.iter().map(|&x| x as f32).collect();
                match kind {
                    Kind::F32 => close(&slopes[own], &expected, 1e-5, "slopes"),
                    Kind::Bf16 => {
                        // A row takes the first half of its row of floats.
                        let halves = slopes[own].chunks_exact(BATCH).flat_map(|row| {
                            let halves = row.iter().flat_map(|x| [x.to_bits() as u16, (x.to_bits() >> 16) as u16]);
                            halves.take(BATCH).map(|bits| bf16::from_bits(bits).to_f32()).collect::<Vec<_>>()
                        });
                        close(&halves.collect::<Vec<f32>>(), &expected, 4e-3, "slopes in bf16");
                    }
                }
            }
        }
    }
}
