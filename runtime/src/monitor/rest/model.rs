//! The monitor's rest under loom: it rests only while every hub sleeps, and of the hubs that get up exactly one rings.
//!
//! `Rest::lie_down`, `must_ring` and `undisturbed` of `monitor/rest.rs` run as they ship, with `Bed::lie_down`, `get_up` and
//! `is_asleep` of `hub/idle.rs`. Played are the hubs, each of which gets up once, and the monitor, which tries to rest once.

use super::Rest;
use crate::hub::idle::Bed;
use loom::sync::Arc;
use loom::thread;

/// `hubs` sleeping hubs get up while the monitor lies down: who rings, and does it rest?
fn rise_against_rest(hubs: usize) {
    crate::model::explore(move || {
        let rest = Arc::new(Rest::new());
        let beds: Vec<_> = (0..hubs).map(|_| Arc::new(Bed::new())).collect();
        beds.iter().for_each(|bed| bed.lie_down());
        let threads: Vec<_> = beds
            .iter()
            .map(|bed| {
                let (bed, rest) = (bed.clone(), rest.clone());
                thread::spawn(move || {
                    bed.get_up();
                    rest.must_ring()
                })
            })
            .collect();
        let rests = rest.lie_down(|| beds.iter().all(|bed| bed.is_asleep()));
        let rings = threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count();
        assert!(rings <= 1, "one ring a rest is enough");
        if rests {
            assert_eq!(rings, 1, "the monitor rests beside a hub that is up");
            assert!(!rest.undisturbed());
        }
    });
}

#[test]
fn model_a_hub_that_gets_up_wakes_a_resting_monitor() {
    rise_against_rest(1);
}

#[test]
fn model_of_two_hubs_that_get_up_one_wakes_the_monitor() {
    rise_against_rest(2);
}
