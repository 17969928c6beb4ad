use super::*;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

struct State {
    list: List<Option<u32>>,
}

fn reason() -> Reason {
    Reason::new("test", &())
}

fn wait_for(lock: &Mutex<State>, deadline: Option<Instant>) -> (Ended, Option<u32>) {
    let wait = Wait { deadline, interrupts: Interrupts::Kept, reason: reason() };
    let waited = wait.in_line(lock, lock.lock(), |s| &mut s.list, Side::Back, None);
    (waited.ended, waited.entry)
}

fn await_length(lock: &Mutex<State>, wanted: usize) {
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
    let lock = Arc::new(Mutex::new(State { list: List::new() }));
    let mut threads = Vec::new();
    for i in 0..5 {
        let lock2 = Arc::clone(&lock);
        threads.push(thread::spawn(move || wait_for(&lock2, None)));
        await_length(&lock, i + 1);
    }
    for i in 0..5 {
        let mut state = lock.lock();
        let (wakeup, entry) = state.list.wake_next().unwrap();
        *entry = Some(i);
        drop(state);
        wakeup.deliver();
    }
    for (i, t) in threads.into_iter().enumerate() {
        assert_eq!(t.join().unwrap(), (Ended::Woken, Some(i as u32)));
    }
}

#[test]
fn a_timed_out_waiter_leaves_the_line_and_takes_nothing() {
    let lock = Arc::new(Mutex::new(State { list: List::new() }));
    let started = Instant::now();
    let (ended, entry) = wait_for(&lock, deadline_after(Duration::from_millis(20)));
    assert_eq!((ended, entry), (Ended::TimedOut, None));
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert!(lock.lock().list.is_empty());
}

#[test]
fn the_middle_of_the_line_may_leave() {
    let lock = Arc::new(Mutex::new(State { list: List::new() }));
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
        let (wakeup, entry) = state.list.wake_next().unwrap();
        *entry = Some(i);
        drop(state);
        wakeup.deliver();
    }
    assert_eq!(first.join().unwrap(), (Ended::Woken, Some(1)));
    assert_eq!(last.join().unwrap(), (Ended::Woken, Some(2)));
}

#[test]
fn a_hand_over_is_never_lost_to_a_timeout() {
    let until = Instant::now() + Duration::from_millis(300);
    let lock = Arc::new(Mutex::new(State { list: List::new() }));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let (lock, stop) = (Arc::clone(&lock), Arc::clone(&stop));
            thread::spawn(move || {
                let mut got = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let (ended, entry) = wait_for(&lock, deadline_after(Duration::from_micros(60)));
                    assert_eq!(ended == Ended::Woken, entry.is_some());
                    got += u64::from(entry.is_some());
                }
                got
            })
        })
        .collect();
    let mut handed = 0u64;
    while Instant::now() < until {
        let mut state = lock.lock();
        let woken = state.list.wake_next().map(|(wakeup, entry)| {
            *entry = Some(1);
            wakeup
        });
        drop(state);
        if let Some(wakeup) = woken {
            wakeup.deliver();
            handed += 1;
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let got: u64 = waiters.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(got, handed);
    assert!(handed > 0);
}
