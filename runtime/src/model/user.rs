//! [`model`]: a user's program in every interleaving.

use super::check;
use crate::greenlet::header::{Birth, Extra, Kind, Ref, create, take_result};
use crate::greenlet::state::State;
use crate::hub::run_root;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

/// How often the processor may be taken from a greenlet that could go on, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 3;

/// Runs `f` in every interleaving of the greenlets it spawns, and panics with a report if one of them goes wrong.
///
/// Only with `RUSTFLAGS="--cfg greenhub_loom"`; see [the guide](crate::guide::checking). `f` is called once for each
/// interleaving, as the root greenlet. It may use everything in this crate that has nothing to do with the outside
/// world, from at most four greenlets beside the root.
///
/// What is found: a deadlock, a wake-up that got lost, a greenlet that waits for ever when the root has returned, a
/// panic of the root or one that nobody joined, and a data race over [`sync::atomic`](crate::sync::atomic) and
/// [`cell`](crate::cell). The report names the greenlets, what each is doing, and the schedule up to there.
///
/// `LOOM_MAX_PREEMPTIONS` (3) bounds how often a greenlet is stopped where it could go on; `LOOM_MAX_DURATION` in seconds
/// cuts the check short, which the line that it prints at its end says.
///
/// # Panics
///
/// With the report, if an interleaving goes wrong.
#[track_caller]
pub fn model<F>(f: F)
where
    F: Fn() + Send + Sync + 'static,
{
    // Statics belong to one model at a time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let place = Location::caller();
    let most = loom::model::Builder::new().preemption_bound.unwrap_or(PREEMPTIONS);
    let f = Arc::new(f);
    let body: Arc<dyn Fn() + Send + Sync> = Arc::new(move || run_once(place, &*f));
    // The fewer preemptions a failure needs, the easier its report is to read.
    for bound in 0..=most {
        match check::run(Some(bound), body.clone()) {
            Err(report) => panic!("greenhub::model: {report}"),
            Ok(checked) if bound == most || checked.cut_short => {
                println!(
                    "greenhub::model at {place}: {} interleavings{}, at most {bound} preemptions, {:.1} s",
                    checked.executions,
                    if checked.cut_short { " (cut short by the time limit)" } else { "" },
                    checked.took.as_secs_f64()
                );
                return;
            }
            Ok(_) => {}
        }
    }
}

/// One execution.
fn run_once(place: &'static Location<'static>, f: &(dyn Fn() + Send + Sync)) {
    let root = run_root(|home| {
        let birth = Birth {
            state: State::unstarted(),
            id: 1,
            kind: Kind::Free,
            spawned_at: place,
            home,
            extra: Some(Box::new(Extra { name: Some("root".into()), ..Extra::default() })),
        };
        // SAFETY: its owners' common reference: its life and its handle are here, and neither lets go.
        unsafe { Ref::from_raw(create(birth, f)) }
    });
    // SAFETY: it has ended, its result is `()`, and nobody else has a handle.
    if let Some(Err(error)) = unsafe { take_result::<()>(root.as_ptr()) } {
        check::fail(&format!("the root ended badly: {error}"));
    }
}
