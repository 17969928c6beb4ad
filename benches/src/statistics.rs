//! The few statistics there are: order statistics, which a disturbed sample cannot pull about.

/// The middle reading; of an even number, the mean of the middle two.
pub(crate) fn median(readings: &[f64]) -> f64 {
    let sorted = sorted(readings);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The smallest reading that at least `share` of all readings do not exceed.
pub(crate) fn quantile(readings: &[f64], share: f64) -> f64 {
    let sorted = sorted(readings);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn sorted(readings: &[f64]) -> Vec<f64> {
    let mut sorted = readings.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn quantiles_are_readings() {
        let readings: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&readings, 0.5), 50.0);
        assert_eq!(quantile(&readings, 0.99), 99.0);
        assert_eq!(quantile(&[7.0], 0.9), 7.0);
    }
}
