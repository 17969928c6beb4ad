//! Watches the machine, not the runtime: what the steps cost that no runtime can leave out, so that floors can be reckoned
//! from them.

mod lines;

use super::{Scope, Workload, is_default};
use crate::row::Row;
use crate::setting::{Setting, time};
use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Adds to a number that nobody else looks at.
fn read_modify_write(count: u64) -> Duration {
    let number = AtomicU64::new(0);
    time(|| {
        for _ in 0..count {
            black_box(&number).fetch_add(1, Ordering::AcqRel);
        }
    })
}

fn system_call(count: u64) -> Duration {
    time(|| {
        for _ in 0..count {
            // SAFETY: asks for a number.
            black_box(unsafe { libc::getppid() });
        }
    })
}

/// The fence that others pay for, while another thread runs, which each one interrupts. `None` where there is no such fence.
#[cfg(target_os = "linux")]
fn fence_for_all(count: u64) -> Option<Duration> {
    let membarrier = |command: libc::c_int| {
        // SAFETY: a call on numbers, which changes nothing but what the process is registered for.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    };
    if !membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) {
        return None;
    }
    let (running, done) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(|| {
            running.wait();
            while !done.load(Ordering::Relaxed) {
                spin_loop();
            }
        });
        running.wait();
        let passed = time(|| {
            for _ in 0..count {
                assert!(membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED), "the process is registered");
            }
        });
        done.store(true, Ordering::Relaxed);
        Some(passed)
    })
}

#[cfg(not(target_os = "linux"))]
fn fence_for_all(_count: u64) -> Option<Duration> {
    None
}

/// A number goes to another thread and comes back as the next one. `wait` is how either waits for its turn.
fn there_and_back(count: u64, wait: impl Fn() + Sync, wake: impl Fn(&thread::Thread) + Sync) -> Duration {
    let number = AtomicU64::new(0);
    let until = |turn: u64| {
        while number.load(Ordering::Acquire) != turn {
            wait();
        }
    };
    let (here, number, until, wake) = (thread::current(), &number, &until, &wake);
    thread::scope(|threads| {
        let other = threads.spawn(move || {
            for turn in 0..count {
                until(2 * turn + 1);
                number.store(2 * turn + 2, Ordering::Release);
                wake(&here);
            }
        });
        time(|| {
            for turn in 0..count {
                number.store(2 * turn + 1, Ordering::Release);
                wake(other.thread());
                until(2 * turn + 2);
            }
        })
    })
}

fn measured(setting: &Setting, what: &str, count: u64, run: impl Fn(u64) -> Duration) -> Row {
    let count = setting.size(count, 100);
    let times = (0..setting.samples).map(|_| run(count)).collect();
    Row::timed(count, times).part(what)
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "machine",
    watches: "no part of the runtime: what a read-modify-write, a system call, a cache line, a fence for all and a wake cost here",
    scope: Scope::OwnHubs,
    measure: |setting| {
        if !is_default(setting) {
            return Ok(Vec::new());
        }
        let mut rows = vec![
            measured(setting, "read-modify-write", 10_000_000, read_modify_write),
            measured(setting, "system call", 1_000_000, system_call),
        ];
        if thread::available_parallelism()?.get() > 1 {
            let line = |count| there_and_back(count, spin_loop, |_| ());
            rows.push(measured(setting, "a cache line there and back", 1_000_000, line));
            if fence_for_all(1).is_some() {
                let fence = |count| fence_for_all(count).expect("it was there a moment ago");
                rows.push(measured(setting, "membarrier, beside another thread", 100_000, fence));
            }
        }
        for pairs in [1, setting.size(1000, 10)] {
            lines::of_pairs(pairs, pairs)?;
            let what = format!(
                "the {} cache lines of a round trip, of {pairs} pairs in turn",
                lines::OF_A_ROUND_TRIP
            );
            let touched = |count| lines::of_pairs(pairs, count).expect("there was memory a moment ago");
            rows.push(measured(setting, &what, 1_000_000, touched));
        }
        let wake = |count| there_and_back(count, thread::park, thread::Thread::unpark);
        rows.push(measured(setting, "waking a thread, and back", 20_000, wake));
        Ok(rows)
    },
};
