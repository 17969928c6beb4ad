//! What the system says of this process, and where its children run.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident pages of this process.
    pub(crate) resident: u64,
    /// Its page tables, which are not part of `resident`.
    pub(crate) page_tables: u64,
}

impl Memory {
    /// As of now.
    pub(crate) fn now() -> io::Result<Self> {
        // Exact, unlike `statm`, whose counters lag behind by some pages a thread.
        let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
        let status = fs::read_to_string("/proc/self/status")?;
        Ok(Self { resident: kilobytes(&rollup, "Rss:")?, page_tables: kilobytes(&status, "VmPTE:")? })
    }
}

fn kilobytes(text: &str, field: &str) -> io::Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map(|kilobytes| kilobytes << 10)
        .ok_or_else(|| io::Error::other(format!("the system does not tell {field}")))
}

/// The processor time all threads of this process have used.
pub(crate) fn processor_time() -> io::Result<Duration> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to memory for one `rusage`.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has written it.
    let usage = unsafe { usage.assume_init() };
    let span = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(span(usage.ru_utime) + span(usage.ru_stime))
}

/// Allows this process as many open descriptors as it may have; gives how many that is.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to one `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// The cores this process may run on.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the pointer is to a set, as long as is said.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeros is a set, and the call has filled it.
    let set = unsafe { set.assume_init() };
    let most = libc::CPU_SETSIZE as usize;
    // SAFETY: every number asked for is below the set's size.
    Ok((0..most).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect())
}

/// What a child of this process may and must.
pub(crate) trait Child {
    /// It runs on these cores only.
    fn pinned(&mut self, cores: &[usize]);

    /// It does not outlive this process, or rather this process's thread that starts it.
    fn dies_with_us(&mut self);
}

impl Child for Command {
    fn dies_with_us(&mut self) {
        let bind = || {
            // All five are passed, as whole words: the kernel reads five registers.
            const SIGNAL: libc::c_ulong = libc::SIGKILL as libc::c_ulong;
            const UNUSED: libc::c_ulong = 0;
            // SAFETY: the call takes numbers.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, SIGNAL, UNUSED, UNUSED, UNUSED) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe { self.pre_exec(bind) };
    }

    fn pinned(&mut self, cores: &[usize]) {
        // SAFETY: all zeros is a set.
        let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
        for &core in cores {
            // SAFETY: the cores came from such a set.
            unsafe { libc::CPU_SET(core, &mut set) };
        }
        let pin = move || {
            // SAFETY: the pointer is to a set, as long as is said.
            match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe { self.pre_exec(pin) };
    }
}
