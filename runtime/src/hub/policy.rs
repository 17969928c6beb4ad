//! The scheduler's decisions: pure functions of what a hub can see, and the numbers they rest on.
//!
//! Nothing here reads a clock, an atomic or a random source, so that a simulator can drive the same code. Every
//! number is a starting point with its reason; measured costs are of the 2-core virtual machine the project is
//! measured on.

/// From this many unstarted greenlets on a hub prefers the newest, so that trees of greenlets keep few live stacks.
/// (Few in a schedule, so that it comes to that.)
pub(crate) const DEQUE_LIMIT: usize = if cfg!(greenhub_schedule) { 8 } else { 1024 };

/// Among started greenlets, every so manyth turn goes to an unstarted one while a hub has too many of those.
pub(crate) const UNSTARTED_EVERY: u32 = 4;

/// How often a thief that loses a race tries the same victim again.
pub(crate) const STEAL_RETRIES: usize = 3;

/// Most entries taken at one visit: few where more can be had later, and many where started greenlets stay. There, a hub
/// that takes few of many that then stay ready for long is never idle again, and takes no more. (It is still so where
/// the thief comes before there is much to take. In migrate mode many at once even out worse than few, time and again.)
pub(crate) const STEAL_LIMIT: (usize, usize) = (32, 512);

/// So often a thief looks whether a short queue is empty, and so many pauses lie between two looks: together some 3 µs, in which two
/// greenlets that talk to each other run dozens of times.
pub(crate) const LOOKS: u32 = if cfg!(greenhub_schedule) { 2 } else { 32 };
pub(crate) const PAUSES: u32 = if cfg!(greenhub_schedule) { 1 } else { 2 };

/// From this many stale entries on a sweep is considered. (As above, and fewer in a model.)
pub(crate) const SWEEP_FROM: usize =
    if cfg!(greenhub_schedule) { 8 } else { crate::facade::in_models(4, 64) };

/// A queue of this length is shared at once; a shorter one its owner will have emptied before a halted hub is up.
pub(crate) const LONG_QUEUE: usize = 8;

/// What waking a halted hub costs, in nanoseconds (measured: 25 µs).
pub(crate) const WAKE_COST: u64 = 25_000;

/// Turns between two looks at the clock, at most and at first.
pub(crate) const CLOCK_EVERY: u32 = 127;

/// How long a hub may go without looking at I/O and timers while it is busy, in nanoseconds.
pub(crate) const POLL_EVERY: u64 = 100_000;

/// How often a busy hub gives memory of unused stacks back, in nanoseconds. A guess: with 50 µs a time it is half a
/// percent of its time.
pub(crate) const TRIM_EVERY: u64 = 10_000_000;

/// From how many unstarted greenlets on a hub that has others to run leaves them to other hubs for a while.
pub(crate) const HOLD_FROM: usize = if cfg!(greenhub_schedule) { 2 } else { 64 };

/// For how long, in nanoseconds: a busy hub has looked by then whether it has less to do. And for how long at most while a
/// hub that has nothing to do is on its way: the system may take its time to give it a core.
pub(crate) const HOLD: (u64, u64) = (250_000, 1_000_000);

/// How many unstarted greenlets a busy hub takes over from another, which has `theirs`, where started ones stay: it has
/// `ready` of those itself, which are ready and may be so for ever, and `unstarted` others. Half the difference, if that is
/// large; a hub without ready ones comes to take more anyway when it has nothing left to do.
pub(crate) fn fair_share(ready: usize, unstarted: usize, theirs: usize) -> Option<usize> {
    let mine = ready + unstarted;
    (ready > 0 && theirs > mine + mine / 4 + HOLD_FROM).then(|| ((theirs - mine) / 2).min(STEAL_LIMIT.1))
}

/// How long a chain of joins may run before the ring gets its turn, in nanoseconds.
pub(crate) const HAND_BACK_BUDGET: u64 = 100_000;

/// Hand-backs between two looks at the clock.
pub(crate) const HAND_BACKS_PER_LOOK: u32 = 64;

/// The first and longest doze of a hub that watches for work, in nanoseconds.
pub(crate) const DOZE: (u64, u64) = (50_000, 1_000_000);

/// How long a hub sleeps at most before it has given memory back and made sure, at some cost, that no spawn goes unseen, in
/// nanoseconds. A hub that has a little less than enough to do never comes to that. (Short in a schedule, where the sleep after it
/// is the one to look at.)
pub(crate) const NAP: u64 = if cfg!(greenhub_schedule) { 1_000 } else { 1_000_000 };

/// How long an idle hub with greenlets that wait for a stack sleeps before it tries again, at first and at most, in
/// nanoseconds. A guess: a program that has run out of stacks has larger worries than a percent of one core.
pub(crate) const STACK_RETRY: (u64, u64) = (1_000_000, 16_000_000);

/// How long it sleeps after so many retries in vain: twice as long from every 64th on.
pub(crate) fn next_stack_retry(in_vain: u32) -> u64 {
    (STACK_RETRY.0 << (in_vain / 64).min(8)).min(STACK_RETRY.1)
}

/// How many turns may pass before the next look at the clock, given how long the last `turns` took and what the `last`
/// quota was: as many as fit into the poll interval, but at most twice the last quota, since a few quick turns say
/// little about the next. (Where the guess is wrong all the same, the monitor reminds the hub.)
pub(crate) fn turns_until_clock(turns: u32, took: u64, last: u32) -> u32 {
    let each = took / u64::from(turns.max(1)) + 1;
    u32::try_from(POLL_EVERY / each).unwrap_or(CLOCK_EVERY).clamp(1, CLOCK_EVERY.min(last.max(1) * 2))
}

