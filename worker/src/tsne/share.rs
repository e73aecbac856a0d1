//! Work on several threads that does not depend on how many there are.

use std::thread;

/// Fills `out` with `make(item, values)`, `width` values an item. Every item is made by itself, so the number of threads changes nothing.
pub(super) fn fill<T: Send>(out: &mut [T], width: usize, threads: usize, make: impl Fn(usize, &mut [T]) + Sync) {
    if width == 0 || out.is_empty() {
        return;
    }
    let items = out.len() / width;
    let share = items.div_ceil(threads.clamp(1, items));
    let run = |first: usize, part: &mut [T]| {
        part.chunks_exact_mut(width).enumerate().for_each(|(i, values)| make(first + i, values));
    };
    if share == items {
        return run(0, out);
    }
    thread::scope(|scope| {
        let mut parts = out.chunks_mut(share * width).enumerate().map(|(i, part)| (i * share, part));
        let own = parts.next();
        for (first, part) in parts {
            scope.spawn(move || run(first, part));
        }
        if let Some((first, part)) = own {
            run(first, part);
        }
    });
}
