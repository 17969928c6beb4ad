//! The lopsided fence over `membarrier(2)`, with the private expedited command, which reaches the running threads of this
//! process only and needs to be asked for once.

use std::sync::atomic::{AtomicU8, Ordering, compiler_fence, fence};

const UNKNOWN: u8 = 0;
const GRANTED: u8 = 1;
const REFUSED: u8 = 2;

/// Whether the kernel does it. Decided once, before the first light fence gets away with doing nothing.
static KERNEL: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The side that is passed often.
#[inline]
pub(crate) fn light() {
    // Relaxed: once `GRANTED` it stays so, and the value orders nothing.
    match KERNEL.load(Ordering::Relaxed) {
        // The other side makes this thread pass a barrier; only the compiler is left to be held back.
        GRANTED => compiler_fence(Ordering::SeqCst),
        _ => light_slow(),
    }
}

/// The side that is passed often, where the caller knows that the fence [is lopsided](is_lopsided).
#[inline]
pub(crate) fn light_for_sure() {
    compiler_fence(Ordering::SeqCst);
}

/// Whether the kernel does it, so that the light side costs nothing. Once it does, it is so for good.
#[inline]
pub(crate) fn is_lopsided() -> bool {
    // Relaxed: as above.
    KERNEL.load(Ordering::Relaxed) == GRANTED
}

/// The side that pays.
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    if is_granted() && !command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
        // Asked for again, in case this process is a copy that the kernel has not been asked for.
        let again = command(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
            && command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        if !again {
            // The other side has relied on it, and cannot be called back. Unwinding would leave others waiting for us.
            eprintln!(
                "greenhub: membarrier(2) was granted and is now refused ({}): if a filter of system calls was installed, \
                 let it pass, or install the filter before the first runtime starts. The program ends here",
                std::io::Error::last_os_error()
            );
            std::process::abort();
        }
    }
}

/// Asks the kernel, so that no fence has to. To be called before threads are started that pass fences: of a process with
/// several threads the kernel waits for each to pass by, which takes milliseconds (5 to 15 were seen), and the first to
/// need a fence would be stopped for so long.
pub(crate) fn prepare() {
    is_granted();
}

#[cold]
fn light_slow() {
    if !is_granted() {
        fence(Ordering::SeqCst);
    }
}

fn is_granted() -> bool {
    match KERNEL.load(Ordering::Relaxed) {
        UNKNOWN => {
            let granted = command(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
            // Whoever was first decides; another thread's answer could only be another one if a filter came in between.
            let answer = if granted { GRANTED } else { REFUSED };
            let _first = KERNEL.compare_exchange(UNKNOWN, answer, Ordering::Relaxed, Ordering::Relaxed);
            KERNEL.load(Ordering::Relaxed) == GRANTED
        }
        answer => answer == GRANTED,
    }
}

/// Whether the kernel did it.
fn command(command: libc::c_int) -> bool {
    // SAFETY: takes no pointers, and changes nothing but what threads have seen of each other's writes.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Of two threads that each write and then look at the other's word, one sees the other (the test that fails without
    /// any fence: both read the old value out of their store buffers).
    #[test]
    fn of_two_that_write_and_look_one_sees_the_other() {
        let words = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let round = AtomicUsize::new(0);
        let seen = AtomicUsize::new(0);
        const ROUNDS: usize = 2_000;
        let meet = |to: usize| {
            round.fetch_add(1, Ordering::SeqCst);
            while round.load(Ordering::SeqCst) < to {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 1..=ROUNDS {
                    meet(turn * 4 - 2);
                    words[0].store(turn, Ordering::Relaxed);
                    light();
                    let saw = words[1].load(Ordering::Relaxed) == turn;
                    seen.fetch_add(usize::from(saw), Ordering::SeqCst);
                    meet(turn * 4);
                }
            });
            for turn in 1..=ROUNDS {
                meet(turn * 4 - 2);
                words[1].store(turn, Ordering::Relaxed);
                heavy();
                let saw = words[0].load(Ordering::Relaxed) == turn;
                seen.fetch_add(usize::from(saw), Ordering::SeqCst);
                meet(turn * 4);
                assert!(seen.swap(0, Ordering::SeqCst) >= 1, "neither saw the other in round {turn}");
            }
        });
    }
}
