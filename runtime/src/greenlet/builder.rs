//! [`Builder`]: a greenlet with a name, a stack size, or a fixed hub.

use super::current;
use super::header::{Extra, Kind};
use super::join::JoinHandle;
use super::scope::{Scope, ScopedJoinHandle};
use super::spawn::{Order, later, spawn_with};
use crate::stack::StackSize;
use std::io;
use std::panic::Location;
use std::time::Duration;

/// Starts greenlets that need more than [`spawn`](crate::spawn) says. As `std::thread::Builder`.
///
/// ```
/// let handle = greenhub::Builder::new()
///     .name("parser".into())
///     .stack_size(1 << 20)
///     .spawn(|| greenhub::current().name().map(str::to_owned))
///     .unwrap();
/// assert_eq!(handle.join().unwrap().as_deref(), Some("parser"));
/// ```
#[derive(Debug, Default, Clone)]
#[must_use = "a builder starts nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    pinned: bool,
}

impl Builder {
    /// A builder that says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The greenlet's name, for reports and messages.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// The size of its stack in bytes, rounded up to the next size there is. Without it the runtime's
    /// [`stack_size`](crate::runtime::Builder::stack_size) holds.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// It starts and stays on the hub that spawns it. (From a plain OS thread: on the hub it is given to.)
    pub fn pinned(mut self) -> Self {
        self.pinned = true;
        self
    }

    fn order(self, spawned_at: &'static Location<'static>) -> io::Result<Order> {
        let mut order = Order::new(if self.pinned { Kind::Pinned } else { Kind::Free }, spawned_at);
        if self.name.is_some() || self.stack_size.is_some() {
            order.extra = Some(Box::new(Extra {
                name: self.name.map(Into::into),
                stack_size: self.stack_size.map(StackSize::new).transpose()?,
                ..Extra::default()
            }));
        }
        if current::hub().is_none() {
            crate::runtime::try_default_runtime()?;
        }
        Ok(order)
    }

    /// Starts the greenlet; see [`spawn`](crate::spawn).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a stack size that no stack can have; and, on a plain OS thread, whatever keeps the default
    /// runtime from starting.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let order = self.order(Location::caller())?;
        // SAFETY: `F` and `T` are `'static` and `Send`.
        Ok(unsafe { spawn_with(order, f) })
    }

    /// Starts the greenlet after `delay`; see [`spawn_later`](crate::spawn_later).
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_later<F, T>(self, delay: Duration, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut order = self.order(Location::caller())?;
        order.at = Some(later(delay));
        // SAFETY: as above.
        Ok(unsafe { spawn_with(order, f) })
    }

    /// Starts the greenlet in a scope; see [`Scope::spawn`].
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let order = self.order(Location::caller())?;
        Ok(scope.spawn_with(order, f))
    }
}
