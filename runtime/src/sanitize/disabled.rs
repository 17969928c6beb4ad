//! An ordinary build: nobody watches.

/// Whether a hub keeps the blocks of headers for its next greenlets. Schedules look for uses after the end themselves.
pub(crate) const KEEPS_FREED_BLOCKS: bool = !cfg!(greenhub_schedule);

/// What a tool knows of one greenlet's stack. Each switch calls two of its methods: one before it, on the stack that is
/// left, and one after it, on the stack that is reached.
#[cfg_attr(not(all(target_arch = "x86_64", unix, not(greenhub_portable_switch))), allow(dead_code))]
pub(crate) struct Fiber;

#[cfg_attr(not(all(target_arch = "x86_64", unix, not(greenhub_portable_switch))), allow(dead_code))]
impl Fiber {
    /// A stack of `size` bytes from `lowest` up, on which nothing has run yet.
    ///
    /// # Safety
    ///
    /// The stack lives as long as the value.
    #[inline(always)]
    pub(crate) unsafe fn new(_lowest: usize, _size: usize) -> Fiber {
        Fiber
    }

    /// On the hub's stack, about to switch to the greenlet's.
    ///
    /// # Safety
    ///
    /// The switch comes next, and `entered` right after it; the caller owns the greenlet's right to run.
    #[inline(always)]
    pub(crate) unsafe fn entering(&self) {}

    /// On the greenlet's stack, just come from the hub's.
    ///
    /// # Safety
    ///
    /// As [`entering`](Self::entering), of the same switch.
    #[inline(always)]
    pub(crate) unsafe fn entered(&self) {}

    /// On the greenlet's stack, about to switch to the hub's.
    ///
    /// # Safety
    ///
    /// The switch comes next, and `left` right after it.
    #[inline(always)]
    pub(crate) unsafe fn leaving(&self) {}

    /// On the hub's stack, just come from the greenlet's.
    ///
    /// # Safety
    ///
    /// As [`leaving`](Self::leaving), of the same switch.
    #[inline(always)]
    pub(crate) unsafe fn left(&self) {}
}

/// Nobody is to touch this stack until it is revived.
///
/// # Safety
///
/// The memory is mapped and no frame on it is in use.
#[inline(always)]
pub(crate) unsafe fn retire_stack(_lowest: usize, _size: usize) {}

/// This stack may be touched again.
///
/// # Safety
///
/// The memory is mapped, and belongs to the caller.
#[inline(always)]
pub(crate) unsafe fn revive_stack(_lowest: usize, _size: usize) {}

/// This memory is about to be unmapped.
///
/// # Safety
///
/// As [`revive_stack`].
#[inline(always)]
pub(crate) unsafe fn forget_region(_start: usize, _length: usize) {}
