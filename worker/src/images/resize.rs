//! Resizing as OpenCV's `INTER_AREA` does it, in exact integer arithmetic.
//!
//! Along an axis of `from` pixels that becomes one of `to`, lengths are counted in 1/`to` of an old pixel: an old pixel
//! is `to` long, a new one `from`. Sides are 1 to [`MAX_SIDE`](super::MAX_SIDE), so sums fit: 255 x 65,535 in `u32`, its
//! product with 65,535 in `u64`.

use super::Grey;

/// The pixels of `image` with `width` x `height` pixels, row by row.
pub(super) fn resize(image: &Grey, width: usize, height: usize) -> Vec<u8> {
    if (width, height) == (image.width(), image.height()) {
        image.pixels().to_vec()
    } else if width <= image.width() && height <= image.height() {
        average(image, width, height)
    } else {
        interpolate(image, width, height)
    }
}

/// Old pixels that a new one covers along an axis.
struct Span {
    first: usize,
    last: usize,
    /// Length of `first` that is covered.
    head: u32,
    /// Length of `last` that is covered; 0 when that is `first`.
    tail: u32,
}

/// For each new pixel of an axis that does not grow.
fn spans(from: usize, to: usize) -> Vec<Span> {
    let span = |at: usize| {
        let (start, end) = (at * from, (at + 1) * from);
        let (first, last) = (start / to, (end - 1) / to);
        if first == last {
            Span { first, last, head: from as u32, tail: 0 }
        } else {
            Span { first, last, head: ((first + 1) * to - start) as u32, tail: (end - last * to) as u32 }
        }
    };
    (0..to).map(span).collect()
}

/// Each new pixel is the mean of the area it covers.
fn average(image: &Grey, width: usize, height: usize) -> Vec<u8> {
    let columns = spans(image.width(), width);
    let area = (image.width() * image.height()) as u64;
    // OpenCV's shortcut for halves rounds ties up; everything else rounds to even.
    let ties_up = image.width() == 2 * width && image.height() == 2 * height;
    let mut pixels = Vec::with_capacity(width * height);
    let mut row = vec![0_u32; width];
    let mut row_at = usize::MAX;
    let mut sums = vec![0_u64; width];
    for span in spans(image.height(), height) {
        sums.fill(0);
        for at in span.first..=span.last {
            // The last row of a span is often the first of the next.
            if row_at != at {
                sum_row(&image.pixels()[at * image.width()..][..image.width()], &columns, width as u32, &mut row);
                row_at = at;
            }
            let length = match at {
                _ if at == span.first => u64::from(span.head),
                _ if at == span.last => u64::from(span.tail),
                _ => height as u64,
            };
            for (sum, value) in sums.iter_mut().zip(&row) {
                *sum += length * u64::from(*value);
            }
        }
        pixels.extend(sums.iter().map(|sum| if ties_up { divide_up(*sum, area) } else { divide_even(*sum, area) }));
    }
    pixels
}

/// The sums over `columns` of one row of old pixels, each `length` long.
fn sum_row(row: &[u8], columns: &[Span], length: u32, sums: &mut [u32]) {
    for (sum, span) in sums.iter_mut().zip(columns) {
        *sum = span.head * u32::from(row[span.first]) + span.tail * u32::from(row[span.last]);
        if let Some(whole) = row.get(span.first + 1..span.last) {
            *sum += length * whole.iter().map(|value| u32::from(*value)).sum::<u32>();
        }
    }
}

/// Two neighbours that a new pixel lies between along an axis.
struct Between {
    first: usize,
    second: usize,
    /// Weight of `second`, out of the old side; that of `first` is the rest.
    weight: u64,
}

/// For each new pixel of an axis, as OpenCV places them for `INTER_AREA` when it cannot average.
///
/// A new pixel that lies within one old pixel has its value, so that an axis that grows by a whole factor repeats; one
/// that reaches into the next pixel takes of it the share that it covers.
fn between(from: usize, to: usize) -> Vec<Between> {
    let place = |at: usize| {
        let first = at * from / to;
        // May be negative: then the new pixel ends before `first` does.
        let reach = ((at + 1) * from).saturating_sub((first + 1) * to) % from;
        if first + 1 < from {
            Between { first, second: first + 1, weight: reach as u64 }
        } else {
            Between { first: from - 1, second: from - 1, weight: 0 }
        }
    };
    (0..to).map(place).collect()
}

