//! The switch: from the hub's stack to a greenlet's, and back.
//!
//! A greenlet always switches to its hub, and the hub to a greenlet; what is to happen to the greenlet travels *by
//! value* with the switch ([`After`]), because once it is done the greenlet's stack may already run elsewhere.
//!
//! Two forms, chosen when the crate is built. `portable` is corosensei's, for every platform it knows, and wherever
//! `--cfg greenhub_portable_switch` asks for it. `x86_64` is our own, because corosensei resumes with a `call` and
//! suspends with a `ret`: the processor predicts a `ret` from the calls it has seen, so every frame between the user's
//! code and the switch costs a misprediction. Two jumps leave that prediction alone: greenlets that suspend in the same
//! function find each other's return addresses there.

#[cfg(any(not(target_arch = "x86_64"), not(unix), greenhub_portable_switch))]
mod portable;
#[cfg(all(target_arch = "x86_64", unix, not(greenhub_portable_switch)))]
mod x86_64;

#[cfg(any(not(target_arch = "x86_64"), not(unix), greenhub_portable_switch))]
pub(crate) use portable::Context;
#[cfg(all(target_arch = "x86_64", unix, not(greenhub_portable_switch)))]
pub(crate) use x86_64::Context;

/// What the hub is to do with a greenlet that switched to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// Put it at the end of the ready queue.
    Yield,
    /// Park it, unless its wait has already ended.
    Park {
        /// The wait.
        epoch: u32,
        /// An unpark ends it.
        user: bool,
        /// A kill does not end it.
        masked: bool,
    },
    /// Leave it as it is: the child that it claimed runs next, and one of them comes back to it.
    Await,
}

#[cfg(test)]
mod tests;
