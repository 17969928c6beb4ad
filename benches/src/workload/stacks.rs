//! Counting live stacks from outside while a workload runs.

use greenhub::runtime::Runtime;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Runs `f` in a greenlet and gives the most stacks that were seen in use meanwhile.
pub(super) fn most_in_use(runtime: &Runtime, f: impl FnOnce() + Send) -> f64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let watcher = threads.spawn(|| {
            let mut most = 0;
            // Relaxed: nothing is read that the flag would publish.
            while !over.load(Ordering::Relaxed) {
                // Of started greenlets; the stacks kept for the next ones do not count.
                let live: u64 = runtime.metrics().hubs.iter().map(|hub| hub.live_started).sum();
                most = most.max(live);
                std::thread::sleep(Duration::from_micros(200));
            }
            most
        });
        runtime.run(f);
        over.store(true, Ordering::Relaxed);
        match watcher.join() {
            Ok(most) => most as f64,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    })
}
