//! What the system says of this process.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
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
