//! Places for requests that wait before their sender is known: anyone can send such a request, so there are only so many, for
//! each scheme and in all. When they are taken, a client that holds the most of them gives one up to a client that holds fewer.

use crate::wire::network::Network;
use crate::wire::paged::PagedMap;
use crate::wire::sorted::SortedMap;
use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

/// Tells whose the request at hand is.
pub trait Clients: Debug {
    /// The network of the client at hand, if the host knows it.
    fn network(&self) -> Option<Network>;
}

/// Where a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::flow) struct Room {
    /// The scheme (index) that it waits for; `None` for cards.
    pub scheme: Option<usize>,
    /// Its token was good before. Nobody can make up such a token: these have places of their own.
    pub known: bool,
}

/// The client of a request; one for all those of whom that is not known.
type Client = Option<Network>;
/// Of places.
type Numbers = PagedMap<u64, ()>;

/// All places.
#[derive(Debug, Default)]
pub(in crate::flow) struct Seats {
    rooms: SortedMap<Room, PagedMap<Client, Numbers>>,
    taken: usize,
    /// The most that were taken at a time since this was last asked.
    peak: usize,
    /// Those that had to go and do not know it yet.
    displaced: Numbers,
    next: u64,
}

/// A place that is taken. It is free again when this goes.
#[derive(Debug)]
pub(in crate::flow) struct Seat {
    seats: Rc<RefCell<Seats>>,
    room: Room,
    client: Client,
    number: u64,
    /// Kept for as long as this is: whoever works for those who wait sees by it whether anybody does.
    _interest: Option<Rc<()>>,
}

impl Seat {
    /// Takes a place in `room`, which has `most`, of `in_all`. `None` if all are taken and `client` has no better right to one
    /// than those who have them.
    pub fn take(
        seats: &Rc<RefCell<Seats>>,
        room: Room,
        client: Client,
        (most, in_all): (usize, usize),
        interest: Option<Rc<()>>,
    ) -> Option<Self> {
        let number = seats.try_borrow_mut().ok()?.take(room, client, most, in_all)?;
        Some(Self { seats: Rc::clone(seats), room, client, number, _interest: interest })
    }

    /// What no other place has.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether somebody with a better right has it now.
    pub fn is_displaced(&self) -> bool {
        self.seats.try_borrow().is_ok_and(|seats| seats.is_displaced(self.number))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Ok(mut seats) = self.seats.try_borrow_mut() {
            seats.leave(self.room, self.client, self.number);
        }
    }
}

impl Seats {
    /// The most places that were taken at a time since this was last asked.
    pub fn peak(&mut self) -> usize {
        std::mem::replace(&mut self.peak, self.taken)
    }

    /// Whether a request does not know yet that its place is gone.
    pub fn has_displaced(&self) -> bool {
        !self.displaced.is_empty()
    }

    /// Whether the place with this number is gone, and the request that had it does not know.
    pub fn is_displaced(&self, number: u64) -> bool {
        self.displaced.contains_key(&number)
    }

