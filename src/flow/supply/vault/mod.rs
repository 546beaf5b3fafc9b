//! The vault: where grants of users lie, and what is remembered of their sign-ins. What lies there is sealed before it comes here.

pub mod etcd;
pub mod memory;
pub mod operation;

use crate::config::GrantStore;
use crate::credential::secrets::Secrets;
use crate::flow::supply::board::Board;
use crate::flow::supply::vault::etcd::Etcd;
use crate::flow::supply::vault::memory::Memory;
use crate::flow::supply::vault::operation::Store;
use std::rc::Rc;

/// The vault that the configuration names. Workers share what lies on `board`.
#[must_use]
pub fn open(store: &GrantStore, board: &Rc<dyn Board>, secrets: &Secrets) -> Box<dyn Store> {
    match store {
        GrantStore::Memory(own) => Box::new(Memory::open(own.grants, Rc::clone(board))),
        GrantStore::Etcd(own) => {
            let etcd = Etcd::new(own.clone());
            if let Some(password) = own.password.as_ref().and_then(|password| secrets.value(&password.secret).ok()) {
                etcd.set_password(password.clone());
            }
            Box::new(etcd)
        }
    }
}
