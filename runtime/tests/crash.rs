//! What ends the process and what does not, each in a child process: panics where none may be, aborts, threads that
//! are ended from outside. The guide's page on crashes has the table. (Stack overflows are among the tests of stacks.)

mod common;

use common::child::{self, text};
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Runs the test `name` in a process of its own, which must end by SIGABRT and print all these.
#[track_caller]
fn expect_abort(name: &str, words: &[&str]) -> Output {
    let output = child::run(name, |_| {});
    let printed = text(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "it ended with {}: {printed}", output.status);
    expect_words(&output, words);
    output
}

/// As [`expect_abort`], for one that must succeed.
#[track_caller]
fn expect_survival(name: &str, words: &[&str]) -> Output {
    let output = child::succeed(name, |_| {});
    expect_words(&output, words);
    output
}

#[track_caller]
fn expect_words(output: &Output, words: &[&str]) {
    let printed = text(&output.stderr);
    for word in words {
        assert!(printed.contains(word), "no {word:?} in {printed}");
    }
}

/// Panics when dropped, always.
struct Bad(&'static str);

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// A neighbour on each of two hubs that must not be harmed, and the last word of who survives.
fn beside_others(f: impl FnOnce()) {
    let others: Vec<_> = (0..4)
        .map(|n| {
            greenhub::spawn(move || {
                greenhub::sleep(Duration::from_millis(5));
                n
            })
        })
        .collect();
    f();
    for (n, other) in others.into_iter().enumerate() {
        assert_eq!(other.join().unwrap(), n);
    }
    assert_eq!(greenhub::run(|| greenhub::spawn(|| 7).join().unwrap()), 7);
}

#[test]
fn a_second_panic_while_one_unwinds_aborts() {
    const NAME: &str = "a_second_panic_while_one_unwinds_aborts";
    if child::is_child(NAME) {
        let doubly = greenhub::spawn(|| {
            let _bad = Bad("the second");
            greenhub::yield_now();
            panic!("the first");
        });
        drop(doubly.join());
        return;
    }
    expect_abort(NAME, &["the first", "the second", "destructor"]);
}

#[test]
fn a_panic_in_a_destructor_while_a_kill_unwinds_aborts() {
    const NAME: &str = "a_panic_in_a_destructor_while_a_kill_unwinds_aborts";
    if child::is_child(NAME) {
        greenhub::run(|| {
            let victim = common::spawn_begun(|| {
                let _bad = Bad("in the middle of a kill");
                greenhub::park();
            });
            victim.kill();
            drop(victim.join());
        });
        return;
    }
    expect_abort(NAME, &["in the middle of a kill", "destructor"]);
}

#[test]
fn a_destructor_that_looks_first_whether_this_greenlet_unwinds_may_panic() {
    const NAME: &str = "a_destructor_that_looks_first_whether_this_greenlet_unwinds_may_panic";
    struct Careful;
    impl Drop for Careful {
        fn drop(&mut self) {
            assert!(greenhub::panicking(), "dropped in peace");
        }
    }
    if child::is_child(NAME) {
        greenhub::run(|| {
            let victim = common::spawn_begun(|| {
                let _careful = Careful;
                greenhub::park();
            });
            victim.kill();
            assert!(victim.join().unwrap_err().is_killed());
            assert!(greenhub::spawn(|| drop(Careful)).join().unwrap_err().is_panic());
        });
        return;
    }
    expect_survival(NAME, &["dropped in peace"]);
}

#[test]
fn an_abort_in_a_greenlet_is_one() {
    const NAME: &str = "an_abort_in_a_greenlet_is_one";
    if child::is_child(NAME) {
        greenhub::spawn(|| std::process::abort()).join().unwrap();
        return;
    }
    let output = expect_abort(NAME, &[]);
    assert!(!text(&output.stderr).contains("greenhub:"), "{}", text(&output.stderr));
}

#[test]
fn an_exit_in_a_greenlet_ends_the_process_with_its_code() {
    const NAME: &str = "an_exit_in_a_greenlet_ends_the_process_with_its_code";
    if child::is_child(NAME) {
        let _others: Vec<_> = (0..100).map(|_| greenhub::spawn(greenhub::park)).collect();
        greenhub::spawn(|| std::process::exit(9)).join().unwrap();
    }
    assert_eq!(child::run(NAME, |_| {}).status.code(), Some(9));
}

#[test]
fn a_panic_in_the_panic_hook_aborts() {
    const NAME: &str = "a_panic_in_the_panic_hook_aborts";
    if child::is_child(NAME) {
        std::panic::set_hook(Box::new(|_| panic!("the hook's own")));
        drop(greenhub::spawn(|| panic!("the greenlet's")).join());
        return;
    }
    expect_abort(NAME, &["while processing"]);
}

#[test]
fn a_blocking_call_in_the_panic_hook_blocks_and_no_more() {
    const NAME: &str = "a_blocking_call_in_the_panic_hook_blocks_and_no_more";
    if child::is_child(NAME) {
        std::panic::set_hook(Box::new(|_| greenhub::sleep(Duration::from_millis(2))));
        beside_others(|| {
            for _ in 0..10 {
                assert!(greenhub::spawn(|| panic!("expected")).join().unwrap_err().is_panic());
            }
        });
        return;
    }
    expect_survival(NAME, &[]);
}

#[test]
fn a_panic_in_the_error_handler_is_printed_and_goes_no_further() {
    const NAME: &str = "a_panic_in_the_error_handler_is_printed_and_goes_no_further";
    if child::is_child(NAME) {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        greenhub::on_error(|_, _| {
            CALLS.fetch_add(1, SeqCst);
            panic!("the handler's own");
        });
        beside_others(|| {
            drop(greenhub::Builder::new().name("lost".into()).spawn(|| panic!("nobody joins this")).unwrap());
            common::eventually("the handler was called", || CALLS.load(SeqCst) == 1);
        });
        return;
    }
    expect_survival(
        NAME,
        &["nobody joins this", "error handler itself panicked", "'lost'", "the handler's own"],
    );
}

#[test]
fn a_panic_in_the_destructor_of_a_greenlet_local_is_printed_and_goes_no_further() {
    const NAME: &str = "a_panic_in_the_destructor_of_a_greenlet_local_is_printed_and_goes_no_further";
    greenhub::greenlet_local! {
        static LOCAL: Bad = Bad("a local's destructor");
    }
    if child::is_child(NAME) {
        beside_others(|| {
            let named = greenhub::Builder::new().name("keeper".into());
            let keeper = named.spawn(|| LOCAL.with(|local| local.0.len())).unwrap();
            assert_eq!(keeper.join().unwrap(), "a local's destructor".len(), "its result was lost");
        });
        return;
    }
    expect_survival(NAME, &["a local's destructor", "'keeper'", "nobody joined it"]);
}

#[test]
fn a_panic_in_a_job_is_its_caller_s_and_its_thread_goes_on() {
    const NAME: &str = "a_panic_in_a_job_is_its_caller_s_and_its_thread_goes_on";
    if child::is_child(NAME) {
        let runtime = greenhub::runtime::Builder::new().hubs(2).blocking_threads(1).build().unwrap();
        for _ in 0..20 {
            let error = runtime.spawn(|| greenhub::unblock(|| panic!("in a job"))).join().unwrap_err();
            assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"in a job"));
            assert_eq!(runtime.run(|| greenhub::unblock(|| 5)), 5);
        }
        assert_eq!(runtime.metrics().blocking_threads, 1);
        return;
    }
    expect_survival(NAME, &["in a job"]);
}

