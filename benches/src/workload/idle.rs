//! Watches what a runtime uses that has nothing to do but to hold parked greenlets and a distant timer: no processor
//! time worth the name.

use super::{Scope, Workload};
use crate::process::processor_time;
use crate::row::{Goal, Row, Unit};
use greenhub::spawn;
use std::time::Duration;

pub(super) const WORKLOAD: Workload = Workload {
    name: "idle",
    watches: "processor time of an idle runtime in 3 s",
    scope: Scope::Everywhere,
    measure: |setting| {
        let runtime = setting.runtime()?;
        let parked: Vec<_> = (0..100).map(|_| runtime.spawn(greenhub::park)).collect();
        let asleep = runtime.spawn(|| greenhub::sleep(Duration::from_secs(3600)));
        runtime.run(|| spawn(|| ()).join()).expect("an empty greenlet does not fail");
        // Let what that started come to rest.
        std::thread::sleep(Duration::from_millis(setting.size(200, 10)));
        let before = processor_time()?;
        std::thread::sleep(Duration::from_millis(setting.size(3000, 50)));
        let used = processor_time()?.saturating_sub(before);
        asleep.kill();
        parked.iter().for_each(greenhub::JoinHandle::kill);
        let row = Row::plain(Unit::Seconds, vec![used.as_secs_f64()]).part("processor time in 3 s");
        Ok(vec![row.goal(Goal::AtMost(10e-3))])
    },
};
