//! Links: what is to run, in a greenlet of its own, when a greenlet ends.

use super::handle::Greenlet;
use super::header::Header;
use parking_lot::Mutex;

type Call = Box<dyn FnOnce(&Greenlet) + Send>;

/// Names one link, so that it can be taken back with [`Greenlet::unlink`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkId(u64);

/// The links of one greenlet, in the order they were made.
#[derive(Default)]
pub(crate) struct Links(Mutex<Vec<(LinkId, Call)>>);

impl Greenlet {
    /// Runs `f` in a new greenlet once this one has ended; at once if it has. Links run in the order they were made.
    ///
    /// ```
    /// use greenhub::channel;
    ///
    /// greenhub::run(|| {
    ///     let (ended, seen) = channel::bounded(1);
    ///     let worker = greenhub::spawn(|| 42);
    ///     worker.greenlet().link(move |greenlet| ended.send(greenlet.id()).unwrap());
    ///     assert_eq!(seen.recv(), Ok(worker.greenlet().id()));
    /// });
    /// ```
    pub fn link(&self, f: impl FnOnce(&Greenlet) + Send + 'static) -> LinkId {
        let id = LinkId(crate::ids::next());
        let Some(header) = self.header() else { return id };
        let mut call: Option<Call> = Some(Box::new(f));
        {
            let mut links = header.links.get_or_init(Box::default).0.lock();
            if header.state.join() {
                links.extend(call.take().map(|call| (id, call)));
            }
        }
        if let Some(call) = call {
            run(self.clone(), call);
        }
        id
    }

    /// Takes a link back. `false` if it has run, or is not this greenlet's.
    pub fn unlink(&self, id: LinkId) -> bool {
        let Some(links) = self.header().and_then(|header| header.links.get()) else { return false };
        let found = {
            let mut links = links.0.lock();
            links.iter().position(|(each, _)| *each == id).map(|at| links.remove(at))
        };
        found.is_some()
    }
}

/// Starts the links of a greenlet that has ended.
pub(crate) fn run_all(header: &Header) {
    let Some(links) = header.links.get() else { return };
    let calls = std::mem::take(&mut *links.0.lock());
    for (_, call) in calls {
        run(Greenlet::of(header), call);
    }
}

fn run(greenlet: Greenlet, call: Call) {
    drop(super::spawn::spawn(move || call(&greenlet)));
}
