//! The guide: what the reference pages of single functions cannot say.
//!
//! 1. [`modes`]: where greenlets run, and the rules of both modes.
//! 2. [`cancellation`]: kill, timeout, shield, panics, and what happens while something unwinds.
//! 3. [`surroundings`]: plain OS threads, async code, printing, `panic = "abort"`, fork, crashes.
//! 4. [`operating`]: reading reports, metrics and dumps; limits and how to raise them.
//! 5. [`checking`]: your own greenlet code in every interleaving.

#[doc = include_str!("modes.md")]
pub mod modes {}

#[doc = include_str!("cancellation.md")]
pub mod cancellation {}

#[doc = include_str!("surroundings.md")]
pub mod surroundings {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("checking.md")]
pub mod checking {}
