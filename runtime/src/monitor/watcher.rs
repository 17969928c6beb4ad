//! The monitor's thread, and what the rest of the runtime sees of it.

use super::blocked::{Seen, View};
use super::deadlock::{self, Finding};
use super::rest::Rest;
use super::settings::{Callback, Deadlock, Resolved, Settings};
use super::signal::Signals;
use super::{dump, print};
use crate::facade::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::facade::instant_now;
use crate::facade::mio::unix::SourceFd;
use crate::facade::mio::{Events, Interest, Poll, Token, Waker};
use crate::facade::thread::{self, JoinHandle};
use crate::runtime::Shared;
use crate::timer::clock;
use parking_lot::Mutex;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The shortest and the longest time between two looks while a hub is up.
const PERIOD: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));

/// How many looks come to the time after which a hub counts as blocked.
const LOOKS: u32 = 4;

/// How long every hub must have been idle before a deadlock is considered.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// How long hubs are looked at every millisecond after one was found busy without a look at the outside world, in
/// nanoseconds.
const ALERT: u64 = 1_000_000_000;

const BELL: Token = Token(0);
const SIGNAL: Token = Token(1);

/// One runtime's monitor.
pub(crate) struct Monitor {
    rest: Rest,
    bell: Waker,
    stopping: AtomicBool,
    /// How many plain OS threads wait in `run`.
    runs: AtomicUsize,
    /// What the thread takes along when it starts.
    equipment: Mutex<Option<Equipment>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Equipment {
    poll: Poll,
    settings: Resolved,
    signals: Option<Signals>,
}

impl Monitor {
    /// # Errors
    ///
    /// `InvalidInput` for a setting in the environment that means nothing; otherwise what the system says when it
    /// has no event queue or signal handler to give.
    pub(crate) fn new(settings: Settings) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Waker::new(poll.registry(), BELL)?;
        let signals = if settings.dump_on_sigusr1 { Some(Signals::new()?) } else { None };
        if let Some(signals) = &signals {
            poll.registry().register(&mut SourceFd(&signals.descriptor()), SIGNAL, Interest::READABLE)?;
        }
        let equipment = Equipment { poll, settings: settings.resolve()?, signals };
        Ok(Self {
            rest: Rest::new(),
            bell,
            stopping: AtomicBool::new(false),
            runs: AtomicUsize::new(0),
            equipment: Mutex::new(Some(equipment)),
            thread: Mutex::new(None),
        })
    }

