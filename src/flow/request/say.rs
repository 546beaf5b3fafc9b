//! How a request is refused: the answer, the filter state and the record of it.

use crate::flow::event::Effect;
use crate::flow::event::note::Note;
use crate::flow::refusal::denial::Denial;
use crate::protocol::Binding;
use crate::protocol::envelope::Id;

/// Refuses now.
pub fn say(denial: &Denial, binding: Option<Binding>, id: &Id, effects: &mut Vec<Effect>) {
    effects.push(Effect::SetState("attache.reason", denial.reason.code().to_owned()));
    effects.push(Effect::Note(Note::Refused(denial.reason, binding, denial.told())));
    effects.push(Effect::Reply(denial.render(binding, id)));
}
