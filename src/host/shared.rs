//! The board on which the workers of a proxy note for each other what they fetch: Envoy's shared data, which every VM with
//! the same `vm_id` sees.

use crate::flow::Want;
use crate::flow::shared::{BoardKey, Choice, Note, Terms};
use crate::wire::time::UnixTime;
use proxy_wasm::hostcalls;

/// How often a note is written anew that another worker changed meanwhile.
const ATTEMPTS: u8 = 4;

/// The board of one configuration.
pub struct Board {
    key: BoardKey,
}

impl Board {
    /// The board of this configuration, with a note on each of `wants`: a note that does not exist cannot be changed by
    /// one worker only. Envoy configures its main thread first, so there is no race for this.
    pub fn new(configuration: &[u8], wants: impl Iterator<Item = Want>) -> Self {
        let board = Self { key: BoardKey::new(configuration) };
        for want in wants {
            if board.read(want).1.is_none() {
                board.write(want, &Note::default(), None);
            }
        }
        board
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
