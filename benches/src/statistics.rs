//! Many samples, a few numbers.
//!
//! Must never know what the numbers mean.

use serde::Serialize;

/// What is told about a row of samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// (max - min) / median: how far to trust the median.
    pub(crate) spread: f64,
}

/// `None` when there are no samples.
pub(crate) fn summary(samples: &[f64]) -> Option<Summary> {
    let median = median(samples)?;
    let min = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let max = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let spread = if median == 0.0 { 0.0 } else { (max - min) / median };
    Some(Summary { median, min, max, spread })
}

/// The middle sample, or the mean of the middle two.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The median of `ours / theirs`, round by round.
///
/// The two of one round ran one after the other, so a machine that slows down for a while moves both.
pub(crate) fn paired_ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .filter(|pair| *pair.1 > 0.0)
        .map(|(our, their)| our / their)
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_an_odd_row() {
        let summary = summary(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(summary, Summary { median: 2.0, min: 1.0, max: 3.0, spread: 1.0 });
    }

    #[test]
    fn summary_of_an_even_row_takes_the_middle_two() {
        assert_eq!(summary(&[4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
    }

    #[test]
    fn one_sample_has_no_spread() {
        assert_eq!(summary(&[5.0]), Some(Summary { median: 5.0, min: 5.0, max: 5.0, spread: 0.0 }));
    }

    #[test]
    fn nothing_measured_gives_nothing() {
        assert_eq!(summary(&[]), None);
        assert_eq!(paired_ratio(&[], &[1.0]), None);
    }

    #[test]
    fn all_zero_is_not_a_division_by_zero() {
        assert_eq!(summary(&[0.0, 0.0]).unwrap().spread, 0.0);
        assert_eq!(paired_ratio(&[1.0], &[0.0]), None);
    }

    #[test]
    fn ratio_is_taken_round_by_round() {
        // The machine was three times slower in the second round; the ratio does not see it.
        assert_eq!(paired_ratio(&[2.0, 6.0, 2.0], &[1.0, 3.0, 1.0]), Some(2.0));
    }

    #[test]
    fn ratio_uses_only_rounds_that_both_finished() {
        assert_eq!(paired_ratio(&[2.0, 9.0], &[1.0]), Some(2.0));
    }
}
