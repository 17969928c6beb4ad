//! Out of stacks: who waits for one, and who is told that none can come.

mod common;

use common::child;
use common::{Witness, on_built, roam, stay};
use greenhub::channel;
use greenhub::runtime::Builder;
use std::time::{Duration, Instant};

const PLACES: [common::Place; 4] = [stay(1), stay(2), roam(1), roam(2)];

fn one_stack(builder: Builder) -> Builder {
    builder.max_stacks(1)
}

#[test]
fn joined_by_the_owner_of_the_only_stack_a_greenlet_fails() {
    on_built(&PLACES, one_stack, |world| {
        let (captured, seen) = Witness::new();
        let error = world.run(move || greenhub::spawn(move || drop(captured)).join().unwrap_err());
        assert!(!error.is_panic() && !error.is_killed());
        let text = error.to_string();
        assert!(text.contains("no_stack.rs") && text.contains("all 1 stacks"), "{text}");
        assert_eq!(seen.drops(), 1);
    });
}

#[test]
fn a_killed_one_fails_as_killed_and_its_closure_is_gone_before_join_returns() {
    on_built(&PLACES, one_stack, |world| {
        let (captured, seen) = Witness::new();
        let drops = world.run(|| {
            let handle = greenhub::spawn(move || drop(captured));
            handle.kill();
            assert!(handle.join().unwrap_err().is_killed());
            seen.drops()
        });
        assert_eq!(drops, 1);
    });
}

#[test]
fn many_fail_one_after_the_other_and_each_joiner_is_told() {
    on_built(&PLACES, one_stack, |world| {
        let failed = world.run(|| {
            let results = greenhub::join_all((0..20).map(|_| greenhub::spawn(|| ())));
            results.iter().filter(|result| result.is_err()).count()
        });
        assert_eq!(failed, 20);
    });
}

#[test]
fn a_chain_of_joins_that_ends_without_a_stack_unwinds_from_its_end() {
    fn chain(depth: u32) -> u32 {
        match greenhub::spawn(move || chain(depth + 1)).join() {
            Ok(deepest) => deepest,
            Err(_) => depth,
        }
    }
    on_built(&PLACES, |builder| builder.max_stacks(5), |world| assert_eq!(world.run(|| chain(1)), 5));
}

#[test]
fn a_scope_whose_greenlet_can_have_no_stack_ends() {
    on_built(&PLACES, one_stack, |world| {
        let (outcome, _) = common::quietly(|| {
            world.run(|| {
                std::panic::catch_unwind(|| greenhub::scope(|scope| _ = scope.spawn(|| ()).greenlet().id()))
            })
        });
        let message = outcome.unwrap_err();
        assert_eq!(message.downcast_ref(), Some(&"a scoped greenlet panicked"));
    });
}

#[test]
fn an_error_handler_that_would_block_for_a_greenlet_without_a_stack_panics_instead() {
    const NAME: &str = "an_error_handler_that_would_block_for_a_greenlet_without_a_stack_panics_instead";
    if child::is_child(NAME) {
        greenhub::on_error(|_, payload| {
            eprintln!("handled: {}", payload.downcast_ref::<String>().unwrap());
            greenhub::sleep(Duration::from_secs(3600));
        });
        // Two that join each other have all the stacks, so the third one will never have any.
        let runtime = Builder::new().hubs(1).max_stacks(2).build().unwrap();
        let (senders, joiners): (Vec<_>, Vec<_>) = (0..2)
            .map(|_| {
                let (sender, receiver) = channel::bounded::<greenhub::JoinHandle<()>>(1);
                (sender, runtime.spawn(move || receiver.recv().unwrap().join().unwrap()))
            })
            .unzip();
        joiners
            .into_iter()
            .zip(senders.into_iter().rev())
            .for_each(|(joiner, sender)| sender.send(joiner).unwrap());
        let third = runtime.spawn(|| ());
        let greenlet = third.greenlet().clone();
        drop(third);
        common::eventually("it fails", || greenlet.is_finished());
        assert!(runtime.shutdown_timeout(Duration::from_secs(20)));
        return;
    }
    let output = child::run(NAME, |_| {});
    let text = child::text(&output.stderr);
    for part in
        ["handled: ", "could not be given a stack", "the error handler itself panicked", "hub 0's own stack"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn who_waits_for_something_else_or_not_for_long_keeps_the_others_waiting() {
    on_built(&PLACES, one_stack, |world| {
        // A plain thread has what gets the owner of the only stack going.
        let (sender, receiver) = channel::bounded(1);
        let patient = world.runtime.spawn(move || receiver.recv().unwrap());
        common::eventually("it has the stack", || world.runtime.metrics().stacks_in_use == 1);
        let child = world.runtime.spawn(|| 7);
        std::thread::sleep(Duration::from_millis(200));
        assert!(!child.is_finished());
        assert!(world.runtime.dump().contains("waits for a stack"), "{}", world.runtime.dump());
        sender.send(1).unwrap();
        assert_eq!(patient.join().unwrap(), 1);
        assert_eq!(child.join().unwrap(), 7);
        // A joiner that will give up by itself.
        let begun = Instant::now();
        let handle = world.run(|| {
            let handle = greenhub::spawn(|| 8);
            assert!(!handle.join_timeout(Duration::from_millis(50)));
            assert!(
                greenhub::timeout(Duration::from_millis(50), || greenhub::scope(
                    |_| handle.join_timeout(Duration::MAX)
                ))
                .is_err()
            );
            handle
        });
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert_eq!(handle.join().unwrap(), 8);
    });
}

#[test]
fn refused_by_the_system_and_joined_by_a_greenlet_it_fails_too() {
    const NAME: &str = "refused_by_the_system_and_joined_by_a_greenlet_it_fails_too";
    if child::is_child(NAME) {
        let runtime = Builder::new().hubs(1).build().unwrap();
        let text = runtime.run(|| {
            // More than there is, for what else threads reserve, but not enough for such a stack.
            let sizes = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = sizes.split(' ').next().unwrap().parse().unwrap();
            let most = pages * 4096 + (512 << 20);
            let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: `limit` is readable.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
            // Of a size that no stack has been made of yet.
            let builder = greenhub::Builder::new().stack_size(1 << 30);
            builder.spawn(|| ()).unwrap().join().unwrap_err().to_string()
        });
        assert!(text.contains("the system refused memory for one more stack"), "{text}");
        return;
    }
    child::succeed(NAME, |_| {});
}
