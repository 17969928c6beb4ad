//! What is left of a runtime: greenlets, stacks, timers and registrations by its own counters; threads, descriptors
//! and mappings by the kernel's.

use super::{Place, World, within};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the process holds.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    /// Threads that a test or a runtime started. All such threads bear our mark.
    threads: BTreeMap<String, String>,
    descriptors: BTreeSet<String>,
    regions: usize,
}

const MARK: &str = "greenhub";

/// Threads inherit the name of the one that starts them, so marking this one marks all that a test leaves behind.
pub(crate) fn mark_this_thread() {
    // SAFETY: the name is a C string of less than 16 bytes, and it is the calling thread's own name.
    let failed = unsafe { libc::prctl(libc::PR_SET_NAME, c"greenhub-test".as_ptr()) };
    assert_eq!(failed, 0);
}

impl Resources {
    pub(crate) fn now() -> Resources {
        // The kernel's list may leave threads out while others end.
        let threads = (0..3).flat_map(|_| threads()).collect();
        Resources { threads, descriptors: descriptors(), regions: regions() }
    }
}

/// By number, with their names, which a thread may change.
fn threads() -> BTreeMap<String, String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc is there");
    let named = tasks.filter_map(|task| {
        let task = task.ok()?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        name.starts_with(MARK).then(|| (task.file_name().to_string_lossy().into_owned(), name))
    });
    named.collect()
}

/// The open descriptors, with what they are; the one that reads the list is not among them.
fn descriptors() -> BTreeSet<String> {
    let list = std::fs::read_dir("/proc/self/fd").expect("/proc is there");
    let open = list.filter_map(|entry| {
        let entry = entry.ok()?;
        let what = std::fs::read_link(entry.path()).ok()?;
        let itself = what.to_string_lossy().ends_with("/fd");
        (!itself).then(|| format!("{} {}", entry.file_name().to_string_lossy(), what.display()))
    });
    open.collect()
}

/// The large mappings that the kernel was told to keep huge pages out of. Nobody has both but stacks: threads' stacks are
/// smaller, and the allocator lets huge pages in.
fn regions() -> usize {
    const LARGE_IN_KB: u64 = 32 << 10;
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("/proc is there");
    let (mut size, mut count) = (0, 0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Size:") => size = words.next().and_then(|number| number.parse().ok()).expect("a size"),
            Some("VmFlags:") if size >= LARGE_IN_KB => count += usize::from(words.any(|flag| flag == "nh")),
            _ => {}
        }
    }
    count
}

/// How many mappings the process has.
pub(crate) fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("/proc is there").lines().count()
}

/// Fails if greenlets, or what belongs to greenlets, are still there after a test's body.
#[track_caller]
pub(crate) fn expect_no_greenlets(world: &World) {
    let clean = || {
        let now = world.runtime.metrics();
        now.live == 0
            && now.stacks_in_use == 0
            && now.blocking_jobs == 0
            && now.hubs.iter().all(|hub| {
                hub.timers == 0 && hub.registrations == 0 && hub.live_started == 0 && hub.waiting_outside == 0
            })
    };
    assert!(
        within(Duration::from_secs(5), clean),
        "the test on {:?} left something: {:#?}\n{}",
        world.place,
        world.runtime.metrics(),
        greenhub::runtime::dump()
    );
}

/// Fails if the process holds what it did not hold before the runtime was started.
#[track_caller]
pub(crate) fn expect_as_before(before: &Resources, place: Place) {
    // A joined thread takes a moment to leave the kernel's list.
    let same = |now: &Resources| {
        now.threads.keys().all(|thread| before.threads.contains_key(thread))
            && now.descriptors.is_subset(&before.descriptors)
            && now.regions <= before.regions
    };
    let mut now = Resources::now();
    let clean = within(Duration::from_secs(5), || {
        now = Resources::now();
        same(&now)
    });
    let threads: Vec<_> =
        now.threads.iter().filter(|(thread, _)| !before.threads.contains_key(*thread)).collect();
    let descriptors: Vec<_> = now.descriptors.difference(&before.descriptors).collect();
    let regions = now.regions.saturating_sub(before.regions);
    assert!(
        clean,
        "the runtime on {place:?} left behind: threads {threads:?}, descriptors {descriptors:?}, {regions} stack regions"
    );
}
