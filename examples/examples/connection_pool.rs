//! A pool of connections, checked in every interleaving; with `--bug`, one that loses a connection.
//!
//! ```text
//! RUSTFLAGS="--cfg greenhub_loom" cargo run --release -p greenhub-examples --example connection_pool --target-dir target/loom
//! RUSTFLAGS="--cfg greenhub_loom" cargo run --release -p greenhub-examples --example connection_pool --target-dir target/loom -- --bug
//! ```
//!
//! Requests run under a time limit. The bug: a connection is given back by a line of code at the end of the request, and
//! a request that is cut off never comes to that line. A destructor gives it back however the request ends.

use greenhub::sync::{Mutex, Semaphore};
use std::sync::Arc;
use std::time::Duration;

struct Connection {
    number: u32,
}

/// Holds idle connections; a permit stands for each.
struct Pool {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

/// A connection on loan.
struct Loan<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
    /// The planted bug: only `Loan::give_back` gives it back.
    forgets: bool,
}

impl Pool {
    fn new(size: u32) -> Self {
        let idle = (1..=size).map(|number| Connection { number }).collect();
        Self { idle: Mutex::new(idle), permits: Semaphore::new(size as usize) }
    }

    fn borrow(&self, forgets: bool) -> Loan<'_> {
        self.permits.acquire().forget();
        let connection = self.idle.lock().pop();
        assert!(connection.is_some(), "a permit without a connection");
        Loan { pool: self, connection, forgets }
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().push(connection);
        self.permits.add_permits(1);
    }
}

impl Loan<'_> {
    /// What a request does with its connection.
    fn query(&self) -> u32 {
        // The other end takes its time.
        greenhub::yield_now();
        self.connection.as_ref().map_or(0, |connection| connection.number)
    }

    fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection);
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if !self.forgets
            && let Some(connection) = self.connection.take()
        {
            self.pool.give_back(connection);
        }
    }
}

/// A request that may be cut off, and one that may not, over one connection.
fn program(bug: bool) {
    let pool = Arc::new(Pool::new(1));
    let hasty = {
        let pool = pool.clone();
        let request = move || {
            let answer = greenhub::timeout(Duration::from_millis(10), || {
                let loan = pool.borrow(bug);
                let answer = loan.query();
                loan.give_back();
                answer
            });
            // Nobody holds it now: it is idle again, or was never taken.
            answer.is_ok()
        };
        greenhub::Builder::new()
            .name("hasty request".into())
            .spawn(request)
            .expect("no wish is out of bounds")
    };
    let loan = pool.borrow(bug);
    assert_eq!(loan.query(), 1);
    loan.give_back();
    let _in_time = hasty.join().expect("it does not panic");
    assert_eq!(pool.idle.lock().len(), 1, "a connection got lost");
}

fn main() {
    let bug = std::env::args().any(|argument| argument == "--bug");
    #[cfg(greenhub_loom)]
    greenhub::model(move || program(bug));
    #[cfg(not(greenhub_loom))]
    {
        // One interleaving, whichever comes: the bug hardly ever shows.
        greenhub::run(|| program(bug));
        println!(
            "it went well this time; to see every interleaving, run with RUSTFLAGS=\"--cfg greenhub_loom\""
        );
    }
}
