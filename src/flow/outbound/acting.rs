//! What is known of a call that goes as its user, while something is waited for.

use crate::flow::supply::grants::ended::Ended;
use crate::flow::supply::grants::order::Seen;
use crate::flow::supply::tokens::Subject;
use crate::ownership::Named;
use crate::wire::time::UnixTime;

/// What is found out of a call on its way.
#[derive(Debug, Default)]
pub(in crate::flow) struct AsUser {
    /// Who calls, as it was verified at this moment: a whole body that comes at once is not worth a second look.
    pub(super) verified: Option<(UnixTime, Subject)>,
    /// What it names, once its body is there.
    pub(super) named: Option<Named>,
    /// What the store is asked about our own task.
    pub(super) job: Option<u64>,
    /// What it says: how the flow ended, if it did.
    pub(super) flow: Option<Option<Ended>>,
    /// How the flow stands whose user agrees on another device, while keys are waited for.
    pub(super) seen: Option<Seen>,
}
