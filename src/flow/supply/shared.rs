//! One fetch for all workers of a proxy: what they note for each other of a public document, and what follows from it.
//! Who finds no note that is good enough takes a lease and fetches; who finds a lease waits for its outcome. The notes
//! are read by this filter only, but other modules may be able to write there: a note that is not sealed with its
//! source's key is none. A source keeps its note when the configuration around it changes, so that what was good before is
//! there at once, and stays while its server is down.

use crate::wire::hex;
use crate::wire::kept::EARLY_FETCH_INTERVAL;
use crate::wire::time::UnixTime;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// How long a failure speaks for the others.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);
/// By how much a note may be ahead: a worker reads the clock when its callback begins, and another may write a moment later.
pub const AHEAD: Duration = Duration::from_millis(500);
/// Bytes of the seal at the end of a note.
const SEAL: usize = 32;

/// The key of one source, by which its note is named and sealed; of one configuration, for notes on tokens.
#[derive(Clone, Debug)]
pub struct BoardKey([u8; 64]);

/// What the workers know of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Whose it is: the configuration that began to use it last.
    pub holder: Holder,
    /// Until when somebody fetches it.
    pub lease: Option<UnixTime>,
    /// When the last fetch ended that brought something, and what that was.
    pub fetched: Option<(UnixTime, Vec<u8>)>,
    /// When a fetch failed, if none has brought anything since.
    pub failed: Option<UnixTime>,
}

/// A digest of a configuration.
pub type Holder = [u8; 32];

/// What this worker has, and may do.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// When its document was fetched.
    pub since: Option<UnixTime>,
    /// Age at which it is fetched anew.
    pub refresh: Duration,
    /// Age up to which it is used where there is no newer one.
    pub max_stale: Duration,
    /// Longest time that a fetch takes.
    pub lease: Duration,
}

/// What this worker should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Take what another fetched, then.
    Take(UnixTime, Option<Vec<u8>>),
    /// Fetch, after noting this.
    Fetch(Note),
    /// Look again soon: another fetches.
    Wait,
}

impl BoardKey {
    /// The key of what `source` says.
    #[must_use]
    pub fn new(source: &[u8]) -> Self {
        let mut block = [0; 64];
        block.iter_mut().zip(Sha256::digest(source)).for_each(|(place, byte)| *place = byte);
        Self(block)
    }

    /// The name of the note on what this source has.
    #[must_use]
    pub fn name(&self) -> String {
        self.named("document")
    }

    /// The name of the note that what is to be said of this configuration has been said.
    #[must_use]
    pub fn name_of_warnings(&self) -> String {
        self.named("warnings")
    }

    fn named(&self, text: &str) -> String {
        let digest = Sha256::new().chain_update("name").chain_update(self.0).chain_update(text).finalize();
        format!("attache.{}", hex::encode(&digest))
    }

    /// The name of a note on tokens.
    #[must_use]
    pub fn name_of_token(&self, place: u8) -> String {
        self.named(&format!("token {place}"))
    }

    /// `bytes` so that only this key reads them, and knows when they were changed (SIV: the seal is the nonce).
    #[must_use]
    pub fn encrypt(&self, bytes: &[u8]) -> Vec<u8> {
        let seal = self.hmac(bytes).finalize().into_bytes();
        let mut sealed = self.masked(bytes, &seal);
        sealed.extend(seal);
        sealed
    }

    /// What [`BoardKey::encrypt`] made this of; `None` if it did not.
    #[must_use]
    pub fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (masked, seal) = sealed.split_at_checked(sealed.len().checked_sub(SEAL)?)?;
        let bytes = self.masked(masked, seal);
        self.hmac(&bytes).verify_slice(seal).is_ok().then_some(bytes)
    }

    /// `bytes` with a key stream over them that `seal` begins.
    fn masked(&self, bytes: &[u8], seal: &[u8]) -> Vec<u8> {
        let block = |count: usize| self.hmac(b"mask").chain_update(seal).chain_update(count.to_string()).finalize().into_bytes();
        let mask = |(count, part): (usize, &[u8])| part.iter().zip(block(count)).map(|(byte, mask)| byte ^ mask).collect::<Vec<u8>>();
        bytes.chunks(SEAL).enumerate().flat_map(mask).collect()
    }

    fn hmac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        <Hmac<Sha256> as KeyInit>::new(&self.0.into()).chain_update(bytes)
    }
}

impl Note {
    /// The note as bytes.
    #[must_use]
    pub fn seal(&self, key: &BoardKey) -> Vec<u8> {
        let (at, document) = self.fetched.as_ref().map_or((None, &[][..]), |(at, document)| (Some(*at), document.as_slice()));
        let mut bytes = self.holder.to_vec();
        for time in [self.lease, self.failed, at] {
            bytes.extend(time.unwrap_or_default().to_bytes());
        }
        bytes.extend_from_slice(document);
        let seal = key.hmac(&bytes).finalize().into_bytes();
        bytes.extend(seal);
        bytes
    }

    /// The note in `bytes`; an empty one, if they are not one of ours.
    #[must_use]
    pub fn open(bytes: &[u8], key: &BoardKey) -> Self {
        Self::read(bytes, key).unwrap_or_default()
    }

