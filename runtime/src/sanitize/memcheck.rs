//! valgrind's memcheck.
//!
//! It sees every instruction, the switch included, and is told of each stack when that is made (in an ordinary build
//! too), so it knows a switch from a large frame. Left to say is which stacks are in use.

pub(crate) use super::disabled::{Fiber, forget_region};
use std::arch::asm;

/// Blocks go back to the allocator, which memcheck has replaced by its own.
pub(crate) const KEEPS_FREED_BLOCKS: bool = false;

/// Requests to memcheck, numbered as in its header: the letters `MC`, then a count.
const MAKE_NO_ACCESS: usize = 0x4d43_0000;
const MAKE_UNDEFINED: usize = 0x4d43_0001;

/// Says something about a piece of memory. Outside valgrind these instructions change nothing.
fn request(what: usize, start: usize, size: usize) {
    let words = [what, start, size, 0, 0, 0];
    // SAFETY: the rotations add up to 128 bits, so `rdi` is what it was, and the exchange is with itself; under valgrind
    // the words are read and an answer comes in `rdx`.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") words.as_ptr(),
            inout("rdx") 0usize => _,
            options(nostack),
        );
    }
}

/// # Safety
///
/// See the ordinary build's.
pub(crate) unsafe fn retire_stack(lowest: usize, size: usize) {
    request(MAKE_NO_ACCESS, lowest, size);
}

/// # Safety
///
/// See the ordinary build's.
pub(crate) unsafe fn revive_stack(lowest: usize, size: usize) {
    request(MAKE_UNDEFINED, lowest, size);
}
