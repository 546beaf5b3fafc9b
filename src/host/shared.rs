//! The board on which the workers of a proxy note for each other what they fetch: Envoy's shared data, which every VM with
//! the same `vm_id` sees.

use crate::credential::Key;
use crate::credential::cache::Token;
use crate::flow::Want;
use crate::flow::supply::shared::{BoardKey, Choice, Note, Terms};
use crate::flow::supply::token_notes;
use crate::flow::supply::token_notes::{TokenChoice, TokenNote};
use crate::wire::time::UnixTime;
use proxy_wasm::hostcalls;
use std::time::Duration;

/// How often a note is written anew that another worker changed meanwhile.
const ATTEMPTS: u8 = 4;

/// The board of one configuration.
pub struct Board {
    key: BoardKey,
}

impl Board {
    /// The board of this configuration, with a note on each of `wants`: a note that does not exist cannot be changed by
    /// one worker only. Envoy configures its main thread first, so there is no race for this.
    pub fn new(configuration: &[u8], wants: impl Iterator<Item = Want>, tokens: bool) -> Self {
        let board = Self { key: BoardKey::new(configuration) };
        for want in wants {
            if board.read(want).1.is_none() {
                board.write(want, &Note::default(), None);
            }
        }
        for place in (0..token_notes::PLACES).filter(|_| tokens) {
            if board.read_token(place).1.is_none() {
                board.write_token(place, &TokenNote::default(), None);
            }
        }
        board
    }

    /// What to do about the token of `key`. If it is to fetch, that has been noted.
    pub fn choose_token(&self, key: &Key, seen: Option<UnixTime>, lease: Duration, now: UnixTime) -> TokenChoice {
        let place = token_notes::place(key);
        for _ in 0..ATTEMPTS {
            let (note, version) = self.read_token(place);
            match note.choose(key, seen, lease, now) {
                TokenChoice::Fetch(note) => {
                    if self.write_token(place, &note, version) {
                        return TokenChoice::Fetch(note);
                    }
                }
                other => return other,
            }
        }
        TokenChoice::Wait
    }

    /// Notes how the fetch of a token ended.
    pub fn publish_token(&self, key: &Key, token: Option<Token>) {
        self.write_token(token_notes::place(key), &TokenNote::ended(*key, token), None);
    }

    fn read_token(&self, place: u8) -> (TokenNote, Option<u32>) {
        let (bytes, version) = hostcalls::get_shared_data(&self.key.name_of_token(place)).unwrap_or_default();
        (bytes.map_or_else(TokenNote::default, |bytes| TokenNote::open(&bytes, &self.key)), version)
    }

    fn write_token(&self, place: u8, note: &TokenNote, version: Option<u32>) -> bool {
        hostcalls::set_shared_data(&self.key.name_of_token(place), Some(&note.seal(&self.key)), version).is_ok()
    }

    /// What to do about `want`. If it is to fetch, that has been noted.
    pub fn choose(&self, want: Want, terms: &Terms, now: UnixTime) -> Choice {
        for _ in 0..ATTEMPTS {
            let (note, version) = self.read(want);
            match note.choose(terms, now) {
                Choice::Fetch(note) => {
                    if self.write(want, &note, version) {
                        return Choice::Fetch(note);
                    }
                }
                other => return other,
            }
        }
        Choice::Wait
    }

    /// Notes how a fetch ended.
    pub fn publish(&self, want: Want, document: Option<Vec<u8>>, now: UnixTime) {
        self.write(want, &Note { lease: None, ended: Some((now, document)) }, None);
    }

    /// Wipes the notes on tokens.
    pub fn wipe_tokens(&self) {
        for place in 0..token_notes::PLACES {
            let _ = hostcalls::set_shared_data(&self.key.name_of_token(place), None, None);
        }
    }

    /// Wipes the note on `want`: the names stay, and old configurations have many.
    pub fn wipe(&self, want: Want) {
        let _ = hostcalls::set_shared_data(&self.key.name(want), None, None);
    }

    fn read(&self, want: Want) -> (Note, Option<u32>) {
        let (bytes, version) = hostcalls::get_shared_data(&self.key.name(want)).unwrap_or_default();
        (bytes.map_or_else(Note::default, |bytes| Note::open(&bytes, &self.key)), version)
    }

    /// With a version: only if the note is still the one that was read.
    fn write(&self, want: Want, note: &Note, version: Option<u32>) -> bool {
        hostcalls::set_shared_data(&self.key.name(want), Some(&note.seal(&self.key)), version).is_ok()
    }
}
