//! [`SignalWriter`]: text in a fixed buffer, for signal handlers, where nothing may allocate or lock.

use std::fmt;

/// How much a report may say. What does not fit is cut off.
const CAPACITY: usize = 1024;

/// Collects text without allocating; to be used with `write!`, whose formatting of strings and integers allocates
/// nothing either.
pub(crate) struct SignalWriter {
    buffer: [u8; CAPACITY],
    length: usize,
}

impl SignalWriter {
    pub(super) fn new() -> SignalWriter {
        SignalWriter { buffer: [0; CAPACITY], length: 0 }
    }

    /// Writes the text to standard error in one piece, if the system takes it so.
    pub(super) fn flush(&mut self) {
        let mut rest = &self.buffer[..self.length];
        while !rest.is_empty() {
            // SAFETY: the pointer and length are those of `rest`; `write` is async-signal-safe.
            let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                // Nobody reads our standard error; there is no one left to tell.
                Ok(0) => break,
                Ok(written) => rest = &rest[written.min(rest.len())..],
                Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.length = 0;
    }
}

impl fmt::Write for SignalWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = text.len().min(CAPACITY - self.length);
        self.buffer[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let mut writer = SignalWriter::new();
        for number in 0..1000 {
            write!(writer, "{number} ").unwrap();
        }
        assert_eq!(writer.length, CAPACITY);
        assert!(writer.buffer.starts_with(b"0 1 2 3 "));
    }
}
