//! The guide: what the reference pages of single functions cannot say.
//!
//! 1. [`modes`]: where greenlets run, and the rules of both modes.
//! 2. [`cancellation`]: kill, timeout, shield, panics, and what happens while something unwinds.
//! 3. [`surroundings`]: plain OS threads, async code, printing, `panic = "abort"`.
//! 4. [`operating`]: reading reports, metrics and dumps; limits and how to raise them.
//! 5. [`crashes`]: panics where none should be, stack overflows, signals, fork: what is printed, what goes on.
//! 6. [`exploring`]: your own code on a thousand schedules, and the one that fails again.
//! 7. [`benchmarking`]: measuring on your own machine, on many cores, and what to look at.
//! 8. [`verification`]: what is proved of the runtime's protocols, under which assumptions, and how that is checked.
//! 9. [`sanitizers`]: your program, and this crate, under AddressSanitizer, ThreadSanitizer and valgrind.

#[doc = include_str!("modes.md")]
pub mod modes {}

#[doc = include_str!("cancellation.md")]
pub mod cancellation {}

#[doc = include_str!("surroundings.md")]
pub mod surroundings {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("crashes.md")]
pub mod crashes {}

#[doc = include_str!("exploring.md")]
pub mod exploring {}

#[doc = include_str!("benchmarking.md")]
pub mod benchmarking {}

#[doc = include_str!("verification.md")]
pub mod verification {}

#[doc = include_str!("sanitizers.md")]
pub mod sanitizers {}
