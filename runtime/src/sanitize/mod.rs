//! What a tool that watches memory must be told, because it takes a stack for a thread's.
//!
//! Four things of this runtime are unlike what such tools expect: the processor goes on on another stack without a call
//! ([`Fiber`] says so at each switch); a stack that nobody uses is still mapped memory, so that a pointer to a dead
//! greenlet's frames reads something ([`retire_stack`] forbids it, [`revive_stack`] allows it again); freed headers are kept
//! for the next greenlet, which hides whoever still uses them ([`KEEPS_FREED_BLOCKS`] ends that); and whole regions come and
//! go ([`forget_region`]).
//!
//! One file for each tool, chosen by a cfg that its script sets (`.ci/asan.sh`, `.ci/tsan.sh`, `.ci/valgrind.sh`); in any
//! other build all of this is nothing. The switch is the one that ships: the tools watch the code that users run.

#[cfg(greenhub_sanitize = "address")]
mod address;
// What another tool's file does not replace is taken from here.
#[cfg(not(greenhub_sanitize = "address"))]
#[cfg_attr(any(greenhub_sanitize = "thread", greenhub_sanitize = "memcheck"), expect(dead_code))]
mod disabled;
#[cfg(greenhub_sanitize = "memcheck")]
mod memcheck;
#[cfg(greenhub_sanitize = "thread")]
mod thread;

#[cfg(greenhub_sanitize = "address")]
use address as tool;
#[cfg(not(any(
    greenhub_sanitize = "address",
    greenhub_sanitize = "thread",
    greenhub_sanitize = "memcheck"
)))]
use disabled as tool;
#[cfg(greenhub_sanitize = "memcheck")]
use memcheck as tool;
#[cfg(greenhub_sanitize = "thread")]
use thread as tool;

pub(crate) use tool::{Fiber, KEEPS_FREED_BLOCKS, forget_region, retire_stack, revive_stack};

#[cfg(all(
    not(all(target_arch = "x86_64", target_os = "linux")),
    any(greenhub_sanitize = "address", greenhub_sanitize = "thread", greenhub_sanitize = "memcheck")
))]
compile_error!("the switch tells sanitizers what it does on x86-64 Linux only");
