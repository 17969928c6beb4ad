//! The end of a runtime, against everything that goes on.

use super::world::{Tally, any_mode, with};
use crate::runtime::Runtime;
use crate::schedule::{explore, thread, world};
use std::time::Duration;

/// Shutdown while OS threads spawn and wake, and greenlets wait, spawn and end: it ends, and so does every greenlet.
#[test]
fn schedule_shutdown_against_spawn_and_wake() {
    explore("shutdown_against_spawn_and_wake", || {
        let tally = Tally::default();
        let mut left = Vec::new();
        with(1 + world::below(3) as usize, any_mode(), |runtime| {
            let greenlet = |tally: &Tally, kind: u64| {
                let (mut mark, tally) = (tally.mark(), tally.clone());
                move || {
                    mark.run();
                    match kind {
                        0 => crate::park(),
                        1 => crate::sleep(Duration::from_secs(3600)),
                        2 => crate::yield_now(),
                        3 => {
                            let mut mark = tally.mark();
                            drop(crate::spawn(move || mark.run()));
                        }
                        _ => {
                            let mut mark = tally.mark();
                            drop(crate::spawn_later(Duration::from_micros(300), move || mark.run()));
                        }
                    }
                }
            };
            let handles: Vec<_> = (0..3).map(|_| runtime.spawn(greenlet(&tally, world::below(5)))).collect();
            let sleepers: Vec<_> = handles.iter().map(|handle| handle.greenlet().clone()).collect();
            left.push(thread::spawn({
                let (shared, tally) = (runtime.shared().clone(), tally.clone());
                move || {
                    let runtime = Runtime::for_schedule(shared);
                    for sleeper in sleepers {
                        let late = runtime.spawn(greenlet(&tally, world::below(5)));
                        sleeper.unpark();
                        if let Err(error) = late.join() {
                            assert!(error.is_killed());
                        }
                    }
                }
            }));
            if world::below(2) == 0 {
                crate::sleep(Duration::from_micros(world::below(300)));
            }
            drop(handles);
        });
        left.into_iter().for_each(|thread| thread.join().unwrap());
        tally.check_dropped();
    });
}

/// A runtime is dropped by one of its own greenlets: it ends in the background.
#[test]
fn schedule_runtime_dropped_by_its_greenlet() {
    explore("runtime_dropped_by_its_greenlet", || {
        let (hubs, mode) = (1 + world::below(2) as usize, any_mode());
        let mut builder = crate::runtime::Builder::new().hubs(hubs).stack_size(64 << 10);
        builder.set_migration(mode);
        let runtime = builder.deadlock(crate::monitor::Deadlock::Ignore).build().unwrap();
        let (send, receive) = crate::channel::bounded::<Runtime>(1);
        let owner = runtime.spawn(move || drop(receive.recv()));
        send.send(runtime).unwrap();
        if let Err(error) = owner.join() {
            assert!(error.is_killed());
        }
    });
}
