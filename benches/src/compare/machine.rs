//! What machine this is, as far as numbers depend on it.

use crate::process::allowed;
use serde::{Deserialize, Serialize};
use std::fs;

/// The compiler that built this program.
pub(crate) const COMPILER: &str = env!("BENCH_COMPILER");

/// The facts.
#[derive(Serialize, Deserialize, Clone, Default)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    /// How many cores this process may use.
    pub(crate) cores: usize,
    /// How many nodes of memory there are.
    pub(crate) memory_nodes: usize,
    pub(crate) memory_gib: f64,
    pub(crate) system: String,
    /// Of the first core; empty where the system does not say, as in a virtual machine.
    pub(crate) governor: String,
    pub(crate) virtual_machine: bool,
    /// What the control group allows, in cores; none if it sets no limit.
    pub(crate) processor_limit: Option<f64>,
    pub(crate) compiler: String,
    /// How many processes wanted to run, over the last minute, before the first sample.
    pub(crate) load: f64,
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_string()
}

/// The value of a line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_string())
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let processors = text("/proc/cpuinfo");
        let memory = field(&text("/proc/meminfo"), "MemTotal");
        let kilobytes = memory.and_then(|memory| memory.split(' ').next()?.parse::<f64>().ok());
        let nodes = fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
        let is_node = |entry: &fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_prefix("node").is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        Self {
            processor: field(&processors, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_string()),
            cores: allowed().map_or(0, |cores| cores.len()),
            memory_nodes: nodes.filter(is_node).count().max(1),
            memory_gib: kilobytes.map_or(0.0, |kilobytes| (kilobytes / 104_857.6).round() / 10.0),
            system: format!("Linux {}", text("/proc/sys/kernel/osrelease")),
            governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            virtual_machine: processors.split_whitespace().any(|flag| flag == "hypervisor"),
            processor_limit: limit(&text("/sys/fs/cgroup/cpu.max")),
            compiler: COMPILER.to_string(),
            load: text("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }

    /// What makes its numbers doubtful.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.load > 0.5 {
            doubts.push(format!("the machine was busy before the first sample (load {:.1})", self.load));
        }
        if self.cores < 2 {
            doubts
                .push("one core: servers and their load share it, and two hubs are no more than one".into());
        }
        if let Some(limit) = self.processor_limit.filter(|&limit| limit < self.cores as f64) {
            doubts.push(format!(
                "the control group allows {limit} of {} cores, and stops who uses more",
                self.cores
            ));
        }
        if !matches!(self.governor.as_str(), "" | "performance") {
            doubts.push(format!("the frequency governor is {:?}, not \"performance\"", self.governor));
        }
        doubts
    }

    /// One line.
    pub(crate) fn line(&self) -> String {
        let kind = if self.virtual_machine { ", virtual" } else { "" };
        let nodes =
            if self.memory_nodes > 1 { format!(" in {} nodes", self.memory_nodes) } else { String::new() };
        format!(
            "{} ({} cores{kind}), {} GiB{nodes}, {}, {}",
            self.processor, self.cores, self.memory_gib, self.system, self.compiler
        )
    }
}

/// `quota period`, or `max period` without a limit.
fn limit(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_cores() {
        assert_eq!(limit("150000 100000"), Some(1.5));
        assert_eq!(limit("max 100000"), None);
        assert_eq!(limit(""), None);
    }
}
