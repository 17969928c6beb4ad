//! Hunts what a runtime leaves behind: runtimes made and ended in a loop, most with live greenlets of every kind.
//! Everything they held is dropped once, and the process's threads, descriptors and mappings do not grow.

use greenhub::net::{TcpListener, UnixStream};
use greenhub::sync::{Condvar, Mutex, Semaphore};
use greenhub::{JoinHandle, channel, park, scope, shield, sleep, spawn, spawn_later, spawn_local, yield_now};
use greenhub_stress::{Chance, Ledger, Resources, Stress, Witness, die, expect_panic, watch, within};
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const FOR_EVER: Duration = Duration::from_secs(100_000);
/// Rounds before what the process holds is taken as its measure: caches fill, and the allocator's arenas.
const WARM: u64 = 8;
/// What `unblock` says then.
const POOL_IS_SHUT: &str = "the blocking pool is shut down";
/// Mappings that come and go with the allocator's arenas and the C library's cache of thread stacks.
const SLACK: usize = 64;

fn main() {
    let mut stress = Stress::start("runtimes");
    expect_panic(POOL_IS_SHUT);
    let (mut greenlets, mut threads_joined) = (0, 0);
    let mut measure: Option<Resources> = None;
    let mut last = Resources::now();
    while let Some(mut chance) = stress.next_round() {
        let hubs = chance.between(1, stress.hubs() + 1);
        let runtime = Arc::new(stress.builder_for(hubs).build().expect("a runtime starts"));
        watch(&runtime);
        let count = if chance.one_in(4) { 0 } else { chance.between(1, 60) };
        let drops = Ledger::new("a drop", count);
        let mutex = Arc::new((Mutex::new(()), Condvar::new(), Semaphore::new(1)));
        let handles: Vec<JoinHandle<()>> = (0..count)
            .map(|number| {
                let (chance, witness, mutex) = (chance.split(), drops.witness(number), mutex.clone());
                runtime.spawn(move || live(chance, witness, &mutex))
            })
            .collect();
        greenlets += count;
        if chance.one_in(2) {
            std::thread::sleep(chance.micros(1000));
        }
        // Some are waited for from outside when the end comes.
        let waiting = std::thread::spawn(move || {
            handles
                .into_iter()
                .map(|handle| handle.join())
                .all(|end| end.is_ok() || end.is_err_and(|e| e.is_killed()))
        });
        let runtime = Arc::into_inner(runtime).expect("nobody else has it");
        if chance.one_in(2) {
            if !runtime.shutdown_timeout(Duration::from_secs(10)) {
                die("a runtime did not end in time");
            }
        } else {
            drop(runtime);
        }
        assert!(
            waiting.join().expect("a thread ends"),
            "a greenlet ended otherwise than by itself or a kill"
        );
        threads_joined += 1;
        drops.expect_all();
        assert!(mutex.0.try_lock().is_some(), "a killed greenlet kept the mutex");
        if stress.rounds() >= WARM {
            let first = *measure.get_or_insert_with(Resources::now);
            let same = |now: &Resources| {
                now.threads <= first.threads
                    && now.descriptors <= first.descriptors
                    && now.regions <= first.regions
                    && now.mappings <= first.mappings + SLACK
            };
            // A joined thread takes a moment to leave the kernel's list.
            let as_before = within(Duration::from_secs(5), || {
                last = Resources::now();
                same(&last)
            });
            if !as_before {
                die(&format!("the process grows: {first:?} became {last:?}"));
            }
        }
    }
    stress.conclude(&format!(
        "{greenlets} greenlets, {threads_joined} threads that waited, {last:?} at the end"
    ));
}

fn live(mut chance: Chance, witness: Witness, shared: &(Mutex<()>, Condvar, Semaphore)) {
    let _witness = witness;
    let (mutex, condvar, semaphore) = shared;
    match chance.below(16) {
        0 => {}
        1 => sleep(FOR_EVER),
        2 => park(),
        3 => loop {
            yield_now();
        },
        4 => {
            let _guard = mutex.lock();
            sleep(FOR_EVER);
        }
        5 => {
            let mut guard = mutex.lock();
            condvar.wait(&mut guard);
        }
        6 => {
            let _permit = semaphore.acquire();
            park();
        }
        7 => {
            let (_send, receive) = channel::bounded::<u8>(1);
            assert!(receive.recv().is_ok(), "a channel with a sender is not disconnected");
        }
        8 => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let _accepted = listener.accept();
        }
        9 => {
            let (mut stream, _other) = UnixStream::pair().expect("a pair");
            let _read = stream.read(&mut [0; 8]);
        }
        10 => {
            let brief = chance.micros(2000);
            // Panics if the runtime has shut its pool before the kill reaches this greenlet.
            let refused = std::panic::catch_unwind(|| greenhub::unblock(move || std::thread::sleep(brief)));
            if let Err(payload) = refused
                && payload.downcast_ref::<String>().is_none_or(|text| !text.contains(POOL_IS_SHUT))
            {
                greenhub::resume_unwind(payload);
            }
        }
        11 => {
            let child = spawn_later(FOR_EVER, || {});
            assert!(child.join().is_err_and(|error| error.is_killed()), "a greenlet began early");
        }
        12 => {
            let owner = spawn_local(|| {
                let value = Rc::new(5);
                let other = value.clone();
                drop(spawn_local(move || {
                    sleep(FOR_EVER);
                    drop(other);
                }));
                sleep(FOR_EVER);
                drop(value);
            });
            let _killed = owner.join();
        }
        13 => {
            let text = String::from("lent");
            scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| {
                        sleep(FOR_EVER);
                        text.len()
                    });
                }
            });
        }
        14 => {
            let brief = chance.micros(2000);
            shield(|| sleep(brief));
            (0..20).for_each(|_| drop(spawn(park)));
            park();
        }
        _ => {
            struct Slow(Duration);
            impl Drop for Slow {
                fn drop(&mut self) {
                    sleep(self.0);
                }
            }
            let _slow = Slow(chance.micros(2000));
            greenhub::block_on(std::future::pending::<()>());
        }
    }
}
