//! The sources registered with one reactor, named by tokens that are never mistaken for an earlier holder's.
//!
//! A token is a slot's index and the slot's generation. An event that was fetched before its descriptor was
//! deregistered may be looked up after the slot has a new holder; its generation is then old, and it is ignored. So
//! a slot is free at once, with no list of slots that wait for the next poll.

use super::source::Source;
use crate::facade::Arc;

/// Half of the token each: four thousand million slots with 64-bit pointers, 65,536 with 32-bit ones.
const INDEX_BITS: u32 = usize::BITS / 2;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

struct Slot {
    generation: usize,
    source: Option<Arc<Source>>,
}

/// To be used under the table's lock.
#[derive(Default)]
pub(super) struct Slab {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Slab {
    /// Gives the source a token, or `None` when every token is in use.
    pub(super) fn insert(&mut self, source: Arc<Source>) -> Option<usize> {
        let index = match self.free.pop() {
            Some(index) => index,
            // The last index is kept back: with the last generation it would make the waker's token.
            None if self.slots.len() == INDEX_MASK => return None,
            None => {
                self.slots.push(Slot { generation: 0, source: None });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[index];
        slot.source = Some(source);
        Some(slot.generation << INDEX_BITS | index)
    }

    /// The source that holds this token now.
    pub(super) fn get(&self, token: usize) -> Option<&Arc<Source>> {
        let slot = self.slots.get(token & INDEX_MASK)?;
        slot.source.as_ref().filter(|_| slot.generation == token >> INDEX_BITS)
    }

    /// Takes the token back. Does nothing if it is not in use (any more).
    pub(super) fn remove(&mut self, token: usize) {
        if self.get(token).is_some() {
            let index = token & INDEX_MASK;
            let slot = &mut self.slots[index];
            slot.source = None;
            slot.generation = (slot.generation + 1) & INDEX_MASK;
            self.free.push(index);
        }
    }

    /// Takes every source out, for good: a token that came later could be mistaken for one that was.
    pub(super) fn clear(&mut self) -> Vec<Arc<Source>> {
        self.free = Vec::new();
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.source).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
