//! One hub's cache, over the store of the process.

use super::*;

impl Blocks {
    /// How many bytes are listed, counted one by one.
    fn listed(&self) -> usize {
        let mut sum = 0;
        for class in 0..CLASSES {
            let mut next = self.free[class].get();
            // SAFETY: blocks in the list are free and linked by their first word.
            while let Some(block) = unsafe { next.as_ref() } {
                sum += size(class);
                next = block.next;
            }
        }
        assert_eq!(self.kept.get(), sum);
        sum
    }

    fn take(&self, class: usize) -> NonNull<u8> {
        self.pop(class).unwrap_or_else(|| self.refill(class))
    }
}

#[test]
fn a_hub_takes_and_gives_batches_and_knows_what_it_keeps() {
    let blocks = Blocks::new();
    let first = blocks.take(5);
    assert!(blocks.listed() < batch_of(5) * size(5));
    blocks.push(5, first);
    // More than it keeps of one class, and a few of another.
    let many: Vec<_> = (0..KEEP / size(5) + 3 * batch_of(5)).map(|_| blocks.take(5)).collect();
    let few: Vec<_> = (0..3).map(|_| blocks.take(0)).collect();
    let give = |class, block| match blocks.kept.get() < KEEP {
        true => blocks.push(class, block),
        false => blocks.push_beyond(class, block),
    };
    many.into_iter().for_each(|block| give(5, block));
    assert!(blocks.listed() <= KEEP);
    assert!(blocks.free[0].get().is_null(), "what is not used any more goes first");
    few.into_iter().for_each(|block| give(0, block));
    assert!(blocks.listed() <= KEEP + size(0));
    blocks.trim();
    assert!(blocks.listed() <= KEEP_IDLE);
    blocks.shrink(0);
    assert_eq!(blocks.listed(), 0);
}
