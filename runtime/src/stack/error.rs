//! [`NoStack`]: why there is no stack to be had, in words a user can act on.

use std::fmt;
use std::io;

/// There is no stack to be had; its text says why and what to change.
#[derive(Debug)]
pub(crate) struct NoStack {
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// The configured number of stacks exists and all are in use.
    Configured { max_stacks: usize },
    /// Every guard that the kernel cannot place inside a mapping costs two mappings, and those are nearly used up.
    Maps { max_map_count: usize },
    /// The system refused the memory of even one more stack.
    Refused(io::Error),
}

impl NoStack {
    pub(super) fn configured(max_stacks: usize) -> NoStack {
        NoStack { reason: Reason::Configured { max_stacks } }
    }

    pub(super) fn maps(max_map_count: usize) -> NoStack {
        NoStack { reason: Reason::Maps { max_map_count } }
    }

    pub(super) fn refused(error: io::Error) -> NoStack {
        NoStack { reason: Reason::Refused(error) }
    }

    /// Whether it is the configured limit that is reached, and not one of the system's.
    pub(crate) fn is_own_limit(&self) -> bool {
        matches!(self.reason, Reason::Configured { .. })
    }

    /// The nearest [`io::ErrorKind`], for callers that report through `io::Result`.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        io::ErrorKind::OutOfMemory
    }
}

impl fmt::Display for NoStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Configured { max_stacks } => {
                write!(f, "all {max_stacks} stacks that this runtime may have are in use")
            }
            Reason::Maps { max_map_count } => write!(
                f,
                "no guarded stack can be made: each takes two memory mappings on this system, and the process has \
                 nearly used the {max_map_count} that vm.max_map_count allows; raise it (sysctl -w \
                 vm.max_map_count=...), run on Linux 6.13 or later, where guards take no mapping, or allow \
                 unguarded_stacks"
            ),
            Reason::Refused(error) => write!(
                f,
                "the system refused memory for one more stack ({error}); smaller stacks, a higher limit on address \
                 space (ulimit -v) or a less strict vm.overcommit_memory would help"
            ),
        }
    }
}

impl std::error::Error for NoStack {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Refused(error) => Some(error),
            Reason::Configured { .. } | Reason::Maps { .. } => None,
        }
    }
}

impl From<NoStack> for io::Error {
    fn from(error: NoStack) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}
