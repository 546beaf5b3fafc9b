//! The scanner against a reader without any of its haste (`scanner/reference.rs`): the same is found, and the same fault,
//! strictly and where what nothing asks about is skipped. `scanner/on_wasm32.rs` has it again with vector instructions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "scanner/compare.rs"]
mod compare;
#[path = "scanner/reference.rs"]
mod reference;

use compare::{Dice, Readers};

#[test]
fn a_hundred_thousand_documents_are_read_as_the_plain_reader_reads_them() {
    let threads: Vec<_> = (1..=4_u64)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut readers = Readers::new();
                readers.compare_random(25_000, &mut Dice(0x5ca1_ab1e * seed));
                (readers.taken, readers.refused)
            })
        })
        .collect();
    let sums = threads.into_iter().map(|thread| thread.join().unwrap());
    let (taken, refused) = sums.fold((0, 0), |sums, one| (sums.0 + one.0, sums.1 + one.1));
    assert!(taken > 20_000 && refused > 20_000, "{taken} taken, {refused} refused");
}

#[test]
fn nothing_depends_on_where_in_a_block_it_stands() {
    let mut readers = Readers::new();
    readers.compare_edges(1);
    assert!(readers.taken > 1000 && readers.refused > 1000, "{} taken, {} refused", readers.taken, readers.refused);
}
