//! The memory of a round trip, and nothing else of it: the cache lines that two greenlets and two channels between them
//! touch, each read and written, of many pairs in turn.

use crate::peer::floor::Region;
use crate::setting::time;
use std::hint::black_box;
use std::io;
use std::time::Duration;

const LINE: usize = 64;

/// What one wait touches, as `valgrind --tool=lackey --trace-mem=yes bench probe channel --count 2000` shows it: of its
/// stack, of its header.
const STACK: usize = 6;
const HEADER: usize = 4;
/// Of a channel.
const CHANNEL: usize = 1;

/// Those of one round trip.
pub(super) const OF_A_ROUND_TRIP: usize = 2 * (STACK + HEADER + CHANNEL);

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(u64);

/// A greenlet and the channel it receives from: a page of its own below its stack's top, and a block for both, with the one
/// line of a header that a wait does not touch.
struct Waiting {
    stack: *mut Line,
    block: Box<[Line; HEADER + CHANNEL + 1]>,
}

impl Waiting {
    /// `number` tells how far the stack's top is moved down, as the runtime moves it.
    fn new(region: &mut Region, number: usize) -> io::Result<Self> {
        let top = region.next()?.wrapping_sub((number + number / 16) % 16 * 2 * LINE);
        Ok(Self {
            stack: top.wrapping_sub(STACK * LINE).cast(),
            block: Box::new([Line(0); HEADER + CHANNEL + 1]),
        })
    }

    fn touch(&mut self) {
        for line in self.block[..HEADER + CHANNEL].iter_mut() {
            *black_box(&mut line.0) += 1;
        }
        for line in 0..STACK {
            // SAFETY: the region's memory is zeros and as large as a page at least, of which these are the topmost lines but
            // for some thirty; nobody else refers to it.
            unsafe { *black_box(&raw mut (*self.stack.add(line)).0) += 1 };
        }
    }
}

/// So many pairs in turn, until `count` round trips are over, a multiple of the number of pairs.
pub(super) fn of_pairs(pairs: u64, count: u64) -> io::Result<Duration> {
    let greenlets = 2 * pairs as usize;
    let mut region = Region::new(greenlets)?;
    let mut all = (0..greenlets).map(|n| Waiting::new(&mut region, n)).collect::<io::Result<Vec<_>>>()?;
    let mut touch = |rounds| (0..rounds).for_each(|_| all.iter_mut().for_each(Waiting::touch));
    touch(1);
    Ok(time(|| touch(count / pairs)))
}
