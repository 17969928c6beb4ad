//! The handlers that were there before ours, and handing a signal on to them as if ours did not exist.
//!
//! Ours runs with their mask and their `SA_NODEFER` and `SA_RESTART`, so that the kernel has already set up what they
//! expect; what is left is to call them in the form they were registered in, or to do what the default does.

use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The signals that an access to a guard page can raise.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// The previous action of each of [`SIGNALS`]. Written once, never freed.
static PREVIOUS: [AtomicPtr<libc::sigaction>; 2] = [const { AtomicPtr::new(null_mut()) }; 2];

type Handler = extern "C" fn(libc::c_int);
/// A handler that is told where and why.
pub(super) type InformedHandler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Puts `ours` before the present handlers. To be called once in the process.
pub(super) fn install_before(ours: InformedHandler) -> io::Result<()> {
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
        // Remember first, install then: ours may be called as soon as it is installed.
        let present = action(signal, None)?;
        let present = Box::into_raw(Box::new(present));
        // Release pairs with the Acquire in `hand_on`: the handler reads a whole action.
        previous.store(present, Ordering::Release);
        // SAFETY: just made, and never freed or written again.
        let mut action_of_ours = unsafe { *present };
        action_of_ours.sa_sigaction = ours as *const () as libc::sighandler_t;
        action_of_ours.sa_flags = (action_of_ours.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART))
            | libc::SA_SIGINFO
            | libc::SA_ONSTACK;
        action(signal, Some(&action_of_ours))?;
    }
    Ok(())
}

/// Lets the previous handler have the signal.
///
/// # Safety
///
/// To be called by a handler for one of [`SIGNALS`], with the arguments it got from the kernel, as its last act.
pub(super) unsafe fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = SIGNALS.iter().position(|&known| known == signal).unwrap_or(0);
    // Acquire pairs with the Release in `install_before`.
    let previous = PREVIOUS[index].load(Ordering::Acquire);
    // SAFETY: stored before our handler was installed, and never freed.
    let previous = unsafe { &*previous };
    // SAFETY: the kernel's, whole.
    let sent_by_a_process = unsafe { (*info).si_code } <= 0;
    match previous.sa_sigaction {
        libc::SIG_IGN if sent_by_a_process => {}
        // The fault happens again on return, and this time as if we had never been there: the kernel does not let a
        // process ignore a fault of its own, and kills it.
        libc::SIG_DFL | libc::SIG_IGN => {
            restore(signal, previous);
            if sent_by_a_process {
                // Nothing will happen again on return, so it is sent again; it is delivered when this handler ends.
                // SAFETY: async-signal-safe, and has no arguments to get wrong.
                unsafe { libc::raise(signal) };
            }
        }
        handler => {
            if previous.sa_flags & libc::SA_RESETHAND != 0 {
                let mut default = *previous;
                default.sa_sigaction = libc::SIG_DFL;
                restore(signal, &default);
            }
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: the flag says that the handler has this type; its arguments are those the kernel gave us.
                unsafe { std::mem::transmute::<usize, InformedHandler>(handler)(signal, info, context) };
            } else {
                // SAFETY: without the flag the handler has this type.
                unsafe { std::mem::transmute::<usize, Handler>(handler)(signal) };
            }
        }
    }
}

fn restore(signal: libc::c_int, previous: &libc::sigaction) {
    if action(signal, Some(previous)).is_err() {
        // Cannot happen for a valid signal; returning would fault for ever.
        // SAFETY: always safe to call.
        unsafe { libc::abort() };
    }
}

/// `sigaction`: sets the action if one is given, and returns the one before.
fn action(signal: libc::c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: all-zero is a valid `sigaction`: the default action, no flags.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or whole, `before` is whole; the handlers installed here live as long as the process.
    if unsafe { libc::sigaction(signal, new, &mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(before)
}
