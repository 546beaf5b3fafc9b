//! Two workers with one memory.

use super::{Board, Done, Fault, Found, Id, MAX_VALUE_BYTES, Memory, Operation, Over, Place, ROOM, Step, Store, UnixTime, Version};
use crate::wire::sorted::SortedMap;
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;

/// What happens while a worker is between reading and writing.
type Meanwhile = Box<dyn FnMut()>;

#[derive(Default)]
struct Shared {
    values: RefCell<SortedMap<String, (Vec<u8>, u32)>>,
    meanwhile: RefCell<Option<Meanwhile>>,
    reads: Cell<u32>,
}

impl Board for Shared {
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.reads.set(self.reads.get() + 1);
        self.values.borrow().get(name).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
    }

    fn write_if(&self, name: &str, value: Option<&[u8]>, version: Option<u32>) -> bool {
        // Taken out while it runs: it does not come between its own steps.
        let taken = self.meanwhile.borrow_mut().take();
        if let Some(mut meanwhile) = taken {
            meanwhile();
            *self.meanwhile.borrow_mut() = Some(meanwhile);
        }
        let mut values = self.values.borrow_mut();
        let known = values.get(name).map(|(_, version)| *version);
        // As Envoy does it: what does not exist is made whatever version is given.
        let is_free = version.is_none() || known.is_none() || version == known;
        if is_free {
            values.insert(name.to_owned(), (value.unwrap_or_default().to_vec(), known.unwrap_or_default() + 1));
        }
        is_free
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + seconds)
}

fn id(text: &str) -> Id {
    Sha256::digest(text)[..16].try_into().unwrap()
}

fn grant(user: &str, grant: &str) -> Place {
    Place::Grant { user: id(user), grant: id(grant) }
}

fn two(grants: u32) -> (Rc<Shared>, Rc<Memory>, Rc<Memory>) {
    let board = Rc::new(Shared::default());
    let worker = || Rc::new(Memory::open(grants, Rc::clone(&board) as Rc<dyn Board>));
    (Rc::clone(&board), worker(), worker())
}

fn done(memory: &Memory, operation: Operation, now: u64) -> Result<Done, Fault> {
    match memory.begin(operation, at(now)) {
        Step::Done(done) => done,
        Step::Call(..) | Step::Wait(_) => panic!("memory calls nobody"),
    }
}

/// Writes until the hundredth second.
fn write(memory: &Memory, place: Place, text: &str, over: Over, now: u64) -> Result<Done, Fault> {
    done(memory, Operation::Write { place, bytes: text.as_bytes().to_vec(), until: at(100), over }, now)
}

fn written(memory: &Memory, place: Place, text: &str, over: Over, now: u64) -> Version {
    match write(memory, place, text, over, now) {
        Ok(Done::Written(version)) => version,
        other => panic!("{other:?}"),
    }
}

