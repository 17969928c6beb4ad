//! The system calls that move data, each of which never blocks whatever mode the descriptor is in.

use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockAddr, SockRef};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `MSG_NOSIGNAL`: a peer that is gone is an error, not a signal.
const SEND: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// How many bytes [`recv`] and [`send`] ask one call to move at most: less than any system refuses, or moves a part of.
pub(super) const MOST: usize = 1 << 30;

/// How many buffers one vectored call takes: the kernel's `IOV_MAX`, beyond which it refuses.
const MAX_BUFFERS: usize = 1024;

// `recv` and `send` go without libc where rustix does: its calls first make the thread one that can be cancelled and then
// not, which takes two read-modify-writes each.

pub(super) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len().min(MOST);
    // Without `TRUNC` the second number is the first.
    let (read, _) = rustix::net::recv(fd, &mut buffer[..wanted], RecvFlags::DONTWAIT)?;
    Ok(read)
}

pub(super) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    SockRef::from(&fd).recv_with_flags(as_uninit(buffer), libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

pub(super) fn recv_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    SockRef::from(&fd).recv_from_with_flags(as_uninit(buffer), libc::MSG_DONTWAIT)
}

pub(super) fn peek_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    SockRef::from(&fd).recv_from_with_flags(as_uninit(buffer), libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

pub(super) fn send(fd: BorrowedFd<'_>, buffer: &[u8]) -> io::Result<usize> {
    // rustix does not name `MSG_NOSIGNAL` on every system that has it.
    Ok(rustix::net::send(fd, &buffer[..buffer.len().min(MOST)], SendFlags::from_bits_retain(SEND as _))?)
}

pub(super) fn send_to(fd: BorrowedFd<'_>, buffer: &[u8], to: &SockAddr) -> io::Result<usize> {
    SockRef::from(&fd).send_to_with_flags(buffer, to, SEND)
}

pub(super) fn send_vectored(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    SockRef::from(&fd).send_vectored_with_flags(&buffers[..buffers.len().min(MAX_BUFFERS)], SEND)
}

pub(super) fn recv_vectored(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: a header of zeroes is a valid one: no name, no buffers, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = buffers.as_mut_ptr().cast::<libc::iovec>();
    message.msg_iovlen = buffers.len().min(MAX_BUFFERS) as _;
    // SAFETY: `IoSliceMut` is guaranteed to have the layout of `iovec` on Unix, so the header names buffers that are
    // exclusively borrowed for the length of the call; the kernel writes no more than their lengths into them.
    let read = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) };
    usize::try_from(read).map_err(|_negative| io::Error::last_os_error())
}

/// How many bytes a vectored read asks for.
pub(super) fn wanted(buffers: &[IoSliceMut<'_>]) -> usize {
    // No system moves more at a time, and what it leaves would pass for nothing left.
    buffers.iter().take(MAX_BUFFERS).map(|buffer| buffer.len()).sum::<usize>().min(MOST)
}

/// Lets socket2 write into initialised memory.
fn as_uninit(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: same layout. The danger of this cast is that someone writes uninitialised bytes through it; the only
    // writer is the kernel, in the receive calls above.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}