/// Ending an OS thread from outside Rust unwinds its stack by force where the C library is glibc, and Rust's
/// `catch_unwind` lets nobody do that: the process ends. (Elsewhere the thread goes without a word, and whoever waits
/// for it waits for ever.)
#[cfg(target_env = "gnu")]
mod ended_threads {
    use super::{Duration, child, expect_abort};

    unsafe extern "C-unwind" {
        fn pthread_exit(value: *mut libc::c_void) -> !;
        fn pthread_cancel(thread: libc::pthread_t) -> libc::c_int;
    }

    /// As C code may.
    fn end_this_thread() -> ! {
        // SAFETY: none that Rust knows of; what comes of it is what the tests look at.
        unsafe { pthread_exit(std::ptr::null_mut()) }
    }

    #[test]
    fn a_job_that_ends_its_pool_thread_ends_the_process() {
        const NAME: &str = "ended_threads::a_job_that_ends_its_pool_thread_ends_the_process";
        if child::is_child(NAME) {
            greenhub::run(|| greenhub::unblock(|| end_this_thread()));
        }
        expect_abort(NAME, &["FATAL"]);
    }

    #[test]
    fn a_pool_thread_that_is_cancelled_in_its_job_ends_the_process() {
        const NAME: &str = "ended_threads::a_pool_thread_that_is_cancelled_in_its_job_ends_the_process";
        if child::is_child(NAME) {
            let (send, receive) = std::sync::mpsc::channel();
            let waiting = greenhub::spawn(move || {
                greenhub::unblock(move || {
                    // SAFETY: names the calling thread.
                    send.send(unsafe { libc::pthread_self() }).unwrap();
                    std::thread::sleep(Duration::from_secs(60));
                });
            });
            let thread = receive.recv().unwrap();
            // SAFETY: the thread lives; as above.
            assert_eq!(unsafe { pthread_cancel(thread) }, 0);
            drop(waiting.join());
        }
        expect_abort(NAME, &["FATAL"]);
    }

