//! What greenlets may still do while their runtime shuts down.

mod common;

use common::{ALL, left};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Does something that blocks when it is dropped, as a file does that is flushed.
struct Flush(Arc<AtomicUsize>);

impl Drop for Flush {
    fn drop(&mut self) {
        let written = greenhub::unblock(|| {
            std::thread::sleep(Duration::from_millis(1));
            1
        });
        self.0.fetch_add(written, SeqCst);
    }
}

#[test]
fn destructors_may_unblock_while_the_runtime_shuts_down() {
    let _alone = common::alone();
    for place in ALL {
        let before = left::Resources::now();
        let runtime = place.builder().build().unwrap();
        let flushed = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..40 {
            let (flush, begun) = (Flush(flushed.clone()), begun.clone());
            drop(runtime.spawn(move || {
                let _flush = flush;
                begun.fetch_add(1, SeqCst);
                greenhub::park();
            }));
        }
        common::eventually("all have begun", || begun.load(SeqCst) == 40);
        assert!(runtime.shutdown_timeout(Duration::from_secs(20)));
        assert_eq!(flushed.load(SeqCst), 40, "{place:?}");
        left::expect_as_before(&before, place);
    }
}

#[test]
fn a_greenlet_the_kill_has_not_reached_may_unblock_too() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let in_shield = begun.clone();
        let handle = runtime.spawn(move || {
            // Inside `shield` no kill reaches it.
            greenhub::shield(|| {
                in_shield.store(1, SeqCst);
                (0..50)
                    .map(|n| {
                        greenhub::sleep(Duration::from_millis(1));
                        greenhub::unblock(move || n)
                    })
                    .sum::<u32>()
            })
        });
        common::eventually("it has begun", || begun.load(SeqCst) == 1);
        assert!(runtime.shutdown_timeout(Duration::from_secs(20)));
        assert_eq!(handle.join().unwrap(), 49 * 50 / 2, "{place:?}");
    }
}