    fn read(bytes: &[u8], key: &BoardKey) -> Option<Self> {
        let (content, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        if key.hmac(content).verify_slice(seal).is_err() {
            return None;
        }
        let (holder, content) = content.split_first_chunk::<32>()?;
        let (lease, content) = time(content)?;
        let (failed, content) = time(content)?;
        let (at, document) = time(content)?;
        Some(Self { holder: *holder, lease, failed, fetched: at.map(|at| (at, document.to_vec())) })
    }

    /// What a worker that wants the document should do.
    #[must_use]
    pub fn choose(self, terms: &Terms, now: UnixTime) -> Choice {
        // A note from the future is from before the clock was set back.
        let is_past = |at: UnixTime| at <= now.plus(AHEAD);
        if let Some((at, document)) = self.fetched.as_ref().filter(|(at, _)| is_past(*at)) {
            let age = now.since(*at);
            let is_newer = terms.since.is_none_or(|since| since < *at);
            // Who has nothing begins with what is old, and fetches then.
            let is_better = terms.since.is_none() && age <= terms.max_stale;
            if age < EARLY_FETCH_INTERVAL || age < terms.refresh && is_newer || is_better {
                return Choice::Take(*at, Some(document.clone()));
            }
        }
        if let Some(at) = self.failed.filter(|at| is_past(*at) && now.since(*at) < FAILURE_HOLDS) {
            return Choice::Take(at, None);
        }
        let longest = now.plus(terms.lease);
        match self.lease {
            Some(until) if now < until && until <= longest.plus(AHEAD) => Choice::Wait,
            _ => Choice::Fetch(Self { lease: Some(longest), ..self }),
        }
    }
}

/// A time that is there, or not, at the beginning of `bytes`; and the rest.
fn time(bytes: &[u8]) -> Option<(Option<UnixTime>, &[u8])> {
    let (time, rest) = bytes.split_first_chunk::<12>()?;
    let time = UnixTime::from_bytes(*time);
    Some(((time != UnixTime::default()).then_some(time), rest))
}

#[cfg(test)]
mod tests {
    use super::{BoardKey, Choice, Duration, Note, Terms, UnixTime};

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1000 + seconds)
    }

    fn terms(since: Option<u64>) -> Terms {
        let (refresh, max_stale) = (Duration::from_secs(60), Duration::from_secs(600));
        Terms { since: since.map(at), refresh, max_stale, lease: Duration::from_secs(3) }
    }

    fn fetched(when: u64) -> Note {
        Note { fetched: Some((at(when), b"keys".to_vec())), ..Note::default() }
    }

    #[test]
    fn the_first_fetches_and_the_others_wait() {
        let Choice::Fetch(note) = Note::default().choose(&terms(None), at(0)) else { panic!("nobody fetches") };
        assert_eq!(note.clone().choose(&terms(None), at(1)), Choice::Wait);
        assert!(matches!(note.clone().choose(&terms(None), at(3)), Choice::Fetch(_)), "whoever fetched is gone");
        let far = Note { lease: Some(at(1_000_000)), ..Note::default() };
        assert!(matches!(far.choose(&terms(None), at(0)), Choice::Fetch(_)), "the clock was set back");
        // Another worker read the clock a moment later and was quicker.
        let moment_later = at(0).plus(Duration::from_millis(300));
        let Choice::Fetch(later) = Note::default().choose(&terms(None), moment_later) else { panic!("nobody fetches") };
        assert_eq!(later.choose(&terms(None), at(0)), Choice::Wait);
        let fetched = Note { fetched: Some((moment_later, b"keys".to_vec())), ..Note::default() };
        assert!(matches!(fetched.choose(&terms(None), at(0)), Choice::Take(..)));
    }

    #[test]
    fn what_is_newer_or_has_just_come_is_taken() {
        let taken = |since, now| matches!(fetched(100).choose(&terms(since), at(now)), Choice::Take(when, Some(_)) if when == at(100));
        assert!(taken(None, 100) && taken(None, 159));
        assert!(taken(Some(40), 159) && !taken(Some(40), 160) && !taken(Some(100), 159));
        assert!(taken(Some(100), 104) && !taken(Some(100), 105));
        assert!(!taken(None, 99));
    }

    #[test]
    fn a_failure_speaks_for_all_for_a_moment() {
        let failed = Note { failed: Some(at(100)), ..Note::default() };
        assert!(matches!(failed.clone().choose(&terms(None), at(100)), Choice::Take(_, None)));
        assert!(matches!(failed.choose(&terms(None), at(101)), Choice::Fetch(_)));
    }

    #[test]
    fn who_has_nothing_begins_with_what_was_good() {
        let failed = Note { failed: Some(at(500)), ..fetched(100) };
        let old = |since, now| failed.clone().choose(&terms(since), at(now));
        assert!(matches!(old(None, 500), Choice::Take(when, Some(_)) if when == at(100)));
        assert!(matches!(old(None, 700), Choice::Take(_, Some(_))) && !matches!(old(None, 701), Choice::Take(..)), "max_stale");
        assert!(matches!(old(Some(100), 500), Choice::Take(_, None)), "then it hears of the failure");
        assert!(matches!(old(Some(100), 501), Choice::Fetch(note) if note.fetched == failed.fetched), "and fetches, and the note stays");
    }

    #[test]
    fn only_what_is_sealed_with_the_key_is_read() {
        let key = BoardKey::new(b"a");
        let full = Note { holder: [7; 32], lease: Some(at(7)), failed: Some(at(2)), ..fetched(1) };
        for note in [Note::default(), fetched(1), full] {
            let bytes = note.seal(&key);
            assert_eq!(Note::open(&bytes, &key), note);
            assert_eq!(Note::open(&bytes, &BoardKey::new(b"b")), Note::default());
            for place in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                assert_eq!(Note::open(&changed, &key), Note::default());
                assert_eq!(Note::open(&bytes[..place], &key), Note::default());
            }
        }
        assert_ne!(key.name(), BoardKey::new(b"b").name());
        assert_ne!(key.name(), key.name_of_token(0));
    }
}
