//! [`AlternateStack`]: the stack a hub's thread handles signals on, since an overflowed one has no room for a handler.

use crate::stack::page_size;
use crate::stack::region::{map, unmap};
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Room beyond what the kernel needs for the saved registers: our handler takes little, but it calls the handler that
/// was there before, which may be a crash reporter that walks the stack.
const ROOM: usize = 64 * 1024;

/// The calling thread's alternate signal stack, until dropped on the same thread.
pub(crate) struct AlternateStack {
    mapping: NonNull<u8>,
    length: usize,
    previous: libc::stack_t,
    /// A signal stack belongs to its thread, so this must not leave it.
    _not_send: PhantomData<*mut ()>,
}

impl AlternateStack {
    /// Gives the calling thread an alternate signal stack, instead of the one it may have.
    ///
    /// # Errors
    ///
    /// The system's, when it refuses the memory.
    pub(crate) fn install() -> io::Result<AlternateStack> {
        let page = page_size();
        let size = (smallest() + ROOM).next_multiple_of(page);
        let length = page + size;
        let mapping = map(length)?;
        // From here on dropping it undoes what was done.
        let mut stack = AlternateStack { mapping, length, previous: disabled(), _not_send: PhantomData };
        // SAFETY: the lowest page of our own new mapping; an overflow of this stack faults there.
        if unsafe { libc::mprotect(mapping.as_ptr().cast(), page, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let ours = libc::stack_t { ss_sp: stack.lowest(), ss_flags: 0, ss_size: size };
        // SAFETY: both point to a whole `stack_t`; the memory stays mapped until the drop has taken it out of use.
        if unsafe { libc::sigaltstack(&ours, &mut stack.previous) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    fn lowest(&self) -> *mut libc::c_void {
        self.mapping.as_ptr().wrapping_byte_add(page_size()).cast()
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        let mut current = disabled();
        // SAFETY: asks only; `current` is a whole `stack_t`.
        let asked = unsafe { libc::sigaltstack(std::ptr::null(), &mut current) };
        if asked == 0 && current.ss_sp == self.lowest() && current.ss_flags & libc::SS_DISABLE == 0 {
            // SAFETY: puts back what the system reported when ours was installed; whoever made that stack frees it
            // later than this, as its maker (std's thread start) encloses us.
            let restored = unsafe { libc::sigaltstack(&self.previous, std::ptr::null_mut()) };
            if restored != 0 {
                // The thread may still run a handler on this memory, so it must stay.
                return;
            }
        }
        // SAFETY: the mapping is ours, and it is not the thread's signal stack (any more).
        unsafe { unmap(self.mapping, self.length) };
    }
}

fn disabled() -> libc::stack_t {
    libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 }
}

/// The least the kernel needs: more than the constant where the processor has large registers (AVX-512, AMX).
fn smallest() -> usize {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        const AT_MINSIGSTKSZ: libc::c_ulong = 51;
        // SAFETY: a look-up in what the kernel passed at start; 0 if it passed no such value.
        let reported = unsafe { libc::getauxval(AT_MINSIGSTKSZ) } as usize;
        reported.max(libc::MINSIGSTKSZ)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    libc::MINSIGSTKSZ
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> libc::stack_t {
        let mut current = disabled();
        // SAFETY: asks only; `current` is a whole `stack_t`.
        assert_eq!(unsafe { libc::sigaltstack(std::ptr::null(), &mut current) }, 0);
        current
    }

    #[test]
    fn the_previous_signal_stack_comes_back() {
        let before = current();
        let ours = AlternateStack::install().unwrap();
        let during = current();
        assert_eq!(during.ss_sp, ours.lowest());
        assert!(during.ss_size >= ROOM + libc::MINSIGSTKSZ);
        drop(ours);
        let after = current();
        assert_eq!(
            (after.ss_sp, after.ss_size, after.ss_flags),
            (before.ss_sp, before.ss_size, before.ss_flags)
        );
    }
}
