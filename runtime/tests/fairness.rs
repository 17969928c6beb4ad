//! Fairness across hubs: what is busy on one holds up nothing that may run on another.

mod common;

use common::{SEVERAL_HUBS, World, eventually, on, roam, stay, where_load_counts};
use greenhub::JoinHandle;
use greenhub::net::{TcpListener, TcpStream};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Greenlets that never suspend until they are told to end.
struct Hogs {
    stop: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Hogs {
    /// Starts `count` of them, and waits until each has a hub to itself.
    fn start(world: &World, count: usize) -> Hogs {
        let stop = Arc::new(AtomicBool::new(false));
        let running: Vec<_> = (0..count).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let handles = running
            .iter()
            .map(|running| {
                let (stop, running) = (stop.clone(), running.clone());
                world.runtime.spawn(move || Hogs::compute(&stop, &running))
            })
            .collect();
        eventually("every hog runs", || running.iter().all(|running| running.load(SeqCst)));
        Hogs { stop, handles }
    }

    fn compute(stop: &AtomicBool, running: &AtomicBool) {
        let start = Instant::now();
        running.store(true, SeqCst);
        while !stop.load(SeqCst) {
            std::hint::spin_loop();
            assert!(start.elapsed() < Duration::from_secs(20), "the others have not ended beside a hog");
        }
    }

    /// Ends them. Whatever was to be done beside them has been done.
    fn end(self) {
        assert!(!self.handles.iter().any(JoinHandle::is_finished));
        self.stop.store(true, SeqCst);
        self.handles.into_iter().for_each(|handle| handle.join().unwrap());
    }
}

#[test]
fn a_greenlet_that_never_yields_delays_nothing_that_comes_from_outside() {
    on(&where_load_counts(&SEVERAL_HUBS), |world| {
        let hogs = Hogs::start(world, world.place.hubs - 1);
        for _ in 0..30 {
            let handles: Vec<_> = (0..4).map(|n| world.runtime.spawn(move || n)).collect();
            let sum: i32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
            assert_eq!(sum, 6);
        }
        hogs.end();
    });
}

#[test]
fn a_greenlet_that_never_yields_delays_nothing_that_it_spawned_before() {
    on(&where_load_counts(&SEVERAL_HUBS), |world| {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let (send, receive) = greenhub::channel::unbounded();
        let hog = world.runtime.spawn(move || {
            for n in 0..100 {
                let send = send.clone();
                drop(greenhub::spawn(move || {
                    greenhub::yield_now();
                    greenhub::sleep(Duration::from_micros(100));
                    send.send(n).unwrap();
                }));
            }
            drop(send);
            Hogs::compute(&flag, &AtomicBool::new(false));
        });
        let mut seen: Vec<i32> = receive.iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert!(!hog.is_finished());
        stop.store(true, SeqCst);
        hog.join().unwrap();
    });
}

#[test]
fn timers_and_wakes_of_other_hubs_go_on_beside_a_hog() {
    on(&where_load_counts(&SEVERAL_HUBS), |world| {
        // Where they start they stay, so they start when the hogs have their hubs.
        let hogs = Hogs::start(world, world.place.hubs - 1);
        let handles: Vec<_> = (0..20)
            .map(|n| {
                world.runtime.spawn(move || {
                    for _ in 0..10 {
                        greenhub::sleep(Duration::from_micros(300 + n));
                        greenhub::spawn(greenhub::yield_now).join().unwrap();
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        hogs.end();
    });
}

#[test]
fn spawn_later_of_a_stuck_hub_starts_elsewhere() {
    on(&where_load_counts(&SEVERAL_HUBS), |world| {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let (send, receive) = greenhub::channel::unbounded();
        let hog = world.runtime.spawn(move || {
            for n in 0..10 {
                let send = send.clone();
                drop(greenhub::spawn_later(Duration::from_millis(1 + n), move || send.send(n).unwrap()));
            }
            drop(send);
            Hogs::compute(&flag, &AtomicBool::new(false));
        });
        assert_eq!(receive.iter().count(), 10);
        stop.store(true, SeqCst);
        hog.join().unwrap();
    });
}

#[test]
fn with_migration_a_hog_delays_not_even_the_started_greenlets_of_its_hub() {
    on(&where_load_counts(&[roam(2), roam(4)]), |world| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Started everywhere first: sleepers, parked ones, and echoes.
        let (go, went) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sleepers: Vec<_> = (0..20)
            .map(|_| {
                let (go, went) = (go.clone(), went.clone());
                world.runtime.spawn(move || {
                    while !went.load(SeqCst) {
                        greenhub::sleep(Duration::from_millis(1));
                        went.store(go.load(SeqCst), SeqCst);
                    }
                    (0..5).for_each(|_| greenhub::sleep(Duration::from_millis(1)));
                })
            })
            .collect();
        let parked: Vec<_> = (0..20).map(|_| world.runtime.spawn(greenhub::park)).collect();
        let server = world.runtime.spawn(move || {
            let echoes: Vec<_> = (0..8)
                .map(|_| {
                    let (mut stream, _) = listener.accept().unwrap();
                    greenhub::spawn(move || {
                        let mut byte = [0];
                        while stream.read(&mut byte).unwrap() == 1 {
                            stream.write_all(&byte).unwrap();
                        }
                    })
                })
                .collect();
            echoes.into_iter().for_each(|echo| echo.join().unwrap());
        });
        let mut clients: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
        common::settle();
        let hogs = Hogs::start(world, world.place.hubs - 1);
        go.store(true, SeqCst);
        for round in 0..5 {
            for client in &mut clients {
                client.write_all(&[round]).unwrap();
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                assert_eq!(byte[0], round);
            }
        }
        parked.iter().for_each(|handle| handle.greenlet().unpark());
        parked.into_iter().for_each(|handle| handle.join().unwrap());
        sleepers.into_iter().for_each(|handle| handle.join().unwrap());
        drop(clients);
        server.join().unwrap();
        hogs.end();
    });
}

/// Spawns from outside until a greenlet starts on this very hub (default mode: there it stays), and runs `body` there.
fn spawn_on(world: &World, hub: usize, body: impl Fn() + Send + Sync + 'static) -> JoinHandle<bool> {
    let body = Arc::new(body);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (body, here) = (body.clone(), Arc::new(std::sync::OnceLock::new()));
        let told = here.clone();
        let handle = world.runtime.spawn(move || {
            let right = greenhub::runtime::current_hub() == Some(hub);
            _ = told.set(right);
            if right {
                body();
            }
            right
        });
        eventually("it starts", || here.get().is_some());
        if here.get() == Some(&true) {
            return handle;
        }
        assert!(Instant::now() < deadline, "nothing starts on hub {hub}");
    }
}

#[test]
fn a_hub_that_looks_after_a_stuck_one_runs_at_once_what_it_wakes_of_its_own() {
    on(&[stay(2)], |world| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let reader = Arc::new(listener.accept().unwrap().0);
        let read_one = {
            let reader = reader.clone();
            move || (&*reader).read_exact(&mut [0; 1]).unwrap()
        };
        // Registered with hub 0, where it first had to wait.
        let first = spawn_on(world, 0, read_one.clone());
        common::settle();
        writer.write_all(b"0").unwrap();
        first.join().unwrap();
        let (stop, running) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let hog = {
            let (stop, running) = (stop.clone(), running.clone());
            spawn_on(world, 0, move || Hogs::compute(&stop, &running))
        };
        for round in 0..10 {
            let waiting = spawn_on(world, 1, read_one.clone());
            // Hub 1 has seen that hub 0 makes no progress, and sleeps.
            world.runtime.spawn(|| ()).join().unwrap();
            common::settle();
            writer.write_all(b"1").unwrap();
            // What wakes hub 1 now is something else; on its way back to sleep it looks after hub 0.
            drop(world.runtime.spawn(|| ()));
            assert!(
                waiting.join_timeout(Duration::from_secs(5)),
                "round {round}: a ready greenlet is slept over"
            );
            waiting.join().unwrap();
        }
        stop.store(true, SeqCst);
        hog.join().unwrap();
    });
}

#[test]
fn nothing_runnable_waits_long_beside_an_idle_hub() {
    on(&where_load_counts(&SEVERAL_HUBS), |world| {
        // One short task at a time behind a busy spawner: an idle hub takes it.
        world.run(|| {
            for _ in 0..20 {
                let ran = Arc::new(AtomicBool::new(false));
                let flag = ran.clone();
                let task = greenhub::spawn(move || flag.store(true, SeqCst));
                let start = Instant::now();
                while !ran.load(SeqCst) {
                    std::hint::spin_loop();
                    assert!(start.elapsed() < Duration::from_secs(10), "nobody took it");
                }
                task.join().unwrap();
            }
        });
    });
}

#[test]
fn connections_accepted_on_one_hub_spread_over_all() {
    on(&[stay(2), stay(4)], |world| {
        const CONNECTIONS: usize = 2000;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = world.runtime.spawn(move || {
            let served: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    let (mut stream, _) = listener.accept().unwrap();
                    greenhub::spawn(move || {
                        let mut byte = [0];
                        while stream.read(&mut byte).unwrap() == 1 {
                            stream.write_all(&byte).unwrap();
                        }
                        greenhub::runtime::current_hub().unwrap()
                    })
                })
                .collect();
            let mut places = BTreeMap::<usize, usize>::new();
            for handle in served {
                *places.entry(handle.join().unwrap()).or_default() += 1;
            }
            places
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let stream = std::net::TcpStream::connect(address).unwrap();
                std::thread::sleep(Duration::from_micros(700));
                stream
            })
            .collect();
        drop(clients);
        let places = server.join().unwrap();
        let fair = CONNECTIONS / world.place.hubs;
        let fewest = (0..world.place.hubs).map(|hub| places.get(&hub).copied().unwrap_or(0)).min().unwrap();
        assert!(fewest * 10 >= fair * 8, "unfair on {:?}: {places:?}", world.place);
    });
}

#[test]
fn pinned_and_local_greenlets_are_never_taken_from_a_busy_hub() {
    on(&where_load_counts(&SEVERAL_HUBS), |world| {
        world.run(|| {
            let spawner = greenhub::Builder::new().pinned().spawn(|| {
                let here = common::os_thread();
                let pinned: Vec<_> = (0..20)
                    .map(|_| greenhub::Builder::new().pinned().spawn(common::os_thread).unwrap())
                    .collect();
                let local: Vec<_> = (0..20).map(|_| greenhub::spawn_local(common::os_thread)).collect();
                common::compute(Duration::from_millis(5));
                for handle in pinned.into_iter().chain(local) {
                    assert_eq!(handle.join().unwrap(), here);
                }
            });
            spawner.unwrap().join().unwrap();
        });
    });
}
