//! What tests of explorations ask of a program: that every strategy finds what is wrong with it, or that none does.

use greenhub::explore::{Builder, Explored, Failure, Problem, Strategy};

/// All ways to choose schedules, with the depths of PCT that are usual.
pub(crate) const STRATEGIES: [Strategy; 4] =
    [Strategy::Mixed, Strategy::Random, Strategy::Pct { depth: 2 }, Strategy::Pct { depth: 3 }];

/// Every strategy finds what is wrong with `f`, and each find is found again.
#[track_caller]
pub(crate) fn finds(problem: Problem, f: impl Fn() + Send + Sync + Copy + 'static) -> Failure {
    let mut last = None;
    for strategy in STRATEGIES {
        let failure = match Builder::new().strategy(strategy).first_seed(1).check(f) {
            Err(failure) => failure,
            Ok(explored) => panic!("{strategy:?}: nothing found, {explored:?}"),
        };
        println!("{strategy:?}: found in iteration {}", failure.iteration());
        assert_eq!(failure.problem(), problem, "{failure}");
        let again =
            Builder::new().replay(failure.seed()).check(f).expect_err("the same schedule fails again");
        assert_eq!(again.fingerprint(), failure.fingerprint(), "{failure}\n\n{again}");
        assert!(again.schedule().eq(failure.schedule()), "{failure}\n\n{again}");
        last = Some(failure);
    }
    last.expect("there are strategies")
}

/// No strategy finds anything wrong with `f`.
#[track_caller]
pub(crate) fn passes(f: impl Fn() + Send + Sync + Copy + 'static) -> Explored {
    let mut all = None;
    for strategy in STRATEGIES {
        match Builder::new().strategy(strategy).iterations(500).check(f) {
            Ok(explored) => all = Some(explored),
            Err(failure) => panic!("{failure}"),
        }
    }
    all.expect("there are strategies")
}
