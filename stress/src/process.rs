//! What the kernel says this process holds, and may hold.

use std::time::Duration;
use std::{fmt, fs, io};

/// Memory, threads, descriptors and mappings of this process.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// Bytes of memory it has touched and keeps.
    pub memory: usize,
    /// Threads.
    pub threads: usize,
    /// Open descriptors, the one that reads the list included.
    pub descriptors: usize,
    /// Mappings.
    pub mappings: usize,
    /// Mappings of one piece far larger than any but a stack region.
    pub regions: usize,
}

impl Resources {
    /// What it holds now.
    pub fn now() -> Self {
        const LARGE: usize = 32 << 20;
        let maps = fs::read_to_string("/proc/self/maps").expect("/proc is there");
        let large = |line: &&str| {
            let mut words = line.split_whitespace();
            let (Some(range), Some("rw-p")) = (words.next(), words.next()) else { return false };
            let Some((from, to)) = range.split_once('-') else { return false };
            let address = |text| usize::from_str_radix(text, 16).expect("an address");
            address(to) - address(from) >= LARGE
        };
        let entries = |path| fs::read_dir(path).expect("/proc is there").count();
        Resources {
            memory: status("VmRSS:") << 10,
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
            mappings: maps.lines().count(),
            regions: maps.lines().filter(large).count(),
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory as f64 / f64::from(1 << 20);
        let Resources { threads, descriptors, mappings, regions, .. } = self;
        write!(
            f,
            "{memory:.1} MiB, {threads} threads, {descriptors} descriptors, {mappings} mappings ({regions} large)"
        )
    }
}

/// How long this process's threads, taken together, have been ready without a processor to run on; `None` where the
/// system does not say.
pub fn waited_for_processors() -> Option<Duration> {
    let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    let each = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let total: u64 = each.sum();
    (total > 0).then(|| Duration::from_nanos(total))
}

/// Bytes of address space this process has.
pub fn address_space() -> usize {
    status("VmSize:") << 10
}

/// Bytes of memory that this process can still have without taking it from others, as far as the system says.
pub fn available_memory() -> usize {
    let system = kilobytes("/proc/meminfo", "MemAvailable:") << 10;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    // In a container the limit is the group's.
    let group =
        number("/sys/fs/cgroup/memory.max").or_else(|| number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    group.map_or(system, |limit| system.min(limit.saturating_sub(used)))
}

fn status(what: &str) -> usize {
    kilobytes("/proc/self/status", what)
}

fn kilobytes(file: &str, what: &str) -> usize {
    let text = fs::read_to_string(file).expect("/proc is there");
    let line = text.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX >> 10)
}

/// One of the limits this process lives under, and its setting.
#[derive(Clone, Copy)]
pub struct Limit {
    resource: libc::__rlimit_resource_t,
    before: libc::rlimit,
}

impl Limit {
    /// On open descriptors: numbers from here up are refused.
    pub fn descriptors() -> Self {
        Self::of(libc::RLIMIT_NOFILE)
    }

    /// On the address space, in bytes.
    pub fn address_space() -> Self {
        Self::of(libc::RLIMIT_AS)
    }

    fn of(resource: libc::__rlimit_resource_t) -> Self {
        let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `before` is writable.
        let failed = unsafe { libc::getrlimit(resource, &raw mut before) };
        assert_eq!(failed, 0, "{}", io::Error::last_os_error());
        Limit { resource, before }
    }

    /// What it was when we looked.
    pub fn value(&self) -> u64 {
        self.before.rlim_cur
    }

    /// Lowers it to this.
    pub fn lower(&self, to: u64) {
        self.set(libc::rlimit { rlim_cur: to.min(self.before.rlim_max), rlim_max: self.before.rlim_max });
    }

    /// Makes it what it was.
    pub fn restore(&self) {
        self.set(self.before);
    }

    fn set(&self, limit: libc::rlimit) {
        // SAFETY: sets one of this process's limits, which frees or moves nothing.
        let failed = unsafe { libc::setrlimit(self.resource, &raw const limit) };
        assert_eq!(failed, 0, "{}", io::Error::last_os_error());
    }
}