/// Each new pixel is interpolated linearly between four neighbours.
fn interpolate(image: &Grey, width: usize, height: usize) -> Vec<u8> {
    let columns = between(image.width(), width);
    let (across, down) = (image.width() as u64, image.height() as u64);
    let mut pixels = Vec::with_capacity(width * height);
    for vertical in between(image.height(), height) {
        let upper = &image.pixels()[vertical.first * image.width()..][..image.width()];
        let lower = &image.pixels()[vertical.second * image.width()..][..image.width()];
        pixels.extend(columns.iter().map(|column| {
            let along = |row: &[u8]| {
                (across - column.weight) * u64::from(row[column.first]) + column.weight * u64::from(row[column.second])
            };
            divide_up((down - vertical.weight) * along(upper) + vertical.weight * along(lower), across * down)
        }));
    }
    pixels
}

/// A mean of levels; a half goes up.
fn divide_up(sum: u64, by: u64) -> u8 {
    ((2 * sum + by) / (2 * by)) as u8
}

/// A mean of levels; a half goes to the even level.
fn divide_even(sum: u64, by: u64) -> u8 {
    let (level, rest) = (sum / by, 2 * (sum % by));
    (level + u64::from(rest > by || (rest == by && level % 2 == 1))) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn areas_are_weighted_by_what_is_covered() {
        let image = Grey::new(3, 1, vec![0, 90, 240]).unwrap();
        // (0 + 90 / 2) / 1.5 and (90 / 2 + 240) / 1.5.
        assert_eq!(resize(&image, 2, 1), [30, 190]);
    }

    #[test]
    fn an_axis_that_grows_by_a_whole_factor_repeats() {
        let image = Grey::new(2, 1, vec![10, 20]).unwrap();
        assert_eq!(resize(&image, 4, 2), [10, 10, 20, 20, 10, 10, 20, 20]);
    }

    #[test]
    fn ties_are_rounded_as_opencv_rounds_them() {
        let halves = Grey::new(2, 2, vec![0, 0, 1, 1]).unwrap();
        assert_eq!(resize(&halves, 1, 1), [1]);
        let quarters = Grey::new(4, 1, vec![0, 0, 1, 1]).unwrap();
        assert_eq!(resize(&quarters, 1, 1), [0]);
        let odd = Grey::new(4, 1, vec![1, 1, 2, 2]).unwrap();
        assert_eq!(resize(&odd, 1, 1), [2]);
    }

    #[test]
    fn sums_of_the_longest_sides_fit() {
        let image = Grey::new(crate::images::MAX_SIDE, 2, vec![255; 2 * crate::images::MAX_SIDE]).unwrap();
        assert_eq!(resize(&image, 1, 1), [255]);
        assert_eq!(resize(&image, crate::images::MAX_SIDE - 1, 1), vec![255; crate::images::MAX_SIDE - 1]);
    }

    proptest! {
        #[test]
        fn a_flat_image_stays_flat(
            from in (1..40_usize, 1..40_usize), to in (1..90_usize, 1..90_usize), level in any::<u8>(),
        ) {
            let image = Grey::new(from.0, from.1, vec![level; from.0 * from.1]).unwrap();
            prop_assert_eq!(resize(&image, to.0, to.1), vec![level; to.0 * to.1]);
        }

        #[test]
        fn an_average_keeps_the_mean(
            from in (1..40_usize, 1..40_usize), to in (1..40_usize, 1..40_usize), seed in any::<u64>(),
        ) {
            let (width, height) = (from.0.min(to.0), from.1.min(to.1));
            let mut state = seed;
            let noise = (0..from.0 * from.1).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            });
            let image = Grey::new(from.0, from.1, noise.collect()).unwrap();
            let mean = |pixels: &[u8]| pixels.iter().map(|x| f64::from(*x)).sum::<f64>() / pixels.len() as f64;
            prop_assert!((mean(&resize(&image, width, height)) - mean(image.pixels())).abs() <= 0.5);
        }
    }
}
