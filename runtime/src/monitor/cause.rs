//! Why a hub is stuck: what the system says its OS thread is doing.
//!
//! Linux tells through `/proc/self/task/<thread>/`: `syscall` names the call a thread is blocked in, `wchan` (where a
//! sandbox hides the first) the kernel function, `stat` whether it runs, `schedstat` how long it ran and how long it
//! was ready without a core, `status` how often it blocked. Each may be refused; the less is known, the less is said. It
//! is one look at one moment, so it is the *likely* cause.

use std::fmt;

/// Why a hub is likely stuck in a greenlet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The OS thread sleeps: `std::thread::sleep`.
    Sleep,
    /// It waits for another thread: a std lock, condition variable, channel or `join`.
    Lock,
    /// It waits for a socket: `std::net`, or C code that talks to the network.
    Network,
    /// It waits for a file, a pipe or a terminal.
    File,
    /// It waits for a child process to end.
    Process,
    /// It computes.
    Computation,
    /// It would run, but the machine has had no core for it most of the time.
    Starved,
    /// It is blocked in the system call of this number.
    SystemCall(i64),
    /// The system does not say.
    Unknown,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Sleep => "it sleeps in std::thread::sleep or the like: call greenhub::sleep instead",
            Cause::Lock => {
                "it waits for another thread in a std lock, condition variable, channel or join: use greenhub::sync and \
                 greenhub::channel, or move the call to greenhub::unblock"
            }
            Cause::Network => {
                "it waits for a socket in std::net or foreign code: use greenhub::net, or move the call to \
                 greenhub::unblock"
            }
            Cause::File => "it waits for a file, pipe or terminal: move the call to greenhub::unblock",
            Cause::Process => "it waits for a child process: move the call to greenhub::unblock",
            Cause::Computation => {
                "a long computation: call greenhub::yield_now() now and then, or move it to greenhub::unblock"
            }
            Cause::Starved => {
                "its OS thread is ready to run but gets no core: the machine is overloaded, or there are more hubs than \
                 cores"
            }
            Cause::SystemCall(number) => {
                return write!(f, "it is blocked in system call {number}: move the call to greenhub::unblock");
            }
            Cause::Unknown => {
                "unknown; a call that blocks the OS thread or a long computation: move it to greenhub::unblock, or call \
                 greenhub::yield_now() now and then"
            }
        })
    }
}

/// How long a thread has run, and how long it has been ready without a core, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CoreTime {
    /// When this was read.
    at: u64,
    ran: u64,
    /// Of the waits for a core that have ended: the kernel adds one that goes on only when it is over. A virtual
    /// machine's kernel adds nothing for the time in which its host ran somebody else.
    waited: u64,
    /// How often the thread has blocked.
    blocked: u64,
}

#[cfg(any(target_os = "linux", test))]
impl CoreTime {
    /// Whether between two readings the thread, which is ready or runs, waited for a core most of the time.
    fn starved_since(self, before: CoreTime) -> bool {
        let ran = self.ran.saturating_sub(before.ran);
        let counted = self.waited.saturating_sub(before.waited);
        // It was ready all the while, so whenever it did not run it waited.
        let ready = if self.blocked == before.blocked { self.at.saturating_sub(before.at) } else { 0 };
        counted.max(ready.saturating_sub(ran)) > ran
    }

    fn parse(at: u64, schedstat: &str, status: &str) -> Option<Self> {
        let mut numbers = schedstat.split_ascii_whitespace().map(str::parse);
        let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let blocked = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some(Self { at, ran, waited, blocked: blocked.trim().parse().ok()? })
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Cause, CoreTime, by_kernel_function, state_letter};
    use crate::timer::clock;
    use std::fs;

    /// The calling thread's number.
    pub(crate) fn thread_number() -> u32 {
        // SAFETY: reads a number of the calling thread.
        let number = unsafe { libc::gettid() };
        number.cast_unsigned()
    }

    fn read(thread: u32, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/self/task/{thread}/{file}")).ok()
    }

    pub(crate) fn core_time(thread: u32) -> Option<CoreTime> {
        CoreTime::parse(clock::now(), &read(thread, "schedstat")?, &read(thread, "status")?)
    }

    /// What that thread is doing.
    pub(crate) fn cause_of(thread: u32, core_time_before: Option<CoreTime>) -> Cause {
        match by_system_call(thread).or_else(|| by_state(thread)) {
            Some(Cause::Computation) => {
                let starved = core_time_before
                    .zip(core_time(thread))
                    .is_some_and(|(before, now)| now.starved_since(before));
                if starved { Cause::Starved } else { Cause::Computation }
            }
            Some(cause) => cause,
            None => Cause::Unknown,
        }
    }

    fn by_state(thread: u32) -> Option<Cause> {
        match state_letter(&read(thread, "stat")?)? {
            'R' => Some(Cause::Computation),
            _ => by_kernel_function(&read(thread, "wchan")?),
        }
    }

