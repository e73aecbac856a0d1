//! Student's t.

/// The 97.5 % quantile of the standard normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// The 97.5 % quantile of Student's t with that many degrees of freedom: a mean lies within so many standard errors in 95 %
/// of all cases.
pub(super) fn quantile_975(freedom: usize) -> f64 {
    if freedom > 200 {
        return expansion(freedom as f64);
    }
    // The tail of one degree of freedom is the widest; 12.7.
    let (mut low, mut high) = (NORMAL, 13.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if inside(middle, freedom) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Probability of lying within `t` of zero: the finite sums of Abramowitz & Stegun, 26.7.3 and 26.7.4.
fn inside(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    let mut term = if odd { cos } else { 1.0 };
    let mut sum = 0.0;
    let mut k = if odd { 3 } else { 2 };
    while k <= freedom {
        sum += term;
        term *= cos * cos * (k - 1) as f64 / k as f64;
        k += 2;
    }
    if odd { (angle + sin * sum) * std::f64::consts::FRAC_2_PI } else { sin * sum }
}

/// Abramowitz & Stegun, 26.7.5; beyond 200 degrees of freedom right to nine digits.
fn expansion(freedom: f64) -> f64 {
    let z = NORMAL;
    let (z2, v) = (z * z, freedom);
    let first = z * (z2 + 1.0) / 4.0;
    let second = z * ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
    let third = z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
    z + first / v + second / (v * v) + third / (v * v * v)
}
