//! Bugs on purpose, one a run: what the sanitizers' scripts start first, so that each has been seen to fail.
//!
//! `planted freed` and the others must each be reported by the tool that is there for it; `planted none` does the same
//! work without a bug, and must not be. Without a tool, a bug here may do anything or nothing.

use clap::{Parser, ValueEnum};
use greenhub::runtime::Builder;
use std::cell::UnsafeCell;
use std::hint::{black_box, spin_loop};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// The command line.
#[derive(Parser)]
struct Options {
    /// Which bug.
    bug: Bug,
}

/// What is done wrong, in a greenlet and across a switch.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bug {
    /// Nothing: everything below, done right.
    None,
    /// A greenlet reads heap memory that another has freed meanwhile.
    Freed,
    /// A greenlet writes through a pointer to a local of a greenlet that has ended.
    DeadStack,
    /// A greenlet reads a local of a function that has returned, after a switch.
    Returned,
    /// A greenlet decides by memory that was never written.
    Unset,
    /// Two hubs write to one word, and nothing orders them.
    Race,
}

fn main() {
    let bug = Options::parse().bug;
    let runtime = Builder::new().hubs(2).build().expect("a runtime starts");
    runtime.run(|| {
        let all = bug == Bug::None;
        if all || bug == Bug::Freed {
            freed(bug);
        }
        if all || bug == Bug::DeadStack {
            dead_stack(bug);
        }
        if all || bug == Bug::Returned {
            returned(bug);
        }
        if all || bug == Bug::Unset {
            unset(bug);
        }
        if all || bug == Bug::Race {
            race(bug);
        }
    });
    println!("planted: came to its end");
}

#[inline(never)]
fn freed(bug: Bug) {
    let value = Box::into_raw(Box::new([7u64; 8]));
    let address = Arc::new(AtomicPtr::new(value.cast::<u64>()));
    let reader = greenhub::spawn({
        let address = Arc::clone(&address);
        move || {
            greenhub::park();
            let address = address.load(Relaxed);
            // SAFETY: none, where the bug is planted: the main greenlet has freed it by then.
            black_box(unsafe { address.read_volatile() });
        }
    });
    // SAFETY: made above, and freed once; where nothing is planted, after the reader's end.
    let free = || drop(unsafe { Box::from_raw(value) });
    if bug == Bug::Freed {
        free();
        reader.greenlet().unpark();
        reader.join().expect("the reader ends");
    } else {
        reader.greenlet().unpark();
        reader.join().expect("the reader ends");
        free();
    }
}

#[inline(never)]
fn dead_stack(bug: Bug) {
    let address = Arc::new(AtomicPtr::new(std::ptr::null_mut()));
    let owner = greenhub::spawn({
        let address = Arc::clone(&address);
        move || {
            // Too large to be kept off the greenlet's own stack, whatever a tool does with locals.
            let mut local = [1u8; 4096];
            address.store(black_box(local.as_mut_ptr()), Relaxed);
            greenhub::park();
            black_box(&mut local);
        }
    });
    while address.load(Relaxed).is_null() {
        greenhub::yield_now();
    }
    let end = || {
        owner.greenlet().unpark();
        owner.join().expect("the owner ends");
    };
    // SAFETY: none, where the bug is planted; else the owner is parked, and touches its local later only.
    let write = || unsafe { address.load(Relaxed).write_volatile(2) };
    if bug == Bug::DeadStack {
        end();
        write();
    } else {
        write();
        end();
    }
}

/// The address of a local that is gone when this returns. (No `black_box` here: it is inline assembly to the compiler, and
/// AddressSanitizer leaves the locals of functions with such on the real stack.)
#[inline(never)]
fn address_of_local(bug: Bug, keep: &mut [u64; 4]) -> *mut u64 {
    let mut local = [3u64; 4];
    // SAFETY: the local lives, as yet.
    unsafe { (&raw mut local[0]).write_volatile(4) };
    if bug == Bug::Returned { (&raw mut local).cast() } else { keep.as_mut_ptr() }
}

#[inline(never)]
fn returned(bug: Bug) {
    let reader = greenhub::spawn(move || {
        let mut kept = [3u64; 4];
        let address = address_of_local(bug, &mut kept);
        greenhub::yield_now();
        // SAFETY: none, where the bug is planted; else it is `kept`.
        black_box(unsafe { address.read_volatile() });
        black_box(&mut kept);
    });
    reader.join().expect("the reader ends");
}

#[inline(never)]
fn unset(bug: Bug) {
    let reader = greenhub::spawn(move || {
        let mut memory = Box::new([MaybeUninit::<u64>::uninit(); 8]);
        if bug != Bug::Unset {
            memory.fill(MaybeUninit::new(5));
        }
        greenhub::yield_now();
        // SAFETY: none, where the bug is planted.
        if unsafe { black_box(&memory)[3].as_ptr().read_volatile() } == 5 {
            println!("planted: five");
        }
    });
    reader.join().expect("the reader ends");
}

/// A word that greenlets of two hubs write to.
struct Word(UnsafeCell<u64>);

// SAFETY: none, where the bug is planted; else a lock is held by whoever writes.
unsafe impl Sync for Word {}

#[inline(never)]
fn race(bug: Bug) {
    let word = Arc::new(Word(UnsafeCell::new(0)));
    let lock = Arc::new(greenhub::sync::Mutex::new(()));
    let here = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (word, lock, here) = (Arc::clone(&word), Arc::clone(&lock), Arc::clone(&here));
            greenhub::spawn(move || {
                // Both hubs at once, since neither greenlet lets go of its own. Relaxed: it must order nothing.
                here.fetch_add(1, Relaxed);
                while here.load(Relaxed) < 2 {
                    spin_loop();
                }
                for _ in 0..100 {
                    let _guard = (bug != Bug::Race).then(|| lock.lock());
                    // SAFETY: none, where the bug is planted; else the lock is held.
                    unsafe { *word.0.get() += 1 };
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("the writer ends");
    }
    // SAFETY: both have ended.
    println!("planted: {} written", unsafe { *word.0.get() });
}
