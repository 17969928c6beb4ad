//! Atomics that a model sees.
//!
//! In an ordinary build these are std's. In `greenhub::model` (with `--cfg greenhub_loom`) every access is a step that
//! the model knows of: it tries them in every order, and lets loads see every value that their `Ordering` allows.
//!
//! ```
//! use greenhub::sync::atomic::{AtomicBool, Ordering};
//!
//! static READY: AtomicBool = AtomicBool::new(false);
//! READY.store(true, Ordering::Release);
//! assert!(READY.load(Ordering::Acquire));
//! ```

pub use crate::facade::user_atomic::*;
