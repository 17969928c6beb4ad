//! The list of greenlets: on demand, and on a signal.

use greenhub::runtime::Builder;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn every_greenlet_is_listed_with_what_it_waits_for() {
    let runtime = Builder::new().hubs(1).build().unwrap();
    let text = runtime.run(|| {
        let name = |name: &str| greenhub::Builder::new().name(name.into());
        let parked = name("parked").spawn(greenhub::park).unwrap();
        let sleeping = name("sleeping").spawn(|| greenhub::sleep(Duration::from_secs(60))).unwrap();
        greenhub::yield_now();
        let later = name("later").spawn_later(Duration::from_secs(60), || ()).unwrap();
        let unstarted = name("unstarted").spawn(|| ()).unwrap();
        let text = greenhub::runtime::dump();
        greenhub::kill_all([parked.greenlet(), sleeping.greenlet(), later.greenlet(), unstarted.greenlet()]);
        text
    });
    let line = |name: &str| {
        text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    assert!(line("runtime #").contains("1 hubs, 5 greenlets"), "{text}");
    assert!(line("'parked'").contains("waits in park for"), "{text}");
    assert!(line("'sleeping'").contains("waits in sleep for"), "{text}");
    assert!(line("'sleeping'").contains("more"), "{text}");
    assert!(line("'later'").contains("starts in"), "{text}");
    assert!(line("'unstarted'").contains("unstarted"), "{text}");
    assert!(line("(run)").contains("running"), "{text}");
    for name in ["'parked'", "'sleeping'", "'later'", "'unstarted'", "(run)"] {
        assert!(line(name).contains("spawned at runtime/tests/monitor_dump.rs:"), "{text}");
    }
}

#[test]
fn a_runtime_is_listed_from_outside() {
    let runtime = Builder::new().hubs(2).build().unwrap();
    assert!(runtime.dump().contains("hub 1: "), "{}", runtime.dump());
}

const CHILD: &str = "GREENHUB_TEST_DUMP_CHILD";

/// Not a test but the child process of the next.
#[test]
fn child_that_waits_for_the_signal() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let runtime = Builder::new().hubs(1).dump_on_sigusr1(true).build().unwrap();
    runtime.run(|| {
        let waiter = greenhub::Builder::new().name("waiter".into()).spawn(greenhub::park).unwrap();
        greenhub::yield_now();
        std::io::stderr().write_all(b"ready\n").unwrap();
        greenhub::sleep(Duration::from_secs(60));
        drop(waiter);
    });
}

#[test]
fn sigusr1_lists_every_greenlet_on_stderr() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_waits_for_the_signal", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("ready")), "the child ended");
    // Once while the monitor may still be up, once when it surely rests.
    for pause in [0, 500] {
        std::thread::sleep(Duration::from_millis(pause));
        // SAFETY: sends a signal to our own child, which we have not waited for.
        assert_eq!(unsafe { libc::kill(child.id().cast_signed(), libc::SIGUSR1) }, 0);
        let listed = lines.by_ref().find(|line| line.contains("'waiter'")).expect("the child ended");
        assert!(listed.contains("waits in park for"), "{listed}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn values_that_mean_nothing_are_refused() {
    if std::env::var_os("GREENHUB_DEADLOCK").is_some() {
        // The child: an explicit setting passes over the environment, the environment is checked otherwise.
        let error = Builder::new().hubs(1).build().expect_err("the value means nothing");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("GREENHUB_DEADLOCK"), "{error}");
        let explicit = Builder::new().hubs(1).deadlock(greenhub::runtime::Deadlock::Ignore).build();
        explicit.expect("an explicit setting is asked first");
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "values_that_mean_nothing_are_refused"])
        .env("GREENHUB_DEADLOCK", "explode")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
