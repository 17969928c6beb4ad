//! [`Seed`]: one schedule, as a word that can be printed and given back.

use std::fmt;
use std::str::FromStr;

/// Names one schedule of one program: how the next greenlet is chosen, and the number that all chance comes from.
///
/// Printed with a failure, and read from the environment variable `GREENHUB_REPLAY`.
///
/// ```
/// use greenhub::explore::Seed;
///
/// let seed: Seed = "pct3-250-00c0ffee00c0ffee".parse()?;
/// assert_eq!(seed.to_string(), "pct3-250-00c0ffee00c0ffee");
/// assert!("yesterday".parse::<Seed>().is_err());
/// # Ok::<(), greenhub::explore::ParseSeedError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Seed {
    pub(super) method: Method,
    pub(super) number: u64,
}

/// How one schedule chooses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Method {
    /// Whoever may run, with equal chances.
    Random,
    /// By priorities, which change at `depth - 1` of the first `length` steps.
    Pct { depth: u32, length: u32 },
}

/// The most changes of priority a schedule may have.
pub(super) const MAX_DEPTH: u32 = 1000;

/// What was to be a [`Seed`] is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseSeedError {
    text: String,
}

impl fmt::Display for ParseSeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no seed: say what a failure printed, such as random-00c0ffee00c0ffee or \
             pct3-250-00c0ffee00c0ffee",
            self.text
        )
    }
}

impl std::error::Error for ParseSeedError {}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Method::Random => write!(f, "random-{:016x}", self.number),
            Method::Pct { depth, length } => write!(f, "pct{depth}-{length}-{:016x}", self.number),
        }
    }
}

impl FromStr for Seed {
    type Err = ParseSeedError;

    fn from_str(text: &str) -> Result<Self, ParseSeedError> {
        parse(text.trim()).ok_or_else(|| ParseSeedError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Seed> {
    let (method, number) = text.rsplit_once('-')?;
    let is_number = number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u64::from_str_radix(number, 16).ok().filter(|_| is_number)?;
    let method = match method.strip_prefix("pct") {
        None => (method == "random").then_some(Method::Random)?,
        Some(rest) => {
            let (depth, length) = rest.split_once('-')?;
            let depth = depth.parse().ok().filter(|depth| (1..=MAX_DEPTH).contains(depth))?;
            Method::Pct { depth, length: length.parse().ok().filter(|&length| length > 0)? }
        }
    };
    Some(Seed { method, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for method in [Method::Random, Method::Pct { depth: 3, length: 17 }] {
            for number in [0, 1, u64::MAX] {
                let seed = Seed { method, number };
                assert_eq!(seed.to_string().parse(), Ok(seed));
            }
        }
    }

    #[test]
    fn nonsense_is_no_seed() {
        let nonsense = [
            "",
            "random",
            "random-1",
            "random-+0c0ffee00c0ffee",
            "pct-00c0ffee00c0ffee",
            "pct3-00c0ffee00c0ffee",
            "pct0-250-00c0ffee00c0ffee",
            "pct3-0-00c0ffee00c0ffee",
            "pct99999-250-00c0ffee00c0ffee",
            "fifo-00c0ffee00c0ffee",
        ];
        for text in nonsense {
            assert!(text.parse::<Seed>().is_err(), "{text:?}");
        }
    }
}
