//! The biased state word under loom: P1 to P5 of `model.rs` hold between the hub whose word it is and everybody else.
//!
//! `State::commit_park`, `wake`, `kill`, `unpark`, `borrow_parked` and `give_back` of `greenlet/state.rs`, and all of
//! `state/change.rs` run as they ship, with the lock of `facade/short_lock.rs`, but that two parks are enough for a bias. The
//! thread that runs the model is the hub that the word is biased to.

use super::model::{World, on_thread};
use super::{Cause, Commit, Kill, State, Wake};
use crate::facade::{Arc, ThreadMark};
use crate::greenlet::current;
use crate::model::explore_within;

/// A greenlet that runs on this thread, its hub, and has parked there so often that the next time makes its word biased.
fn about_to_be_biased() -> (Arc<World>, ThreadMark) {
    let hub = ThreadMark::of_model(1);
    current::set_mark(hub);
    let world = World::running();
    assert!(!park(&world, hub) && world.state.wake(0) == Wake::Enqueue);
    (world, hub)
}

/// One whose word is biased.
fn biased() -> (Arc<World>, ThreadMark) {
    let (world, hub) = about_to_be_biased();
    assert!(!park(&world, hub) && world.state.wake(epoch(&world)) == Wake::Enqueue);
    assert!(world.state.is_biased());
    (world, hub)
}

/// One that is parked, by its biased word.
fn parked() -> (Arc<World>, ThreadMark) {
    let (world, hub) = biased();
    assert!(!park(&world, hub));
    (world, hub)
}

fn epoch(world: &World) -> u32 {
    world.state.load().epoch()
}

/// Whether the greenlet's wait had ended before it began.
fn park(world: &World, hub: ThreadMark) -> bool {
    world.save();
    world.state.commit_park(epoch(world), false, false, Some(hub)) == Commit::Requeue
}

/// Another thread ends the wait that the hub begins: early, late, or while it makes the word biased.
fn woken_while_parking(start: fn() -> (Arc<World>, ThreadMark)) {
    explore_within(3, move || {
        let (world, hub) = start();
        let epoch = epoch(&world);
        let waker = on_thread(&world, move |world| {
            world.write(0);
            let woken = world.state.wake(epoch);
            assert_ne!(woken, Wake::Stale, "nobody else ends it");
            world.deliver(woken)
        });
        let requeued = world.state.commit_park(epoch, false, false, Some(hub)) == Commit::Requeue;
        let pushed = waker.join().unwrap();
        assert_ne!(requeued, pushed, "one of them pushes");
        assert_eq!(world.state.load().epoch(), epoch + 1);
        assert_eq!(world.read(0), 1);
    });
}

#[test]
fn model_biased_and_woken_while_parking() {
    woken_while_parking(biased);
}

#[test]
fn model_made_biased_while_woken() {
    woken_while_parking(about_to_be_biased);
}

/// The hub wakes the greenlet and parks it again, while another kills it: who ends which wait is decided once.
#[test]
fn model_biased_and_killed() {
    explore_within(3, || {
        let (world, hub) = parked();
        let killer = on_thread(&world, |world| {
            world.write(0);
            world.kill()
        });
        let woken = world.state.wake(epoch(&world));
        world.deliver(woken);
        let killed_parked = if woken == Wake::Enqueue {
            world.take();
            // The kill finds it parked again, or is found.
            let requeued = park(&world, hub);
            let pushed = killer.join().unwrap();
            assert_ne!(requeued, pushed, "one of them pushes");
            pushed
        } else {
            assert!(killer.join().unwrap(), "it was the one to end the wait");
            true
        };
        assert_eq!(world.read(0), 1);
        assert!(world.state.take_kill(), "the request is kept");
        if killed_parked {
            world.take();
        }
    });
}

/// Two others at once: each takes the bias back, and each is heard.
#[test]
fn model_biased_and_two_others() {
    explore_within(2, || {
        let (world, hub) = biased();
        let killer = on_thread(&world, |world| world.state.kill());
        let unparker = on_thread(&world, |world| world.state.unpark());
        let requeued = park(&world, hub);
        let (killed, unparked) = (killer.join().unwrap(), unparker.join().unwrap());
        assert_ne!(killed, Kill::Finished);
        assert_eq!(unparked, Wake::Noted, "it is in no `park`");
        assert_ne!(requeued, killed == Kill::Enqueue, "one of them pushes");
        assert!(world.state.take_kill() && world.state.take_unpark(), "both requests are kept");
    });
}

