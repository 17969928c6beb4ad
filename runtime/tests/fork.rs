//! fork(2) beside hubs: what the child can do, also where other threads of the parent are in the middle of something.
//!
//! Every test forks in a process of its own, where nothing of the other tests is copied into the child.

mod common;

use common::child;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How long a forked child may take, in seconds; then a signal ends it.
const LIMIT: u32 = 3;

/// Runs the body of the test `name` in a process of its own.
#[track_caller]
fn in_own_process(name: &str, body: impl FnOnce()) {
    if child::is_child(name) {
        body();
    } else {
        child::succeed(name, |_| {});
    }
}

/// Forks. `None` in the child, which has to call [`exit`], since what called this belongs to the parent.
fn fork() -> Option<libc::pid_t> {
    // SAFETY: the children here use nothing but what is tested, and end by `exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: the default action of the signal is what is wanted.
            unsafe { libc::alarm(LIMIT) };
            None
        }
        pid => Some(pid),
    }
}

/// Ends a child.
fn exit(code: libc::c_int) -> ! {
    // SAFETY: ends this process; its destructors belong to the parent.
    unsafe { libc::_exit(code) }
}

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Exit(libc::c_int),
    Signal(libc::c_int),
}

/// Waits until a child has ended.
fn ended(pid: libc::pid_t) -> End {
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    if libc::WIFEXITED(status) {
        End::Exit(libc::WEXITSTATUS(status))
    } else {
        End::Signal(libc::WTERMSIG(status))
    }
}

/// Forks, runs `body` in the child, and waits until that has ended: with 0 after the body, by SIGALRM if it hangs.
fn forked(body: impl FnOnce()) -> End {
    let Some(pid) = fork() else {
        body();
        exit(0)
    };
    ended(pid)
}

#[test]
fn a_child_of_fork_made_on_a_plain_thread_starts_anew() {
    in_own_process("a_child_of_fork_made_on_a_plain_thread_starts_anew", || {
        assert_eq!(greenhub::run(|| greenhub::spawn(|| 1).join().unwrap()), 1);
        let end = forked(|| {
            let value = greenhub::run(|| greenhub::spawn(|| 2).join().unwrap());
            exit(if value == 2 { 0 } else { 1 });
        });
        assert_eq!(end, End::Exit(0));
        // The parent goes on.
        assert_eq!(greenhub::run(|| greenhub::spawn(|| 3).join().unwrap()), 3);
    });
}

#[test]
fn a_child_of_fork_made_in_a_greenlet_runs_on_as_a_plain_thread() {
    in_own_process("a_child_of_fork_made_in_a_greenlet_runs_on_as_a_plain_thread", || {
        let end = greenhub::run(|| {
            let Some(pid) = greenhub::shield(|| greenhub::no_switch(fork)) else {
                greenhub::sleep(Duration::from_millis(1));
                exit(if greenhub::runtime::current_hub().is_none() { 0 } else { 1 })
            };
            greenhub::unblock(move || ended(pid))
        });
        assert_eq!(end, End::Exit(0));
    });
}

#[test]
fn a_child_of_fork_whose_greenlet_panics_ends_as_one_that_returns() {
    in_own_process("a_child_of_fork_whose_greenlet_panics_ends_as_one_that_returns", || {
        let end = greenhub::run(|| {
            let pid = fork().expect("the child gives up");
            greenhub::unblock(move || ended(pid))
        });
        assert_eq!(end, End::Exit(70));
    });
}

#[test]
fn a_child_may_set_an_error_handler_that_another_thread_was_setting() {
    in_own_process("a_child_may_set_an_error_handler_that_another_thread_was_setting", || {
        greenhub::on_error(|_, _| {});
        let done = AtomicBool::new(false);
        let failed = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        greenhub::on_error(|_, _| {});
                    }
                });
            }
            let mut ends = (0..300).map(|_| forked(|| greenhub::on_error(|_, _| {})));
            let failed = ends.find(|end| *end != End::Exit(0));
            done.store(true, Relaxed);
            failed
        });
        assert_eq!(failed, None);
    });
}

#[test]
fn a_child_may_make_channels_that_another_thread_was_making() {
    in_own_process("a_child_may_make_channels_that_another_thread_was_making", || {
        // Where there is no runtime all threads have their memory for this from under one lock.
        let make = || drop(greenhub::channel::bounded::<u64>(1));
        make();
        let done = AtomicBool::new(false);
        let failed = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        make();
                    }
                });
            }
            let failed = (0..300).map(|_| forked(make)).find(|end| *end != End::Exit(0));
            done.store(true, Relaxed);
            failed
        });
        assert_eq!(failed, None);
    });
}

#[test]
fn a_child_made_while_another_thread_starts_the_default_runtime_starts_its_own() {
    in_own_process("a_child_made_while_another_thread_starts_the_default_runtime_starts_its_own", || {
        // Each round in a process of its own, for a first start.
        let start_twice = |round: u64| {
            forked(|| {
                let end = std::thread::scope(|scope| {
                    scope.spawn(|| assert_eq!(greenhub::run(|| 1), 1));
                    std::thread::sleep(Duration::from_micros(round * 7));
                    forked(|| assert_eq!(greenhub::run(|| greenhub::spawn(|| 2).join().unwrap()), 2))
                });
                assert_eq!(end, End::Exit(0));
            })
        };
        let ends = (0..100).map(|round| (round, start_twice(round)));
        let failed: Vec<_> = ends.filter(|(_, end)| *end != End::Exit(0)).collect();
        // Std keeps a table of its threads' guard pages, for its report of stack overflows, and each of them takes the
        // lock of it where it starts and where it ends. A fork in that moment leaves a child in which no thread can
        // start, whatever this crate does; one round in 2,500 hangs for that on two busy cores, and one in 20,000
        // for parking_lot's table of who waits.
        let hung = |end: &End| *end == End::Signal(libc::SIGALRM);
        assert!(failed.len() <= 3 && failed.iter().all(|(_, end)| hung(end)), "children failed: {failed:?}");
    });
}

#[test]
fn a_child_wakes_greenlets_that_a_hub_of_the_parent_was_just_parking() {
    in_own_process("a_child_wakes_greenlets_that_a_hub_of_the_parent_was_just_parking", || {
        // One hub, so that the words of its greenlets are biased to its thread, which the child does not have.
        let runtime = greenhub::runtime::Builder::new().hubs(1).build().expect("a runtime");
        let done = AtomicBool::new(false);
        let failed = std::thread::scope(|scope| {
            let (done, runtime) = (&done, &runtime);
            let (to_me, from_hub) = std::sync::mpsc::channel();
            scope.spawn(move || {
                runtime.run(|| {
                    let players = [0, 1].map(|_| {
                        greenhub::spawn(|| {
                            loop {
                                greenhub::park();
                            }
                        })
                    });
                    let [ping, pong] = [0, 1].map(|player: usize| players[player].greenlet().clone());
                    to_me.send(players).expect("it is waited for");
                    // Woken and parked by their hub alone, all the time.
                    while !done.load(Relaxed) {
                        ping.unpark();
                        pong.unpark();
                        greenhub::yield_now();
                    }
                });
            });
            let players = from_hub.recv().expect("the players");
            std::thread::sleep(Duration::from_millis(20));
            let mut ends = (0..300).map(|_| {
                forked(|| {
                    for player in &players {
                        player.greenlet().unpark();
                        player.kill();
                    }
                })
            });
            let failed = ends.find(|end| *end != End::Exit(0));
            players.iter().for_each(|player| player.kill());
            done.store(true, Relaxed);
            failed
        });
        assert_eq!(failed, None);
    });
}
