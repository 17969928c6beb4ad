//! What keeps a header alive: its [owners](Owner), as bits of the state word, and counted references.

use super::State;
use super::word::{OWNERS, Owner};
use crate::facade::atomic::Ordering;

impl State {
    /// An owner lets go of a greenlet. `true`: it was the last, and gives up the reference that they share.
    #[inline]
    pub(crate) fn let_go(&self, owner: Owner) -> bool {
        // Who finds itself alone need not say so: no owner is left to read it. Acquire: pairs with the Release of those
        // who let go before, as it does in the other case.
        if self.word.load(Ordering::Acquire) & OWNERS == owner as u64 {
            return true;
        }
        // Release: what this owner did to the header comes before it is freed.
        let before = self.update(|s| Some(s.0 & !(owner as u64)));
        before.expect("the step is made whatever the word says").0 & OWNERS == owner as u64
    }

    /// Counts one more reference. Ends the process if there are two thousand million, as `Arc` does: to unwind would let
    /// a program that goes on count until the number begins again.
    pub(crate) fn share(&self) {
        // Relaxed: a new reference is made from one that keeps the header alive.
        if self.references.fetch_add(1, Ordering::Relaxed) > i32::MAX as u32 {
            eprintln!("greenhub: too many references to one greenlet");
            std::process::abort();
        }
    }

    /// Counts one reference less. `true`: it was the last, and nobody touches the header any more.
    pub(crate) fn give_up(&self) -> bool {
        // Who finds that its reference is the last need not count it down: nobody is left who could make another.
        // Acquire: pairs with the Release of those who gave theirs up.
        // Release: what this holder did to the header comes before it is freed; pairs with the load below.
        let last = self.references.load(Ordering::Acquire) == 1
            || self.references.fetch_sub(1, Ordering::Release) == 1;
        if last {
            // Acquire: pairs with the Release of every decrement before ours, in one release sequence with it. (A fence
            // would do, too, but ThreadSanitizer knows none.)
            self.references.load(Ordering::Acquire);
        }
        last
    }
}