/// The greenlet is in `park`, by its biased word, and is unparked from its hub and from elsewhere: one of them pushes it, and
/// what the other wrote is seen by whoever finds the token.
#[test]
fn model_biased_and_unparked() {
    explore_within(3, || {
        let (world, hub) = biased();
        assert_eq!(world.state.commit_park(epoch(&world), true, false, Some(hub)), Commit::Parked);
        let other = on_thread(&world, |world| {
            world.write(0);
            world.deliver(world.state.unpark())
        });
        let pushed = world.deliver(world.state.unpark());
        assert_ne!(other.join().unwrap(), pushed, "one of them pushes");
        world.take();
        assert_eq!(world.read(0), 1);
        assert!(world.state.take_unpark(), "the other left its token");
    });
}

/// A timer of the hub's, and another thread's kill, end the wait of a biased word once.
#[test]
fn model_biased_and_due() {
    explore_within(3, || {
        let (world, _) = parked();
        let killer = on_thread(&world, |world| world.kill());
        let fired = world.deliver(world.state.timer());
        assert_ne!(killer.join().unwrap(), fired, "one of them pushes");
        assert_eq!(world.state.load().cause(), if fired { Cause::Timer } else { Cause::Kill });
    });
}

/// The hub takes its own bias back, and gives it again, while another thread revokes it for good.
#[test]
fn model_biased_again() {
    explore_within(2, || {
        let (world, hub) = biased();
        let waker = on_thread(&world, |world| {
            let _first = world.state.unpark();
            world.state.unpark()
        });
        // What the hub does by the way: here it is told twice of a timer.
        for _ in 0..2 {
            assert_eq!(world.state.timer(), Wake::Noted);
            world.state.take_timer();
        }
        assert!(!park(&world, hub));
        assert_eq!(waker.join().unwrap(), Wake::Noted);
        assert_eq!(world.state.wake(epoch(&world)), Wake::Enqueue);
        assert!(world.state.take_unpark());
    });
}

/// A reporter holds the greenlet still while its hub wakes it.
#[test]
fn model_biased_and_borrowed() {
    explore_within(3, || {
        let (world, _) = parked();
        let reporter = on_thread(&world, |world| {
            world
                .state
                .borrow_parked()
                .is_some_and(|borrowed| world.state.give_back(borrowed) == Commit::Requeue)
        });
        let woken = world.state.wake(epoch(&world));
        let pushed = reporter.join().unwrap();
        assert_ne!(woken, Wake::Stale);
        assert_ne!(woken == Wake::Enqueue, pushed, "one of them pushes");
    });
}

/// Another hub has taken the greenlet over while it was ready, which changes nothing of its word: `Hub::make_home` does, where it
/// is to run. It parks there, while the first hub wakes it.
#[test]
fn model_biased_and_parked_elsewhere() {
    explore_within(3, || {
        let (world, _) = biased();
        let epoch = epoch(&world);
        let elsewhere = on_thread(&world, move |world| {
            world.state.count_parks_anew();
            world.save();
            let there = ThreadMark::of_model(2);
            world.state.commit_park(epoch, false, false, Some(there)) == Commit::Requeue
        });
        world.write(0);
        let woken = world.state.wake(epoch);
        let pushed = world.deliver(woken);
        assert_ne!(elsewhere.join().unwrap(), pushed, "one of them pushes");
        assert_eq!(world.state.load().epoch(), epoch + 1);
        assert_eq!(world.read(0), 1);
    });
}

/// It ends on the other hub, while the first one unparks it by a handle that it drops then.
#[test]
fn model_biased_and_ended_elsewhere() {
    explore_within(3, || {
        let (world, _) = biased();
        let elsewhere = on_thread(&world, |world| {
            world.state.count_parks_anew();
            let finished = world.state.finish(false).or_else(|()| world.state.finish(true));
            assert_eq!(finished, Ok(false));
            world.let_go(super::Owner::Life)
        });
        assert_ne!(world.state.unpark(), Wake::Enqueue, "it runs, or has ended");
        let handle_was_last = if world.state.detach() { world.let_go(super::Owner::Handle) } else { 0 };
        assert_eq!(elsewhere.join().unwrap() + handle_was_last, 1, "one of them frees it");
    });
}

/// The greenlet ends, and its handle goes: one of them drops the result, and the last of them frees the rest.
#[test]
fn model_biased_to_the_end() {
    explore_within(3, || {
        let (world, _) = biased();
        let handle = on_thread(&world, |world| {
            // As the handle goes: of one that has ended it lets go afterwards.
            if world.state.detach() { world.let_go(super::Owner::Handle) } else { 0 }
        });
        let finished = world.state.finish(false).or_else(|()| world.state.finish(true));
        assert_eq!(finished, Ok(false));
        let hub_was_last = world.let_go(super::Owner::Life);
        assert_eq!(handle.join().unwrap() + hub_was_last, 1, "one of them frees it");
    });
}

impl State {
    fn is_biased(&self) -> bool {
        self.load().0 & super::word::BIASED != 0
    }
}
