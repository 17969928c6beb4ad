//! A lock that nobody else wants.

use crate::peer::{Figures, Sample};
use crate::setting::time;
use std::collections::VecDeque;
use std::hint::black_box;
use std::io;
use std::sync::Mutex;

/// One lock and unlock an operation.
pub(super) fn locks(sample: &Sample) -> io::Result<Figures> {
    let number = Mutex::new(0_u64);
    Ok(sample.timed(1, |rounds| {
        time(|| {
            for _ in 0..rounds {
                *black_box(&number).lock().expect("nobody panics") += 1;
            }
        })
    }))
}

/// Fills a queue and empties it, each message under the lock on its way in and on its way out.
pub(super) fn messages(sample: &Sample) -> io::Result<Figures> {
    let queue = Mutex::new(VecDeque::with_capacity(sample.size as usize));
    let lock = || black_box(&queue).lock().expect("nobody panics");
    Ok(sample.timed(sample.size, |rounds| {
        time(|| {
            for _ in 0..rounds {
                for n in 0..sample.size {
                    lock().push_back(n);
                }
                for _ in 0..sample.size {
                    black_box(lock().pop_front());
                }
            }
        })
    }))
}
