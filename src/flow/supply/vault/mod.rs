#![allow(missing_docs)]
//! The vault.
use crate::config::GrantStore;
use crate::flow::event::call::{Answer, Call};
use crate::flow::supply::board::Board;
use crate::wire::time::UnixTime;
use std::rc::Rc;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u64);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Grant { user: [u8; 16], grant: [u8; 16] },
    Flow { id: [u8; 16] },
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Absent,
    Version(Version),
    Any,
}
#[derive(Clone, Debug)]
pub enum Operation {
    Read(Place),
    Write { place: Place, bytes: Vec<u8>, until: UnixTime, over: Over },
    Remove { place: Place, over: Over },
    List { user: [u8; 16] },
}
#[derive(Debug)]
pub enum Done {
    Found(Option<(Vec<u8>, Version)>),
    Written(Version),
    Conflict,
    Removed,
    Listed(Vec<([u8; 16], Vec<u8>, Version)>),
}
#[derive(Debug)]
pub enum Fault {
    Full,
    Unavailable(String),
}
#[derive(Debug)]
pub enum Step {
    Call(Call),
    Done(Result<Done, Fault>),
}
#[derive(Debug)]
pub struct Session;
impl Session {
    pub fn answered(&mut self, _: Answer<'_>, _: UnixTime) -> Step {
        Step::Done(Ok(Done::Conflict))
    }
}
pub trait Store: std::fmt::Debug {
    fn begin(&self, operation: Operation, now: UnixTime) -> (Session, Step);
}
pub fn open(_: &GrantStore, _: &Rc<dyn Board>) -> Box<dyn Store> {
    unimplemented!()
}
