//! A notification of an agent of this side (A2A 1.0 section 4.3.3): it is read whole before anything of it leaves. It goes only where
//! the connection lets notifications go, with the credential that its caller asked for, or else with ours.

use crate::credential::signed_jwt::About;
use crate::flow::event::Effect;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::outbound::finding::Next;
use crate::flow::outbound::notice::Notice;
use crate::flow::outbound::state::Outbound;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect::Reader;
use crate::flow::request::notified;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::obtain::Attachment;
use crate::flow::supply::sought::Sought;
use crate::protocol::notification::NotificationError;

impl Outbound {
    /// Whether it is a notification, and longer than one may be.
    pub(super) fn is_too_long(&self) -> bool {
        self.notice.as_ref().is_some_and(|notice| notice.is_exceeded_by(self.held, self.announced))
    }

    /// Begins to read, if it is a notification.
    pub(super) fn notification_reader(&self, context: &Context<'_>) -> Option<Box<Reader>> {
        self.notice.as_ref().map(|_| Box::new(Reader::HttpJson(context.runtime.notifications().document())))
    }

    /// What becomes of it, if it is a notification.
    pub(super) fn find_notification(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) -> Option<Result<Next, Box<Next>>> {
        let notice = self.notice.take()?;
        let found = self.judge_notification(&notice, context, effects);
        self.notice = Some(notice);
        Some(found)
    }

    fn judge_notification(&mut self, notice: &Notice, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<Next, Box<Next>> {
        let refuse = |denial: Denial| Box::new(Next::Refuse(denial));
        let origin = notice.origin.as_ref().map_err(|denial| refuse(denial.clone()))?;
        if notice.is_exceeded_by(self.held, self.announced) {
            return Err(refuse(Denial::new(Reason::BodyTooLarge)));
        }
        self.identify(context, effects)?;
        if let Some(wrong) = &self.wrong {
            return Err(refuse(wrong.0.clone()));
        }
        if !self.ended {
            return Ok(Next::Read);
        }
        let document = self.reader.as_ref().and_then(|reader| reader.document());
        let document = document.ok_or_else(|| refuse(notified::empty()))?;
        let found = context.runtime.notifications().read(document).map_err(|error| refuse(notified::malformed(error)))?;
        let task = found.task.as_deref().ok_or_else(|| refuse(notified::malformed(NotificationError::Task)))?;
        effects.push(Effect::Note(Note::Is { version: found.version, binding: None, operation: None }));
        let obtained = if notice.has_asked {
            Sought::Here(Attachment::asked())
        } else {
            let about = About { origin, task };
            context.runtime.supply().obtain_for(self.connection.index, about, &self.waited, &context.verifying())
        };
        Ok(self.obtained(obtained, Some((found.version, None)), effects))
    }
}