/// What a thief sees of a victim, now and when it first saw the queue it sees now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// How much it could take.
    pub(crate) length: usize,
    /// How long the victim has not switched, as far as the thief knows, in nanoseconds.
    pub(crate) stuck_for: u64,
    /// How long the front of the queue has waited, as far as the thief knows, in nanoseconds.
    pub(crate) front_waited: u64,
    /// The thief holds clearly more greenlets that wait for I/O or time than the victim.
    pub(crate) thief_is_heavier: bool,
}

/// How long the front of a queue must have waited before a hub that already holds more than its share of waiting
/// greenlets takes from it, in nanoseconds: what it takes may come to wait there too, and stays.
pub(crate) const HEAVY_PATIENCE: u64 = 1_000_000;

/// Whether a thief takes from this victim now, and how many at most: many if it may take `many` at once.
pub(crate) fn may_take(sight: Sight, many: bool) -> Option<usize> {
    let worth_it = if sight.thief_is_heavier {
        sight.front_waited >= HEAVY_PATIENCE || sight.stuck_for >= HEAVY_PATIENCE
    } else {
        sight.length >= LONG_QUEUE || sight.stuck_for >= WAKE_COST || sight.front_waited >= WAKE_COST
    };
    let most = if many { STEAL_LIMIT.1 } else { STEAL_LIMIT.0 };
    (sight.length > 0 && worth_it).then(|| sight.length.div_ceil(2).min(most))
}

/// How long each of a thief's stolen greenlets must have kept it for another theft to be worth its way, in nanoseconds.
/// What they are made of goes from one processor to the other and back, which costs more than a second processor saves over
/// small work. (Measured: 10,000 greenlets spawned and joined in bulk. Two hubs took 1.9 times as long as one
/// over empty ones, as long over those of 220 ns, and 0.8 times over those of 450 ns, when all that could be was stolen.)
pub(crate) const POOR: u64 = 500;

/// How long a thief of poor loot rests before it steals again, at first and at most, in nanoseconds. A guess: what comes
/// after small work and is large waits no longer than that for a second hub.
pub(crate) const REST: (u64, u64) = (50_000, 200_000);

/// For how long after a rest the next is longer than the first, in nanoseconds. A guess.
pub(crate) const REST_COUNTS_FOR: u64 = 5_000_000;

/// After how many thefts in a row of which nothing was left to begin a thief rests, too: whoever claims all it has spawned
/// as quickly as that needs no help.
pub(crate) const VAIN: u32 = 4;

/// What became of what a thief took last, when it has nothing left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loot {
    /// How much of it the thief began; the rest was claimed meanwhile.
    pub(crate) begun: usize,
    /// Some of it has not ended: its worth may be still to come.
    pub(crate) waits: bool,
    /// How long the thief was busy, in nanoseconds.
    pub(crate) took: u64,
}

/// How long a thief leaves other hubs' queues alone, if it made this of its last loot, and had rested for `last` before.
/// `in_vain`: so many thefts in a row gave nothing to begin.
pub(crate) fn rest_after(loot: Loot, in_vain: u32, last: u64) -> u64 {
    let worth_it = match loot.begun {
        0 => last == 0 && in_vain < VAIN,
        _ if loot.waits => true,
        // No time passes in a schedule: there it is at random.
        begun if cfg!(greenhub_schedule) => begun.is_multiple_of(2),
        begun => loot.took / begun as u64 >= POOR,
    };
    if worth_it { 0 } else { (last * 2).clamp(REST.0, REST.1) }
}

/// Whether a spawn on a hub with `mine` started greenlets that wait for I/O or time goes to one that has `theirs`. A hub that
/// accepts connections ends up with that much more than the others. (Measured, 2000 connections with 100 µs of computing a
/// request: with a quarter more, two hubs serve 1.67 times what one does; with a sixteenth 1.78 times.)
pub(crate) fn place_elsewhere(mine: usize, theirs: usize) -> bool {
    mine > theirs + theirs / 16 + 16
}

/// How long the watcher dozes next.
pub(crate) fn next_doze(last: u64) -> u64 {
    (last * 2).clamp(DOZE.0, DOZE.1)
}

#[cfg(all(test, not(greenhub_schedule)))]
mod tests {
    use super::*;

    #[test]
    fn a_thief_of_small_work_rests_longer_each_time() {
        let small = Loot { begun: 32, waits: false, took: 32 * POOR - 1 };
        assert_eq!(rest_after(small, 0, 0), REST.0);
        assert_eq!(rest_after(small, 0, REST.0), REST.0 * 2);
        assert_eq!(rest_after(small, 0, REST.1), REST.1);
        assert_eq!(rest_after(Loot { took: 32 * POOR, ..small }, 0, REST.1), 0);
        assert_eq!(rest_after(Loot { waits: true, ..small }, 0, REST.1), 0);
    }

    #[test]
    fn a_thief_that_finds_nothing_to_begin_rests_if_that_is_nothing_new() {
        let nothing = Loot { begun: 0, waits: false, took: 1_000_000 };
        assert_eq!(rest_after(nothing, 1, 0), 0);
        assert_eq!(rest_after(nothing, 1, REST.0), REST.0 * 2);
        assert_eq!(rest_after(nothing, VAIN, 0), REST.0);
    }
}
