//! What workers share, without a proxy.

use attache::flow::supply::board::Board;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A proxy's shared data.
#[derive(Default)]
pub struct Memory(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

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
