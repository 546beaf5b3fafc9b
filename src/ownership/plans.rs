//! The places of every body, by what it is. Made once for all agents.

use super::fields::Methods;
use super::places::{Given, Places, Request};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::sorted::SortedMap;
use std::rc::Rc;

/// Every kind of body.
#[derive(Debug)]
pub struct Plans {
    requests: SortedMap<(Binding, Request), Rc<Places>>,
    answers: SortedMap<(Binding, Given), Rc<Places>>,
    methods: Methods,
}

impl Default for Plans {
    fn default() -> Self {
        let bindings = [(Binding::Jsonrpc, Some("params"), Some("result")), (Binding::HttpJson, None, None)];
        let request = |(binding, root, _)| {
            Request::ALL.into_iter().map(move |request| ((binding, request), Rc::new(Places::new(root, &request.places()))))
        };
        let answer =
            |(binding, _, root)| Given::ALL.into_iter().map(move |given| ((binding, given), Rc::new(Places::new(root, &given.places()))));
        Self {
            requests: bindings.into_iter().flat_map(request).collect(),
            answers: bindings.into_iter().flat_map(answer).collect(),
            methods: Methods::default(),
        }
    }
}

impl Plans {
    /// The places in the body of a request; `None` if it names no task.
    #[must_use]
    pub fn request(&self, binding: Binding, operation: Operation, version: Version) -> Option<&Rc<Places>> {
        match binding {
            Binding::Grpc => self.methods.request(operation, version),
            Binding::Jsonrpc | Binding::HttpJson => self.requests.get(&(binding, Request::of(operation, version)?)),
        }
    }

    /// The places in the body of an answer.
    #[must_use]
    pub fn answer(&self, binding: Binding, operation: Operation, version: Version) -> Option<&Rc<Places>> {
        match binding {
            Binding::Grpc => self.methods.answer(operation, version),
            Binding::Jsonrpc | Binding::HttpJson => self.answers.get(&(binding, Given::of(operation)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Operation, Plans, Version};

    #[test]
    fn every_operation_but_cards_has_places() {
        let plans = Plans::default();
        for operation in Operation::ALL {
            for binding in [Binding::Jsonrpc, Binding::HttpJson, Binding::Grpc] {
                let is_card = matches!(operation, Operation::GetAgentCard | Operation::GetExtendedAgentCard);
                for version in [Version::V0_3, Version::V1_0] {
                    // Over gRPC 0.3 has no list.
                    let is_none = is_card || (binding, operation, version) == (Binding::Grpc, Operation::ListTasks, Version::V0_3);
                    assert_eq!(plans.request(binding, operation, version).is_none(), is_none);
                    assert_eq!(plans.answer(binding, operation, version).is_none(), is_card);
                }
            }
        }
    }
}
