//! The two clients: a greenlet a connection, or an OS thread a connection.
//!
//! Both open connections the same way: a few chains are started, and whoever has opened its connection, first echo
//! included, starts the next one of its chain. So no more connections are in the making, accepted or not, than
//! there are chains, and no listener's backlog overflows.

use super::connection::converse;
use super::run::Run;
use greenhub::runtime::Runtime;
use std::thread;

/// The stack of a thread: enough for a connection, so that a thousand of them are no burden.
const THREAD_STACK: usize = 128 << 10;

/// Runs all connections as greenlets of `runtime`, to their end.
pub(crate) fn greenlets(runtime: &Runtime, run: &Run) {
    runtime.run(|| {
        greenhub::scope(|scope| {
            for _ in 0..run.at_once {
                greenlet(scope, run);
            }
        });
    });
}

fn greenlet<'scope>(scope: &'scope greenhub::Scope<'scope, '_>, run: &'scope Run) {
    if let Some(index) = run.next() {
        drop(scope.spawn(move || {
            converse::<greenhub::net::TcpStream>(run, index, || greenlet(scope, run));
        }));
    }
}

/// Runs all connections as OS threads, to their end, with nothing but std.
pub(crate) fn threads(run: &Run) {
    thread::scope(|scope| {
        for _ in 0..run.at_once {
            os_thread(scope, run);
        }
    });
}

fn os_thread<'scope>(scope: &'scope thread::Scope<'scope, '_>, run: &'scope Run) {
    if let Some(index) = run.next() {
        let body = move || converse::<std::net::TcpStream>(run, index, || os_thread(scope, run));
        if let Err(error) = thread::Builder::new().stack_size(THREAD_STACK).spawn_scoped(scope, body) {
            run.could_not_start(&error);
        }
    }
}
