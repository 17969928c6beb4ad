//! Numbers as people read them.

use std::time::Duration;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `number` a second, over `time`.
pub(crate) fn rate(number: u64, time: Duration) -> u64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (number as f64 / seconds).round() as u64 } else { 0 }
}

/// A time with three digits that matter.
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let (number, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    format!("{number:.*} {unit}", decimals(number))
}

/// A number of bytes.
pub(crate) fn bytes(bytes: f64) -> String {
    let (number, unit) = match bytes.abs() {
        ..1024.0 => return format!("{bytes:.0} B"),
        ..1_048_576.0 => (bytes / 1024.0, "KiB"),
        ..1_073_741_824.0 => (bytes / 1_048_576.0, "MiB"),
        _ => (bytes / 1_073_741_824.0, "GiB"),
    };
    format!("{number:.*} {unit}", decimals(number))
}

fn decimals(number: f64) -> usize {
    match number.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 12, 999, 1000, 123_456, 1_234_567].map(count),
            ["0", "12", "999", "1,000", "123,456", "1,234,567"]
        );
    }

    #[test]
    fn times_and_sizes_keep_three_digits() {
        assert_eq!(time(Duration::from_nanos(1_500)), "1.50 µs");
        assert_eq!(time(Duration::from_micros(98_765)), "98.8 ms");
        assert_eq!(time(Duration::from_secs(12)), "12.0 s");
        assert_eq!(bytes(100.0), "100 B");
        assert_eq!(bytes(5.0 * 1024.0), "5.00 KiB");
        assert_eq!(bytes(-200.0 * 1024.0 * 1024.0), "-200 MiB");
    }

    #[test]
    fn no_time_is_no_rate() {
        assert_eq!(rate(5, Duration::ZERO), 0);
        assert_eq!(rate(5, Duration::from_millis(500)), 10);
    }
}
