use super::*;
use crate::testing::{BRIEF, everywhere, thread};
use std::sync::Arc;
use std::time::Duration;

struct State {
    list: List<Option<u32>>,
}

fn reason() -> Reason {
    Reason::new(&"test", &())
}

fn wait_for(lock: &ShortMutex<State>, deadline: Option<Instant>) -> (Ended, Option<u32>) {
    let wait = Wait { deadline, interrupts: Interrupts::Kept, reason: reason() };
    match wait.in_line(lock, lock.lock(), |s| &mut s.list, Side::Back, None) {
        Waited::Woken(entry) => (Ended::Woken, entry),
        Waited::Over { why: Over::TimedOut, entry, .. } => (Ended::TimedOut, entry),
        Waited::Over { why: Over::Interrupted, entry, .. } => (Ended::Interrupted, entry),
    }
}

fn await_length(lock: &ShortMutex<State>, wanted: usize) {
    loop {
        let state = lock.lock();
        let (mut node, mut length) = (state.list.head, 0);
        while !node.is_null() {
            length += 1;
            // SAFETY: linked, and the lock is held.
            node = unsafe { (*node).cell.with(|n| (*n).next) };
        }
        drop(state);
        if length == wanted {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn waiters_are_woken_in_the_order_they_came() {
    everywhere(|| {
        let lock = Arc::new(ShortMutex::new(State { list: List::new() }));
        let mut threads = Vec::new();
        for i in 0..5 {
            let lock2 = Arc::clone(&lock);
            threads.push(thread::spawn(move || wait_for(&lock2, None)));
            await_length(&lock, i + 1);
        }
        for i in 0..5 {
            let mut state = lock.lock();
            let wakeup = state.list.wake_next(&mut Some(i)).unwrap();
            drop(state);
            wakeup.deliver();
        }
        for (i, t) in threads.into_iter().enumerate() {
            assert_eq!(t.join().unwrap(), (Ended::Woken, Some(i as u32)));
        }
    });
}

#[test]
fn a_timed_out_waiter_leaves_the_line_and_takes_nothing() {
    everywhere(|| {
        let lock = Arc::new(ShortMutex::new(State { list: List::new() }));
        let started = Instant::now();
        let (ended, entry) = wait_for(&lock, deadline_after(Duration::from_millis(20)));
        assert_eq!((ended, entry), (Ended::TimedOut, None));
        assert!(started.elapsed() >= Duration::from_millis(20));
        assert!(lock.lock().list.is_empty());
    });
}

#[test]
fn the_middle_of_the_line_may_leave() {
    everywhere(|| {
        let lock = Arc::new(ShortMutex::new(State { list: List::new() }));
        let spawn = |deadline| {
            let lock = Arc::clone(&lock);
            thread::spawn(move || wait_for(&lock, deadline))
        };
        let first = spawn(None);
        await_length(&lock, 1);
        let middle = spawn(deadline_after(Duration::from_millis(100)));
        await_length(&lock, 2);
        let last = spawn(None);
        await_length(&lock, 3);
        assert_eq!(middle.join().unwrap(), (Ended::TimedOut, None));
        for i in 1..=2 {
            let mut state = lock.lock();
            let wakeup = state.list.wake_next(&mut Some(i)).unwrap();
            drop(state);
            wakeup.deliver();
        }
        assert_eq!(first.join().unwrap(), (Ended::Woken, Some(1)));
        assert_eq!(last.join().unwrap(), (Ended::Woken, Some(2)));
    });
}

#[test]
fn a_hand_over_is_never_lost_to_a_timeout() {
    everywhere(|| {
        let until = Instant::now() + BRIEF;
        let lock = Arc::new(ShortMutex::new(State { list: List::new() }));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (lock, stop) = (Arc::clone(&lock), Arc::clone(&stop));
                thread::spawn(move || {
                    let mut got = 0u64;
                    // Some long enough for a machine that is slow.
                    for micros in [60, 120, 240, 480, 960, 1920].into_iter().cycle() {
                        if stop.load(std::sync::atomic::Ordering::Relaxed) {
                            break;
                        }
                        let (ended, entry) = wait_for(&lock, deadline_after(Duration::from_micros(micros)));
                        assert_eq!(ended == Ended::Woken, entry.is_some());
                        got += u64::from(entry.is_some());
                    }
                    got
                })
            })
            .collect();
        let mut handed = 0u64;
        while handed == 0 || Instant::now() < until {
            let mut state = lock.lock();
            let woken = state.list.wake_next(&mut Some(1));
            drop(state);
            if let Some(wakeup) = woken {
                wakeup.deliver();
                handed += 1;
            }
            // The waiters may be greenlets of this hub.
            thread::yield_now();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let got: u64 = waiters.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(got, handed);
    });
}

/// A timer whose time has come while its greenlet was awake ends the greenlet's next wait, whatever that waits for.
#[test]
fn a_false_alarm_is_no_wake() {
    crate::testing::on_one_hub(|| {
        let lock = Arc::new(ShortMutex::new(State { list: List::new() }));
        let alarm = || {
            let greenlet = crate::greenlet::current::greenlet().expect("in a greenlet");
            assert_eq!(greenlet.state.timer(), crate::greenlet::state::Wake::Noted);
        };
        // It stays in line and is woken.
        let shared = Arc::clone(&lock);
        let waiter = crate::spawn(move || {
            alarm();
            wait_for(&shared, None)
        });
        thread::sleep(Duration::from_millis(2));
        lock.lock().list.wake_next(&mut Some(1)).expect("it waits").deliver();
        assert_eq!(waiter.join().unwrap(), (Ended::Woken, Some(1)));
        // A waker that comes between the alarm and the waiter's next look passes it over: it was not woken.
        let shared = Arc::clone(&lock);
        let waiter = crate::spawn(move || {
            alarm();
            wait_for(&shared, None)
        });
        let shared = Arc::clone(&lock);
        let waker = crate::spawn(move || shared.lock().list.wake_next(&mut Some(1)).is_some());
        // Joining the waker at once would run it first.
        thread::sleep(Duration::from_millis(2));
        assert!(!waker.join().unwrap(), "nobody waits");
        assert_eq!(waiter.join().unwrap(), (Ended::Interrupted, None));
    });
}

/// Whether a greenlet that stands in line for an entry of this type has its node in its header. Lets the wait time out.
fn waits_in_its_header<T>(entry: T) -> bool {
    let greenlet = crate::greenlet::current::greenlet().expect("in a greenlet").as_ptr();
    let header = greenlet.addr().get()..greenlet.addr().get() + size_of::<crate::greenlet::header::Header>();
    let lock = ShortMutex::new(List::<T>::new());
    let mut inside = false;
    let wait = Wait {
        deadline: deadline_after(Duration::from_millis(1)),
        interrupts: Interrupts::Kept,
        reason: reason(),
    };
    let enlisted = || inside = header.contains(&lock.lock().head.addr());
    let waited = wait.run(&lock, lock.lock(), |list| list, Side::Back, entry, enlisted);
    assert!(matches!(waited, Waited::Over { why: Over::TimedOut, .. }));
    inside
}

#[test]
fn a_greenlet_waits_in_its_header_and_with_a_large_entry_on_its_stack() {
    crate::testing::in_greenlets(|| {
        assert!(waits_in_its_header(()));
        assert!(waits_in_its_header(Some(7u64)));
        assert!(waits_in_its_header(Some(String::from("seven"))));
        assert!(!waits_in_its_header([7u64; 8]));
    });
}
