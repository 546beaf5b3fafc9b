//! The vault.
pub mod operation;
use crate::config::GrantStore;
use crate::flow::supply::board::Board;
use std::rc::Rc;
/// x
pub fn open(_: &GrantStore, _: &Rc<dyn Board>) -> Box<dyn operation::Store> {
    unimplemented!()
}
