//! The bytes a connection sends: a stream of its own, which the place in it and the seed decide.
//!
//! Each eight bytes are a mixed counter, so bytes that come twice, too late, in the wrong order or on another
//! connection do not pass for the right ones.

/// One connection's stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pattern {
    key: u64,
}

/// A byte that is not what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Its place in the stream.
    pub(crate) at: u64,
    pub(crate) expected: u8,
    pub(crate) found: u8,
}

impl Pattern {
    pub(crate) fn new(seed: u64, connection: u64) -> Self {
        Self { key: mix(seed ^ mix(connection)) }
    }

    /// The eight bytes from place `8 * index` on.
    fn word(self, index: u64) -> [u8; 8] {
        mix(self.key.wrapping_add(index)).to_le_bytes()
    }

    /// Writes the bytes from place `at` on.
    pub(crate) fn fill(self, at: u64, bytes: &mut [u8]) {
        self.pieces(at, bytes.len(), |range, expected| {
            bytes[range].copy_from_slice(expected);
            true
        });
    }

    /// Compares `bytes` with those from place `at` on.
    pub(crate) fn check(self, at: u64, bytes: &[u8]) -> Result<(), Mismatch> {
        let mut result = Ok(());
        self.pieces(at, bytes.len(), |range, expected| {
            let start = range.start;
            let found = &bytes[range];
            if found == expected {
                return true;
            }
            let wrong = found.iter().zip(expected).position(|(found, expected)| found != expected);
            let wrong = wrong.expect("the slices differ and are of one length");
            let at = at + (start + wrong) as u64;
            result = Err(Mismatch { at, expected: expected[wrong], found: found[wrong] });
            false
        });
        result
    }

    /// Calls `each` with the parts of `0..length` and what belongs there, as long as it says so.
    fn pieces(self, at: u64, length: usize, mut each: impl FnMut(std::ops::Range<usize>, &[u8]) -> bool) {
        let mut done = 0;
        while done < length {
            let place = at + done as u64;
            let within = (place % 8) as usize;
            let end = length.min(done + 8 - within);
            if !each(done..end, &self.word(place / 8)[within..within + end - done]) {
                return;
            }
            done = end;
        }
    }
}

/// A bijection in which every bit of the result depends on every bit of `x` (the finish of the splitmix64 generator).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_cut_the_stream_is_the_same() {
        let pattern = Pattern::new(1, 2);
        let mut whole = [0; 100];
        pattern.fill(1000, &mut whole);
        for start in 0..20 {
            for end in start..100 {
                let mut part = vec![0; end - start];
                pattern.fill(1000 + start as u64, &mut part);
                assert_eq!(part, whole[start..end]);
                assert_eq!(pattern.check(1000 + start as u64, &whole[start..end]), Ok(()));
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let pattern = Pattern::new(7, 7);
        for wrong in 0..64 {
            let mut bytes = [0; 64];
            pattern.fill(3, &mut bytes);
            let expected = bytes[wrong];
            bytes[wrong] ^= 0x10;
            let mismatch = Mismatch { at: 3 + wrong as u64, expected, found: expected ^ 0x10 };
            assert_eq!(pattern.check(3, &bytes), Err(mismatch));
        }
    }

    #[test]
    fn another_place_connection_or_seed_does_not_pass() {
        let mut bytes = [0; 16];
        Pattern::new(1, 1).fill(0, &mut bytes);
        assert!(Pattern::new(1, 1).check(1, &bytes).is_err());
        assert!(Pattern::new(1, 1).check(16, &bytes).is_err());
        assert!(Pattern::new(1, 2).check(0, &bytes).is_err());
        assert!(Pattern::new(2, 1).check(0, &bytes).is_err());
    }
}
