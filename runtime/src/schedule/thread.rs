//! Threads of an execution, with std's interface.

use super::world::{self, Baton, World};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
pub(crate) use std::thread::current;

/// As std's.
#[derive(Default)]
pub(crate) struct Builder {
    name: String,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn name(mut self, name: String) -> Self {
        self.name = name;
        self
    }

    #[track_caller]
    pub(crate) fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let builder = std::thread::Builder::new().name(self.name.clone());
        let Some(world) = world::shared() else {
            return Ok(JoinHandle { real: builder.spawn(f)?, place: None });
        };
        world::step();
        super::atomic::drain();
        let baton = Baton::new();
        let number = world.add(self.name, baton.clone());
        let real = builder.spawn({
            let (world, baton) = (world.clone(), baton.clone());
            move || {
                world.begin(number, &baton);
                let ended = catch_unwind(AssertUnwindSafe(f));
                world.end(number);
                ended.unwrap_or_else(|payload| resume_unwind(payload))
            }
        })?;
        baton.belongs_to(real.thread().clone());
        Ok(JoinHandle { real, place: Some((world, number, baton)) })
    }
}

/// Starts a thread of the execution.
#[track_caller]
#[cfg(test)]
pub(crate) fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().name("thread".into()).spawn(f).expect("the system gives a thread")
}

/// As std's.
#[derive(Debug)]
pub(crate) struct JoinHandle<T> {
    real: std::thread::JoinHandle<T>,
    /// The execution it belongs to, its number there, and what names its end.
    place: Option<(Arc<World>, usize, Arc<Baton>)>,
}

impl<T> JoinHandle<T> {
    #[track_caller]
    pub(crate) fn is_finished(&self) -> bool {
        match &self.place {
            Some((world, number, _)) => {
                world::step();
                world.has_ended(*number)
            }
            None => self.real.is_finished(),
        }
    }

    #[track_caller]
    pub(crate) fn join(self) -> std::thread::Result<T> {
        if let Some((world, number, baton)) = &self.place {
            world::step();
            while !world.has_ended(*number) {
                world::wait(Arc::as_ptr(baton).addr(), u64::MAX, "the end of a thread", || ());
            }
        }
        self.real.join()
    }

    pub(crate) fn thread(&self) -> &std::thread::Thread {
        self.real.thread()
    }
}

/// Lets others go on.
#[track_caller]
pub(crate) fn yield_now() {
    if world::is_controlled() {
        world::spin();
    } else {
        std::thread::yield_now();
    }
}
