//! What is seen while the program runs: on a terminal a bar with the hubs' table, redrawn in place; in a log, a line a
//! second.

use crate::complain;
use crate::numbers::count;
use crate::table::{self, Row};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The bar's length.
const WHOLE: u64 = 1000;

/// Standard error, as a place for progress.
pub(crate) struct Screen {
    /// On a terminal.
    bar: Option<ProgressBar>,
    /// When the next line is due, elsewhere.
    due: Instant,
}

/// How far it has got.
pub(crate) struct Progress {
    what: String,
    /// Of [`WHOLE`].
    done: u64,
}

impl Progress {
    pub(crate) fn opening(open: u64, of: u64) -> Self {
        Self {
            what: format!("opening {} of {} connections", count(open), count(of)),
            done: open.saturating_mul(WHOLE) / of.max(1),
        }
    }

    pub(crate) fn running(requests: u64, rate: u64) -> Self {
        Self { what: format!("{} requests verified, {}/s", count(requests), count(rate)), done: WHOLE }
    }

    /// The same, with a bar for the time that has passed.
    pub(crate) fn within(self, passed: Duration, whole: Duration) -> Self {
        let part = passed.as_secs_f64() / whole.as_secs_f64();
        Self { done: (part.clamp(0.0, 1.0) * WHOLE as f64) as u64, ..self }
    }

    pub(crate) fn serving(live: u64, rate: u64) -> Self {
        Self { what: format!("{} connections, {} requests/s", count(live), count(rate)), done: WHOLE }
    }
}

impl Screen {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {prefix}\n{msg}");
            let bar = ProgressBar::new(WHOLE);
            bar.set_style(style.expect("the template is well-formed"));
            bar
        });
        Self { bar, due: Instant::now() + LINE_EVERY }
    }

    /// Something to be kept in view.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| complain(text)),
            None => complain(text),
        }
    }

    /// How far it has got, `at` so long after the beginning.
    pub(crate) fn show(&mut self, progress: &Progress, rows: &[Row], at: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_position(progress.done);
            bar.set_prefix(progress.what.clone());
            bar.set_message(if rows.is_empty() { String::new() } else { table::draw(rows) });
        } else if Instant::now() >= self.due {
            self.due = Instant::now() + LINE_EVERY;
            let hubs = if rows.is_empty() { String::new() } else { format!(" | {}", table::line(rows)) };
            complain(&format!("{:.1} s: {}{hubs}", at.as_secs_f64(), progress.what));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
