//! Wilcoxon's signed-rank test.

/// Up to so many differences the distribution is exact.
const EXACT: usize = 200;

/// Two-sided probability, under the hypothesis that differences are symmetric about zero, of ranks at least as lopsided. Zeros are left out, equal
/// sizes share their mean rank; exact, with ties too, up to 200 differences, beyond by the normal approximation with the correction for ties.
/// None: all are zero.
pub(super) fn signed_rank(differences: &[f64]) -> Option<f64> {
    let mut sizes: Vec<(f64, bool)> = differences.iter().filter(|d| **d != 0.0).map(|d| (d.abs(), *d > 0.0)).collect();
    let n = sizes.len();
    if n == 0 {
        return None;
    }
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the ranks are whole numbers.
    let mut twice = vec![0_usize; n];
    let mut ties = 0.0;
    let mut start = 0;
    while start < n {
        let end = start + sizes[start..].iter().take_while(|(size, _)| *size == sizes[start].0).count();
        twice[start..end].fill(start + 1 + end);
        let t = (end - start) as f64;
        ties += t * t * t - t;
        start = end;
    }
    let up: usize = twice.iter().zip(&sizes).filter(|(_, (_, up))| *up).map(|(rank, _)| rank).sum();
    let all: usize = twice.iter().sum();
    let less = up.min(all - up);
    Some(if n <= EXACT { exact(&twice, less, all) } else { approximate(n, less as f64 / 2.0, ties) })
}

/// By the distribution of the sum of ranks over all signs.
fn exact(twice: &[usize], less: usize, all: usize) -> f64 {
    let mut chance = vec![0.0_f64; all + 1];
    chance[0] = 1.0;
    let mut reach = 0;
    for &rank in twice {
        for sum in (0..=reach).rev() {
            let half = 0.5 * chance[sum];
            chance[sum] = half;
            chance[sum + rank] += half;
        }
        reach += rank;
    }
    (2.0 * chance[..=less].iter().sum::<f64>()).min(1.0)
}

fn approximate(n: usize, less: f64, ties: f64) -> f64 {
    let n = n as f64;
    let mean = n * (n + 1.0) / 4.0;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let z = (less - mean) / variance.sqrt();
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}
