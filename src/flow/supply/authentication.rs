//! What became of a token.

use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;
use crate::identity::Caller;
use std::rc::Rc;

/// What became of a token.
#[derive(Debug)]
pub enum Authentication {
    /// It is good.
    Caller(Rc<Caller>),
    /// It is not.
    Refused(Reason),
    /// This has to be fetched first.
    Wait(Want),
}
