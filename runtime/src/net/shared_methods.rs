//! What several socket types have word for word alike. Each type is a tuple struct around `Socket<std type>` with two
//! private functions: `adopt(std) -> Self` and `release(self) -> std`.

/// Debug as std's, and the conversions between our type, std's and descriptors.
macro_rules! conversions {
    ($ours:ident, $std:ty) => {
        impl std::fmt::Debug for $ours {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.0.inner(), f)
            }
        }

        impl From<$std> for $ours {
            /// Takes over std's socket with the options and the mode it has.
            fn from(socket: $std) -> Self {
                Self::adopt(socket)
            }
        }

        impl From<$ours> for $std {
            /// Gives the socket to std, in blocking mode unless `set_nonblocking(true)` said otherwise.
            fn from(socket: $ours) -> Self {
                socket.release()
            }
        }

        impl From<std::os::fd::OwnedFd> for $ours {
            /// Takes over a descriptor, which should be a socket of this type.
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                Self::adopt(fd.into())
            }
        }

        impl From<$ours> for std::os::fd::OwnedFd {
            fn from(socket: $ours) -> Self {
                socket.release().into()
            }
        }

        impl std::os::fd::AsFd for $ours {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.fd()
            }
        }

        impl std::os::fd::AsRawFd for $ours {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(self.0.inner())
            }
        }

        impl std::os::fd::IntoRawFd for $ours {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::IntoRawFd::into_raw_fd(self.release())
            }
        }

        impl std::os::fd::FromRawFd for $ours {
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> Self {
                // SAFETY: the caller promises what `OwnedFd` asks for: an open descriptor that nobody else owns.
                unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) }.into()
            }
        }
    };
}

/// `adopt` and `release` for sockets whose mode is the user's alone.
macro_rules! adopt_as_it_is {
    ($std:ty) => {
        fn adopt(socket: $std) -> Self {
            Self(Socket::adopt(socket))
        }

        fn release(self) -> $std {
            self.0.into_inner()
        }
    };
}

/// Timeouts, `set_nonblocking` and `take_error` of streams and datagram sockets.
macro_rules! waiting_options {
    () => {
        /// Limits how long a read may wait. `None` lifts the limit. A read that runs out of time gives the error kind
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock).
        ///
        /// # Errors
        ///
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a limit of zero.
        pub fn set_read_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
            self.0.inner().set_read_timeout(timeout)?;
            self.0.note_timeout(crate::reactor::Direction::Read, timeout);
            Ok(())
        }

        /// Limits how long a write may wait, as [`set_read_timeout`](Self::set_read_timeout) does for reads.
        ///
        /// # Errors
        ///
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a limit of zero.
        pub fn set_write_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
            self.0.inner().set_write_timeout(timeout)?;
            self.0.note_timeout(crate::reactor::Direction::Write, timeout);
            Ok(())
        }

        /// The limit for reads, rounded up to what the kernel counts in.
        ///
        /// # Errors
        ///
        /// Those of the system call.
        pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            self.0.inner().read_timeout()
        }

        /// The limit for writes, rounded up to what the kernel counts in.
        ///
        /// # Errors
        ///
        /// Those of the system call.
        pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            self.0.inner().write_timeout()
        }

        /// Whether a call that would wait returns [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead; for all
        /// handles to this socket.
        ///
        /// # Errors
        ///
        /// Those of the system call.
        pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
            self.0.set_nonblocking(nonblocking)
        }

        delegated! {
            /// Takes the error that is due on the socket, if any; the next call will not report it again.
            fn take_error(&self) -> std::io::Result<Option<std::io::Error>>;
        }
    };
}

/// Methods that cannot block: std's own.
macro_rules! delegated {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $arg:ident : $ty:ty)*) -> $ret:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// Those of the system call.
        pub fn $name(&self $(, $arg: $ty)*) -> $ret {
            self.0.inner().$name($($arg),*)
        }
    )*};
}

/// `Read` and `Write` for a stream and a reference to it, from its private methods `do_read`, `do_read_vectored`,
/// `do_write` and `do_write_vectored`.
macro_rules! stream_io {
    ($ours:ident) => {
        impl std::io::Read for &$ours {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.do_read(buffer)
            }

            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                self.do_read_vectored(buffers)
            }
        }

        impl std::io::Write for &$ours {
            fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
                self.do_write(buffer)
            }

            fn write_vectored(&mut self, buffers: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.do_write_vectored(buffers)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Read for $ours {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.do_read(buffer)
            }

            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                self.do_read_vectored(buffers)
            }
        }

        impl std::io::Write for $ours {
            fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
                self.do_write(buffer)
            }

            fn write_vectored(&mut self, buffers: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.do_write_vectored(buffers)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}
