//! The board on which the workers of a proxy leave notes for each other about what they fetch.

use crate::credential::Key;
use crate::credential::cache::Token;
use crate::flow::event::call::Want;
use crate::flow::supply::shared::{BoardKey, Choice, Note, Terms};
use crate::flow::supply::token_notes;
use crate::flow::supply::token_notes::{TokenChoice, TokenNote};
use crate::wire::time::UnixTime;
use std::time::Duration;

/// How often a note is written anew that another worker changed meanwhile.
const ATTEMPTS: u8 = 4;

/// Named values that all workers see. All that the [`Desk`](super::desk::Desk) asks of a host besides sending.
pub trait Board {
    /// The value of `name` and its version; neither, if nothing was written there.
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>);
    /// Writes the value of `name`, or wipes it. With a version: only if the value is still the one of that version. Whether it was
    /// written.
    fn write_if(&self, name: &str, value: Option<&[u8]>, version: Option<u32>) -> bool;
}

/// The notes of one configuration.
#[derive(Debug)]
pub(super) struct Notes {
    key: BoardKey,
}

impl Notes {
    /// The notes of this configuration, one on each of `wants`: a note that does not exist cannot be changed by one worker only.
    /// Envoy configures its main thread first, so there is no race for this.
    pub fn new(configuration: &[u8], wants: impl Iterator<Item = Want>, tokens: bool, board: &dyn Board) -> Self {
        let notes = Self { key: BoardKey::new(configuration) };
        for want in wants {
            if notes.read(want, board).1.is_none() {
                notes.write(want, &Note::default(), None, board);
            }
        }
        for place in (0..token_notes::PLACES).filter(|_| tokens) {
            if notes.read_token(place, board).1.is_none() {
                notes.write_token(place, &TokenNote::default(), None, board);
            }
        }
        notes
    }

    /// Whether nobody has said yet what is to be said of this configuration; from now on somebody has. The note stays: Envoy makes one
    /// VM after the other for the same configuration.
    pub fn is_to_warn(&self, board: &dyn Board) -> bool {
        let name = self.key.name_of_warnings();
        board.read(&name).1.is_none() && board.write_if(&name, Some(&[]), None)
    }

    /// What to do about the token of `key`. If it is to fetch, that has been noted.
    pub fn choose_token(&self, key: &Key, seen: Option<UnixTime>, lease: Duration, now: UnixTime, board: &dyn Board) -> TokenChoice {
        let place = token_notes::place(key);
        for _ in 0..ATTEMPTS {
            let (note, version) = self.read_token(place, board);
            match note.choose(key, seen, lease, now) {
                TokenChoice::Fetch(note) => {
                    if self.write_token(place, &note, version, board) {
                        return TokenChoice::Fetch(note);
                    }
                }
                other => return other,
            }
        }
        TokenChoice::Wait
    }

    /// Notes how the fetch of a token ended.
    pub fn publish_token(&self, key: &Key, token: Option<Token>, board: &dyn Board) {
        self.write_token(token_notes::place(key), &TokenNote::ended(*key, token), None, board);
    }

    /// What to do about `want`. If it is to fetch, that has been noted.
    pub fn choose(&self, want: Want, terms: &Terms, now: UnixTime, board: &dyn Board) -> Choice {
        for _ in 0..ATTEMPTS {
            let (note, version) = self.read(want, board);
            match note.choose(terms, now) {
                Choice::Fetch(note) => {
                    if self.write(want, &note, version, board) {
                        return Choice::Fetch(note);
                    }
                }
                other => return other,
            }
        }
        Choice::Wait
    }

    /// Notes how a fetch ended.
    pub fn publish(&self, want: Want, document: Option<Vec<u8>>, now: UnixTime, board: &dyn Board) {
        self.write(want, &Note { lease: None, ended: Some((now, document)) }, None, board);
    }

    /// Wipes the notes on `wants`, and those on tokens: the names stay, and old configurations have many.
    pub fn wipe(&self, wants: impl Iterator<Item = Want>, tokens: bool, board: &dyn Board) {
        for want in wants {
            board.write_if(&self.key.name(want), None, None);
        }
        for place in (0..token_notes::PLACES).filter(|_| tokens) {
            board.write_if(&self.key.name_of_token(place), None, None);
        }
    }

    fn read(&self, want: Want, board: &dyn Board) -> (Note, Option<u32>) {
        let (bytes, version) = board.read(&self.key.name(want));
        (bytes.map_or_else(Note::default, |bytes| Note::open(&bytes, &self.key)), version)
    }

    fn write(&self, want: Want, note: &Note, version: Option<u32>, board: &dyn Board) -> bool {
        board.write_if(&self.key.name(want), Some(&note.seal(&self.key)), version)
    }

    fn read_token(&self, place: u8, board: &dyn Board) -> (TokenNote, Option<u32>) {
        let (bytes, version) = board.read(&self.key.name_of_token(place));
        (bytes.map_or_else(TokenNote::default, |bytes| TokenNote::open(&bytes, &self.key)), version)
    }

    fn write_token(&self, place: u8, note: &TokenNote, version: Option<u32>, board: &dyn Board) -> bool {
        board.write_if(&self.key.name_of_token(place), Some(&note.seal(&self.key)), version)
    }
}
