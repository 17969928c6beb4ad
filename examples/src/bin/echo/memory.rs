//! What this process holds, as `/proc/self/status` says.

/// Bytes of memory in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Pages in memory (`VmRSS`).
    pub(crate) resident: u64,
    /// The page tables that describe them, which are not part of it (`VmPTE`).
    pub(crate) page_tables: u64,
}

impl Memory {
    /// As of now; `None` where the system does not say.
    pub(crate) fn now() -> Option<Self> {
        parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
}

fn parse(status: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    };
    Some(Memory { resident: field("VmRSS")?, page_tables: field("VmPTE")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fields_are_found() {
        let status = "Name:\techo\nVmRSS:\t    1024 kB\nRssAnon:\t 5 kB\nVmPTE:\t      64 kB\n";
        assert_eq!(parse(status), Some(Memory { resident: 1 << 20, page_tables: 64 << 10 }));
        assert_eq!(parse("Name:\techo\n"), None);
    }
}
