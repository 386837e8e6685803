//! Round numbers for the marks of an axis. Pure, so that charts of every kind share it.

/// The smallest of 1, 2 and 5 times a power of ten that is not below `least`, which must be above 0.
fn round_up(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let fits = |factor: &f64| factor * power >= least * (1.0 - 1e-9);
    factors.into_iter().find(fits).unwrap_or(10.0) * power
}

/// The distance of marks between two places, for at most so many of them and one more.
pub(crate) fn step(first: f64, last: f64, most: usize) -> f64 {
    let span = last - first;
    match span.is_finite() && span > 0.0 {
        true => round_up(span / most.max(1) as f64),
        false => 1.0,
    }
}

/// Multiples of `step` from one place to another, both included.
pub(crate) fn marks(first: f64, last: f64, step: f64) -> impl Iterator<Item = f64> {
    let (from, to) = ((first / step).ceil(), (last / step).floor());
    let count = if to >= from { (to - from) as usize + 1 } else { 0 };
    (0..count.min(1000)).map(move |number| (from + number as f64) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        fn check(first: f64, last: f64, most: usize, expected: &[f64]) {
            let step = step(first, last, most);
            assert_eq!(marks(first, last, step).collect::<Vec<_>>(), expected, "{first} {last}");
        }
        check(0.0, 9050.0, 4, &[0.0, 5000.0]);
        check(0.0, 172.0, 11, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0]);
        check(-60.0, 0.0, 4, &[-60.0, -40.0, -20.0, 0.0]);
        check(0.0, 10.0, 10, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
        check(3.0, 3.0, 4, &[3.0]);
        check(0.5, 2.2, 4, &[0.5, 1.0, 1.5, 2.0]);
        check(f64::NAN, 1.0, 4, &[]);
    }
}
