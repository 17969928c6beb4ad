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
                _ => greenhub::sleep(Duration::from_secs(1)),
            }
        }
    });
}
