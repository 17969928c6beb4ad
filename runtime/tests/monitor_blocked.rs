//! Hubs stuck in one greenlet: who is reported, with which cause, how often, and what is done for the others.

use greenhub::runtime::{BlockedReport, Builder, Cause, Runtime};
use std::io::Read;
use std::sync::mpsc::{self, Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Far longer than anything here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime that reports hubs stuck for 50 ms to a channel.
fn reporting(hubs: usize) -> (Runtime, Receiver<BlockedReport>) {
    let (sender, reports) = channel();
    let runtime = Builder::new()
        .hubs(hubs)
        .blocked_after(Duration::from_millis(50))
        .on_blocked(move |report| drop(sender.send(report.clone())))
        .build()
        .unwrap();
    (runtime, reports)
}

/// Runs `block`, which is to return when it receives from the channel, in a greenlet, and gives the report of it.
fn report_of(block: impl FnOnce(mpsc::Receiver<()>) + Send) -> BlockedReport {
    let (runtime, reports) = reporting(1);
    let (let_go, wait) = channel();
    std::thread::scope(|threads| {
        let report = threads.spawn(move || {
            let report = reports.recv_timeout(PATIENCE);
            drop(let_go);
            report.expect("a hub was stuck and nobody said so")
        });
        runtime.run(move || block(wait));
        report.join().unwrap()
    })
}

/// The cause, where the system tells causes at all.
fn assert_cause(report: &BlockedReport, expected: &[Cause]) {
    let told = std::fs::read_to_string("/proc/thread-self/syscall").is_ok();
    if told {
        assert!(expected.contains(&report.cause), "{report}");
    } else {
        eprintln!("/proc is closed, so the cause is not looked at: {report}");
    }
}

#[test]
fn std_sleep_is_reported_as_sleep_with_name_and_place() {
    let (runtime, reports) = reporting(1);
    let line = line!() + 2;
    runtime.run(|| {
        let sleeper = greenhub::Builder::new().name("sleeper".into()).spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(500) {
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        sleeper.unwrap().join().unwrap();
    });
    let report = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!(report.greenlet.name(), Some("sleeper"));
    assert_eq!(report.hub, 0);
    assert!(report.spawned_at.file().ends_with("monitor_blocked.rs"), "{report}");
    assert_eq!(report.spawned_at.line(), line, "{report}");
    assert!(report.blocked_for >= Duration::from_millis(50), "{report}");
    assert_cause(&report, &[Cause::Sleep]);
    let text = report.to_string();
    for part in ["hub 0 is stuck", "'sleeper'", "monitor_blocked.rs", "greenhub::"] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[test]
fn a_hub_that_gets_stuck_after_a_long_rest_is_reported() {
    let (runtime, reports) = reporting(2);
    // All hubs sleep, and so does the monitor: the hub that gets up must wake it.
    runtime.run(|| greenhub::sleep(Duration::from_millis(700)));
    std::thread::sleep(Duration::from_millis(700));
    let start = Instant::now();
    runtime.run(|| std::thread::sleep(Duration::from_millis(600)));
    let report = reports.recv_timeout(PATIENCE).unwrap();
    assert!(report.blocked_for <= start.elapsed(), "the rest before it was counted in: {report}");
}

#[test]
fn a_std_mutex_is_reported_as_a_lock() {
    let lock = Mutex::new(());
    let report = std::thread::scope(|threads| {
        let held = lock.lock().unwrap();
        let (runtime, reports) = reporting(1);
        let blocked = threads.spawn({
            let lock = &lock;
            move || runtime.run(|| drop(lock.lock().unwrap()))
        });
        let report = reports.recv_timeout(PATIENCE).unwrap();
        drop(held);
        blocked.join().unwrap();
        report
    });
    assert_cause(&report, &[Cause::Lock]);
}

#[test]
fn a_busy_loop_is_reported_as_a_computation() {
    let report = report_of(|wait| while wait.try_recv() == Err(mpsc::TryRecvError::Empty) {});
    // On a machine this loaded the loop may indeed wait for a core most of the time.
    assert_cause(&report, &[Cause::Computation, Cause::Starved]);
}

#[test]
fn std_net_is_reported_as_network() {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let report = report_of(move |wait| {
        std::thread::scope(|threads| {
            threads.spawn(move || {
                let _let_go = wait.recv();
                drop(theirs);
            });
            let _end_of_stream = ours.read(&mut [0; 1]);
        });
    });
    assert_cause(&report, &[Cause::Network]);
}

#[test]
fn each_occurrence_is_reported_once() {
    let (runtime, reports) = reporting(1);
    runtime.run(|| {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(700));
            greenhub::yield_now();
        }
    });
    drop(runtime);
    let reports: Vec<_> = reports.iter().collect();
    assert_eq!(reports.len(), 2, "{reports:?}");
}

#[test]
fn a_hub_that_switches_is_not_stuck() {
    let (runtime, reports) = reporting(2);
    runtime.run(|| {
        let start = Instant::now();
        let yielder = greenhub::spawn(move || {
            while start.elapsed() < Duration::from_secs(1) {
                greenhub::yield_now();
            }
        });
        greenhub::sleep(Duration::from_millis(1000));
        yielder.join().unwrap();
    });
    drop(runtime);
    // The machine, or its host, may have stopped us for longer than the limit; the report then says so. Where the system
    // does not tell how long threads run, nothing can be said. (A hub taken for stuck although it switches would be
    // reported at every look, some eighty times.)
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").is_ok();
    let unexplained: Vec<_> = reports.iter().filter(|report| report.cause != Cause::Starved).collect();
    assert!(unexplained.len() <= if told { 0 } else { 4 }, "{unexplained:?}");
}

#[test]
fn reports_can_be_turned_off() {
    let (sender, reports) = channel();
    let runtime = Builder::new()
        .hubs(1)
        .blocked_after(Duration::MAX)
        .on_blocked(move |report| drop(sender.send(report.to_string())))
        .build()
        .unwrap();
    runtime.run(|| std::thread::sleep(Duration::from_millis(400)));
    drop(runtime);
    assert_eq!(reports.iter().count(), 0);
}

#[test]
fn what_waits_behind_is_counted() {
    let (runtime, reports) = reporting(1);
    runtime.run(|| {
        let handles: Vec<_> = (0..3)
            .map(|_| {
                greenhub::spawn(|| {
                    greenhub::yield_now();
                    greenhub::yield_now();
                })
            })
            .collect();
        greenhub::yield_now();
        let late: Vec<_> = (0..2).map(|_| greenhub::spawn(|| ())).collect();
        std::thread::sleep(Duration::from_millis(600));
        handles.into_iter().chain(late).for_each(|handle| handle.join().unwrap());
    });
    let report = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!((report.ready_behind, report.unstarted_behind), (3, 2), "{report}");
}

#[test]
fn a_callback_that_panics_ends_nothing() {
    let runtime = Builder::new()
        .hubs(1)
        .blocked_after(Duration::from_millis(20))
        .on_blocked({
            let calls = std::sync::atomic::AtomicU32::new(0);
            move |_| {
                calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                panic!("on purpose");
            }
        })
        .build()
        .unwrap();
    runtime.run(|| std::thread::sleep(Duration::from_millis(300)));
    assert!(runtime.shutdown_timeout(PATIENCE));
}

#[test]
fn a_greenlet_whose_time_has_come_runs_elsewhere_while_its_hub_is_stuck() {
    let (runtime, _reports) = reporting(2);
    let ran = runtime.run(|| {
        let (sender, receiver) = channel();
        let later = greenhub::spawn_later(Duration::from_millis(100), move || sender.send(()));
        // Blocks the OS thread until the other hub has run it.
        let ran = receiver.recv_timeout(PATIENCE);
        drop(later);
        ran
    });
    assert_eq!(ran, Ok(()));
}

#[test]
fn io_registered_with_a_stuck_hub_wakes_waiters_on_others() {
    use greenhub::net::UdpSocket;
    let (runtime, _reports) = reporting(2);
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let address = socket.local_addr().unwrap();
    let (received, is_received) = channel::<usize>();
    let (stuck, is_stuck) = channel::<()>();
    let (registered, is_registered) = channel::<usize>();
    // On some hub: registers the socket there, and later blocks that hub until the other one has received.
    let holder = runtime.spawn({
        let socket = socket.clone();
        move || {
            socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
            assert!(socket.recv(&mut [0; 8]).is_err());
            socket.set_read_timeout(None).unwrap();
            registered.send(greenhub::runtime::current_hub().unwrap()).unwrap();
            greenhub::park();
            stuck.send(()).unwrap();
            is_received.recv_timeout(PATIENCE)
        }
    });
    let hub = is_registered.recv_timeout(PATIENCE).unwrap();
    // On the other hub: greenlets are spawned until one starts there.
    let (receiving, is_receiving) = channel::<bool>();
    loop {
        let (socket, received, receiving) = (socket.clone(), received.clone(), receiving.clone());
        drop(runtime.spawn(move || {
            let elsewhere = greenhub::runtime::current_hub() != Some(hub);
            receiving.send(elsewhere).unwrap();
            if elsewhere {
                received.send(socket.recv(&mut [0; 8]).unwrap()).unwrap();
            }
        }));
        if is_receiving.recv_timeout(PATIENCE).unwrap() {
            break;
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    holder.greenlet().unpark();
    is_stuck.recv_timeout(PATIENCE).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", address).unwrap();
    assert_eq!(holder.join().unwrap(), Ok(5));
}