    fn take(&mut self, room: Room, client: Client, most: usize, in_all: usize) -> Option<u64> {
        let in_room = self.rooms.get(&room).map_or(0, |clients| clients.values().map(Numbers::len).sum());
        if in_room >= most {
            self.displace_for(client, false, |other| *other == room)?;
        }
        if self.taken >= in_all {
            // Those that anybody can make up go for one that nobody can.
            self.displace_for(client, room.known, |other| !other.known)?;
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.taken = self.taken.saturating_add(1);
        self.peak = self.peak.max(self.taken);
        let seat = |clients: &mut PagedMap<Client, Numbers>| {
            clients.change(client, |numbers| {
                numbers.insert(number, ());
            });
        };
        self.rooms.change(room, seat);
        Some(number)
    }

    /// Takes the newest place of the client that has the most of `among`. `None` if that is not for `client` to have: it would
    /// have more than the other then, and does not come `first` anyway.
    fn displace_for(&mut self, client: Client, first: bool, among: impl Fn(&Room) -> bool) -> Option<()> {
        let mut held: PagedMap<Client, (usize, u64, Room)> = PagedMap::new();
        for (room, clients) in self.rooms.iter().filter(|(room, _)| among(room)) {
            for (client, numbers) in clients {
                let newest = numbers.last().map_or(0, |(number, ())| *number);
                let (count, last, place) = held.get(client).copied().unwrap_or((0, newest, *room));
                let (last, place) = if newest >= last { (newest, *room) } else { (last, place) };
                held.insert(*client, (count.saturating_add(numbers.len()), last, place));
            }
        }
        let own = held.get(&client).map_or(0, |(count, ..)| *count);
        let (other, (count, number, room)) = held.into_iter().max_by_key(|(_, (count, ..))| *count)?;
        if !first && count <= own.saturating_add(1) {
            return None;
        }
        self.leave(room, other, number);
        self.displaced.insert(number, ());
        Some(())
    }

    fn leave(&mut self, room: Room, client: Client, number: u64) {
        self.displaced.remove(&number);
        let Some(clients) = self.rooms.get_mut(&room) else { return };
        let Some(held) = clients.get_mut(&client) else { return };
        if held.remove(&number).is_some() {
            self.taken = self.taken.saturating_sub(1);
        }
        if held.is_empty() {
            clients.remove(&client);
        }
        if clients.is_empty() {
            self.rooms.remove(&room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Network, Room, Seat, Seats};
    use std::cell::RefCell;
    use std::rc::Rc;

    const NEW: Room = Room { scheme: Some(0), known: false };
    const KNOWN: Room = Room { scheme: Some(0), known: true };
    const OTHER: Room = Room { scheme: Some(1), known: false };
    const A: Client = Some(Network::V4(1));
    const B: Client = Some(Network::V4(2));

    struct Hall(Rc<RefCell<Seats>>);

    impl Hall {
        fn take(&self, room: Room, client: Client) -> Option<Seat> {
            Seat::take(&self.0, room, client, (4, 6), None)
        }

        fn fill(&self, room: Room, client: Client) -> Vec<Seat> {
            std::iter::from_fn(|| self.take(room, client)).collect()
        }

        fn stands(&self) -> usize {
            self.0.borrow().taken
        }
    }

    fn hall() -> Hall {
        Hall(Rc::default())
    }

    fn displaced(seats: &[Seat]) -> usize {
        seats.iter().filter(|seat| seat.is_displaced()).count()
    }

    #[test]
    fn places_are_few_and_come_back() {
        let hall = hall();
        let mut held = hall.fill(NEW, A);
        assert_eq!((held.len(), hall.stands()), (4, 4));
        held.truncate(1);
        assert_eq!(hall.fill(NEW, A).len(), 3);
        held.clear();
        assert_eq!(hall.stands(), 0);
    }

    #[test]
    fn the_peak_is_told_once_and_outlasts_who_made_it() {
        let hall = hall();
        let mut held = hall.fill(NEW, A);
        held.truncate(1);
        let peak = || hall.0.borrow_mut().peak();
        assert_eq!([peak(), peak()], [4, 1]);
        drop(held);
        assert_eq!([peak(), peak()], [1, 0]);
    }

    #[test]
    fn who_has_many_gives_up_until_both_have_the_same() {
        let hall = hall();
        let many = hall.fill(NEW, A);
        let few = hall.fill(NEW, B);
        assert_eq!((few.len(), displaced(&many), displaced(&few)), (2, 2, 0));
        assert!(many[3].is_displaced() && many[2].is_displaced() && hall.0.borrow().has_displaced());
        drop(many);
        assert_eq!((hall.stands(), hall.0.borrow().has_displaced()), (2, false));
    }

    #[test]
    fn where_clients_are_not_told_apart_nobody_gives_up() {
        let hall = hall();
        let held = hall.fill(NEW, None);
        assert!(held.len() == 4 && hall.take(NEW, None).is_none() && displaced(&held) == 0);
    }

    #[test]
    fn a_token_that_was_good_has_a_place_whoever_fills_the_rest() {
        let hall = hall();
        let floods = [hall.fill(NEW, A), hall.fill(OTHER, A)].map(|held| held.len());
        assert_eq!(floods, [4, 4 - 2]);
        let hall = self::hall();
        let (one, other) = (hall.fill(NEW, A), hall.fill(OTHER, A));
        assert_eq!(hall.stands(), 6);
        let known = hall.fill(KNOWN, A);
        assert_eq!((known.len(), displaced(&one) + displaced(&other), hall.stands()), (4, 4, 6));
        // And not by others of its kind.
        assert!(hall.take(KNOWN, A).is_none() && displaced(&known) == 0);
    }

    #[test]
    fn one_client_can_take_all_schemes_and_has_to_give_up_for_another() {
        let hall = hall();
        let held = [hall.fill(NEW, A), hall.fill(OTHER, A)];
        assert!(hall.take(OTHER, B).is_some() && hall.take(OTHER, B).is_some());
        assert!(held.iter().map(|held| displaced(held)).sum::<usize>() > 0);
    }
}
