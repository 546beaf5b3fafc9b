//! The board on which the workers of a proxy leave notes for each other about what they fetch.

use crate::credential::Key;
use crate::credential::cache::Token;
use crate::flow::event::call::Want;
use crate::flow::supply::shared::{BoardKey, Choice, Holder, Note, Terms};
use crate::flow::supply::token_notes;
use crate::flow::supply::token_notes::{TokenChoice, TokenNote};
use crate::wire::sorted::SortedMap;
use crate::wire::time::UnixTime;
use sha2::{Digest as _, Sha256};
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

/// The notes that one configuration uses.
#[derive(Debug)]
pub(super) struct Notes {
    /// Of this configuration, for tokens.
    key: BoardKey,
    /// Of each source that workers share.
    sources: SortedMap<Want, BoardKey>,
    holder: Holder,
}

impl Notes {
    /// The notes of the configuration that `seal` is of, one on each of `sources`: a note that does not exist cannot be changed by one
    /// worker only. Envoy configures its main thread first, so there is no race for this.
    pub fn new(seal: &[u8], sources: impl Iterator<Item = (Want, Vec<u8>)>, tokens: bool, board: &dyn Board) -> Self {
        let sources = sources.map(|(want, source)| (want, BoardKey::new(&source))).collect();
        let notes = Self { key: BoardKey::new(seal), sources, holder: Sha256::digest(seal).into() };
        for want in notes.sources.keys() {
            notes.change(*want, board, |note| (note.holder != notes.holder).then_some(Note { holder: notes.holder, ..note }));
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
        let Some(key) = self.sources.get(&want) else { return Choice::Fetch(Note::default()) };
        for _ in 0..ATTEMPTS {
            let (note, version) = read(key, board);
            match note.choose(terms, now) {
                Choice::Fetch(note) => {
                    let note = self.held(note);
                    if board.write_if(&key.name(), Some(&note.seal(key)), version) {
                        return Choice::Fetch(note);
                    }
                }
                other => return other,
            }
        }
        Choice::Wait
    }

    /// Notes how a fetch ended. What was fetched before stays through failures.
    pub fn publish(&self, want: Want, document: Option<Vec<u8>>, now: UnixTime, board: &dyn Board) {
        self.change(want, board, |note| {
            Some(match &document {
                Some(document) => Note { lease: None, fetched: Some((now, document.clone())), failed: None, ..note },
                None => Note { lease: None, failed: Some(now), ..note },
            })
        });
    }

    /// Changes the note on `want`, unless there is nothing to change.
    fn change(&self, want: Want, board: &dyn Board, change: impl Fn(Note) -> Option<Note>) {
        let Some(key) = self.sources.get(&want) else { return };
        for _ in 0..ATTEMPTS {
            let (note, version) = read(key, board);
            let Some(note) = change(note).map(|note| self.held(note)) else { return };
            if board.write_if(&key.name(), Some(&note.seal(key)), version) {
                return;
            }
        }
    }

    /// `note`, which is this configuration's if it is nobody's: others may have written there what is none.
    fn held(&self, note: Note) -> Note {
        if note.holder == Holder::default() { Note { holder: self.holder, ..note } } else { note }
    }

    /// Wipes the notes that no other configuration has begun to use, and those on tokens: the names stay, and old configurations
    /// have many.
    pub fn wipe(&self, tokens: bool, board: &dyn Board) {
        for key in self.sources.values() {
            let (note, version) = read(key, board);
            if note.holder == self.holder {
                board.write_if(&key.name(), None, version);
            }
        }
        for place in (0..token_notes::PLACES).filter(|_| tokens) {
            board.write_if(&self.key.name_of_token(place), None, None);
        }
    }

    fn read_token(&self, place: u8, board: &dyn Board) -> (TokenNote, Option<u32>) {
        let (bytes, version) = board.read(&self.key.name_of_token(place));
        (bytes.map_or_else(TokenNote::default, |bytes| TokenNote::open(&bytes, &self.key)), version)
    }

    fn write_token(&self, place: u8, note: &TokenNote, version: Option<u32>, board: &dyn Board) -> bool {
        board.write_if(&self.key.name_of_token(place), Some(&note.seal(&self.key)), version)
    }
}

/// The note that `key` is of, and its version.
fn read(key: &BoardKey, board: &dyn Board) -> (Note, Option<u32>) {
    let (bytes, version) = board.read(&key.name());
    (bytes.map_or_else(Note::default, |bytes| Note::open(&bytes, key)), version)
}
