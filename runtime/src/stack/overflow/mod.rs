//! Stack overflow: saying which greenlet it was, and ending the process.
//!
//! A greenlet that overflows its stack touches the guard page below it, and the kernel sends its thread a SIGSEGV
//! (on some systems SIGBUS). Our handler runs on the thread's alternate stack, looks the address up in a table of all
//! regions, asks the runtime to describe the slot's owner, writes one line to standard error and aborts, through a
//! function whose name says it all in a backtrace. Going on is not an option: destructors would be skipped under
//! code that relies on them. Any other fault goes to the handler that was there before, std's for example, which
//! reports the overflow of an ordinary thread.
//!
//! A handler may interrupt anything, so nothing here takes a lock or allocates.

mod alternate;
mod previous;
pub(super) mod table;
mod writer;

pub(crate) use alternate::AlternateStack;
pub(crate) use writer::SignalWriter;

use std::fmt::Write as _;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Writes what is known of a greenlet, as `greenlet 'x' (#7, spawned at src/main.rs:12)`.
///
/// # Safety
///
/// Called in a signal handler with the pointer that was given to [`Stack::set_owner`](super::Stack::set_owner), on the
/// thread on which that greenlet runs. It may only do what is async-signal-safe: no lock, no allocation, no thread-local.
pub(crate) type DescribeOwner = unsafe fn(owner: *mut (), out: &mut SignalWriter);

static DESCRIBE: OnceLock<DescribeOwner> = OnceLock::new();

/// Installs the handler, once in the process; later calls do nothing. Every thread that runs greenlets needs an
/// [`AlternateStack`] besides.
///
/// # Errors
///
/// The system's, when it refuses the handler.
pub(crate) fn install(describe: DescribeOwner) -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    // Set before the handler is installed, which reads it.
    DESCRIBE.get_or_init(|| describe);
    let installed = INSTALLED.get_or_init(|| {
        previous::install_before(on_fault).map_err(|error| error.raw_os_error().unwrap_or(0))
    });
    installed.map_err(io::Error::from_raw_os_error)
}

/// The handler for SIGSEGV and SIGBUS.
///
/// # Safety
///
/// To be called by the kernel only.
unsafe extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole `siginfo_t`; an address is in it if the kernel itself raised the signal.
    let address = unsafe { ((*info).si_code > 0).then(|| (*info).si_addr().addr()) };
    // SAFETY: the kernel passes the interrupted context.
    let stack_pointer = unsafe { interrupted_stack_pointer(context) };
    let overflowed = address.and_then(|address| {
        table::find(address).filter(|slot| address < slot.guard_end && slot.is_in_use_by(stack_pointer))
    });
    match overflowed {
        Some(slot) => report(slot),
        // SAFETY: the kernel's own arguments, and the last thing done here.
        None => unsafe { previous::hand_on(signal, info, context) },
    }
}

impl table::Found {
    /// Whether code with this stack pointer runs on this slot: a wild pointer into another greenlet's guard is not
    /// an overflow of that greenlet. The pointer of an overflowing function may already be below the guard.
    fn is_in_use_by(&self, stack_pointer: Option<usize>) -> bool {
        /// More than any frame that hits the guard rather than jumping over it.
        const BELOW: usize = 1024 * 1024;
        stack_pointer.is_none_or(|pointer| pointer < self.top && pointer >= self.limit.saturating_sub(BELOW))
    }
}

/// Says who overflowed, and aborts.
fn report(slot: table::Found) -> ! {
    let owner = std::ptr::with_exposed_provenance::<AtomicPtr<()>>(slot.header);
    // SAFETY: the header of a slot in a listed region, which stays mapped while this thread runs on it. Acquire pairs
    // with the Release in `set_owner`, for a greenlet that moved here from another thread.
    let owner = unsafe { &*owner }.load(Ordering::Acquire);
    let mut out = SignalWriter::new();
    let _cut_off = out.write_str("\ngreenhub: ");
    match DESCRIBE.get() {
        // SAFETY: the owner that the hub set for the greenlet that runs here, on the thread it runs on.
        Some(describe) if !owner.is_null() => unsafe { describe(owner, &mut out) },
        _ => {
            let _cut_off = out.write_str("an unknown greenlet");
        }
    }
    let _cut_off = writeln!(
        out,
        " overflowed its {} KiB stack; give it more with Builder::stack_size or runtime::Builder::stack_size",
        slot.size / 1024
    );
    out.flush();
    a_greenlet_overflowed_its_stack()
}

/// Aborts. It exists for its name, which stands in the backtrace of the crash.
#[inline(never)]
fn a_greenlet_overflowed_its_stack() -> ! {
    // SAFETY: always safe to call, in a signal handler too.
    unsafe { libc::abort() }
}

/// The stack pointer of the code that the signal interrupted, where we know how to read it.
///
/// # Safety
///
/// `context` must be the third argument of a signal handler.
unsafe fn interrupted_stack_pointer(context: *mut libc::c_void) -> Option<usize> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    // SAFETY: on this system the context is a `ucontext_t`.
    return Some(
        unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RSP as usize] } as usize
    );
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    // SAFETY: on this system the context is a `ucontext_t`.
    return Some(unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.sp } as usize);
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        let _ = context;
        None
    }
}

#[cfg(test)]
mod tests;