    #[test]
    fn a_greenlet_that_ends_its_hub_s_thread_ends_the_process() {
        const NAME: &str = "ended_threads::a_greenlet_that_ends_its_hub_s_thread_ends_the_process";
        if child::is_child(NAME) {
            drop(greenhub::spawn(|| end_this_thread()).join());
        }
        expect_abort(NAME, &["FATAL"]);
    }
}

#[test]
fn a_process_that_is_replaced_from_a_greenlet_is_replaced() {
    use std::os::unix::process::CommandExt;
    const NAME: &str = "a_process_that_is_replaced_from_a_greenlet_is_replaced";
    if child::is_child(NAME) {
        let others: Vec<_> = (0..100).map(|_| greenhub::spawn(greenhub::park)).collect();
        let error = greenhub::run(|| std::process::Command::new("/bin/echo").arg("another program").exec());
        drop(others);
        panic!("exec failed: {error}");
    }
    let output = child::succeed(NAME, |_| {});
    assert!(text(&output.stdout).contains("another program"));
}

#[test]
fn children_started_from_greenlets_start() {
    const NAME: &str = "children_started_from_greenlets_start";
    if child::is_child(NAME) {
        let runs = Arc::new(AtomicUsize::new(0));
        beside_others(|| {
            let handles: Vec<_> = (0..16)
                .map(|n| {
                    let runs = runs.clone();
                    greenhub::spawn(move || {
                        let mut command = std::process::Command::new("/bin/echo");
                        // Forks and execs on this greenlet's stack; its waits are on the pool.
                        let child =
                            command.arg(n.to_string()).stdout(std::process::Stdio::piped()).spawn().unwrap();
                        let output = greenhub::unblock(move || child.wait_with_output()).unwrap();
                        assert_eq!(text(&output.stdout).trim(), n.to_string());
                        runs.fetch_add(1, SeqCst);
                    })
                })
                .collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
        assert_eq!(runs.load(SeqCst), 16);
        return;
    }
    expect_survival(NAME, &[]);
}
