//! The switch on x86-64 under the System V calling convention.
//!
//! One instruction sequence serves both directions: push what the compiler cannot be asked to save (`rbp`, `rbx`) and the
//! address to go on at, exchange the stack pointers, pop the other side's address and jump to it. Two words travel in
//! registers: the stack pointer that was left (`rdi`), which whoever arrives keeps for the way back, and a message
//! (`rsi`). Every other register is declared clobbered, so the compiler saves what is live and no more. The floating
//! point control words are not switched: as in C, they belong to the thread.
//!
//! A stack that has not run looks as if it had been left at [`entry`], with the greenlet it is for on top:
//!
//! ```text
//!   base ──►┌─────────┐
//!           │ header  │
//!     sp ──►│ entry   │
//!           └─────────┘
//! ```

use super::After;
use crate::greenlet::finish::main;
use crate::greenlet::header::Header;
use crate::greenlet::memory;
use crate::sanitize::Fiber;
use crate::stack::Stack;
use std::arch::{asm, naked_asm};
use std::cell::Cell;
use std::ptr::NonNull;

/// A started greenlet's stack and saved stack pointer.
pub(crate) struct Context {
    /// Where to switch to: the greenlet's stack pointer while it is suspended, its hub's while it runs.
    other: Cell<*mut u64>,
    /// What sanitizers are told at each switch; nothing in an ordinary build.
    fiber: Fiber,
    stack: Stack,
}

const ENDED: u64 = 0;
const YIELD: u64 = 1;
const PARK: u64 = 2;
const AWAIT: u64 = 3;
const USER: u64 = 1 << 2;
const MASKED: u64 = 1 << 3;

impl After {
    #[inline(always)]
    pub(super) fn into_message(self) -> u64 {
        match self {
            After::Yield => YIELD,
            After::Await => AWAIT,
            After::Park { epoch, user, masked } => {
                PARK | if user { USER } else { 0 } | if masked { MASKED } else { 0 } | u64::from(epoch) << 32
            }
        }
    }

    /// `None`: the greenlet has ended.
    #[inline(always)]
    pub(super) fn from_message(message: u64) -> Option<After> {
        match message {
            ENDED => None,
            YIELD => Some(After::Yield),
            AWAIT => Some(After::Await),
            _ => Some(After::Park {
                epoch: (message >> 32) as u32,
                user: message & USER != 0,
                masked: message & MASKED != 0,
            }),
        }
    }
}

impl Context {
    /// Lays out a stack on which the first [`Context::resume`] calls [`main`] for the greenlet.
    #[inline]
    pub(crate) fn new(stack: Stack, header: NonNull<Header>) -> Self {
        let base = stack.top();
        let words = [entry as *const () as u64, header.expose_provenance().get() as u64];
        // SAFETY: the stack is ours, large enough for two words, and its base is aligned to 16 bytes.
        let other = unsafe { base.sub(words.len()) };
        for (at, word) in words.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { other.add(at).write(word) };
        }
        let (lowest, size) = stack.usable();
        // SAFETY: the stack goes with the context.
        let fiber = unsafe { Fiber::new(lowest, size) };
        Self { other: Cell::new(other), fiber, stack }
    }

    /// Runs the greenlet until it suspends (`Some`) or ends (`None`).
    ///
    /// # Safety
    ///
    /// The caller owns the greenlet's right to run, on its hub's stack; the context lies in its header.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) -> Option<After> {
        // SAFETY: a suspended greenlet's stack pointer, and nobody else resumes it.
        let (other, message) = unsafe {
            self.fiber.entering();
            let answer = switch(self.other.get(), 0);
            self.fiber.left();
            answer
        };
        self.other.set(other);
        After::from_message(message)
    }

    /// Switches to the hub; returns when the greenlet is resumed, possibly on another OS thread (invariant 4).
    ///
    /// # Safety
    ///
    /// The caller runs on the stack this context belongs to.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self, after: After) {
        // SAFETY: the greenlet runs, so this is its hub's stack pointer.
        let (other, _) = unsafe {
            self.fiber.leaving();
            let answer = switch(self.other.get(), after.into_message());
            self.fiber.entered();
            answer
        };
        self.other.set(other);
    }

    /// Has the processor fetch the first cache lines that the suspended greenlet will find on its stack.
    #[inline(always)]
    pub(crate) fn fetch(&self, lines: usize) {
        memory::prefetch(self.other.get().cast(), lines);
    }

    /// The stack of a greenlet that has ended.
    #[inline]
    pub(crate) fn into_stack(self) -> Stack {
        self.stack
    }
}

/// Leaves this stack for another one with a message, and comes back with that stack's pointer and its message.
///
/// # Safety
///
/// `to` is the stack pointer that a `switch` has left, or a new stack's, and no other thread switches to it.
#[inline(always)]
unsafe fn switch(to: *mut u64, message: u64) -> (*mut u64, u64) {
    let (other, answer);
    // SAFETY: every register that the other side may change is an output or saved here; `to` is the caller's promise.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov rax, rsp",
            "mov rsp, rdi",
            "mov rdi, rax",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") to => other,
            inout("rsi") message => answer,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            clobber_abi("sysv64"),
        );
    }
    (other, answer)
}

/// The bottom of every stack: calls [`begin`] with what [`Context::new`] left there. It jumps, with an address of its own
/// as the one to return to, so that backtraces end here; `begin` never does return.
#[unsafe(naked)]
unsafe extern "sysv64" fn entry() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "mov rsi, rdi",
        "pop rdi",
        "lea rax, [rip + 2f]",
        "push rax",
        "jmp {begin}",
        "2:",
        "ud2",
        ".cfi_endproc",
        begin = sym begin,
    )
}

/// # Safety
///
/// On the new stack of the greenlet of `header`, reached by the `resume` of its context in that header; `hub` is the
/// stack pointer which that resume left.
unsafe extern "sysv64" fn begin(header: NonNull<Header>, hub: *mut u64) -> ! {
    // SAFETY: the header is alive while its greenlet runs, and its context stays where it is.
    let context = unsafe { (*header.as_ref().fiber.context.get()).as_ref().unwrap_unchecked() };
    // SAFETY: the first instructions on this stack.
    unsafe { context.fiber.entered() };
    context.other.set(hub);
    // SAFETY: called once, on this stack, by whoever owned the greenlet's right to run.
    unsafe { main(header) };
    // SAFETY: the greenlet runs, so this is its hub's stack pointer. Nobody resumes what has ended.
    unsafe {
        context.fiber.leaving();
        switch(context.other.get(), ENDED);
    }
    unreachable!("a greenlet that has ended was resumed")
}
