//! The state word under loom, at a greenlet's end: P5.
//!
//! * Of `finish` and `detach` exactly one drops the result.
//! * Of `finish` and `join`, and of `end` and `join`, no joiner is missed.
//! * A kill, an unpark, a wake and a timer that come after the end do nothing.
//! * Of the owners exactly one frees the header, after the others' last look at it.
//!
//! `State::finish`, `end`, `detach`, `join`, `let_go`, `claim_out_of_queue` and, against them, `claim`, `kill`, `unpark`,
//! `wake` and `timer` of `greenlet/state.rs` run as they ship. The join list, and the hub, are played.

use super::model::{World, on_thread};
use super::{Owner, Phase, State, Wake};
use crate::model::explore;

/// P5: the result is dropped once: by the greenlet if the handle went first, by the handle otherwise.
#[test]
fn model_of_finish_and_detach_one_drops_the_result() {
    explore(|| {
        let world = World::running();
        let handle = on_thread(&world, |world| {
            let mine = world.state.detach();
            if mine {
                // SAFETY: the word says that the result is the handle's.
                world.data[0].with_mut(|result| unsafe { *result -= 1 });
            }
            mine
        });
        // SAFETY: it runs, so the result is its own.
        world.data[0].with_mut(|result| unsafe { *result = 1 });
        let own = world.state.finish(false).is_err();
        if own {
            // SAFETY: detached, so the result is its own.
            world.data[0].with_mut(|result| unsafe { *result -= 1 });
            assert_eq!(world.state.finish(true), Ok(false));
        }
        assert_ne!(handle.join().unwrap(), own, "dropped twice, or never");
        assert_eq!(world.read(0), 0);
        assert!(world.state.load().is_done());
    });
}

/// P5: a joiner that was told to wait is woken, and one that was not sees the result.
#[test]
fn model_finish_misses_no_joiner() {
    explore(|| {
        let world = World::running();
        // The join list: `pushed` counts who stands in it.
        let joiners: Vec<_> = (0..2)
            .map(|_| {
                on_thread(&world, |world| {
                    let mut list = world.pushed.lock();
                    if world.state.join() {
                        *list += 1;
                        while *list != usize::MAX {
                            world.changed.wait(&mut list);
                        }
                    }
                    drop(list);
                    assert!(world.state.load().is_done());
                    assert_eq!(world.read(0), 1);
                })
            })
            .collect();
        world.write(0);
        if world.state.finish(false).expect("nobody detached it") {
            let mut list = world.pushed.lock();
            assert_ne!(*list, 0, "told of a joiner that is not in the list");
            *list = usize::MAX;
            world.changed.notify_all();
        }
        joiners.into_iter().for_each(|joiner| joiner.join().unwrap());
    });
}

/// A kill, an unpark, a wake and a timer that come after the end do nothing.
#[test]
fn model_nothing_reaches_a_greenlet_that_has_ended() {
    explore(|| {
        let world = World::running();
        let epoch = world.state.load().epoch();
        let others = [
            on_thread(&world, |world| world.kill()),
            on_thread(&world, |world| world.deliver(world.state.unpark())),
            on_thread(&world, move |world| world.deliver(world.state.timer())),
        ];
        assert_eq!(world.state.finish(false), Ok(false));
        assert_eq!(world.state.wake(epoch), Wake::Stale);
        assert_eq!(world.state.load().phase(), Phase::Done);
        assert!(others.into_iter().all(|other| !other.join().unwrap()));
        assert_eq!(world.state.load().phase(), Phase::Done);
    });
}

impl World {
    /// The owner's last look at the header; the last owner frees it, which loom sees as a write.
    pub(super) fn let_go(&self, owner: Owner) -> usize {
        let _alive = self.read(0);
        let last = self.state.let_go(owner);
        if last {
            self.write(0);
        }
        usize::from(last)
    }
}

/// P5: a joiner claims the greenlet out of its queue, runs it to its end and lets its handle go; or drops its handle
/// instead; meanwhile the queue's entry comes up at a thief, which starts the greenlet or lets go of a stale entry.
#[test]
fn model_the_last_owner_frees() {
    for joins in [true, false] {
        explore(move || {
            let world = World::of(State::unstarted());
            let thief = on_thread(&world, |world| {
                if !world.state.claim() {
                    return world.let_go(Owner::StaleEntry);
                }
                let _runs = world.read(0);
                if world.state.finish(false).is_err() {
                    assert_eq!(world.state.finish(true), Ok(false));
                }
                world.let_go(Owner::Life)
            });
            let mut freed = 0;
            if joins && world.state.claim_out_of_queue() {
                let _runs = world.read(0);
                assert!(world.state.end(false), "nobody else joins it");
                freed += world.let_go(Owner::Handle);
            } else {
                let _alive = world.read(0);
                if world.state.detach() {
                    freed += world.let_go(Owner::Handle);
                }
            }
            freed += thief.join().unwrap();
            assert_eq!(freed, 1, "freed twice, or never");
        });
    }
}

/// P5: a greenlet whose joiner awaits it ends while somebody else begins to wait for its end too.
#[test]
fn model_an_end_misses_no_second_joiner() {
    explore(|| {
        let world = World::of(State::unstarted());
        assert!(world.state.claim_out_of_queue());
        let other = on_thread(&world, |world| {
            let mut list = world.pushed.lock();
            if world.state.join() {
                *list += 1;
                while *list != usize::MAX {
                    world.changed.wait(&mut list);
                }
            }
            drop(list);
            assert!(world.state.load().is_done());
            assert_eq!(world.read(0), 1);
        });
        world.write(0);
        if !world.state.end(false) {
            let mut list = world.pushed.lock();
            assert_ne!(*list, 0, "told of a joiner that is not in the list");
            *list = usize::MAX;
            world.changed.notify_all();
        }
        other.join().unwrap();
    });
}
