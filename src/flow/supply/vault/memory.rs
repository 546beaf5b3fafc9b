//! The store in the memory of one Envoy: shared data, which all workers see and which has no delete. Values lie in a fixed number of
//! buckets, all of a user's in one. A bucket is one value of the board, so that each change of it is made by one worker only, or not at
//! all. What has ended makes room when its bucket is written.
//!
//! A bucket is the number of its last write, and records: where, until when, the number of the write, how long, and the sealed value.

use crate::flow::supply::board::Board;
use crate::flow::supply::vault::operation::{Done, Fault, Found, Id, MAX_VALUE_BYTES, Operation, Over, Place, Step, Store, Version};
use crate::wire::time::UnixTime;
use std::fmt;
use std::rc::Rc;

/// Grants that a bucket is meant for.
const SHARE: u32 = 32;
/// Grants that it has room for, so that chance fills none: users have several.
const ROOM: usize = 128;
/// Buckets for flows, which are short. They fill none of the others.
const FLOW_BUCKETS: u32 = 256;
/// How often a bucket is written anew that another worker changed meanwhile.
const ATTEMPTS: u8 = 32;

/// Bytes of where a record is: user and grant, or a flow's id.
const KEY_BYTES: usize = 32;
/// Bytes of a time.
const TIME_BYTES: usize = 12;

/// Grants and flows in the memory of one Envoy.
pub struct Memory {
    board: Rc<dyn Board>,
    grants: Buckets,
    flows: Buckets,
}

/// Buckets of one kind.
struct Buckets {
    name: &'static str,
    count: u32,
}

/// Where a record is.
type Key = [u8; KEY_BYTES];

/// A record of a bucket.
#[derive(Clone, Copy)]
struct Record<'b> {
    key: &'b Key,
    until: UnixTime,
    number: u64,
    bytes: &'b [u8],
    /// All of it, as it stands in the bucket.
    whole: &'b [u8],
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Memory")
    }
}

impl Memory {
    /// With room for so many grants. Makes the buckets that are not there: what does not exist cannot be changed by one worker only. Envoy
    /// configures its main thread first, so there is no race for this.
    #[must_use]
    pub fn open(grants: u32, board: Rc<dyn Board>) -> Self {
        let grants = Buckets { name: "attache.grants", count: grants.div_ceil(SHARE).max(1) };
        let flows = Buckets { name: "attache.flows", count: FLOW_BUCKETS };
        grants.make(&*board);
        flows.make(&*board);
        Self { board, grants, flows }
    }

    /// Lets `change` make a new bucket of the old, and writes it unless another worker was quicker. Where `change` makes none, that is the
    /// end.
    fn change(&self, place: &Place, change: impl Fn(&[u8]) -> (Result<Done, Fault>, Option<Vec<u8>>)) -> Result<Done, Fault> {
        let name = self.bucket(place);
        for _ in 0..ATTEMPTS {
            let (bytes, version) = self.read(&name)?;
            let (done, bucket) = change(&bytes);
            if bucket.is_none_or(|bucket| self.board.write_if(&name, Some(&bucket), Some(version))) {
                return done;
            }
        }
        Err(Fault::Unavailable("other workers write to the same place of the memory all the time".to_owned()))
    }

    fn read(&self, name: &str) -> Result<(Vec<u8>, u32), Fault> {
        let (bytes, version) = self.board.read(name);
        // A bucket that nobody has made could be made by two at once.
        let version = version.ok_or_else(|| Fault::Unavailable("Envoy's shared data lacks a place that was made in it".to_owned()))?;
        Ok((bytes.unwrap_or_default(), version))
    }

    fn bucket(&self, place: &Place) -> String {
        match place {
            Place::Grant { user, .. } => self.grants.of(user),
            Place::Flow { id } => self.flows.of(id),
        }
    }

    fn find(&self, place: &Place, now: UnixTime) -> Result<Done, Fault> {
        let (bytes, _) = self.read(&self.bucket(place))?;
        let key = key(place);
        Ok(Done::Found(records(&bytes).find(|record| *record.key == key && record.lives(now)).map(|record| record.found())))
    }

