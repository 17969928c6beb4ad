//! Hunts what a stuck hub holds up: a greenlet that never suspends beside timers, I/O, locks, channels and spawns. It
//! computes until the others have done their work, so whatever depends on its hub, and should not, hangs. By default
//! that is all that started on other hubs or has not started yet; in migrate mode it is everything else. On one hub, and
//! where each greenlet is sent to the hub whose turn it is, stuck or not, the hog ends by itself: all must be done then.

use greenhub::net::UnixStream;
use greenhub::runtime::{Runtime, current_hub};
use greenhub::sync::{Mutex, WaitGroup};
use greenhub::{Greenlet, channel, join_all, park, sleep, spawn, spawn_later, timeout, yield_now};
use greenhub_stress::{
    Chance, Ledger, Stress, compute, die, moves_every_time, progress, waited_for_processors,
};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nobody sleeps or waits so much longer than was asked for, stuck hub or not, once what this process waited for
/// processors is taken off: a machine may have a lot to do besides.
const LATEST: Duration = Duration::from_millis(300);
/// Where the system does not say how long that was.
const LATEST_IN_ALL: Duration = Duration::from_secs(10);
/// How long it computes where nobody else can run meanwhile.
const ALONE: Duration = Duration::from_millis(20);

/// One round's hog and what the others tell it.
struct Round {
    /// The hub that the hog holds, once it does.
    hub: AtomicUsize,
    released: AtomicBool,
    /// Workers that are done.
    done: AtomicUsize,
    finished: Ledger,
    /// Streams that were registered with some hub's event loop before the hog began.
    streams: Mutex<Vec<(UnixStream, UnixStream)>>,
    lock: Mutex<u64>,
    /// The longest that a wait took beyond its time, in microseconds.
    late: AtomicU64,
}

const NOBODY: usize = usize::MAX;

impl Round {
    /// One wait that should have taken this long has ended.
    fn waited(&self, from: Instant, asked: Duration) {
        let took = from.elapsed();
        assert!(took >= asked, "{took:?} instead of {asked:?}");
        self.late.fetch_max((took - asked).as_micros() as u64, SeqCst);
    }
}

fn main() {
    let mut stress = Stress::start("stuck");
    let witness = Witness::start();
    let runtime = stress.runtime();
    let (mut beside, mut behind, mut late) = (0, 0, 0);
    while let Some(chance) = stress.next_round() {
        let (more_beside, more_behind, latest) = round(&runtime, &stress, &witness, chance);
        beside += more_beside;
        behind += more_behind;
        late = late.max(latest);
    }
    if is_alone(&stress) {
        println!("here what is due may wait for the stuck hub: only that all is done after it was checked");
    } else if beside == 0 {
        die("nothing ever ran beside the stuck hub: this proves nothing");
    }
    witness.end();
    let done = format!("{beside} worked beside a stuck hub, {behind} after it, the latest {late} µs late");
    stress.finish(runtime, &done);
}

/// Whether greenlets may depend on the stuck hub.
fn is_alone(stress: &Stress) -> bool {
    stress.hubs() == 1 || stress.migrates() && moves_every_time()
}

