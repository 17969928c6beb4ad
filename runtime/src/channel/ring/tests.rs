use super::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// A ring of its own slots, dropped with what is in it.
struct Owned<T>(Ring<T>);

impl<T> Owned<T> {
    fn new(size: u32) -> Self {
        Self(Ring::new(size).unwrap())
    }

    /// Adds a message, growing where there is no room.
    fn add(&mut self, message: T) {
        if let Err(message) = self.0.push(message) {
            // SAFETY: the slots are not lent.
            assert!(unsafe { self.0.grow(u32::MAX) });
            assert!(self.0.push(message).is_ok());
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the slots are not lent.
        drop(unsafe { self.0.take_left(false) });
    }
}

/// Notes its number when it is dropped; panics then if it is told to.
struct Noted<'a> {
    number: u32,
    dropped: &'a RefCell<Vec<u32>>,
    panics: bool,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.dropped.borrow_mut().push(self.number);
        assert!(!self.panics, "as it was told");
    }
}

#[test]
fn it_does_what_a_queue_does() {
    for size in 0..6 {
        let (mut ring, mut queue) = (Owned::new(size), VecDeque::new());
        // Always the same, and never the same twice in a row.
        let mut chance = 1u32;
        for number in 0..2_000 {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if chance >> 16 & 7 < 4 {
                ring.add(Rc::new(number));
                queue.push_back(number);
            } else {
                assert_eq!(ring.0.pop().map(|got| *got), queue.pop_front());
            }
            assert_eq!(ring.0.len(), queue.len());
        }
    }
}

#[test]
fn it_wraps_around_and_refuses_when_full() {
    let mut ring = Owned::new(3);
    for round in 0..10 {
        assert_eq!((0..5).map(|i| ring.0.push(round + i)).filter(Result::is_ok).count(), 3);
        assert_eq!(ring.0.push(99), Err(99));
        assert_eq!([ring.0.pop(), ring.0.pop()], [Some(round), Some(round + 1)]);
        assert!(ring.0.push(100).is_ok());
        assert_eq!([(); 3].map(|()| ring.0.pop()), [Some(round + 2), Some(100), None]);
    }
}

#[test]
fn it_grows_while_wrapped() {
    for gone in 0..8 {
        let mut ring = Owned::new(8);
        (0..8).for_each(|i| ring.add(i));
        (0..gone).for_each(|i| assert_eq!(ring.0.pop(), Some(i)));
        (8..40).for_each(|i| ring.add(i));
        assert_eq!(ring.0.len(), 40 - gone);
        (gone..40).for_each(|i| assert_eq!(ring.0.pop(), Some(i)));
        assert_eq!(ring.0.pop(), None);
    }
}

#[test]
fn it_grows_to_its_limit_and_no_further() {
    let mut ring = Owned::<u8>::new(0);
    for expected in [Some(64), Some(100), None] {
        // SAFETY: the slots are not lent.
        let grew = unsafe { ring.0.grow(100) };
        assert_eq!(grew.then_some(ring.0.size), expected);
    }
    let mut few = Owned::<[u64; 100]>::new(0);
    // SAFETY: as above.
    assert!(unsafe { few.0.grow(3) });
    assert_eq!(few.0.size, 3);
}

#[test]
fn what_no_memory_can_hold_is_refused() {
    assert!(Ring::<[u64; 1 << 30]>::new(u32::MAX).is_none());
    let mut ring = Ring::<[u64; 1 << 40]>::new(0).unwrap();
    ring.size = 1 << 20;
    // SAFETY: slots that are not there are not lent either, and it comes to no copy.
    assert!(!unsafe { ring.grow(u32::MAX) });
    assert_eq!(ring.size, 1 << 20);
}

#[test]
fn messages_without_a_size_need_no_memory() {
    thread_local!(static DROPS: Cell<u32> = const { Cell::new(0) });
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.set(DROPS.get() + 1);
        }
    }
    let mut ring = Owned::new(2);
    (0..500).for_each(|_| ring.add(Nothing));
    (0..200).for_each(|_| assert!(ring.0.pop().is_some()));
    assert_eq!((DROPS.get(), ring.0.len()), (200, 300));
    drop(ring);
    assert_eq!(DROPS.get(), 500);
    let mut most = Ring::<()>::new(u32::MAX).unwrap();
    most.fill();
    // SAFETY: the slots are not lent.
    assert!(most.push(()).is_err() && !unsafe { most.grow(u32::MAX) });
    // The last slot is followed by the first, in 32 bits too.
    most.head = u32::MAX - 1;
    assert!(most.pop().is_some() && most.head == 0 && most.push(()).is_ok());
}

#[test]
fn slots_may_be_lent_and_messages_of_any_alignment() {
    let mut slots = [const { std::mem::MaybeUninit::<Rc<u32>>::uninit() }; 2];
    let message = Rc::new(7);
    // SAFETY: two slots, which outlive the ring.
    let mut ring = unsafe { Ring::lent(NonNull::from(&mut slots).cast(), 2) };
    ring.push(message.clone()).unwrap();
    ring.push(message.clone()).unwrap();
    drop(ring.pop());
    ring.push(message.clone()).unwrap();
    // SAFETY: as many as the limit.
    assert!(!unsafe { ring.grow(2) });
    // SAFETY: lent, and still there.
    drop(unsafe { ring.take_left(true) });
    assert_eq!((Rc::strong_count(&message), ring.len(), ring.pop()), (1, 0, None));

    #[repr(align(128))]
    struct Wide(u8);
    let mut wide = Owned::new(0);
    (0..20).for_each(|i| wide.add(Wide(i)));
    assert_eq!(wide.0.slots.addr().get() % 128, 0);
    (0..20).for_each(|i| assert_eq!(wide.0.pop().unwrap().0, i));
}

#[test]
fn what_is_left_is_dropped_in_order_also_when_a_drop_panics() {
    for panicking in [None, Some(3), Some(4), Some(6)] {
        let dropped = RefCell::new(Vec::new());
        let noted = |number| Noted { number, dropped: &dropped, panics: panicking == Some(number) };
        let mut ring = Owned::new(4);
        (0..4).for_each(|i| ring.add(noted(i)));
        (0..3).for_each(|_| std::mem::forget(ring.0.pop()));
        (4..7).for_each(|i| ring.add(noted(i)));
        let outcome = catch_unwind(AssertUnwindSafe(|| drop(ring)));
        assert_eq!(outcome.is_err(), panicking.is_some());
        assert_eq!(*dropped.borrow(), [3, 4, 5, 6]);
    }
}
