//! A greenlet's life, in the order of the files one meets: `spawn` (or `builder`, `scope`) makes a `header` with its
//! `state` word; a hub gives it a stack and `switch`es to it; it may `park` and be `wake`d, be `kill`ed, run into a
//! `timeout`, `unwind`; `finish` sees it to its end, where `join`ers and `link`s learn of it.

pub(crate) mod block_on;
pub(crate) mod builder;
pub(crate) mod current;
pub(crate) mod finish;
pub(crate) mod handle;
pub(crate) mod header;
pub(crate) mod join;
pub(crate) mod join_error;
pub(crate) mod kill;
pub(crate) mod link;
pub(crate) mod local;
pub(crate) mod memory;
pub(crate) mod on_error;
pub(crate) mod park;
pub(crate) mod registry;
pub(crate) mod scope;
pub(crate) mod spawn;
pub(crate) mod state;
pub(crate) mod switch;
pub(crate) mod timeout;
pub(crate) mod unwind;
pub(crate) mod waiting;
pub(crate) mod wake;
