//! Each type against std's, on both sides of the connection. A test is a function that takes nothing; `everywhere`
//! runs it on a hub and on a plain OS thread.

mod accept;
mod resolve;
mod tcp;
mod transfer;
mod udp;
mod unix;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Long enough for a thread that was started to be waiting; nothing goes wrong if it is not, a test then proves less.
const A_MOMENT: Duration = Duration::from_millis(20);

/// A fresh directory, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("greenhub-net-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all::<&Path>(&self.0).unwrap();
    }
}

/// Re-runs one test of this binary in a process of its own, where `CHILD` is set. Returns what it said on standard
/// error.
fn run_in_child(test: &str) -> String {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("net::tests::{test}"), "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success(), "{:?}: {errors}", child.status);
    errors
}

const CHILD: &str = "GREENHUB_NET_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Whether the descriptor is in non-blocking mode.
fn is_nonblocking(socket: impl std::os::fd::AsFd) -> bool {
    socket2::SockRef::from(&socket).nonblocking().unwrap()
}
