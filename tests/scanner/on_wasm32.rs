//! The scanner against the plain reader on wasm32, where it has vector instructions. `make unit` runs this under Node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "compare.rs"]
mod compare;
#[path = "reference.rs"]
mod reference;

use compare::{Dice, Readers};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn documents_are_read_as_the_plain_reader_reads_them() {
    assert!(cfg!(target_feature = "simd128"), "the module is built with vector instructions");
    let mut readers = Readers::new();
    readers.compare_random(20_000, &mut Dice(0xa2a));
    assert!(readers.taken > 4000 && readers.refused > 4000, "{} taken, {} refused", readers.taken, readers.refused);
}

#[wasm_bindgen_test]
fn nothing_depends_on_where_in_a_block_it_stands() {
    let mut readers = Readers::new();
    readers.compare_edges(1);
    assert!(readers.taken > 1000 && readers.refused > 1000, "{} taken, {} refused", readers.taken, readers.refused);
}