    /// Starts the thread.
    pub(crate) fn start(&self, shared: &Arc<Shared>) -> io::Result<()> {
        let equipment = self.equipment.lock().take().expect("a monitor is started once");
        let limit = equipment.settings.blocked_after.unwrap_or(Duration::MAX);
        let mut watcher = Watcher {
            views: vec![View::default(); shared.hubs().len()],
            shared: shared.clone(),
            period: (limit / LOOKS).clamp(PERIOD.0, PERIOD.1),
            poll: equipment.poll,
            events: Events::with_capacity(2),
            settings: equipment.settings,
            signals: equipment.signals,
            reported_runs: Vec::new(),
            alert_until: 0,
        };
        let thread = thread::Builder::new().name("greenhub-monitor".into()).spawn(move || watcher.watch())?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Bids the thread end.
    pub(crate) fn stop(&self) {
        // Relaxed: nothing is handed over; the bell makes the thread look again.
        self.stopping.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// Waits for the thread, which was bidden to end, as long as `patient` says so. Gives whether it has ended.
    pub(crate) fn join(&self, patient: impl Fn() -> bool) -> bool {
        let Some(thread) = self.thread.lock().take() else { return true };
        if thread.thread().id() == thread::current().id() {
            // A callback of the user's ends the runtime.
            return false;
        }
        while !thread.is_finished() {
            if !patient() {
                return false;
            }
            crate::sleep(Duration::from_micros(200));
        }
        thread.join().is_ok()
    }

    /// A hub has got up. See [`Rest`].
    #[inline]
    pub(crate) fn hub_is_up(&self) {
        if self.rest.must_ring() {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        // A full eventfd counter is the one way this fails short of a broken descriptor, and full means rung.
        if let Err(error) = self.bell.wake()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            print(&format_args!("the monitor cannot be woken, so nothing will be reported: {error}"));
        }
    }

    /// Counts a plain OS thread that waits in `run` until the guard goes.
    pub(crate) fn count_run(&self) -> impl Drop + '_ {
        struct Counted<'a>(&'a AtomicUsize);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        // Relaxed, here and above: a glance that spares looks at the greenlets, which decide.
        self.runs.fetch_add(1, Ordering::Relaxed);
        Counted(&self.runs)
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// What the thread itself knows.
struct Watcher {
    shared: Arc<Shared>,
    settings: Resolved,
    period: Duration,
    views: Vec<View>,
    poll: Poll,
    events: Events,
    signals: Option<Signals>,
    /// The greenlets of `run` that were in a deadlock that was reported.
    reported_runs: Vec<u64>,
    /// Until then every millisecond counts: some hub's turns are long and hard to foresee.
    alert_until: u64,
}

impl Watcher {
    fn watch(&mut self) {
        let shared = self.shared.clone();
        let (monitor, hubs) = (&shared.monitor, shared.hubs());
        while !monitor.is_stopping() {
            let (quiet, pause) = self.look();
            let all_asleep = || hubs.iter().all(|hub| hub.mailbox.bed.is_asleep());
            if quiet && monitor.rest.lie_down(all_asleep) {
                self.rest();
                monitor.rest.get_up();
            } else if !self.wait(Some(pause)) {
                return;
            }
        }
    }

    /// Looks at every hub. Gives whether all have been idle since the last look, and when to look again.
    fn look(&mut self) -> (bool, Duration) {
        let now = clock::now();
        let (mut quiet, mut pause) = (true, self.period);
        for index in 0..self.views.len() {
            let seen = self.views[index].look(self.shared.hub(index), now);
            quiet &= seen == Seen::Quiet;
            if matches!(seen, Seen::Overdue | Seen::Stuck(_)) {
                self.alert_until = now + ALERT;
                self.shared.hub(index).mailbox.remind();
            }
            if let Seen::Stuck(stuck_for) = seen {
                pause = pause.min(self.look_after(index, now));
                if self.settings.blocked_after.is_some_and(|limit| u128::from(stuck_for) >= limit.as_nanos())
                    && let Some(report) = self.views[index].report(&self.shared, index, stuck_for)
                {
                    tell(self.settings.on_blocked.as_ref(), &report);
                }
            }
        }
        if now < self.alert_until {
            pause = PERIOD.0;
        }
        (quiet, pause.max(PERIOD.0))
    }

    /// Does for a stuck hub what others may do for it. Gives the time until its next timer.
    fn look_after(&self, index: usize, now: u64) -> Duration {
        let hub = self.shared.hub(index);
        self.shared.look_after(index, now);
        if self.shared.stacks.has_excess() {
            // The hub that has given them back computes now, and the others may be asleep for ever.
            let _more = self.shared.stacks.trim(instant_now());
        }
        if !hub.mailbox.is_empty() || !hub.stealers.is_empty() {
            // What may leave is for the hubs to take: one that sleeps must get up for it.
            self.shared.announce(index);
        }
        // What is due and still there belongs to the greenlet that is running: nobody else can fire it.
        let next = hub.timers.next();
        if next > now { Duration::from_nanos(next - now) } else { Duration::MAX }
    }

    /// Sleeps while all hubs do, and considers whether they will ever get up again.
    fn rest(&mut self) {
        let shared = self.shared.clone();
        let wanted = self.settings.deadlock != Deadlock::Ignore && deadlock::is_conceivable(&shared);
        let mut ask_after = wanted.then_some(IDLE_FOR);
        let since = instant_now();
        let undisturbed = || shared.monitor.rest.undisturbed() && !shared.monitor.is_stopping();
        while self.wait(ask_after.map(|after| after.saturating_sub(instant_now() - since))) && undisturbed() {
            let Some(after) = ask_after.filter(|after| instant_now() - since >= *after) else { continue };
            ask_after = match deadlock::find(&shared) {
                Finding::None => None,
                // What is in the way may go without waking a hub. So rarely that it costs nothing.
                Finding::AskAgain => Some(after * 2),
                Finding::Deadlock => {
                    // Nobody got up while we looked, so what we saw was all there at once.
                    if undisturbed() {
                        self.report_deadlock(instant_now() - since);
                    }
                    None
                }
            };
        }
    }

    fn report_deadlock(&mut self, idle_for: Duration) {
        let report = deadlock::report(&self.shared, idle_for);
        let runs =
            || report.greenlets.iter().filter(|each| each.run).filter_map(|each| each.greenlet.header());
        // A program whose OS threads feed its greenlets now and then is told once, not whenever they pause.
        if runs().all(|header| self.reported_runs.contains(&header.id)) {
            return;
        }
        self.reported_runs = runs().map(|header| header.id).collect();
        tell(self.settings.on_deadlock.as_ref(), &report);
        if self.settings.deadlock == Deadlock::Panic {
            deadlock::panic_in_run(&report);
        }
    }

    /// Waits for the bell, a signal or the time. `false`: it cannot wait any more.
    fn wait(&mut self, limit: Option<Duration>) -> bool {
        match self.poll.poll(&mut self.events, limit) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                print(&format_args!(
                    "the monitor cannot wait and ends, so nothing will be reported: {error}"
                ));
                return false;
            }
        }
        if self.signals.as_mut().is_some_and(Signals::came) {
            print(&dump::dump_of(&self.shared).trim_end());
        }
        true
    }
}

/// Hands a report to the user's callback, or prints it.
fn tell<R: Display>(callback: Option<&Callback<R>>, report: &R) {
    let Some(callback) = callback else { return print(report) };
    if catch_unwind(AssertUnwindSafe(|| callback(report))).is_err() {
        print(&format_args!("a callback of the monitor panicked over this report: {report}"));
    }
}
