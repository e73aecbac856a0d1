//! A curve as text: braille dots, or stars where a terminal has no braille.

/// Dots of braille by column and row of a cell, the base being U+2800.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// A curve in so many columns and lines: `points` of x and y, in order of x, within these ranges. Points are joined.
pub(super) fn plot(
    points: &[(f64, f64)],
    x_range: (f64, f64),
    y_range: (f64, f64),
    columns: usize,
    lines: usize,
    unicode: bool,
) -> Vec<String> {
    let (across, down) = if unicode { (2, 4) } else { (1, 1) };
    let (width, height) = (columns * across, lines * down);
    if width == 0 || height == 0 {
        return Vec::new();
    }
    let place = |value: f64, (low, high): (f64, f64), size: usize| {
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        (share.clamp(0.0, 1.0) * (size - 1) as f64).round() as i64
    };
    let mut dots = vec![false; width * height];
    let mut set = |x: i64, y: i64| dots[y as usize * width + x as usize] = true;
    let mut last: Option<(i64, i64)> = None;
    for &(x, y) in points.iter().filter(|point| point.1.is_finite()) {
        let to = (place(x, x_range, width), height as i64 - 1 - place(y, y_range, height));
        let from = last.unwrap_or(to);
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).max(1);
        for step in 0..=steps {
            let between = |a: i64, b: i64| a + ((b - a) as f64 * step as f64 / steps as f64).round() as i64;
            set(between(from.0, to.0), between(from.1, to.1));
        }
        last = Some(to);
    }
    let cell = |line: usize, column: usize| {
        if !unicode {
            return if dots[line * width + column] { '*' } else { ' ' };
        }
        let mut bits = 0;
        for (x, rows) in DOTS.iter().enumerate() {
            for (y, bit) in rows.iter().enumerate() {
                if dots[(line * 4 + y) * width + column * 2 + x] {
                    bits |= bit;
                }
            }
        }
        // An empty cell of braille is drawn as a box by some fonts.
        if bits == 0 { ' ' } else { char::from_u32(0x2800 + bits).unwrap_or(' ') }
    };
    (0..lines).map(|line| (0..columns).map(|column| cell(line, column)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::plot;

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let points = [(0.0, 1.0), (2.0, 0.0)];
        assert_eq!(plot(&points, (0.0, 2.0), (0.0, 1.0), 3, 3, false), ["*  ", " * ", "  *"]);
        let drawn = plot(&points, (0.0, 2.0), (0.0, 1.0), 2, 1, true);
        assert_eq!(drawn, ["⠑⢄"]);
    }

    #[test]
    fn flat_curves_and_single_points_are_seen() {
        assert_eq!(plot(&[(3.0, 7.0)], (3.0, 3.0), (7.0, 7.0), 3, 3, false), ["   ", " * ", "   "]);
        assert_eq!(plot(&[(0.0, 7.0), (1.0, 7.0)], (0.0, 1.0), (7.0, 7.0), 3, 1, false), ["***"]);
        assert_eq!(plot(&[(0.0, f64::NAN)], (0.0, 1.0), (0.0, 1.0), 2, 1, false), ["  "]);
        assert!(plot(&[(0.0, 0.0)], (0.0, 1.0), (0.0, 1.0), 0, 0, true).is_empty());
    }
}
