//! x
use std::time::{Duration, Instant};
fn main() {
    let what = std::env::args().nth(1).unwrap();
    let r = greenhub::runtime::Builder::new()
        .hubs(std::env::args().nth(2).map_or(1, |s| s.parse().unwrap()))
        .build()
        .unwrap();
    r.run(|| {
        for _ in 0..5 {
            match what.as_str() {
                "yield" => {
                    let hs: Vec<_> = (0..1000)
                        .map(|i| {
                            greenhub::spawn(move || {
                                for _ in 0..2000 {
                                    greenhub::yield_now();
                                }
                                i
                            })
                        })
                        .collect();
                    let t = Instant::now();
                    for h in hs {
                        h.join().unwrap();
                    }
                    println!("yield {:.1} ns", t.elapsed().as_nanos() as f64 / 2e6);
                }
                "spawn" => {
                    let t = Instant::now();
                    for _ in 0..100 {
                        let hs: Vec<_> = (0..10000).map(|i| greenhub::spawn(move || i)).collect();
                        for h in hs {
                            h.join().unwrap();
                        }
                    }
                    println!("spawn+join {:.1} ns", t.elapsed().as_nanos() as f64 / 1e6);
                }
                "fib" => {
                    fn fib(n: u32) -> u64 {
                        if n < 2 {
                            return n as u64;
                        }
                        let h = greenhub::spawn(move || fib(n - 1));
                        let b = fib(n - 2);
                        b + h.join().unwrap()
                    }
                    let t = Instant::now();
                    let v = fib(27);
                    println!(
                        "fib {v} {:.1} ns/greenlet {:?}",
                        t.elapsed().as_nanos() as f64 / v as f64,
                        t.elapsed()
                    );
                }
                "park" => {
                    let n: usize = std::env::args().nth(3).unwrap().parse().unwrap();
                    let rss = || {
                        let s = std::fs::read_to_string("/proc/self/status").unwrap();
                        let f = |k: &str| {
                            s.lines()
                                .find(|l| l.starts_with(k))
                                .unwrap()
                                .split_whitespace()
                                .nth(1)
                                .unwrap()
                                .parse::<usize>()
                                .unwrap()
                        };
                        (f("VmRSS:"), f("VmPTE:"))
                    };
                    let a = rss();
                    let t = Instant::now();
                    let hs: Vec<_> = (0..n).map(|_| greenhub::spawn(|| greenhub::park())).collect();
                    greenhub::sleep(Duration::from_millis(100));
                    for _ in 0..100 {
                        greenhub::yield_now();
                    }
                    while r.metrics().hubs.iter().map(|h| h.live_started as usize).sum::<usize>() < n {
                        greenhub::sleep(Duration::from_millis(5));
                    }
                    let b = rss();
                    println!(
                        "rss/greenlet {} pte {} {:?}",
                        (b.0 - a.0) * 1024 / n,
                        (b.1 - a.1) * 1024 / n,
                        t.elapsed()
                    );
                    for h in &hs {
                        h.greenlet().unpark();
                    }
                    for h in hs {
                        h.join().unwrap();
                    }
                    println!("all {:?}", t.elapsed());
                    return;
                }
                "pong" => {
                    let (a, b) = greenhub::channel::bounded(1);
                    let (c, d) = greenhub::channel::bounded(1);
                    let h = greenhub::spawn(move || {
                        for x in b {
                            if c.send(x).is_err() {
                                break;
                            }
                        }
                    });
                    let t = Instant::now();
                    for i in 0..300_000u64 {
                        a.send(i).unwrap();
                        d.recv().unwrap();
                    }
                    println!("pingpong {:.1} ns", t.elapsed().as_nanos() as f64 / 3e5);
                    drop(a);
                    h.join().unwrap();
                }
                "sky" => {
                    fn sky(c: greenhub::channel::Sender<u64>, num: u64, size: u64) {
                        if size == 1 {
                            c.send(num).unwrap();
                            return;
                        }
                        let (s, r) = greenhub::channel::bounded(10);
                        for i in 0..10 {
                            let s = s.clone();
                            let n = num + i * (size / 10);
                            drop(greenhub::spawn(move || sky(s, n, size / 10)));
                        }
                        c.send((0..10).map(|_| r.recv().unwrap()).sum()).unwrap();
                    }
                    let t = Instant::now();
                    let (s, rx) = greenhub::channel::bounded(1);
                    drop(greenhub::spawn(move || sky(s, 0, 1_000_000)));
                    println!(
                        "skynet {} {:?} stacks {}",
                        rx.recv().unwrap(),
                        t.elapsed(),
                        r.metrics().stacks_cached
                    );
                }
                "idle" => {
                    greenhub::sleep(Duration::from_secs(3));
                    return;
                }
                "late" => {
                    let mut v: Vec<u128> = (0..1000)
                        .map(|i| {
                            let d = Duration::from_micros(100 + (i * 37) % 2000);
                            let t = Instant::now();
                            greenhub::sleep(d);
                            t.elapsed().checked_sub(d).unwrap().as_nanos()
                        })
                        .collect();
                    v.sort();
                    println!("p50 {} p90 {} p99 {}", v[500], v[900], v[990]);
                }
                _ => greenhub::sleep(Duration::from_secs(1)),
            }
        }
    });
}
