//! Greenlet-locals: each greenlet its own, wherever it runs, dropped when it ends.

mod common;

use common::{Witness, everywhere, inside, quietly};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

greenhub::greenlet_local! {
    static NUMBER: Cell<u32> = Cell::new(0);
    static LIST: RefCell<Vec<u32>> = RefCell::new(Vec::new());
    static FIRST: RefCell<Option<Box<dyn std::any::Any>>> = RefCell::new(None);
    static SECOND: RefCell<Option<Box<dyn std::any::Any>>> = RefCell::new(None);
    static THIRD: RefCell<Option<Box<dyn std::any::Any>>> = RefCell::new(None);
}

#[test]
fn every_greenlet_has_its_own_value_across_suspensions() {
    inside(|| {
        let handles: Vec<_> = (1..=100)
            .map(|n| {
                greenhub::spawn(move || {
                    assert_eq!(NUMBER.get(), 0);
                    NUMBER.set(n);
                    for step in 0..10 {
                        LIST.with(|list| list.borrow_mut().push(step));
                        if step % 3 == 0 {
                            greenhub::sleep(Duration::from_micros(50));
                        } else {
                            greenhub::yield_now();
                        }
                        assert_eq!(NUMBER.get(), n);
                    }
                    LIST.with(|list| assert_eq!(*list.borrow(), (0..10).collect::<Vec<_>>()));
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(NUMBER.get(), 0);
    });
}

#[test]
fn every_plain_thread_has_its_own_value() {
    let _alone = common::alone();
    NUMBER.set(5);
    std::thread::spawn(|| {
        assert_eq!(NUMBER.get(), 0);
        NUMBER.set(6);
        assert_eq!(NUMBER.get(), 6);
    })
    .join()
    .unwrap();
    assert_eq!(NUMBER.get(), 5);
    NUMBER.set(0);
}

#[test]
fn locals_are_dropped_when_the_greenlet_ends_however_it_ends() {
    everywhere(|world| {
        quietly(|| {
            let ways: [fn(); 3] = [|| (), || panic!("expected"), greenhub::park];
            for end in ways {
                let (value, seen) = Witness::new();
                let handle = world.runtime.spawn(move || {
                    FIRST.with(|slot| *slot.borrow_mut() = Some(Box::new(value)));
                    end();
                });
                common::settle();
                handle.kill();
                drop(handle.join());
                assert_eq!(seen.drops(), 1);
            }
        });
    });
}

#[test]
fn the_local_made_last_is_dropped_first() {
    struct Says(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Says {
        fn drop(&mut self) {
            greenhub::yield_now();
            self.1.lock().unwrap().push(self.0);
        }
    }
    inside(|| {
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = said.clone();
        greenhub::spawn(move || {
            for (key, word) in [(&FIRST, "first"), (&SECOND, "second"), (&THIRD, "third")] {
                let says = Says(word, log.clone());
                key.with(|slot| *slot.borrow_mut() = Some(Box::new(says)));
            }
        })
        .join()
        .unwrap();
        assert_eq!(*said.lock().unwrap(), ["third", "second", "first"]);
    });
}

#[test]
fn a_panic_in_the_destructor_of_one_local_keeps_no_other_from_being_dropped() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("bad local");
        }
    }
    everywhere(|world| {
        let reports = Arc::new(AtomicUsize::new(0));
        let count = reports.clone();
        greenhub::on_error(move |_, _| _ = count.fetch_add(1, SeqCst));
        quietly(|| {
            let (value, seen) = Witness::new();
            let handle = world.runtime.spawn(move || {
                FIRST.with(|slot| *slot.borrow_mut() = Some(Box::new(value)));
                SECOND.with(|slot| *slot.borrow_mut() = Some(Box::new(Bad)));
                common::os_thread()
            });
            common::eventually("it ended", || handle.is_finished());
            assert_eq!(seen.drops(), 1, "the other local is left");
            assert_eq!(handle.join().unwrap(), seen.thread());
        });
        assert_eq!(reports.load(SeqCst), 1);
    });
}

#[test]
fn a_local_made_by_the_destructor_of_a_detached_result_is_dropped_with_the_greenlet() {
    struct Makes(Option<Witness>);
    impl Drop for Makes {
        fn drop(&mut self) {
            let value = self.0.take().expect("dropped once");
            FIRST.with(|slot| *slot.borrow_mut() = Some(Box::new(value)));
        }
    }
    everywhere(|world| {
        let (value, seen) = Witness::new();
        let handle = world.runtime.spawn(move || {
            greenhub::sleep(Duration::from_millis(1));
            Makes(Some(value))
        });
        // Whoever keeps a reference to the greenlet keeps none of its locals.
        let greenlet = handle.greenlet().clone();
        drop(handle);
        common::eventually("it ended", || greenlet.is_finished());
        assert_eq!(seen.drops(), 1);
    });
}

#[test]
fn a_local_s_destructor_may_use_locals_and_suspend() {
    struct Uses(Arc<AtomicUsize>);
    impl Drop for Uses {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(1));
            NUMBER.set(NUMBER.get() + 1);
            LIST.with(|list| list.borrow_mut().push(9));
            self.0.fetch_add(1, SeqCst);
        }
    }
    inside(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let uses = Uses(dropped.clone());
        greenhub::spawn(move || FIRST.with(|slot| *slot.borrow_mut() = Some(Box::new(uses)))).join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn a_kill_that_comes_while_locals_are_dropped_leaves_none_behind() {
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(6));
        }
    }
    inside(|| {
        let (value, seen) = Witness::new();
        let handle = greenhub::spawn(move || {
            FIRST.with(|slot| *slot.borrow_mut() = Some(Box::new(value)));
            SECOND.with(|slot| *slot.borrow_mut() = Some(Box::new(Slow)));
        });
        greenhub::sleep(Duration::from_millis(2));
        handle.kill();
        drop(handle.join());
        assert_eq!(seen.drops(), 1);
    });
}

#[test]
fn locals_may_hold_what_is_not_send_in_spawn_local() {
    inside(|| {
        let shared = Rc::new(Cell::new(0));
        let handles: Vec<_> = (0..10)
            .map(|_| {
                let shared = shared.clone();
                greenhub::spawn_local(move || {
                    FIRST.with(|slot| *slot.borrow_mut() = Some(Box::new(shared.clone())));
                    greenhub::yield_now();
                    shared.set(shared.get() + 1);
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(shared.get(), 10);
        assert_eq!(Rc::strong_count(&shared), 1);
    });
}
