//! Crashes, each in a child process.

use super::*;
use crate::stack::guard::GuardPolicy;
use crate::stack::tests::{child_part, new_cache, run_child, small, text};
use crate::stack::{Stack, StackConfig};
use corosensei::Coroutine;
use corosensei::stack::Stack as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

/// What an owner is in these tests.
struct Named(&'static str);

unsafe fn describe(owner: *mut (), out: &mut SignalWriter) {
    // SAFETY: the tests set a `Named` as owner, and it outlives the coroutine.
    let named = unsafe { &*owner.cast::<Named>() };
    let _cut_off = write!(out, "greenlet '{}' (#7, spawned at src/main.rs:12)", named.0);
}

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = std::hint::black_box([depth; 64]);
    if std::hint::black_box(depth) == usize::MAX { 0 } else { recurse(depth + 1) + frame[depth % 64] }
}

/// Overflows the third of five stacks.
fn overflow_a_greenlet(guards: GuardPolicy) {
    install(describe).unwrap();
    let _alternate = AlternateStack::install().unwrap();
    let _another_runtime = new_cache(StackConfig::default()).take(small());
    let mut cache = new_cache(StackConfig { guards, ..StackConfig::default() });
    let names = ["a", "b", "c", "d", "e"].map(Named);
    let stacks = [(); 5].map(|()| cache.take(small()).unwrap());
    let [_a, _b, third, _d, _e] = stacks.map({
        let mut names = names.iter();
        move |stack| {
            stack.set_owner(std::ptr::from_ref(names.next().unwrap()).cast_mut().cast());
            stack
        }
    });
    let mut coroutine = Coroutine::<(), (), usize, Stack>::with_stack(third, |_, ()| recurse(0));
    coroutine.resume(());
}

/// Runs this module's `test` in a child.
fn crash(test: &str, part: &str) -> Output {
    run_child(&format!("stack::overflow::tests::{test}"), part, &[])
}

#[track_caller]
fn assert_died_of(output: &Output, signal: libc::c_int) {
    assert_eq!(output.status.signal(), Some(signal), "{:?}: {}", output.status, text(&output.stderr));
}

#[test]
fn an_overflow_names_the_greenlet_and_aborts() {
    match child_part().as_deref() {
        Some("marks") => overflow_a_greenlet(GuardPolicy::Best),
        Some(_) => overflow_a_greenlet(GuardPolicy::Mprotect),
        None => {
            for guards in ["marks", "protected pages"] {
                let output = crash("an_overflow_names_the_greenlet_and_aborts", guards);
                assert_died_of(&output, libc::SIGABRT);
                let expected = "\ngreenhub: greenlet 'c' (#7, spawned at src/main.rs:12) overflowed its 64 KiB stack; \
                                give it more with Builder::stack_size or runtime::Builder::stack_size\n";
                assert!(text(&output.stderr).contains(expected), "{guards}: {}", text(&output.stderr));
            }
        }
    }
}

#[test]
fn an_overflow_of_an_ordinary_thread_is_left_to_std() {
    if child_part().is_some() {
        install(describe).unwrap();
        let thread = std::thread::Builder::new().name("ordinary".into()).spawn(|| recurse(0)).unwrap();
        thread.join().unwrap();
        return;
    }
    let output = crash("an_overflow_of_an_ordinary_thread_is_left_to_std", "child");
    assert_died_of(&output, libc::SIGABRT);
    let said = text(&output.stderr);
    assert!(said.contains("thread 'ordinary'") && said.contains("has overflowed its stack"), "{said}");
    assert!(!said.contains("greenhub:"), "{said}");
}

#[test]
fn a_wild_pointer_into_a_guard_is_no_overflow() {
    if child_part().is_some() {
        install(describe).unwrap();
        let _alternate = AlternateStack::install().unwrap();
        let stack = new_cache(StackConfig::default()).take(small()).unwrap();
        let guard = std::ptr::with_exposed_provenance_mut::<u8>(stack.limit().get());
        // SAFETY: deliberately none: it must fault.
        unsafe { guard.write_volatile(1) };
        return;
    }
    let output = crash("a_wild_pointer_into_a_guard_is_no_overflow", "child");
    assert_died_of(&output, libc::SIGSEGV);
    assert!(!text(&output.stderr).contains("greenhub:"), "{}", text(&output.stderr));
}

#[test]
fn the_handler_that_was_there_before_gets_every_other_fault() {
    extern "C" fn with_number(signal: libc::c_int) {
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(20 + signal) };
    }
    extern "C" fn with_address(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes a whole `siginfo_t`; ending the process is async-signal-safe.
        unsafe { libc::_exit((*info).si_addr().addr() as libc::c_int) };
    }
    let set = |handler: usize, flags| {
        // SAFETY: all-zero is a valid action, and the handlers have the form that the flags promise.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
        }
    };
    let name = "the_handler_that_was_there_before_gets_every_other_fault";
    let Some(part) = child_part() else {
        let code = |part| crash(name, part).status.code();
        assert_eq!(code("with number"), Some(20 + libc::SIGSEGV));
        assert_eq!(code("with address"), Some(99));
        assert_eq!(code("ignored, sent"), Some(0));
        assert_died_of(&crash(name, "ignored, faults"), libc::SIGSEGV);
        assert_died_of(&crash(name, "default, faults"), libc::SIGSEGV);
        assert_died_of(&crash(name, "default, sent"), libc::SIGSEGV);
        return;
    };
    match part.split(',').next().unwrap() {
        "with number" => set(with_number as *const () as usize, 0),
        "with address" => set(with_address as *const () as usize, libc::SA_SIGINFO),
        "ignored" => set(libc::SIG_IGN, 0),
        _ => set(libc::SIG_DFL, 0),
    }
    install(describe).unwrap();
    if part.ends_with("sent") {
        // SAFETY: sends a signal to this very thread.
        unsafe { libc::raise(libc::SIGSEGV) };
    } else {
        // SAFETY: deliberately none: it must fault.
        unsafe { std::ptr::without_provenance_mut::<u8>(99).write_volatile(1) };
    }
}
