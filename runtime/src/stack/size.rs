//! [`StackSize`]: how much stack a greenlet gets, in classes that are powers of two.
//!
//! A slot costs address space, not memory, so rounding up is free; a few classes make every stack of a class
//! interchangeable, which is what lets caches and depot be plain lists.

use std::io;

/// The smallest class: below it even a panic message does not fit.
const MIN: usize = 16 * 1024;

/// The largest class. More than this is a mistake (a byte count computed with a wrapped subtraction, say).
const MAX: usize = 1024 * 1024 * 1024;

/// How many classes lie between [`MIN`] and [`MAX`], both included.
pub(super) const CLASSES: usize = (MAX.ilog2() - MIN.ilog2() + 1) as usize;

/// A checked stack size, rounded up to its class: a power of two from 16 KiB to 1 GiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct StackSize {
    class: u8,
}

impl StackSize {
    /// What a greenlet gets unless told otherwise: 256 KiB. Unoptimised frames are several times as large, so debug
    /// builds get 1 MiB.
    pub(crate) const DEFAULT: StackSize =
        StackSize::of_class(if cfg!(debug_assertions) { 1024 * 1024 } else { 256 * 1024 });

    /// The class that holds `bytes`: rounded up to a power of two, to 16 KiB and to a page.
    ///
    /// # Errors
    ///
    /// `InvalidInput` above 1 GiB.
    pub(crate) fn new(bytes: usize) -> io::Result<StackSize> {
        if bytes > MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a greenlet stack of {bytes} bytes was asked for; the largest possible is 1 GiB"),
            ));
        }
        Ok(StackSize::of_class(bytes.max(MIN).max(super::page_size()).next_power_of_two()))
    }

    /// The size in bytes.
    pub(crate) const fn bytes(self) -> usize {
        MIN << self.class
    }

    /// The position of the class among the [`CLASSES`].
    pub(super) const fn class(self) -> usize {
        self.class as usize
    }

    const fn of_class(power_of_two: usize) -> StackSize {
        StackSize { class: (power_of_two.ilog2() - MIN.ilog2()) as u8 }
    }
}

/// Shows the size as a person would say it: `256 KiB`.
impl std::fmt::Display for StackSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        const GIB: usize = 1024 * MIB;
        match self.bytes() {
            bytes if bytes >= GIB => write!(f, "{} GiB", bytes / GIB),
            bytes if bytes >= MIB => write!(f, "{} MiB", bytes / MIB),
            bytes => write!(f, "{} KiB", bytes / KIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_their_class() {
        for (asked, got) in
            [(0, MIN), (1, MIN), (MIN, MIN), (MIN + 1, 2 * MIN), (200_000, 262_144), (MAX, MAX)]
        {
            assert_eq!(StackSize::new(asked).unwrap().bytes(), got.max(super::super::page_size()), "{asked}");
        }
        assert_eq!(StackSize::new(MAX).unwrap().class(), CLASSES - 1);
    }

    #[test]
    fn absurd_sizes_are_refused_in_words() {
        for bytes in [MAX + 1, isize::MAX as usize, usize::MAX] {
            let error = StackSize::new(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("the largest possible is 1 GiB"), "{error}");
        }
    }

    #[test]
    fn sizes_read_as_people_say_them() {
        let shown = |bytes| StackSize::new(bytes).unwrap().to_string();
        assert_eq!([shown(1 << 18), shown(1 << 20), shown(1 << 30)], ["256 KiB", "1 MiB", "1 GiB"]);
    }
}
