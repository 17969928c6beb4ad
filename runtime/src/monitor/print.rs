//! How a report reaches stderr.

/// Prints a report on stderr, as one piece.
pub(super) fn print(report: &dyn std::fmt::Display) {
    use std::io::Write as _;
    // There is nobody to tell that stderr is closed.
    let _closed = std::io::stderr().lock().write_all(format!("greenhub: {report}\n").as_bytes());
}
