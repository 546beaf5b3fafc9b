//! One token for all workers of a proxy: what they note for each other of tokens. A note has one of few places, by its key,
//! so that their number is bounded; two keys in one place only cost a fetch more. Notes are encrypted: other modules may be
//! able to read where they stand.

use crate::credential::Key;
use crate::credential::cache::Token;
use crate::flow::supply::shared::{AHEAD, BoardKey};
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// Places for notes.
pub const PLACES: u8 = 64;

/// What the workers know of one token.
#[derive(Debug, Default)]
pub struct TokenNote {
    /// Which it is.
    key: Key,
    /// Until when somebody fetches it.
    lease: UnixTime,
    /// What was fetched last.
    token: Option<Token>,
}

/// What a worker should do that wants the token.
#[derive(Debug)]
pub enum TokenChoice {
    /// Take what another fetched.
    Take(Token),
    /// Fetch, after noting this.
    Fetch(TokenNote),
    /// Look again soon: another fetches.
    Wait,
}

/// The place of the note on the token with this key.
#[must_use]
pub const fn place(key: &Key) -> u8 {
    let [first, ..] = *key;
    first & PLACES.wrapping_sub(1)
}

impl TokenNote {
    /// The note that a fetch leaves: its token, or nothing if it failed.
    #[must_use]
    pub const fn ended(key: Key, token: Option<Token>) -> Self {
        Self { key, lease: UnixTime::from_secs(0), token }
    }

    /// What a worker should do that wants the token of `key`, has one from `seen` that it wants no more, and needs no
    /// longer than `lease` to fetch another.
    #[must_use]
    pub fn choose(self, key: &Key, seen: Option<UnixTime>, lease: Duration, now: UnixTime) -> TokenChoice {
        let longest = now.plus(lease);
        if self.key == *key {
            if let Some(token) = self.token
                && token.since <= now.plus(AHEAD)
                && now < token.until
                && seen.is_none_or(|seen| seen < token.since)
            {
                return TokenChoice::Take(token);
            }
            // A lease that is longer than any is from before the clock was set back.
            if now < self.lease && self.lease <= longest.plus(AHEAD) {
                return TokenChoice::Wait;
            }
        }
        TokenChoice::Fetch(Self { key: *key, lease: longest, token: None })
    }

    /// The note as bytes that only holders of `board` can read.
    #[must_use]
    pub fn seal(&self, board: &BoardKey) -> Vec<u8> {
        let mut bytes = [&self.key[..], &self.lease.to_bytes()].concat();
        if let Some(token) = &self.token {
            bytes.extend(token.since.to_bytes());
            bytes.extend(token.until.to_bytes());
            bytes.extend_from_slice(token.value.expose_secret().as_bytes());
        }
        board.encrypt(&bytes)
    }

    /// The note in `bytes`; an empty one, if they are not one of ours.
    #[must_use]
    pub fn open(bytes: &[u8], board: &BoardKey) -> Self {
        board.decrypt(bytes).and_then(|bytes| Self::read(&bytes)).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<32>()?;
        let (lease, rest) = rest.split_first_chunk::<12>()?;
        let token = rest.split_first_chunk::<12>().and_then(|(since, rest)| {
            let (until, value) = rest.split_first_chunk::<12>()?;
            let value = SecretString::from(std::str::from_utf8(value).ok()?.to_owned());
            Some(Token { value, since: UnixTime::from_bytes(*since), until: UnixTime::from_bytes(*until) })
        });
        Some(Self { key: *key, lease: UnixTime::from_bytes(*lease), token })
    }
}

#[cfg(test)]
mod tests {
    use super::{BoardKey, Duration, ExposeSecret, Key, SecretString, Token, TokenChoice, TokenNote, UnixTime};

    const KEY: Key = [7; 32];
    const LEASE: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1000 + seconds)
    }

    fn note() -> TokenNote {
        TokenNote::ended(KEY, Some(Token { value: SecretString::from("t.o.k".to_owned()), since: at(10), until: at(40) }))
    }

    #[test]
    fn the_first_fetches_and_the_others_wait() {
        let TokenChoice::Fetch(note) = TokenNote::default().choose(&KEY, None, LEASE, at(0)) else { panic!() };
        let board = BoardKey::new(b"a");
        let again = || TokenNote::open(&note.seal(&board), &board);
        assert!(matches!(again().choose(&KEY, None, LEASE, at(3)), TokenChoice::Wait));
        assert!(matches!(again().choose(&KEY, None, LEASE, at(4)), TokenChoice::Fetch(_)), "whoever fetched is gone");
        assert!(matches!(again().choose(&[8; 32], None, LEASE, at(3)), TokenChoice::Fetch(_)), "another token in the same place");
        assert!(matches!(again().choose(&KEY, None, LEASE, UnixTime::from_secs(10)), TokenChoice::Fetch(_)), "the clock was set back");
    }

    #[test]
    fn only_a_newer_token_that_is_good_is_taken() {
        let taken = |seen, now| matches!(note().choose(&KEY, seen, LEASE, now), TokenChoice::Take(token) if token.until == at(40));
        assert!(taken(None, at(10)) && taken(None, at(39)) && taken(Some(at(9)), at(20)));
        assert!(!taken(None, at(40)) && !taken(None, at(9)) && !taken(Some(at(10)), at(20)));
        assert!(!matches!(note().choose(&[8; 32], None, LEASE, at(20)), TokenChoice::Take(_)), "of another key");
    }

    #[test]
    fn nobody_else_reads_or_changes_a_note() {
        let board = BoardKey::new(b"a");
        let bytes = note().seal(&board);
        assert!(!bytes.windows(5).any(|part| part == b"t.o.k"));
        assert_eq!(TokenNote::open(&bytes, &board).token.unwrap().value.expose_secret(), "t.o.k");
        assert!(TokenNote::open(&bytes, &BoardKey::new(b"b")).token.is_none());
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(TokenNote::open(&changed, &board).token.is_none());
        }
        assert!(TokenNote::open(&[], &board).token.is_none());
    }
}
