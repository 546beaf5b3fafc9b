//! Many who call at once.

use super::{Answer, Errand, Land, Wait};
use serde_json::json;

impl Land {
    /// All `users` call at once, and wait until there is something for each: the most that servers were asked for at a time.
    pub fn storm(&mut self, users: &[String]) -> usize {
        self.holds = true;
        for (id, user) in users.iter().enumerate() {
            let Answer::Waits(want) = self.send(user, &json!({})) else { panic!("{user} does not wait") };
            self.desk.wait(u32::try_from(id).unwrap(), Wait { until: Some(want), ..Wait::default() }, (), self.now);
            self.desk.ask(want);
        }
        self.holds = false;
        let (mut asked, mut most, mut rest) = (Vec::new(), 0, users.len());
        for _ in 0..1000 {
            let more = self.tick();
            asked.extend(more);
            asked.retain(|errand| matches!(errand, Errand::Send(..)));
            most = most.max(asked.len());
            for errand in std::mem::take(&mut asked) {
                if let Errand::Send(want, call) = errand {
                    asked.extend(self.answer(want, &call));
                }
            }
            while let Some((id, _, ())) = self.desk.next(self.runtime.supply()) {
                self.desk.leave(id);
                rest -= 1;
            }
            if rest == 0 {
                return most;
            }
        }
        panic!("{rest} wait for ever");
    }
}
