//! Who may wait: the places of requests whose sender is not known yet.

use crate::config::Fairness;
use crate::flow::event::call::Want;
use crate::flow::supply::seats::{Clients, Room, Seat};
use crate::flow::supply::store::Supply;
use crate::wire::network::Network;
use std::rc::Rc;

impl Supply {
    /// The same where clients can be told apart.
    #[must_use]
    pub fn telling_apart(mut self, clients: Rc<dyn Clients>) -> Self {
        self.clients = Some(clients);
        self
    }

    /// The client at hand, where that makes a difference.
    pub(super) fn client(&self, fairness: Fairness) -> Option<Network> {
        match fairness {
            Fairness::Address => self.clients.as_ref()?.network(),
            Fairness::None => None,
        }
    }

    /// A place for a request that waits for `want`, for the sake of `scheme`, if that is known; `None` if it has to be refused.
    pub(in crate::flow) fn sit(&self, want: Want, scheme: Option<usize>) -> Option<Seat> {
        let (room, interest) = match want {
            Want::Introspection(key) => {
                let (room, interest) = self.introspections().borrow().room(&key)?;
                (room, Some(interest))
            }
            Want::Keys(_) => (Room { scheme, known: false }, None),
            _ => (Room { scheme: None, known: false }, None),
        };
        let in_all = self.config().max_waiting;
        let (most, fairness) =
            room.scheme.and_then(|scheme| self.config().scheme_at(scheme)?.waiting()).unwrap_or((in_all, Fairness::Address));
        let seat = Seat::take(&self.seats, room, self.client(fairness), (most, in_all), interest);
        if let (None, Want::Introspection(key)) = (&seat, want) {
            self.introspections().borrow_mut().forget_idle(&key);
        }
        seat
    }

    /// Whether the place with this number is gone, and the request that had it does not know that.
    #[must_use]
    pub fn is_displaced(&self, seat: u64) -> bool {
        self.seats.borrow().is_displaced(seat)
    }

    /// The most requests that waited at a time since this was last asked, and how many may.
    #[must_use]
    pub fn waited(&self) -> (usize, usize) {
        (self.seats.borrow_mut().peak(), self.config().max_waiting)
    }

    /// Whether requests wait whose places are gone.
    #[must_use]
    pub fn has_displaced(&self) -> bool {
        self.seats.borrow().has_displaced()
    }
}
