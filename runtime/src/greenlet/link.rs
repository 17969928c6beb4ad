//! Links: what is to run, in a greenlet of its own, when a greenlet ends.

use super::handle::Greenlet;
use super::header::Header;

/// Names one link, so that it can be taken back with [`Greenlet::unlink`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkId(u64);

/// One link, kept in the greenlet's join list.
pub(crate) struct Link {
    id: LinkId,
    call: Box<dyn FnOnce(&Greenlet) + Send>,
}

impl Link {
    /// Runs it, in a greenlet of its own.
    pub(super) fn run(self, header: &Header) {
        let greenlet = Greenlet::of(header);
        drop(super::spawn::spawn(move || (self.call)(&greenlet)));
    }
}

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
        if let Some(header) = self.header()
            && let Some(link) = header.joiners.add_link(header, Link { id, call: Box::new(f) })
        {
            link.run(header);
        }
        id
    }

    /// Takes a link back. `false` if it has run, or is not this greenlet's.
    pub fn unlink(&self, id: LinkId) -> bool {
        self.header().is_some_and(|header| header.joiners.remove_link(|link| link.id == id).is_some())
    }
}
