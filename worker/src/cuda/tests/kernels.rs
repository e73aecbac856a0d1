//! Kernels on sizes that whole steps of small models do not reach.

use half::bf16;

use super::support::{close, devices, uniform};
use crate::{
    cuda::{
        Buffer, Gemm, Kind, MatrixElement, Operand,
        kernels::{Kernels, Masks, Parameters, Rows},
        loss::{LossBuffers, Record},
        values::Values,
    },
    random::{Key, Purpose},
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

/// Two products of [2, 3] and [3, 2], in every orientation, with gaps between rows and matrices.
#[test]
fn products_of_all_orientations_are_right() {
    fn check<T: MatrixElement>(convert: fn(f32) -> T) {
        let a: Vec<f32> = (0..24).map(|i| (i % 7) as f32).collect();
        let b: Vec<f32> = (0..24).map(|i| (i % 5) as f32 - 1.0).collect();
        for stream in devices() {
            let upload = |values: &[f32]| {
                Buffer::from_slice(&stream, &values.iter().map(|&value| convert(value)).collect::<Vec<T>>()).unwrap()
            };
            let (left, right) = (upload(&a), upload(&b));
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let before = vec![0.5_f32; 11];
                let out = Buffer::from_slice(&stream, &before).unwrap();
                let orient = |operand: Operand, transposed: bool| if transposed { operand.t() } else { operand };
                let mut product = Gemm {
                    m: 2,
                    n: 2,
                    k: 3,
                    batch: 2,
                    a: orient(left.matrix(2, 4, 12), ta),
                    b: orient(right.matrix(0, 4, 10), tb),
                    c: out.matrix(0, 3, 6),
                    alpha: 2.0,
                    beta: 0.0,
                    tf32: false,
                };
                // SAFETY: the matrices lie in the buffers.
                unsafe { stream.gemm(&product).unwrap() };
                (product.alpha, product.beta) = (1.0, 1.0);
                // SAFETY: as above.
                unsafe { stream.gemm(&product).unwrap() };
                let found = out.download().unwrap();
                let at = |values: &[f32], start: usize, t: bool, i: usize, j: usize| {
                    values[start + if t { j * 4 + i } else { i * 4 + j }]
                };
                for (member, i, j) in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1)] {
                    let term = |p| at(&a, 2 + 12 * member, ta, i, p) * at(&b, 10 * member, tb, p, j);
                    let expected = 3.0 * (0..3).map(term).sum::<f32>();
                    assert_eq!(found[6 * member + 3 * i + j], expected, "{ta} {tb} on {}", stream.name());
                }
                assert_eq!(found[2], 0.5, "a gap was written to");
            }
        }
    }
    check(|value| value);
    check(bf16::from_f32);
}

/// Rows of ones with no bias come out as the mask times its factor.
#[test]
fn masks_are_the_cpus_to_the_bit() {
    let (images, texts, columns, heads) = (5, 3, 48, 6);
    let rows = Rows { members: 2, images, texts };
    let seeds = [0x0123_4567_89ab_cdef_u64, 5];
    let steps = [7_u64, (1 << 32) - 1];
    let (dropped, site, position) = ([429_496_730_u32, 1 << 31], 6, 2_u32);
    for stream in devices() {
        let kernels = Kernels { stream: std::sync::Arc::clone(&stream) };
        let mut words = Vec::new();
        for member in 0..2 {
            let [seed, step] = [seeds[member], steps[member]].map(|value| [value as u32, (value >> 32) as u32]);
            words.extend([seed[0], seed[1], dropped[member], 2.0_f32.to_bits(), step[0], step[1]]);
        }
        let words = Buffer::from_slice(&stream, &words).unwrap();
        let position_buffer = Buffer::from_slice(&stream, &[position]).unwrap();
        let p = Buffer::<f32>::zeros(&stream, 2 * columns).unwrap();
        let parameters = Parameters { p: &p, stride: columns };
        let masks = Some(Masks { members: &words, position: &position_buffer, site });
        let ones = || Values::F32(Buffer::from_slice(&stream, &vec![1.0; rows.all() * columns]).unwrap());
        let read = |values: &Values| match values {
            Values::F32(buffer) => buffer.download().unwrap(),
            Values::Bf16(_) => unreachable!(),
        };
        let (mut relu, mut head) = (ones(), ones());
        kernels.relu_drop(rows, columns, &mut relu, parameters, 0, masks).unwrap();
        kernels.head_drop(rows, columns, heads, &mut head, parameters, 0, masks).unwrap();
        let (relu, head) = (read(&relu), read(&head));
        for member in 0..2 {
            for (modality, count) in [(0, images), (1, texts)] {
                let first = member * rows.each() + modality * images;
                let key = Key::new(seeds[member], Purpose::Dropout, steps[member] + u64::from(position));
                let key = key.stream(2 * site as u32 + modality as u32);
                let mut mask = vec![0; count * columns];
                key.fill_mask(0, &mut mask, dropped[member]);
                let expected: Vec<f32> = mask.iter().map(|&keep| 2.0 * f32::from(keep)).collect();
                assert_eq!(relu[first * columns..][..count * columns], expected);
                let mut mask = vec![0; count * heads];
                key.fill_mask(0, &mut mask, dropped[member]);
                for (row, mask) in mask.chunks_exact(heads).enumerate() {
                    for (column, value) in head[(first + row) * columns..][..columns].iter().enumerate() {
                        assert_eq!(*value, 2.0 * f32::from(mask[column / (columns / heads)]));
                    }
                }
            }
        }
    }
}
