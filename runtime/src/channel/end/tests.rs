use super::super::*;
use super::*;
use crate::testing::everywhere;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

#[repr(align(32))]
#[derive(Clone, Copy, PartialEq, Debug)]
struct Aligned<const BYTES: usize>([u8; BYTES]);

/// Fills and empties channels of `capacity`, with the ends dropped in either order.
fn comes_and_goes<T: Clone + PartialEq + std::fmt::Debug>(capacity: Option<usize>, message: &T) {
    let most = capacity.unwrap_or(300).min(3_000);
    for left in [0, most / 2, most] {
        let (sender, receiver) = ends(capacity);
        (0..most).for_each(|_| sender.try_send(message.clone()).unwrap());
        assert!(capacity != Some(most) || sender.try_send(message.clone()).unwrap_err().is_full());
        assert_eq!((sender.len(), sender.capacity()), (most, capacity));
        assert!((left..most).all(|_| receiver.try_recv().as_ref() == Ok(message)));
        if left == 0 {
            drop(sender);
            assert!(receiver.try_recv().unwrap_err().is_disconnected());
        } else {
            drop(receiver);
            assert!(sender.try_send(message.clone()).unwrap_err().is_disconnected());
            assert_eq!(sender.len(), 0);
        }
    }
}

#[test]
fn buffers_of_every_size_and_messages_of_every_kind() {
    everywhere(|| {
        let message = Arc::new(1);
        for capacity in [0, 1, 2, 3, 10, 114, 115, 116, 1_024, 1_025, 70_000, usize::MAX] {
            comes_and_goes(Some(capacity), &message);
            comes_and_goes(Some(capacity), &());
            comes_and_goes(Some(capacity), &7u8);
            comes_and_goes(Some(capacity), &[1u64; 17]);
            comes_and_goes(Some(capacity), &u128::MAX);
            comes_and_goes(Some(capacity), &Aligned([1; 1]));
            comes_and_goes(Some(capacity), &Aligned([1; 0]));
        }
        comes_and_goes(None, &message);
        comes_and_goes(None, &());
        comes_and_goes(None, &Aligned([1; 65]));
        assert_eq!(Arc::strong_count(&message), 1);
    });
}

#[test]
fn few_slots_are_in_the_block() {
    let room = (LARGEST - size_of::<Shared<u64>>()) / 8;
    assert!(lends_slots::<u64>(Some(1)) && lends_slots::<u64>(Some(room)) && lends_slots::<u128>(Some(2)));
    assert!(!lends_slots::<u64>(Some(room + 1)) && !lends_slots::<u64>(Some(0)) && !lends_slots::<u64>(None));
    assert!(!lends_slots::<u64>(Some(usize::MAX)) && !lends_slots::<()>(Some(1)));
    assert!(!lends_slots::<Aligned<1>>(Some(1)));
}

#[test]
fn a_message_too_many_is_refused_and_the_channel_goes_on() {
    let (sender, receiver) = unbounded::<()>();
    sender.shared.fill();
    let outcome = catch_unwind(AssertUnwindSafe(|| sender.send(())));
    let message = outcome.unwrap_err();
    assert!(message.downcast_ref::<&str>().unwrap().contains("another message"));
    assert_eq!(
        (receiver.len(), receiver.recv(), receiver.len()),
        (u32::MAX as usize, Ok(()), u32::MAX as usize - 1)
    );
    sender.send(()).unwrap();
    drop(sender);
    // Not one by one.
    assert_eq!(receiver.len(), u32::MAX as usize);
}

#[test]
#[should_panic(expected = "no memory can hold")]
fn a_buffer_that_no_memory_can_hold_is_refused() {
    drop(bounded::<[u64; 1 << 57]>(1_024));
}

#[test]
fn a_message_that_panics_as_it_is_dropped_leaves_nothing_behind() {
    struct Noted(u32, Rc<RefCell<Vec<u32>>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
            assert!(self.0 != 1, "as it was told");
        }
    }
    for capacity in [Some(3), Some(200), None] {
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let (sender, receiver) = ends(capacity);
        (0..3).for_each(|i| assert!(sender.send(Noted(i, dropped.clone())).is_ok()));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(receiver))).is_err());
        assert_eq!(*dropped.borrow(), [0, 1, 2]);
        assert!(sender.shared.one_side_left.load(Ordering::Relaxed));
        assert!(sender.try_send(Noted(3, dropped)).is_err_and(|error| error.is_disconnected()));
    }
}

#[test]
fn a_channel_of_one_word_takes_two_cache_lines() {
    let (block, _) = with_slots::<u64>(Some(3)).unwrap();
    assert!(!cfg!(target_arch = "x86_64") || block.size() == 128);
}
