//! The vault: where grants of users lie, and what is remembered of their sign-ins. What lies there is sealed before it comes here.

pub mod memory;
pub mod operation;

use crate::config::GrantStore;
use crate::flow::supply::board::Board;
use crate::flow::supply::vault::memory::Memory;
use crate::flow::supply::vault::operation::Store;
use std::rc::Rc;

/// The vault that the configuration names. Workers share what lies on `board`.
#[must_use]
pub fn open(store: &GrantStore, board: &Rc<dyn Board>) -> Option<Box<dyn Store>> {
    match store {
        GrantStore::Memory(own) => Some(Box::new(Memory::open(own.grants, Rc::clone(board)))),
        GrantStore::Etcd(_) => None,
    }
}