/// A thread that only sleeps: as late as it is, everybody may be, since then the whole process, or the machine, stood still.
struct Witness {
    stop: Arc<AtomicBool>,
    naps: Arc<AtomicU64>,
    /// In microseconds.
    latest: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Witness {
    const NAP: Duration = Duration::from_millis(5);

    fn start() -> Self {
        let (stop, naps, latest) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let thread = std::thread::spawn({
            let (stop, naps, latest) = (stop.clone(), naps.clone(), latest.clone());
            move || {
                while !stop.load(SeqCst) {
                    let from = Instant::now();
                    std::thread::sleep(Self::NAP);
                    latest.fetch_max((from.elapsed() - Self::NAP).as_micros() as u64, SeqCst);
                    naps.fetch_add(1, SeqCst);
                }
            }
        });
        Self { stop, naps, latest, thread }
    }

    /// What it was late before no longer counts.
    fn forget(&self) {
        self.latest.store(0, SeqCst);
    }

    /// How late it has been since, the nap that is now on its way included.
    fn latest(&self) -> Duration {
        let naps = self.naps.load(SeqCst);
        while self.naps.load(SeqCst) < naps + 1 {
            std::thread::sleep(Self::NAP);
        }
        Duration::from_micros(self.latest.load(SeqCst))
    }

    fn end(self) {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("the witness ends");
    }
}

fn round(
    runtime: &Arc<Runtime>,
    stress: &Stress,
    witness: &Witness,
    mut chance: Chance,
) -> (usize, usize, u64) {
    witness.forget();
    let waited_before = waited_for_processors();
    let (settled, fresh) = (chance.between(1, 40), chance.between(0, 40));
    let total = settled + fresh;
    let round = Arc::new(Round {
        hub: AtomicUsize::new(NOBODY),
        released: AtomicBool::new(false),
        done: AtomicUsize::new(0),
        finished: Ledger::new("a worker's end", total),
        streams: Mutex::new(Vec::new()),
        lock: Mutex::new(0),
        late: AtomicU64::new(0),
    });
    // These settle on their hubs, and register a descriptor there, before the hog begins.
    let ready = WaitGroup::new();
    let workers: Vec<_> = (0..settled)
        .map(|number| {
            let (round, ready, mut chance) = (round.clone(), ready.clone(), chance.split());
            runtime.spawn(move || {
                let mut pair = UnixStream::pair().expect("a pair");
                let blocked = timeout(Duration::from_micros(200), || pair.0.read(&mut [0; 8]).map(drop));
                assert!(blocked.is_err(), "bytes from nowhere");
                round.streams.lock().push(pair);
                drop(ready);
                // Parked, or asleep with a timer on this hub.
                let from = Instant::now();
                if chance.one_in(2) {
                    park();
                } else {
                    let asked = Duration::from_millis(2) + chance.micros(2000);
                    sleep(asked);
                    round.waited(from, asked);
                    park();
                }
                work(&round, number, &mut chance)
            })
        })
        .collect();
    ready.wait();
    let hog = runtime.spawn({
        let (round, alone) = (round.clone(), is_alone(stress));
        move || {
            round.hub.store(current_hub().expect("a greenlet has a hub"), SeqCst);
            if alone {
                return compute(ALONE);
            }
            while !round.released.load(SeqCst) {
                std::hint::spin_loop();
            }
        }
    });
    while round.hub.load(SeqCst) == NOBODY {
        std::thread::sleep(Duration::from_micros(20));
    }
    let stuck = round.hub.load(SeqCst);
    // Which of those settled must be able to work now: by default, those that live elsewhere.
    let free = |greenlet: &Greenlet| stress.migrates() || greenlet.hub() != Some(stuck);
    let beside = workers.iter().filter(|worker| free(worker.greenlet())).count();
    for worker in &workers {
        if chance.one_in(8) {
            // A thread wakes some of them late.
            std::thread::sleep(chance.micros(200));
        }
        worker.greenlet().unpark();
    }
    let later: Vec<_> = (0..fresh)
        .map(|number| {
            let (round, mut chance) = (round.clone(), chance.split());
            let number = settled + number;
            runtime.spawn(move || work(&round, number, &mut chance))
        })
        .collect();
    let needed = if is_alone(stress) { 0 } else { beside + fresh };
    while round.done.load(SeqCst) < needed {
        // The watchdog ends this, if it must: those it lists are held up by the stuck hub.
        std::thread::sleep(Duration::from_micros(50));
    }
    round.released.store(true, SeqCst);
    hog.join().expect("the hog ends");
    for (number, result) in join_all(workers.into_iter().chain(later)).into_iter().enumerate() {
        assert_eq!(result.expect("a worker ends"), number);
    }
    round.finished.expect_all();
    assert_eq!(*round.lock.lock(), total as u64, "increments under the mutex were lost");
    if is_alone(stress) {
        return (needed, total - needed, 0);
    }
    let late = round.late.load(SeqCst);
    let in_time = match (waited_before, waited_for_processors()) {
        (Some(before), Some(after)) => LATEST + after.saturating_sub(before),
        _ => LATEST_IN_ALL,
    };
    if Duration::from_micros(late) > in_time {
        let allowed = in_time + witness.latest();
        if Duration::from_micros(late) > allowed {
            die(&format!(
                "something was done {late} µs late beside a stuck hub, where {allowed:?} is the most"
            ));
        }
    }
    (needed, total - needed, late)
}

/// A bit of everything. By default a greenlet that lives on the stuck hub comes here only after the hog.
fn work(round: &Arc<Round>, number: usize, chance: &mut Chance) -> usize {
    for _ in 0..chance.between(1, 6) {
        let (from, brief) = (Instant::now(), chance.micros(3000));
        match chance.below(8) {
            0 => {
                sleep(brief);
                round.waited(from, brief);
            }
            1 => {
                assert!(timeout(brief, park_again).is_err(), "a park ended by itself");
                round.waited(from, brief);
            }
            2 => {
                // Whoever it is registered with. Nobody else uses this one meanwhile.
                let pair = round.streams.lock().pop();
                if let Some((mut near, mut far)) = pair {
                    let writer = spawn(move || {
                        sleep(brief);
                        far.write_all(b"hello").expect("there is room");
                        far
                    });
                    near.read_exact(&mut [0; 5]).expect("it was sent");
                    round.waited(from, brief);
                    round.streams.lock().push((near, writer.join().expect("the writer ends")));
                }
            }
            3 => {
                let children = (0..chance.below(20)).map(|n| spawn(move || n)).collect::<Vec<_>>();
                let sum: u64 = children.into_iter().map(|child| child.join().expect("it ends")).sum();
                assert!(sum <= 190);
                round.waited(from, Duration::ZERO);
            }
            4 => {
                spawn_later(brief, || ()).join().expect("it begins in time");
                round.waited(from, brief);
            }
            5 => {
                let (send, receive) = channel::bounded(chance.between(0, 2));
                let count = chance.below(10);
                let sender = spawn(move || (0..count).for_each(|n| send.send(n).expect("it receives")));
                assert_eq!((&receive).into_iter().count() as u64, count);
                sender.join().expect("it ends");
                round.waited(from, Duration::ZERO);
            }
            6 => {
                greenhub::unblock(move || std::thread::sleep(brief / 8));
                round.waited(from, brief / 8);
            }
            _ => (0..20).for_each(|_| yield_now()),
        }
    }
    *round.lock.lock() += 1;
    round.finished.mark(number);
    // While the hog holds its hub only those come here that can: the others wait for their hub.
    round.done.fetch_add(1, SeqCst);
    progress();
    number
}

/// Parks for as long as nobody unparks: a token left over from the start is used up first.
fn park_again() {
    loop {
        park();
    }
}