    fn by_system_call(thread: u32) -> Option<Cause> {
        let line = read(thread, "syscall")?;
        let mut words = line.split_ascii_whitespace();
        let first = words.next()?;
        if first == "running" {
            return Some(Cause::Computation);
        }
        let number: i64 = first.parse().ok()?;
        if number < 0 {
            // Blocked, but not in a call: a page that must be fetched, say.
            return None;
        }
        let argument = words.next().and_then(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        Some(classify(number, argument))
    }

    fn classify(number: i64, first_argument: Option<u64>) -> Cause {
        match number {
            libc::SYS_nanosleep | libc::SYS_clock_nanosleep => Cause::Sleep,
            libc::SYS_futex => Cause::Lock,
            libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg
            | libc::SYS_connect
            | libc::SYS_accept
            | libc::SYS_accept4
            | libc::SYS_ppoll
            | libc::SYS_pselect6
            | libc::SYS_epoll_pwait => Cause::Network,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll | libc::SYS_select | libc::SYS_epoll_wait => Cause::Network,
            libc::SYS_read | libc::SYS_write | libc::SYS_readv | libc::SYS_writev => match first_argument {
                Some(descriptor) if is_socket(descriptor) => Cause::Network,
                _ => Cause::File,
            },
            libc::SYS_pread64
            | libc::SYS_pwrite64
            | libc::SYS_openat
            | libc::SYS_fsync
            | libc::SYS_fdatasync
            | libc::SYS_flock
            | libc::SYS_fcntl
            | libc::SYS_splice
            | libc::SYS_sendfile
            | libc::SYS_copy_file_range => Cause::File,
            libc::SYS_wait4 | libc::SYS_waitid => Cause::Process,
            other => Cause::SystemCall(other),
        }
    }

    fn is_socket(descriptor: u64) -> bool {
        fs::read_link(format!("/proc/self/fd/{descriptor}"))
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Cause, CoreTime};

    /// Systems that do not tell what a thread does need no number for it.
    pub(crate) fn thread_number() -> u32 {
        0
    }

    pub(crate) fn core_time(_thread: u32) -> Option<CoreTime> {
        None
    }

    pub(crate) fn cause_of(_thread: u32, _core_time_before: Option<CoreTime>) -> Cause {
        Cause::Unknown
    }
}

pub(crate) use system::thread_number;
pub(super) use system::{cause_of, core_time};

/// The third field of `stat`; the second is a name in parentheses that may hold anything.
#[cfg(any(target_os = "linux", test))]
fn state_letter(stat: &str) -> Option<char> {
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

/// What a thread waits for in that function of the kernel.
#[cfg(any(target_os = "linux", test))]
fn by_kernel_function(name: &str) -> Option<Cause> {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&["nanosleep"]) {
        Some(Cause::Sleep)
    } else if has(&["futex"]) {
        Some(Cause::Lock)
    } else if has(&["sk_", "skb", "inet_", "unix_stream", "unix_dgram", "poll", "select"]) {
        Some(Cause::Network)
    } else if has(&["pipe", "tty", "lock_inode", "folio", "writeback"]) {
        Some(Cause::File)
    } else if has(&["do_wait"]) {
        Some(Cause::Process)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_writes_is_understood() {
        assert_eq!(state_letter("7 (a) R b) S 1 2 3"), Some('S'));
        assert_eq!(state_letter("garbage"), None);
        assert_eq!(by_kernel_function("hrtimer_nanosleep"), Some(Cause::Sleep));
        assert_eq!(by_kernel_function("futex_wait_queue"), Some(Cause::Lock));
        assert_eq!(by_kernel_function("sk_wait_data"), Some(Cause::Network));
        assert_eq!(by_kernel_function("0"), None);
    }

    #[test]
    fn a_thread_that_waited_longer_than_it_ran_was_starved() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t7\n";
        let before = CoreTime::parse(100, "1000 50 3\n", status).unwrap();
        assert_eq!(before, CoreTime { at: 100, ran: 1000, waited: 50, blocked: 5 });
        let after = CoreTime { at: 200, blocked: 6, ..before };
        assert!(CoreTime { ran: 1010, waited: 90, ..after }.starved_since(before));
        assert!(!CoreTime { ran: 1100, waited: 90, ..after }.starved_since(before));
        // It has blocked meanwhile, so where the time went nobody knows.
        assert!(!CoreTime { ran: 1010, ..after }.starved_since(before));
        // A wait for a core that goes on, or for the host: counted nowhere.
        assert!(CoreTime { ran: 1010, blocked: 5, ..after }.starved_since(before));
        assert!(!CoreTime { ran: 1090, blocked: 5, ..after }.starved_since(before));
        assert_eq!(CoreTime::parse(0, "none", status), None);
        assert_eq!(CoreTime::parse(0, "1 2 3", "Name:\tx"), None);
    }
}
