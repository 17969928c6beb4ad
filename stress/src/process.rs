//! What the kernel says this process holds.

use std::fs;

/// Threads, descriptors and mappings of this process.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// Threads.
    pub threads: usize,
    /// Open descriptors, the one that reads the list included.
    pub descriptors: usize,
    /// Mappings.
    pub mappings: usize,
    /// Mappings of one piece far larger than any but a stack region.
    pub regions: usize,
}

impl Resources {
    /// What it holds now.
    pub fn now() -> Self {
        const LARGE: usize = 32 << 20;
        let maps = fs::read_to_string("/proc/self/maps").expect("/proc is there");
        let large = |line: &&str| {
            let mut words = line.split_whitespace();
            let (Some(range), Some("rw-p")) = (words.next(), words.next()) else { return false };
            let Some((from, to)) = range.split_once('-') else { return false };
            let address = |text| usize::from_str_radix(text, 16).expect("an address");
            address(to) - address(from) >= LARGE
        };
        let entries = |path| fs::read_dir(path).expect("/proc is there").count();
        Resources {
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
            mappings: maps.lines().count(),
            regions: maps.lines().filter(large).count(),
        }
    }
}
