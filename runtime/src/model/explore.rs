//! Running the models of single protocols.
//!
//! Such a model is a test named `model_*` in a `model.rs` beside its module. It runs in builds with `--cfg greenhub_loom`
//! only; `.ci/loom.sh` runs them all.

use super::check;
use std::sync::Arc;

/// How often a model may take the processor from a thread that could go on, unless `LOOM_MAX_PREEMPTIONS` says
/// otherwise. Three finds every bug that was planted in these protocols, and most need but one.
const PREEMPTIONS: usize = 3;

/// Runs `model` in every interleaving, and prints how many there were. `LOOM_MAX_DURATION` (seconds) cuts it short,
/// which the line says.
#[track_caller]
pub(crate) fn explore<F: Fn() + Sync + Send + 'static>(model: F) {
    explore_within(PREEMPTIONS, model);
}

/// As [`explore`], for a model with so many threads or steps that a smaller bound must do; `LOOM_MAX_PREEMPTIONS` may
/// lower it further.
#[track_caller]
pub(crate) fn explore_within<F: Fn() + Sync + Send + 'static>(preemptions: usize, model: F) {
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}").trim_start_matches("greenhub::");
    let allowed = loom::model::Builder::new().preemption_bound.unwrap_or(PREEMPTIONS);
    let bound = if preemptions < PREEMPTIONS { allowed.min(preemptions) } else { allowed };
    match check::run(Some(bound), Arc::new(model)) {
        Ok(checked) => println!(
            "{name}: {} interleavings{}, at most {bound} preemptions, {:.1} s",
            checked.executions,
            if checked.cut_short { " (cut short by the time limit)" } else { "" },
            checked.took.as_secs_f64()
        ),
        Err(report) => panic!("{name}: {report}"),
    }
}
