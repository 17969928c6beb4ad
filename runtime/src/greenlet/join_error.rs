//! [`JoinError`]: how a greenlet ended that left no result.

use super::handle::Describe;
use super::header::Header;
use std::any::Any;
use std::fmt;

/// Why a greenlet left no result.
pub struct JoinError(Box<Ended>);

/// Behind a pointer, since every greenlet's result has room for an error and few have one.
struct Ended {
    cause: Cause,
    /// Who: as messages name it.
    who: String,
}

enum Cause {
    Panic(Box<dyn Any + Send>),
    Killed,
    NoStack(String),
}

impl JoinError {
    fn new(header: &Header, cause: Cause) -> Self {
        Self(Box::new(Ended { cause, who: Describe(header).to_string() }))
    }

    pub(crate) fn killed(header: &Header) -> Self {
        Self::new(header, Cause::Killed)
    }

    pub(crate) fn no_stack(header: &Header, why: &dyn fmt::Display) -> Self {
        Self::new(header, Cause::NoStack(why.to_string()))
    }

    pub(crate) fn from_unwinding(header: &Header, payload: Box<dyn Any + Send>) -> Self {
        let killed = super::finish::is_kill(&*payload);
        Self::new(header, if killed { Cause::Killed } else { Cause::Panic(payload) })
    }

    /// Whether the greenlet panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0.cause, Cause::Panic(_))
    }

    /// Whether it was killed.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        matches!(self.0.cause, Cause::Killed)
    }

    /// The panic's payload, for [`resume_unwind`](crate::resume_unwind) or a look.
    ///
    /// # Panics
    ///
    /// If the greenlet did not panic.
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("`into_panic` on an error that is no panic: {error}"),
        }
    }

    /// The panic's payload, or the error itself if the greenlet did not panic.
    ///
    /// # Errors
    ///
    /// The error itself, if it is no panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        let Ended { cause, who } = *self.0;
        match cause {
            Cause::Panic(payload) => Ok(payload),
            cause => Err(Self(Box::new(Ended { cause, who }))),
        }
    }
}

/// The message of a panic's payload.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no string")
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Cause::Panic(payload) => write!(f, "{} panicked: {}", self.0.who, message(&**payload)),
            Cause::Killed => write!(f, "{} was killed", self.0.who),
            Cause::NoStack(why) => write!(f, "{} could not be given a stack: {why}", self.0.who),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
