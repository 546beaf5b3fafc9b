//! What the host does for those who wait: one, or many at once.

use super::{Answer, Land};
use attache::flow::supply::desk::{Arrived, Errand, TICK, With};
use attache::flow::{Call, Wait, Want};
use attache::wire::header::Headers;
use serde_json::json;
use std::collections::VecDeque;

impl Land {
    /// Fetches `want`, with all that follows, until the desk says that it is there. Time passes where it has to.
    pub(super) fn settle(&mut self, want: Want) {
        self.desk.wait(0, Wait { until: Some(want), ..Wait::default() }, (), self.now);
        let with = With { supply: self.runtime.supply(), board: &*self.board, now: self.now };
        let mut errands = Vec::new();
        self.desk.fetch(want, &with, &mut errands);
        for _ in 0..2000 {
            self.run(errands);
            if self.desk.next(self.runtime.supply()).is_some() {
                self.desk.leave(0);
                return;
            }
            errands = self.look_around();
        }
        panic!("it waits for ever for {want:?}");
    }

    /// The host looks around, when it is time to.
    fn look_around(&mut self) -> Vec<Errand> {
        self.now = self.now.plus(self.desk.rest(self.runtime.supply()).unwrap_or(TICK));
        let with = With { supply: self.runtime.supply(), board: &*self.board, now: self.now };
        self.desk.tick(&with)
    }

    /// The same for a while in which nobody calls.
    pub fn idle(&mut self, times: u32) {
        for _ in 0..times {
            let errands = self.look_around();
            self.run(errands);
        }
    }

    /// What is done without anyone asking.
    pub fn tick(&mut self) {
        let with = With { supply: self.runtime.supply(), board: &*self.board, now: self.now };
        let errands = self.desk.tick(&with);
        self.run(errands);
    }

    fn run(&mut self, errands: Vec<Errand>) {
        let mut errands = VecDeque::from(errands);
        while let Some(errand) = errands.pop_front() {
            if let Errand::Send(want, call) = errand {
                errands.extend(self.answer(want, &call));
            }
        }
    }

    /// A server answers `call`.
    fn answer(&mut self, want: Want, call: &Call) -> Vec<Errand> {
        let (status, body) = self.serve(call);
        let headers = Headers::new(vec![(":status".to_owned(), status.to_string().into_bytes())]);
        let arrived = Arrived { headers: &headers, body: body.as_bytes(), size: body.len() };
        let with = With { supply: self.runtime.supply(), board: &*self.board, now: self.now };
        self.desk.answered(want, &arrived, &with)
    }

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
            let more = self.look_around();
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
