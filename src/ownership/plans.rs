//! The places of every body, by what it is. Made once for all agents with the same mark.

use super::fields::Methods;
use super::places::{Given, Place, Places, Request, Table};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::sorted::SortedMap;
use std::rc::Rc;

/// Most bytes of a mark and of what stands around it, without its key.
const MARK_BYTES: usize = 60;

/// Every kind of body.
#[derive(Debug)]
pub struct Plans {
    requests: SortedMap<(Binding, Request), Rc<Places>>,
    answers: SortedMap<(Binding, Given), Rc<Places>>,
    methods: Methods,
}

impl Plans {
    /// Where marks stand below this key of metadata, if there are any.
    #[must_use]
    pub fn new(mark: Option<&str>) -> Self {
        let mark = mark.map(Rc::from);
        let mut plans = Self { requests: SortedMap::new(), answers: SortedMap::new(), methods: Methods::default() };
        for (binding, params, result) in [(Binding::Jsonrpc, "params", "result"), (Binding::HttpJson, "", "")] {
            let is_rpc = binding == Binding::Jsonrpc;
            for request in Request::ALL {
                let outside: Table = if is_rpc && request == Request::List { &[("", Place::Request)] } else { &[] };
                plans.requests.insert((binding, request), Rc::new(Places::new(params, request.places(), outside, mark.as_ref())));
            }
            for given in Given::ALL {
                let outside: Table = match (given, is_rpc) {
                    (Given::List, true) => &[("error", Place::Error), ("id", Place::AnswerId)],
                    (Given::List, false) => &[("error", Place::Error)],
                    _ => &[],
                };
                plans.answers.insert((binding, given), Rc::new(Places::new(result, given.places(), outside, mark.as_ref())));
            }
        }
        plans
    }

    /// Whether there are marks.
    #[must_use]
    pub fn has_marks(&self) -> bool {
        self.mark().is_some()
    }

    fn mark(&self) -> Option<&str> {
        self.requests.values().find_map(|places| places.mark())
    }

    /// By how many bytes a request's body may grow: a mark in each of the two members that may be the message, or what asks
    /// for all of the history, which is shorter.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.mark().map_or(0, |key| key.len().saturating_add(MARK_BYTES).saturating_mul(2))
    }

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
        let plans = Plans::new(None);
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
