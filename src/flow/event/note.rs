//! What is found out about a request, for its record.

use crate::flow::event::decision::Used;
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::identity::Caller;
use crate::policy::links::Links;
use crate::protocol::{Binding, Operation, Version};
use std::rc::Rc;

/// Something found out about a request, for its record.
#[derive(Clone, Debug)]
pub enum Note {
    /// What it is for.
    For(Target),
    /// What it is.
    Is {
        /// The version in force.
        version: Version,
        /// The binding.
        binding: Option<Binding>,
        /// The operation, once it is known.
        operation: Option<Operation>,
    },
    /// Who sent it.
    From(Rc<Caller>),
    /// What it does, where that is no operation of A2A.
    Does(&'static str),
    /// Who it is about, where that is somebody else than its sender.
    About(Rc<Caller>),
    /// What it is answered with, where that is not the status of its refusal.
    Answered(u16),
    /// A refusal that is reported, not enforced; with what is wrong, as far as its record says more than the reason.
    Shadowed(Reason, Option<String>),
    /// How it was judged, for a caller who may see it.
    Judged(String),
    /// Which credential of ours goes with it.
    Attached(Used),
    /// A token of ours is in its push-notification configuration.
    Endorsed,
    /// Links in its answer, which is of a remote agent.
    Links(Links),
    /// Its answer says that a task waits for credentials.
    AuthRequired,
    /// It goes on.
    Allowed,
    /// It is refused; with what is wrong, as far as its record says more than the reason.
    Refused(Reason, Option<Binding>, Option<String>),
}
