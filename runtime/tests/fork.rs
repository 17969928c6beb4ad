//! fork beside hubs: what the child can do.

mod common;

use common::child;
use std::time::Duration;

#[test]
fn a_child_of_fork_made_on_a_plain_thread_starts_anew() {
    const NAME: &str = "a_child_of_fork_made_on_a_plain_thread_starts_anew";
    if child::is_child(NAME) {
        assert_eq!(greenhub::run(|| greenhub::spawn(|| 1).join().unwrap()), 1);
        // SAFETY: the child uses nothing but what is tested here, and ends by `_exit`.
        let status = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let value = greenhub::run(|| greenhub::spawn(|| 2).join().unwrap());
                libc::_exit(if value == 2 { 0 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            status
        };
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the forked child ended with {status:#x}"
        );
        // The parent goes on.
        assert_eq!(greenhub::run(|| greenhub::spawn(|| 3).join().unwrap()), 3);
        return;
    }
    child::succeed(NAME, |_| {});
}

#[test]
fn a_child_of_fork_made_in_a_greenlet_runs_on_as_a_plain_thread() {
    const NAME: &str = "a_child_of_fork_made_in_a_greenlet_runs_on_as_a_plain_thread";
    if child::is_child(NAME) {
        let status = greenhub::run(|| {
            // SAFETY: as above.
            let fork = || unsafe { libc::fork() };
            let pid = greenhub::shield(|| greenhub::no_switch(fork));
            if pid == 0 {
                greenhub::sleep(Duration::from_millis(1));
                let plain = greenhub::runtime::current_hub().is_none();
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(if plain { 0 } else { 1 }) };
            }
            greenhub::unblock(move || {
                let mut status = 0;
                // SAFETY: `status` is writable.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                status
            })
        });
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the forked child ended with {status:#x}"
        );
        return;
    }
    child::succeed(NAME, |_| {});
}

#[test]
fn a_child_of_fork_whose_greenlet_panics_ends_as_one_that_returns() {
    const NAME: &str = "a_child_of_fork_whose_greenlet_panics_ends_as_one_that_returns";
    if child::is_child(NAME) {
        let status = greenhub::run(|| {
            // SAFETY: as above.
            let pid = unsafe { libc::fork() };
            assert!(pid != 0, "the child gives up");
            greenhub::unblock(move || {
                let mut status = 0;
                // SAFETY: `status` is writable.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                status
            })
        });
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 70,
            "the forked child ended with {status:#x}"
        );
        return;
    }
    child::succeed(NAME, |_| {});
}
