//! Running models: every interleaving of a few threads over the very code that ships, found by loom.
//!
//! A model is a test named `model_*` in a `model.rs` beside its module. It runs in builds with `--cfg greenhub_loom`
//! only; `.ci/loom.sh` runs them all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// How often a model may take the processor from a thread that could go on, unless `LOOM_MAX_PREEMPTIONS` says
/// otherwise. Three finds every bug that was planted in these protocols, and most need but one.
const PREEMPTIONS: usize = 3;

/// Runs `model` in every interleaving, and prints how many there were. `LOOM_MAX_DURATION` (seconds) cuts it short,
/// which the line says.
pub(crate) fn explore<F: Fn() + Sync + Send + 'static>(model: F) {
    explore_within(PREEMPTIONS, model);
}

/// As [`explore`], for a model with so many threads or steps that a smaller bound must do; `LOOM_MAX_PREEMPTIONS` may
/// lower it further.
pub(crate) fn explore_within<F: Fn() + Sync + Send + 'static>(preemptions: usize, model: F) {
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}").trim_start_matches("greenhub::");
    let mut builder = loom::model::Builder::new();
    let allowed = builder.preemption_bound.unwrap_or(PREEMPTIONS);
    let bound = if preemptions < PREEMPTIONS { allowed.min(preemptions) } else { allowed };
    builder.preemption_bound = Some(bound);
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let start = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let took = start.elapsed();
    let cut = builder.max_duration.is_some_and(|limit| took >= limit);
    println!(
        "{name}: {} interleavings{}, at most {bound} preemptions, {:.1} s",
        count.load(Ordering::Relaxed),
        if cut { " (cut short by the time limit)" } else { "" },
        took.as_secs_f64()
    );
}
