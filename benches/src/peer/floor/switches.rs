//! corosensei alone: coroutines that are resumed in turn.

use crate::peer::{Figures, Sample};
use crate::setting::time;
use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, Yielder};
use std::io;

/// As many bytes a stack as these coroutines need, many times over.
const STACK: usize = 32 << 10;

/// A stack whose top is moved down by a few cache lines, another number for each: tops at equal page offsets would all
/// fall into one set of the cache, and a runtime that moves them would be faster than its floor.
pub(super) struct Moved {
    stack: DefaultStack,
    by: usize,
}

impl Moved {
    pub(super) fn new(number: usize) -> io::Result<Self> {
        const LINE: usize = 64;
        Ok(Self { stack: DefaultStack::new(STACK)?, by: number % 32 * LINE })
    }
}

// SAFETY: the memory between `limit` and `base` is part of the inner stack's, which keeps what the trait asks for: the
// base moves by less than a page of the stack's several, and by a multiple of the alignment.
unsafe impl Stack for Moved {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.stack.base().get() - self.by).expect("no stack is at address zero")
    }

    fn limit(&self) -> StackPointer {
        self.stack.limit()
    }
}

/// So many coroutines, each resumed once a round; a round counts as `per_round` operations.
pub(super) fn in_turn(sample: &Sample, coroutines: u64, per_round: u64) -> io::Result<Figures> {
    let body = |yielder: &Yielder<(), ()>, ()| {
        loop {
            yielder.suspend(());
        }
    };
    let stacks = (0..coroutines as usize).map(Moved::new);
    let mut all: Vec<Coroutine<(), (), (), Moved>> =
        stacks.map(|stack| Ok(Coroutine::with_stack(stack?, body))).collect::<io::Result<_>>()?;
    Ok(sample.timed(per_round, |rounds| {
        time(|| {
            for _ in 0..rounds {
                for coroutine in &mut all {
                    coroutine.resume(());
                }
            }
        })
    }))
}
