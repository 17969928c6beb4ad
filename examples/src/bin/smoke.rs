//! x
use std::time::{Duration, Instant};
fn main() {
    let r = greenhub::runtime::Builder::new()
        .hubs(std::env::args().nth(1).map_or(1, |s| s.parse().unwrap()))
        .build()
        .unwrap();
    r.run(|| {
        let h = greenhub::spawn(|| 42);
        println!("join {}", h.join().unwrap());
        let t = Instant::now();
        greenhub::sleep(Duration::from_millis(10));
        println!("slept {:?}", t.elapsed());
        let hs: Vec<_> = (0..1000)
            .map(|i| {
                greenhub::spawn(move || {
                    for _ in 0..1000 {
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
        println!("yield {:.1} ns", t.elapsed().as_nanos() as f64 / 1e6);
        for _ in 0..3 {
            let t = Instant::now();
            for _ in 0..100 {
                let hs: Vec<_> = (0..10000).map(|i| greenhub::spawn(move || i)).collect();
                for h in hs {
                    h.join().unwrap();
                }
            }
            println!("spawn+join {:.1} ns", t.elapsed().as_nanos() as f64 / 1e6);
        }
        let v = greenhub::timeout(Duration::from_millis(5), || greenhub::sleep(Duration::from_secs(5)));
        println!("{v:?}");
        let h = greenhub::spawn(|| greenhub::sleep(Duration::from_secs(100)));
        greenhub::yield_now();
        h.kill();
        println!("{:?}", h.join());
        let h = greenhub::spawn(|| panic!("boo"));
        println!("{:?}", h.join().map(|()| ()));
    });
    println!("{:#?}", r.metrics());
    println!("shutdown {}", r.shutdown_timeout(Duration::from_secs(1)));
}
