//! Many measurements of one thing: their median, how far they lie apart, and how well the median is known.

/// How sure the interval around a median must be.
const MISSED: f64 = 0.05;
/// Rounds that it needs.
pub const FEWEST: usize = 6;

/// Median and extremes of the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    /// The true median lies in it with 95 %. There is none for fewer rounds than [`FEWEST`].
    interval: Option<[f64; 2]>,
}

impl Spread {
    /// Of all rounds; none without any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let low = *values.get(values.len().checked_sub(1)? / 2)?;
        let high = *values.get(values.len() / 2)?;
        let interval = left_out(values.len()).and_then(|count| Some([*values.get(count)?, *values.get(values.len() - 1 - count)?]));
        Some(Self { median: low.midpoint(high), least: *values.first()?, most: *values.last()?, interval })
    }

    /// The farthest that the true median can be from `expected`; infinite if too few rounds were measured to say so.
    pub fn off(self, expected: f64) -> f64 {
        let Some(ends) = self.interval else { return f64::INFINITY };
        let off = ends.map(|end| (end - expected).abs());
        // A part of nothing is no number.
        if off.iter().any(|off| off.is_nan()) { f64::INFINITY } else { off.into_iter().fold(0.0, f64::max) }
    }

    /// Where the true median is.
    pub fn interval(self) -> Option<[f64; 2]> {
        self.interval
    }

    /// Median and extremes with one digit.
    pub fn micros(self) -> [String; 2] {
        [format!("{:.1}", self.median), self.extremes(1)]
    }

    /// Median and extremes with two digits.
    pub fn ratio(self) -> [String; 2] {
        [format!("{:.2}", self.median), self.extremes(2)]
    }

    /// The least and the most.
    pub fn extremes(self, digits: usize) -> String {
        format!("{:.digits$}..{:.digits$}", self.least, self.most)
    }
}

/// How many of `rounds` values in order may be left out at either end, so that the rest still holds the true median with 95 %: each
/// value is above it with a chance of one half.
fn left_out(rounds: usize) -> Option<usize> {
    let rounds_f = rounds as f64;
    // The chance that exactly `count` values are below.
    let mut chance = 0.5f64.powf(rounds_f);
    let (mut below, mut left_out) = (0.0, None);
    for count in 0..rounds / 2 {
        below += chance;
        if 2.0 * below > MISSED {
            break;
        }
        left_out = Some(count);
        chance *= (rounds_f - count as f64) / (count as f64 + 1.0);
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_values_are_left_out_as_the_binomial_distribution_allows() {
        // 2 · P(X < k + 1) ≤ 5 % for X of n tosses of a coin.
        let expected = [(1, None), (5, None), (6, Some(0)), (8, Some(0)), (9, Some(1)), (12, Some(2)), (24, Some(6)), (100, Some(39))];
        for (rounds, count) in expected {
            assert_eq!(left_out(rounds), count, "{rounds} rounds");
            assert_eq!(count.is_some(), rounds >= FEWEST);
        }
    }

    #[test]
    fn a_median_is_off_by_the_farther_end_of_its_interval() {
        let spread = Spread::of((1..=12).map(f64::from)).unwrap();
        assert_eq!((spread.median, spread.least, spread.most, spread.interval), (6.5, 1.0, 12.0, Some([3.0, 10.0])));
        assert_eq!(spread.off(6.0), 4.0);
        assert_eq!(Spread::of([1.0; 5]).unwrap().off(1.0), f64::INFINITY, "too few rounds");
        assert_eq!(Spread::of([f64::NAN; 6]).unwrap().off(1.0), f64::INFINITY, "no numbers");
        assert!(Spread::of([]).is_none());
    }
}
