//! What workers of a proxy tell each other: here there is one.

use attache::flow::Runtime;
use attache::flow::supply::board::Board;
use attache::flow::supply::desk::{Desk, With};
use attache::wire::time::UnixTime;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// There is no other worker here.
pub struct Alone;

impl Board for Alone {
    fn read(&self, _: &str) -> (Option<Vec<u8>>, Option<u32>) {
        (None, None)
    }

    fn write_if(&self, _: &str, _: Option<&[u8]>, _: Option<u32>) -> bool {
        true
    }
}

/// What workers have seen: here one does it all.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl Board for Memory {
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.0.borrow().get(name).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
    }

    fn write_if(&self, name: &str, value: Option<&[u8]>, version: Option<u32>) -> bool {
        let mut values = self.0.borrow_mut();
        let known = values.get(name).map(|(_, version)| *version);
        let is_free = version.is_none() || version == known;
        if is_free {
            values.insert(name.to_owned(), (value.unwrap_or_default().to_vec(), known.unwrap_or_default() + 1));
        }
        is_free
    }
}

/// The filter with a memory for what may come only once.
pub fn remembering(runtime: Runtime) -> Runtime {
    let memory = Rc::new(Memory::default());
    // What makes places there.
    Desk::<()>::default().open(&[], &With { supply: runtime.supply(), board: &*memory, now: UnixTime::default() });
    runtime.remembering_on(memory)
}
