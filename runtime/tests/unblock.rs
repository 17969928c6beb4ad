//! `unblock`: blocking calls, and what becomes of the threads that make them.

mod common;

use common::everywhere;
use std::time::Duration;

#[test]
fn unblock_runs_elsewhere_and_holds_up_no_hub() {
    everywhere(|world| {
        world.run(|| {
            let here = common::os_thread();
            let handles: Vec<_> = (0..8)
                .map(|n| {
                    greenhub::spawn(move || {
                        greenhub::unblock(move || {
                            std::thread::sleep(Duration::from_millis(20));
                            (n, common::os_thread())
                        })
                    })
                })
                .collect();
            // Meanwhile the hubs are free.
            let mut turns = 0;
            while !handles.iter().all(greenhub::JoinHandle::is_finished) {
                greenhub::sleep(Duration::from_micros(500));
                turns += 1;
            }
            assert!(turns >= 3, "the hub was held up: {turns} turns");
            for (n, handle) in handles.into_iter().enumerate() {
                let (number, thread) = handle.join().unwrap();
                assert_eq!(number, n);
                assert_ne!(thread, here);
            }
        });
    });
}

#[test]
fn a_panic_in_unblock_is_the_caller_s() {
    everywhere(|world| {
        let (error, _) = common::quietly(|| {
            world.runtime.spawn(|| greenhub::unblock(|| std::panic::panic_any(9_u8))).join().unwrap_err()
        });
        assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 9);
    });
}