fn read(memory: &Memory, place: Place, now: u64) -> Option<Found> {
    match done(memory, Operation::Read(place), now) {
        Ok(Done::Found(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn text(found: Option<&Found>) -> Option<&str> {
    found.map(|found| std::str::from_utf8(&found.bytes).unwrap())
}

#[test]
fn what_one_worker_writes_all_read_until_it_ends() {
    let (_, one, other) = two(64);
    let place = grant("ann", "hr");
    assert_eq!(read(&one, place, 0), None);
    let first = written(&one, place, "1", Over::Absent, 0);
    assert_eq!(read(&other, place, 99), Some(Found { bytes: b"1".to_vec(), version: first }));
    assert_eq!(read(&other, grant("ann", "it"), 0), None);
    assert_eq!(read(&other, grant("bob", "hr"), 0), None);
    assert_eq!(read(&other, place, 100), None);
    // What has ended is not there for a write either.
    let second = written(&other, place, "2", Over::Absent, 100);
    assert_ne!(first, second);
}

#[test]
fn a_write_over_something_else_is_a_conflict_and_says_what_is_there() {
    let (_, one, other) = two(64);
    let place = grant("ann", "hr");
    let first = written(&one, place, "1", Over::Absent, 0);
    let conflict = |done| matches!(done, Ok(Done::Conflict(Some(found))) if text(Some(&found)) == Some("1") && found.version == first);
    assert!(conflict(write(&other, place, "2", Over::Absent, 0)));
    let second = written(&other, place, "2", Over::Version(first), 0);
    let lost = write(&one, place, "3", Over::Version(first), 0);
    assert!(matches!(lost, Ok(Done::Conflict(Some(found))) if found.version == second));
    written(&one, place, "4", Over::Any, 0);
    assert_eq!(text(read(&other, place, 0).as_ref()), Some("4"));
    assert_eq!(write(&one, grant("ann", "it"), "5", Over::Version(second), 0), Ok(Done::Conflict(None)));
    assert_eq!(write(&one, place, "6", Over::Version(second), 100), Ok(Done::Conflict(None)), "it has ended");
}

#[test]
fn what_is_removed_is_gone_and_can_be_written_anew() {
    let (_, one, other) = two(64);
    let place = grant("ann", "hr");
    let remove = |memory: &Memory, version| done(memory, Operation::Remove { place, version }, 0);
    assert_eq!(remove(&one, None), Ok(Done::Removed), "there is none");
    let first = written(&one, place, "1", Over::Absent, 0);
    let second = written(&one, place, "2", Over::Any, 0);
    assert!(matches!(remove(&other, Some(first)), Ok(Done::Conflict(Some(found))) if found.version == second));
    assert_eq!(remove(&other, Some(second)), Ok(Done::Removed));
    assert_eq!(remove(&other, Some(second)), Ok(Done::Removed), "an answer was lost, and it is asked again");
    assert_eq!(read(&one, place, 0), None);
    assert_ne!(written(&one, place, "3", Over::Absent, 0), second, "no version comes twice");
}

#[test]
fn a_users_grants_are_listed_and_nobody_elses() {
    let (_, one, other) = two(64);
    let list = |user: &str, now| match done(&other, Operation::List { user: id(user) }, now) {
        Ok(Done::Listed(list)) => list.iter().fold(String::new(), |mut all, (which, found)| {
            let name = ["hr", "it"].into_iter().find(|name| id(name) == *which).unwrap();
            write!(all, "{name}:{} ", text(Some(found)).unwrap()).unwrap();
            all
        }),
        other => panic!("{other:?}"),
    };
    assert_eq!(list("ann", 0), "");
    for (user, which) in [("ann", "hr"), ("bob", "hr"), ("ann", "it"), ("", "hr")] {
        written(&one, grant(user, which), &format!("{user}'s"), Over::Absent, 0);
    }
    // Nor flows, whatever they are called.
    written(&one, Place::Flow { id: id("ann") }, "flow", Over::Absent, 0);
    assert_eq!((list("ann", 0), list("bob", 0), list("Ann", 0)), ("hr:ann's it:ann's ".into(), "hr:bob's ".into(), String::new()));
    assert_eq!(list("ann", 100), "");
}

#[test]
fn places_of_two_kinds_are_two() {
    let (_, one, _) = two(64);
    let (user, nothing) = (id("ann"), [0; 16]);
    written(&one, Place::Flow { id: user }, "flow", Over::Absent, 0);
    assert_eq!(read(&one, Place::Grant { user, grant: nothing }, 0), None);
    let places = [Place::Flow { id: user }, Place::Grant { user, grant: nothing }, Place::Grant { user: nothing, grant: user }];
    assert!(places.iter().enumerate().all(|(at, place)| places[..at].iter().all(|other| other.to_bytes() != place.to_bytes())));
}

#[test]
fn of_two_workers_who_write_at_once_one_succeeds() {
    for over in [Over::Absent, Over::Any] {
        let (board, one, other) = two(64);
        let place = Place::Flow { id: id("f") };
        let won = Rc::new(Cell::new(0));
        let (count, mut left) = (Rc::clone(&won), 1);
        // Behind the read of one worker comes all of what the other does.
        *board.meanwhile.borrow_mut() = Some(Box::new(move || {
            if left > 0 {
                left -= 1;
                let was_written = matches!(write(&other, place, "other", over, 0), Ok(Done::Written(_)));
                count.set(count.get() + u32::from(was_written));
            }
        }));
        let was_written = matches!(write(&one, place, "one", over, 0), Ok(Done::Written(_)));
        assert_eq!(won.get(), 1);
        assert_eq!(was_written, over == Over::Any);
        assert_eq!(text(read(&one, place, 0).as_ref()), Some(if was_written { "one" } else { "other" }));
    }
}

/// Two workers count in the same places, each step of one within one of the other.
#[test]
fn no_write_is_lost_between_workers() {
    let (board, one, other) = two(64);
    let counted = Rc::new(Cell::new(0_u64));
    let count = |memory: &Memory, place: Place, counted: &Cell<u64>| {
        let found = read(memory, place, 0);
        let number: u64 = text(found.as_ref()).map_or(0, |text| text.parse().unwrap());
        let over = found.map_or(Over::Absent, |found| Over::Version(found.version));
        match write(memory, place, &(number + 1).to_string(), over, 0) {
            Ok(Done::Written(_)) => counted.set(counted.get() + 1),
            Ok(Done::Conflict(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    // Four places in one bucket, so that others of the bucket change between, too.
    let places = [0, 1, 2, 3].map(|which| grant("ann", &which.to_string()));
    let (also, mut random) = (Rc::clone(&counted), 1_u32);
    *board.meanwhile.borrow_mut() = Some(Box::new(move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if random >> 30 != 0 {
            count(&other, places[(random >> 20) as usize % 4], &also);
        }
    }));
    (0..4000).for_each(|step: usize| count(&one, places[step * 7 % 4], &counted));
    *board.meanwhile.borrow_mut() = None;
    let sum: u64 = places.iter().map(|place| text(read(&one, *place, 0).as_ref()).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, counted.get());
    assert!(sum > 4000, "both have written: {sum}");
}

#[test]
fn who_never_has_a_turn_is_told() {
    let (board, one, other) = two(64);
    let mut step = 0;
    *board.meanwhile.borrow_mut() = Some(Box::new(move || {
        step += 1;
        written(&other, grant("ann", "it"), &step.to_string(), Over::Any, 0);
    }));
    assert!(matches!(write(&one, grant("ann", "hr"), "1", Over::Any, 0), Err(Fault::Unavailable(_))));
}

#[test]
fn ten_thousand_grants_have_room_in_sixteen_thousand() {
    for (users, each) in [(10_000, 1), (2000, 5), (1000, 10), (500, 20)] {
        let (board, one, other) = two(16384);
        let all = || (0..users).flat_map(|user| (0..each).map(move |which| grant(&user.to_string(), &which.to_string())));
        for place in all() {
            written(&one, place, "sealed", Over::Absent, 0);
        }
        assert!(all().all(|place| read(&other, place, 0).is_some()), "{users} users with {each}");
        assert_eq!(board.values.borrow().values().count(), 512 + 256 + 2);
    }
}

#[test]
fn twenty_thousand_users_can_agree_within_the_life_of_a_link() {
    let (_, one, _) = two(64);
    for number in 0..20_000 {
        written(&one, Place::Flow { id: id(&number.to_string()) }, "used", Over::Absent, 0);
    }
}

#[test]
fn no_live_grant_makes_room_for_another() {
    let (board, one, _) = two(64);
    let mut kept = Vec::new();
    let mut refused = 0;
    for number in 0..1000 {
        let place = grant(&number.to_string(), "hr");
        match write(&one, place, "sealed", Over::Absent, 0) {
            Ok(Done::Written(_)) => kept.push(place),
            Err(Fault::Full) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((kept.len(), refused), (2 * ROOM, 1000 - 2 * ROOM));
    assert!(kept.iter().all(|place| read(&one, *place, 99).is_some()));
    // Those that are there can be refreshed, and flows have room of their own.
    written(&one, kept[7], "new", Over::Any, 0);
    for number in 0..1000 {
        written(&one, Place::Flow { id: id(&number.to_string()) }, "1", Over::Absent, 0);
    }
    // One that ends or is removed makes room, in the same places.
    assert_eq!(done(&one, Operation::Remove { place: kept[0], version: None }, 0), Ok(Done::Removed));
    written(&one, kept[0], "again", Over::Absent, 0);
    let size = |board: &Shared| board.values.borrow().values().map(|(value, _)| value.len()).sum::<usize>();
    let before = size(&board);
    for number in 0..100 {
        written(&one, grant(&format!("late {number}"), "hr"), "sealed", Over::Absent, 100);
    }
    assert!(size(&board) < before, "what has ended was dropped");
}

#[test]
fn what_is_no_bucket_of_ours_is_read_as_far_as_it_is() {
    let (board, one, _) = two(64);
    let places = [grant("ann", "hr"), grant("ann", "it")];
    for place in places {
        written(&one, place, "sealed", Over::Absent, 0);
    }
    let (name, whole) =
        board.values.borrow().iter().find(|(_, (value, _))| value.len() > 100).map(|(n, (v, _))| (n.clone(), v.clone())).unwrap();
    for end in 0..whole.len() {
        board.values.borrow_mut().insert(name.clone(), (whole[..end].to_vec(), 9));
        assert!(read(&one, places[1], 0).is_none());
    }
    board.values.borrow_mut().insert(name.clone(), (vec![0xff; 500], 9));
    assert!(read(&one, places[0], 0).is_none());
    written(&one, places[0], "again", Over::Absent, 0);
    assert!(read(&one, places[0], 0).is_some());
    let long = Operation::Write { place: places[0], bytes: vec![0; MAX_VALUE_BYTES + 1], until: at(1), over: Over::Any };
    assert!(matches!(done(&one, long, 0), Err(Fault::Unavailable(_))));
}

#[test]
fn buckets_are_made_once_and_never_by_a_write() {
    let (board, one, _) = two(16384);
    let before = board.reads.get();
    drop(Memory::open(16384, Rc::clone(&board) as Rc<dyn Board>));
    assert_eq!(board.reads.get() - before, 2);
    drop(Memory::open(65536, Rc::clone(&board) as Rc<dyn Board>));
    assert_eq!(board.values.borrow().values().count(), 2048 + 256 + 2);
    written(&one, grant("ann", "hr"), "1", Over::Absent, 0);
    *board.values.borrow_mut() = SortedMap::new();
    assert!(matches!(write(&one, grant("ann", "hr"), "1", Over::Absent, 0), Err(Fault::Unavailable(_))));
    assert!(board.values.borrow().values().next().is_none());
}
