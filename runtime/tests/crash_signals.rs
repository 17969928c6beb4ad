//! Signals in the middle of everything: storms of timer signals while greenlets switch, with handlers on the alternate
//! stack and on whatever stack runs, and system calls that are interrupted by them.

mod common;

use common::child::{self, text};
use common::{Place, roam, stay};
use greenhub::net::{TcpListener, TcpStream};
use greenhub::{channel, join_all, sleep, spawn, yield_now};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

static SIGNALS: AtomicU64 = AtomicU64::new(0);
static OFF_ALTERNATE: AtomicU64 = AtomicU64::new(0);
static ON_HUBS: AtomicU64 = AtomicU64::new(0);

/// Uses as much stack as a profiler's handler may, and says on which it ran.
unsafe extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let mut room = [0_u8; 1024];
    std::hint::black_box(&mut room)[7] = 1;
    SIGNALS.fetch_add(1, Relaxed);
    let mut name = [0_u8; 16];
    // SAFETY: the call writes no more than 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if name.starts_with(b"greenhub-hub") {
        ON_HUBS.fetch_add(1, Relaxed);
    }
    // SAFETY: the kernel passes a `ucontext_t`.
    let alternate = unsafe { (*context.cast::<libc::ucontext_t>()).uc_stack };
    let here = (&raw const room).addr();
    let bottom = alternate.ss_sp.addr();
    if alternate.ss_flags & libc::SS_DISABLE != 0 || !(bottom..bottom + alternate.ss_size).contains(&here) {
        OFF_ALTERNATE.fetch_add(1, Relaxed);
    }
}

/// Handles this signal, without `SA_RESTART`, so that system calls are interrupted. Handlers do not interrupt each other: the
/// alternate stack that std gives a thread, 8 KiB, has room for one of ours and, where registers are wide, not for two.
fn handle(signal: libc::c_int, on_alternate_stack: bool) {
    // SAFETY: all zeros is a valid `sigaction`; the handler does nothing but what a handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        assert_eq!(libc::sigfillset(&raw mut action.sa_mask), 0);
        action.sa_flags = libc::SA_SIGINFO | if on_alternate_stack { libc::SA_ONSTACK } else { 0 };
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Has the process sent SIGALRM by the clock and SIGPROF by the processor time it uses, so often; 0 ends that.
fn storm(every: Duration) {
    let time = libc::timeval { tv_sec: 0, tv_usec: every.as_micros() as libc::suseconds_t };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    for which in [libc::ITIMER_REAL, libc::ITIMER_PROF] {
        // SAFETY: reads `timer`.
        assert_eq!(unsafe { libc::setitimer(which, &raw const timer, std::ptr::null_mut()) }, 0);
    }
}

/// Something of everything, for a while; each value must be right.
fn work(place: Place) {
    let runtime = place.builder().build().unwrap();
    let until = Instant::now() + Duration::from_millis(700);
    while Instant::now() < until {
        runtime.run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = spawn(move || {
                for _ in 0..4 {
                    let (mut stream, _) = listener.accept().unwrap();
                    drop(spawn(move || {
                        let mut text = [0; 5];
                        stream.read_exact(&mut text).unwrap();
                        stream.write_all(&text).unwrap();
                    }));
                }
            });
            let clients = (0..4).map(|_| {
                spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.write_all(b"hello").unwrap();
                    let mut text = [0; 5];
                    stream.read_exact(&mut text).unwrap();
                    assert_eq!(&text, b"hello");
                })
            });
            let clients: Vec<_> = clients.collect();
            let (send, receive) = channel::bounded(1);
            let sender = spawn(move || (0..200_u64).for_each(|n| send.send(n).unwrap()));
            let yielders: Vec<_> = (0..8_u64)
                .map(|n| {
                    spawn(move || {
                        let mut sum = n as f64;
                        for step in 0..500 {
                            sum += f64::from(step) * 0.5;
                            yield_now();
                        }
                        sum
                    })
                })
                .collect();
            let from = Instant::now();
            sleep(Duration::from_micros(300));
            assert!(from.elapsed() >= Duration::from_micros(300), "woke early");
            assert_eq!(
                greenhub::unblock(|| {
                    std::thread::sleep(Duration::from_micros(200));
                    4
                }),
                4
            );
            assert_eq!((&receive).into_iter().sum::<u64>(), 199 * 200 / 2);
            sender.join().unwrap();
            for (n, sum) in join_all(yielders).into_iter().enumerate() {
                assert_eq!(sum.unwrap(), n as f64 + f64::from(499 * 500 / 2) * 0.5);
            }
            join_all(clients).into_iter().for_each(|client| client.unwrap());
            server.join().unwrap();
        });
    }
    assert!(runtime.shutdown_timeout(Duration::from_secs(10)));
}

fn survive(on_alternate_stack: bool) {
    handle(libc::SIGALRM, on_alternate_stack);
    handle(libc::SIGPROF, on_alternate_stack);
    storm(Duration::from_micros(100));
    for place in [stay(1), stay(2), roam(2)] {
        work(place);
    }
    storm(Duration::ZERO);
    let (signals, off) = (SIGNALS.load(Relaxed), OFF_ALTERNATE.load(Relaxed));
    let on_hubs = ON_HUBS.load(Relaxed);
    assert!(on_hubs > 100, "{on_hubs} of {signals} signals came to hubs");
    if !on_alternate_stack {
        assert!(off > 100, "{off} of {signals} handlers ran on greenlets' and threads' stacks");
    }
}

#[test]
fn signals_whose_handlers_run_on_the_alternate_stack_disturb_nothing() {
    const NAME: &str = "signals_whose_handlers_run_on_the_alternate_stack_disturb_nothing";
    if child::is_child(NAME) {
        return survive(true);
    }
    child::succeed(NAME, |_| {});
}

#[test]
fn signals_whose_handlers_run_on_greenlets_stacks_disturb_nothing() {
    const NAME: &str = "signals_whose_handlers_run_on_greenlets_stacks_disturb_nothing";
    if child::is_child(NAME) {
        return survive(false);
    }
    child::succeed(NAME, |_| {});
}

#[test]
fn an_overflow_under_a_storm_of_signals_is_reported_all_the_same() {
    const NAME: &str = "an_overflow_under_a_storm_of_signals_is_reported_all_the_same";
    #[expect(unconditional_recursion, reason = "to overflow the stack is the purpose")]
    #[inline(never)]
    fn endless(depth: u64) -> u64 {
        let page = std::hint::black_box([depth; 64]);
        endless(depth + 1) + page[7]
    }
    if child::is_child(NAME) {
        handle(libc::SIGALRM, true);
        handle(libc::SIGPROF, true);
        storm(Duration::from_micros(100));
        drop(greenhub::Builder::new().name("deep".into()).spawn(|| endless(0)).unwrap().join());
        return;
    }
    let output = child::run(NAME, |_| {});
    let printed = text(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "it ended with {}: {printed}", output.status);
    assert!(printed.contains("'deep'") && printed.contains("overflowed"), "{printed}");
}
