use super::*;
use crate::random::{Key, Purpose};

fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut data = vec![0.0; len];
    Key::new(seed, Purpose::Init, 0).fill_normal(&mut data, 1.0);
    data
}

fn at(x: Matrix<'_>, row: usize, column: usize) -> f64 {
    let place = if x.transposed { column * x.stride + row } else { row * x.stride + column };
    f64::from(x.data[place])
}

/// The product, and the sum of the absolute values of its terms.
fn plain(a: Matrix<'_>, b: Matrix<'_>) -> Vec<(f64, f64)> {
    let element = |i, j| {
        (0..a.columns).fold((0.0, 0.0), |(sum, size), k| {
            let term = at(a, i, k) * at(b, k, j);
            (sum + term, size + term.abs())
        })
    };
    (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
}

const SIZES: [(usize, usize, usize); 10] = [
    (1, 1, 1),
    (1, 7, 5),
    (7, 1, 5),
    (5, 7, 1),
    (3, 4, 0),
    (33, 17, 40),
    (40, 50, 3),
    (64, 96, 64),
    (70, 130, 610),
    (129, 49, 97),
];

/// Relative to the sum of absolute terms: 2^-23 a rounding, of which a sum of hundreds has a few.
fn limit(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 4e-7,
        // Each operand is off by 2^-9 at most.
        Precision::Bf16 => 2.0_f64.powi(-8),
    }
}

#[test]
fn products_of_all_orientations_are_right() {
    for engine in Engine::all() {
        for precision in [Precision::F32, Precision::Bf16] {
            for (m, n, k) in SIZES {
                for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                    let (left, right) = (random(1, m * k), random(2, k * n));
                    let a = if ta { Matrix::new(&left, k, m).t() } else { Matrix::new(&left, m, k) };
                    let b = if tb { Matrix::new(&right, n, k).t() } else { Matrix::new(&right, k, n) };
                    let expected = plain(a, b);
                    for threads in [1, 3] {
                        let mut out = vec![f32::NAN; m * n];
                        let how = How { factor: 2.0, ..How::new(precision, threads) };
                        with_engine(engine, &mut out, n, a, b, how);
                        with_engine(engine, &mut out, n, a, b, How { add: true, factor: -1.0, ..how });
                        for (found, (expected, size)) in out.iter().zip(&expected) {
                            let error = (f64::from(*found) - expected).abs() / size.max(1e-30);
                            let limit = 3.0 * limit(precision);
                            assert!(error < limit, "{engine:?} {precision:?} {m}x{n}x{k} {ta} {tb}: {error}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (m, n, k) = (150, 110, 200);
    let (left, right) = (random(3, m * k), random(4, k * n));
    for engine in Engine::all() {
        for precision in [Precision::F32, Precision::Bf16] {
            let run = |threads| {
                let mut out = vec![0.0; m * n];
                let how = How::new(precision, threads);
                with_engine(engine, &mut out, n, Matrix::new(&left, m, k), Matrix::new(&right, k, n), how);
                out
            };
            let one = run(1);
            for threads in [2, 3, 8] {
                assert_eq!(one, run(threads), "{engine:?} {precision:?} {threads}");
            }
        }
    }
}

#[test]
fn strides_are_kept_and_gaps_untouched() {
    let (m, n, k) = (37, 35, 33);
    let (left, right) = (random(5, m * 40), random(6, k * 36));
    let (a, b) = (Matrix::strided(&left, m, k, 40), Matrix::strided(&right, k, n, 36));
    let expected = plain(a, b);
    for engine in Engine::all() {
        let mut out = vec![7.0; m * 50];
        with_engine(engine, &mut out, 50, a, b, How::new(Precision::F32, 1));
        for (row, expected) in out.chunks(50).zip(expected.chunks(n)) {
            assert!(row[n..].iter().all(|&gap| gap == 7.0), "{engine:?}");
            for (found, (expected, size)) in row.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-6 * size, "{engine:?}");
            }
        }
    }
}

/// Errors of every engine in `F32` stay near those of the plain 32-bit product, also for operands of very different sizes.
#[test]
fn f32_is_as_exact_as_32_bit_arithmetic() {
    let (m, n, k) = (64, 64, 768);
    let mut left = random(7, m * k);
    let mut right = random(8, k * n);
    for (i, value) in left.iter_mut().enumerate() {
        *value *= 2.0_f32.powi((i % 41) as i32 - 20);
    }
    for (i, value) in right.iter_mut().enumerate() {
        *value *= 2.0_f32.powi((i % 37) as i32 - 18);
    }
    let (a, b) = (Matrix::new(&left, m, k), Matrix::new(&right, k, n));
    let expected = plain(a, b);
    let rms = |engine| {
        let mut out = vec![0.0; m * n];
        with_engine(engine, &mut out, n, a, b, How::new(Precision::F32, 1));
        let square = |(found, (expected, size)): (&f32, &(f64, f64))| ((f64::from(*found) - expected) / size).powi(2);
        (out.iter().zip(&expected).map(square).sum::<f64>() / (m * n) as f64).sqrt()
    };
    let portable = rms(Engine::Portable);
    for engine in Engine::all() {
        let error = rms(engine);
        assert!(error <= 2.0 * portable, "{engine:?}: {error}, portable: {portable}");
    }
}

/// A number that is not finite must not be hidden by the split into parts.
#[test]
fn what_is_not_finite_stays_so() {
    let mut left = random(9, 40 * 40);
    let right = random(10, 40 * 40);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        left[41] = value;
        for engine in Engine::all() {
            for precision in [Precision::F32, Precision::Bf16] {
                let mut out = vec![0.0; 1600];
                let how = How::new(precision, 1);
                with_engine(engine, &mut out, 40, Matrix::new(&left, 40, 40), Matrix::new(&right, 40, 40), how);
                assert!(out[40..80].iter().all(|x| !x.is_finite()), "{engine:?} {precision:?}");
                assert!(out[..40].iter().chain(&out[80..]).all(|x| x.is_finite()), "{engine:?} {precision:?}");
            }
        }
    }
}

#[test]
fn portable_bf16_rounds_as_the_hardware() {
    let (m, n, k) = (48, 48, 64);
    let (left, right) = (random(11, m * k), random(12, k * n));
    let run = |engine| {
        let mut out = vec![0.0; m * n];
        let how = How::new(Precision::Bf16, 1);
        with_engine(engine, &mut out, n, Matrix::new(&left, m, k), Matrix::new(&right, k, n), how);
        out
    };
    let portable = run(Engine::Portable);
    for engine in Engine::all() {
        for (a, b) in run(engine).iter().zip(&portable) {
            // Only the order of the sums differs.
            assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{engine:?}: {a} {b}");
        }
    }
}

#[test]
fn packed_operands_give_the_same_bits() {
    for (m, n, k) in SIZES {
        let (left, right) = (random(13, m * k), random(14, k * n));
        for transposed in [false, true] {
            let a = Matrix::new(&left, m, k);
            let b = if transposed { Matrix::new(&right, n, k).t() } else { Matrix::new(&right, k, n) };
            for engine in Engine::all() {
                for precision in [Precision::F32, Precision::Bf16] {
                    let mut expected = vec![0.5; m * n];
                    with_engine(engine, &mut expected, n, a, b, How::new(precision, 1).adding());
                    let mut out = vec![0.5; m * n];
                    Packed::with_engine(engine, b, precision).product(&mut out, a, true);
                    assert_eq!(out, expected, "{engine:?} {precision:?} {m}x{n}x{k}");
                }
            }
        }
    }
}
