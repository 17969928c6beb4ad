//! The wait list under loom: a hand-over is not lost to a waiter that gives up, nor made twice, and who came first is
//! woken first.
//!
//! `List` (`wake_next`, `end_first`) and `Wait::in_line` of `wait/list.rs` run as they ship, with `wait/waiter.rs` and a
//! thread's wait. Played is an owner of a list: a counting permit, the smallest there is.

use super::*;
use crate::facade::Arc;
use loom::thread;

/// A counting permit over the bare list: the smallest owner there is.
struct Permits {
    free: usize,
    list: List<bool>,
}

fn acquire(lock: &ShortMutex<Permits>, deadline: Option<Instant>) -> bool {
    let mut state = lock.lock();
    if state.free > 0 {
        state.free -= 1;
        return true;
    }
    let wait = Wait { deadline, interrupts: Interrupts::Kept, reason: Reason::new(&"model", lock) };
    match wait.in_line(lock, state, |s| &mut s.list, Side::Back, false) {
        Waited::Woken(handed) => {
            assert!(handed);
            true
        }
        Waited::Over { entry, .. } => {
            assert!(!entry, "taken back");
            false
        }
    }
}

fn release(lock: &ShortMutex<Permits>) {
    let mut state = lock.lock();
    let woken = state.list.wake_next(&mut true);
    if woken.is_none() {
        state.free += 1;
    }
    drop(state);
    if let Some(wakeup) = woken {
        wakeup.deliver();
    }
}

fn permits(free: usize) -> Arc<ShortMutex<Permits>> {
    Arc::new(ShortMutex::new(Permits { free, list: List::new() }))
}

/// Whoever gives up leaves the permit to be found; whoever is handed it keeps it.
#[test]
fn model_list_cancel_against_hand_over() {
    crate::model::explore(|| {
        let lock = permits(0);
        let waiter = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || acquire(&lock, Some(Instant::now())))
        };
        release(&lock);
        let got = waiter.join().unwrap();
        assert_eq!(lock.lock().free, usize::from(!got));
        assert!(lock.lock().list.is_empty());
    });
}

/// One waits for ever, one gives up, one permit: the patient one must get it or the impatient one has it.
#[test]
fn model_list_two_waiters_one_permit() {
    crate::model::explore(|| {
        let lock = permits(0);
        let impatient = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                if acquire(&lock, Some(Instant::now())) {
                    release(&lock);
                }
            })
        };
        let patient = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || assert!(acquire(&lock, None)))
        };
        release(&lock);
        impatient.join().unwrap();
        patient.join().unwrap();
        assert_eq!(lock.lock().free, 0);
    });
}

/// Two who stand in line are woken in the order in which they stand.
#[test]
fn model_list_first_come_first_woken() {
    struct Line {
        tickets: usize,
        list: List<usize>,
    }
    crate::model::explore_within(2, || {
        let lock = Arc::new(ShortMutex::new(Line { tickets: 0, list: List::new() }));
        let spawn = || {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                let mut state = lock.lock();
                state.tickets += 1;
                let ticket = state.tickets;
                let wait = Wait {
                    deadline: None,
                    interrupts: Interrupts::Kept,
                    reason: Reason::new(&"model", &*lock),
                };
                match wait.in_line(&lock, state, |s| &mut s.list, Side::Back, 0) {
                    Waited::Woken(turn) => assert_eq!(turn, ticket),
                    Waited::Over { .. } => unreachable!("without a deadline"),
                }
            })
        };
        let threads = [spawn(), spawn()];
        let mut woken = 0;
        while woken < 2 {
            let mut state = lock.lock();
            let wakeup = state.list.wake_next(&mut (woken + 1));
            drop(state);
            match wakeup {
                Some(wakeup) => {
                    woken += 1;
                    wakeup.deliver();
                }
                None => thread::yield_now(),
            }
        }
        for t in threads {
            t.join().unwrap();
        }
    });
}
