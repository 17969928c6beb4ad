//! A greenlet's life, in the order of the files one meets: `spawn` (or `builder`, `scope`) makes a `header` with its
//! `state` word; a hub gives it a stack and `switch`es to it; it may `park` and be `wake`d, be `kill`ed, run into a
//! `timeout`, `unwind`; `finish` sees it to its end, where `join`ers and `link`s learn of it.

#[cfg(not(greenhub_loom))]
pub(crate) mod block_on;
#[cfg(not(greenhub_loom))]
pub(crate) mod builder;
#[cfg(not(greenhub_loom))]
pub(crate) mod current;
#[cfg(not(greenhub_loom))]
pub(crate) mod finish;
#[cfg(not(greenhub_loom))]
pub(crate) mod handle;
#[cfg(not(greenhub_loom))]
pub(crate) mod header;
/// Under loom a header is what the protocols use of it.
#[cfg(greenhub_loom)]
#[path = "header_model.rs"]
pub(crate) mod header;
#[cfg(not(greenhub_loom))]
pub(crate) mod join;
#[cfg(not(greenhub_loom))]
pub(crate) mod join_error;
#[cfg(not(greenhub_loom))]
pub(crate) mod kill;
#[cfg(not(greenhub_loom))]
pub(crate) mod link;
#[cfg(not(greenhub_loom))]
pub(crate) mod local;
#[cfg(not(greenhub_loom))]
pub(crate) mod memory;
#[cfg(not(greenhub_loom))]
pub(crate) mod on_error;
#[cfg(not(greenhub_loom))]
pub(crate) mod park;
pub(crate) mod registry;
#[cfg(not(greenhub_loom))]
pub(crate) mod scope;
#[cfg(not(greenhub_loom))]
pub(crate) mod spawn;
pub(crate) mod state;
#[cfg(not(greenhub_loom))]
pub(crate) mod switch;
#[cfg(not(greenhub_loom))]
pub(crate) mod timeout;
#[cfg(not(greenhub_loom))]
pub(crate) mod unwind;
#[cfg(not(greenhub_loom))]
pub(crate) mod waiting;
#[cfg(not(greenhub_loom))]
pub(crate) mod wake;
