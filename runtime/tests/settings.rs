//! A runtime's settings: what is refused and how, the environment, and hubs bound to cores.

mod common;

use common::{child, left, stay};
use greenhub::runtime::Builder;
use std::collections::BTreeSet;
use std::time::Duration;

const SECONDS: Duration = Duration::from_secs(20);

#[test]
fn bad_settings_are_clear_errors() {
    let _alone = common::alone();
    let refused = |builder: Builder, word: &str| {
        let error = builder.build().expect_err("these settings make no runtime");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(Builder::new().hubs(0), "hub");
    refused(Builder::new().hubs(1_000_000), "4096");
    refused(Builder::new().hubs(usize::MAX), "hubs");
    refused(Builder::new().hubs(1).stack_size(usize::MAX), "stack");
    refused(Builder::new().hubs(1).stack_size(1 << 45), "stack");
    refused(Builder::new().hubs(1).max_stacks(0), "stack");
    refused(Builder::new().hubs(1).blocking_threads(0), "thread");
}

#[test]
fn a_wrong_variable_is_a_clear_error() {
    const NAME: &str = "a_wrong_variable_is_a_clear_error";
    if child::is_child(NAME) {
        let error = Builder::new().build().expect_err("the variable is wrong");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("GREENHUB_HUBS"), "{error}");
        let error = greenhub::Builder::new().spawn(|| ()).expect_err("no default runtime");
        assert!(error.to_string().contains("GREENHUB_HUBS"), "{error}");
        assert_eq!(Builder::new().hubs(1).build().unwrap().metrics().hubs.len(), 1, "what is said counts");
        greenhub::run(|| ());
        return;
    }
    for wrong in ["0", "-1", "many", "", "1.5", "99999999999999999999", "100000"] {
        let output = child::run(NAME, |command| _ = command.env("GREENHUB_HUBS", wrong));
        assert!(!output.status.success());
        let text = child::text(&output.stderr);
        assert!(text.contains("the default runtime does not start"), "with {wrong:?}: {text}");
        assert!(text.contains("GREENHUB_HUBS"), "with {wrong:?}: {text}");
    }
}

#[test]
fn a_wrong_way_to_migrate_is_a_clear_error_where_greenlets_migrate() {
    const NAME: &str = "a_wrong_way_to_migrate_is_a_clear_error_where_greenlets_migrate";
    if child::is_child(NAME) {
        let error = common::roam(1).builder().build().expect_err("the variable is wrong");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("GREENHUB_MIGRATE=\"sometimes\""), "{error}");
        common::stay(1).builder().build().unwrap();
        return;
    }
    child::succeed(NAME, |command| _ = command.env("GREENHUB_MIGRATE", "sometimes"));
}

#[test]
fn the_variable_sets_the_number_of_hubs() {
    const NAME: &str = "the_variable_sets_the_number_of_hubs";
    if child::is_child(NAME) {
        assert_eq!(Builder::new().build().unwrap().metrics().hubs.len(), 3);
        assert_eq!(Builder::new().hubs(2).build().unwrap().metrics().hubs.len(), 2);
        return;
    }
    child::succeed(NAME, |command| _ = command.env("GREENHUB_HUBS", " 3 "));
}

#[test]
fn an_exhausted_limit_is_an_error_and_leaves_nothing() {
    const NAME: &str = "an_exhausted_limit_is_an_error_and_leaves_nothing";
    if child::is_child(NAME) {
        let _alone = common::alone();
        let before = left::Resources::now();
        let limit = libc::rlimit { rlim_cur: 60, rlim_max: 60 };
        // SAFETY: lowers a limit of this process, a child made for it.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        let error = Builder::new().hubs(500).build().expect_err("500 hubs need more than 60 descriptors");
        assert_eq!(error.raw_os_error().or(Some(libc::EMFILE)), Some(libc::EMFILE), "{error}");
        assert!(!error.to_string().is_empty());
        left::expect_as_before(&before, stay(500));
        let runtime = Builder::new().hubs(2).build().unwrap();
        assert_eq!(runtime.run(|| greenhub::spawn(|| 4).join().unwrap()), 4);
        return;
    }
    child::succeed(NAME, |_| {});
}

/// The affinity of each hub's OS thread.
fn affinities(hubs: usize) -> Vec<BTreeSet<usize>> {
    let mut found = vec![BTreeSet::new(); hubs];
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else { continue };
        let Some(Ok(hub)) = name.trim().strip_prefix("greenhub-hub-").map(str::parse::<usize>) else {
            continue;
        };
        let thread: i32 = task.file_name().to_string_lossy().parse().unwrap();
        found[hub] = affinity_of(thread);
    }
    found
}

fn affinity_of(thread: i32) -> BTreeSet<usize> {
    // SAFETY: all zeros is an empty set, and the call writes no more than it is told the size of.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &raw mut set), 0);
        set
    };
    // SAFETY: the numbers are below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

#[test]
fn pinned_hubs_are_each_on_one_core_of_those_allowed() {
    let _alone = common::alone();
    let allowed = affinity_of(0);
    for hubs in [1, 2, allowed.len(), allowed.len() * 2 + 1] {
        let runtime = Builder::new().hubs(hubs).pin_hubs(true).build().unwrap();
        let all_on_one = || {
            let now = affinities(hubs);
            now.iter().all(|cores| cores.len() == 1 && cores.is_subset(&allowed))
                && now.iter().flatten().collect::<BTreeSet<_>>().len() == hubs.min(allowed.len())
        };
        assert!(common::within(SECONDS, all_on_one), "{hubs} hubs: {:?}", affinities(hubs));
        assert_eq!(runtime.run(|| greenhub::spawn(|| 2).join().unwrap()), 2);
        assert!(runtime.shutdown_timeout(SECONDS));
    }
    let free = Builder::new().hubs(2).build().unwrap();
    // A thread that has been joined is still listed until the kernel is done with it.
    let unpinned = || affinities(2).iter().all(|cores| *cores == allowed);
    assert!(common::within(SECONDS, unpinned), "hubs that were not to be pinned are: {:?}", affinities(2));
    assert!(free.shutdown_timeout(SECONDS));
}

#[test]
fn pinning_stays_within_a_mask_of_one_core() {
    let _alone = common::alone();
    let narrow = std::thread::spawn(|| {
        let core = *affinity_of(0).last().unwrap();
        // SAFETY: all zeros is an empty set; the number is below the set's size; the call reads what it is told.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(core, &mut set);
            assert_eq!(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set), 0);
        }
        let runtime = Builder::new().hubs(3).pin_hubs(true).build().unwrap();
        let all_there = || affinities(3).iter().all(|cores| cores.iter().eq([&core]));
        assert!(common::within(SECONDS, all_there), "{:?} instead of core {core}", affinities(3));
        assert_eq!(runtime.run(|| greenhub::spawn(|| 2).join().unwrap()), 2);
        assert!(runtime.shutdown_timeout(SECONDS));
    });
    narrow.join().unwrap();
}
