//! Student's t.

use std::sync::LazyLock;

/// The 97.5 % quantile of the standard normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// Most degrees of freedom of which the quantile is searched for; beyond, the expansion is right to nine digits.
const EXACT: usize = 200;

/// The 97.5 % quantile of Student's t with that many degrees of freedom: a mean lies within so many standard errors in 95 %
/// of all cases.
pub(crate) fn quantile_975(freedom: usize) -> f64 {
    /// Of all that are not expanded: a table of a large sweep asks for some thousand times.
    static KNOWN: LazyLock<Vec<f64>> = LazyLock::new(|| (0..=EXACT).map(search).collect());
    KNOWN.get(freedom).copied().unwrap_or_else(|| expansion(freedom as f64))
}

/// The same by halving.
fn search(freedom: usize) -> f64 {
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

/// Probability that Student's t lies at least as far from zero as `t`.
/// That is the regularised incomplete beta function at v / (v + t^2), of v / 2 and 1 / 2, which keeps the digits of small probabilities.
pub(super) fn two_sided(t: f64, freedom: usize) -> f64 {
    let (v, square) = (freedom as f64, t * t);
    if square == 0.0 {
        return 1.0;
    }
    let (a, b) = (v / 2.0, 0.5);
    let (x, rest) = (v / (v + square), square / (v + square));
    let front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * rest.ln();
    if x < (a + 1.0) / (a + b + 2.0) {
        front.exp() * fraction(a, b, x) / a
    } else {
        1.0 - front.exp() * fraction(b, a, rest) / b
    }
}

/// The continued fraction of the incomplete beta function (Abramowitz & Stegun, 26.5.8), by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..10_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            value *= d * c;
        }
        if (value - before).abs() <= f64::EPSILON * value.abs() {
            break;
        }
    }
    value
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

/// Abramowitz & Stegun, 26.7.5.
fn expansion(freedom: f64) -> f64 {
    let z = NORMAL;
    let (z2, v) = (z * z, freedom);
    let first = z * (z2 + 1.0) / 4.0;
    let second = z * ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
    let third = z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
    z + first / v + second / (v * v) + third / (v * v * v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_scipy() {
        // scipy.stats.t.ppf(0.975, freedom)
        let expected = [
            (1, 12.706_204_736_174_694),
            (2, 4.302_652_729_749_462),
            (3, 3.182_446_305_283_707_8),
            (4, 2.776_445_105_197_793_4),
            (5, 2.570_581_835_636_314_6),
            (9, 2.262_157_162_798_205),
            (10, 2.228_138_851_986_274),
            (11, 2.200_985_160_091_639),
            (30, 2.042_272_456_301_237_8),
            (100, 1.983_971_518_523_551_8),
            (200, 1.971_896_223_633_908_8),
            (201, 1.971_836_506_779_859),
            (500, 1.964_719_837_467_367_6),
            (10_000, 1.960_201_239_890_626),
            (100_000, 1.959_987_707_534_609_5),
        ];
        for (freedom, quantile) in expected {
            let ours = quantile_975(freedom);
            assert!((ours - quantile).abs() < 2e-9, "{freedom}: {ours}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_view_cells() {
        let view = [12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157];
        for (freedom, quantile) in (1..).zip(view) {
            assert!((quantile_975(freedom) - quantile).abs() < 1e-6, "{freedom}");
        }
        for freedom in 10..400_usize {
            let f = freedom as f64;
            let view = 1.959964 + 2.3723 / f + 2.8225 / (f * f);
            assert!((quantile_975(freedom) / view - 1.0).abs() < 2e-3, "{freedom}");
        }
    }
}