    fn list(&self, user: &Id, now: UnixTime) -> Result<Done, Fault> {
        let (bytes, _) = self.read(&self.grants.of(user))?;
        let own = |record: Record<'_>| {
            let (whose, grant) = record.key.split_first_chunk()?;
            (whose == user && record.lives(now)).then(|| Some((grant.try_into().ok()?, record.found())))?
        };
        Ok(Done::Listed(records(&bytes).filter_map(own).collect()))
    }

    fn write(&self, place: &Place, bytes: &[u8], until: UnixTime, over: Over, now: UnixTime) -> Result<Done, Fault> {
        let Some(length) = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_VALUE_BYTES) else {
            return Err(Fault::Unavailable(format!("a grant of {} bytes is longer than {MAX_VALUE_BYTES}", bytes.len())));
        };
        let key = key(place);
        self.change(place, |old| {
            let (mut bucket, count, current) = without(old, &key, now);
            let is_right = match over {
                Over::Absent => current.is_none(),
                Over::Version(version) => current.is_some_and(|current| current.number == version.number()),
                Over::Any => true,
            };
            if !is_right {
                return (Ok(Done::Conflict(current.map(|current| current.found()))), None);
            }
            if count >= ROOM {
                return (Err(Fault::Full), None);
            }
            let number = last(old).wrapping_add(1);
            if let Some(head) = bucket.first_chunk_mut() {
                *head = number.to_be_bytes();
            }
            bucket.extend_from_slice(&key);
            bucket.extend(until.to_bytes());
            bucket.extend_from_slice(&number.to_be_bytes());
            bucket.extend_from_slice(&length.to_be_bytes());
            bucket.extend_from_slice(bytes);
            (Ok(Done::Written(Version::new(number))), Some(bucket))
        })
    }

    fn remove(&self, place: &Place, version: Option<Version>, now: UnixTime) -> Result<Done, Fault> {
        let key = key(place);
        self.change(place, |old| match without(old, &key, now) {
            (_, _, None) => (Ok(Done::Removed), None),
            (_, _, Some(current)) if version.is_some_and(|version| version.number() != current.number) => {
                (Ok(Done::Conflict(Some(current.found()))), None)
            }
            (bucket, _, Some(_)) => (Ok(Done::Removed), Some(bucket)),
        })
    }
}

impl Store for Memory {
    fn begin(&self, operation: Operation, now: UnixTime) -> Step {
        Step::Done(match operation {
            Operation::Read(place) => self.find(&place, now),
            Operation::Write { place, bytes, until, over } => self.write(&place, &bytes, until, over, now),
            Operation::Remove { place, version } => self.remove(&place, version, now),
            Operation::List { user } => self.list(&user, now),
        })
    }
}

impl Buckets {
    /// Makes those that are not there. How many there are is noted, so that whoever comes next need not look at each.
    fn make(&self, board: &dyn Board) {
        let made = board.read(self.name).0.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
        for index in made..self.count {
            let name = self.at(index);
            if board.read(&name).1.is_none() {
                board.write_if(&name, Some(&[]), None);
            }
        }
        if made < self.count {
            board.write_if(self.name, Some(&self.count.to_be_bytes()), None);
        }
    }

    /// The name of the bucket for what `id` begins.
    fn of(&self, id: &Id) -> String {
        let [a, b, c, d, ..] = *id;
        self.at(u32::from_be_bytes([a, b, c, d]).checked_rem(self.count).unwrap_or_default())
    }

    fn at(&self, index: u32) -> String {
        [self.name, ".", &index.to_string()].concat()
    }
}

impl Record<'_> {
    fn lives(&self, now: UnixTime) -> bool {
        now < self.until
    }

    fn found(&self) -> Found {
        Found { bytes: self.bytes.to_vec(), version: Version::new(self.number) }
    }
}

fn key(place: &Place) -> Key {
    let mut key = [0; KEY_BYTES];
    let (first, second) = match place {
        Place::Grant { user, grant } => (user, grant),
        Place::Flow { id } => (id, &[0; 16]),
    };
    key.iter_mut().zip(first.iter().chain(second)).for_each(|(place, byte)| *place = *byte);
    key
}

/// The number of the last write to `bucket`.
fn last(bucket: &[u8]) -> u64 {
    bucket.first_chunk().map_or(0, |number| u64::from_be_bytes(*number))
}

/// The records of `bucket`, as far as they are ours: others may be able to write there.
fn records(bucket: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bucket.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (record, after) = Record::read(rest)?;
        rest = after;
        Some(record)
    })
}

impl<'b> Record<'b> {
    /// The record at the beginning of `bytes`, and what follows it.
    fn read(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk::<TIME_BYTES>()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let (whole, _) = bytes.split_at_checked(bytes.len().checked_sub(rest.len())?)?;
        Some((Self { key, until: UnixTime::from_bytes(*until), number: u64::from_be_bytes(*number), bytes: value, whole }, rest))
    }
}

/// `bucket` without what has ended and without what is at `key`; how many others there are, and what was there.
fn without<'b>(bucket: &'b [u8], key: &Key, now: UnixTime) -> (Vec<u8>, usize, Option<Record<'b>>) {
    let mut kept = Vec::with_capacity(bucket.len());
    kept.extend_from_slice(&last(bucket).to_be_bytes());
    let (mut count, mut current) = (0_usize, None);
    for record in records(bucket).filter(|record| record.lives(now)) {
        if record.key == key {
            current = Some(record);
        } else {
            kept.extend_from_slice(record.whole);
            count = count.saturating_add(1);
        }
    }
    (kept, count, current)
}

#[cfg(test)]
mod tests;
