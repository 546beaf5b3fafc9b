//! What a reader wants to know of a message: a tree of field numbers, made once and shared by all scans.

use crate::wire::scan::{Asked, Keep};

/// One step from a message to something inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The field with this number, which is there once at most.
    One(u32),
    /// The same, in the message's oneof: of all its `Choice`s one is there at most.
    Choice(u32),
    /// Every element of the repeated field with this number.
    Each(u32),
    /// The member with exactly this name, in a `google.protobuf.Struct`. It is a [`Type::Value`].
    Key(Box<str>),
}

/// What a field is declared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A message; found as an object as soon as it begins.
    Message,
    /// `string`.
    Text,
    /// `bytes`; found as a string without text.
    Bytes,
    /// `int32`; its text is the number in decimal.
    Int32,
    /// `google.protobuf.Value`; found as what it is in JSON. Only strings, booleans and null have a text.
    Value,
}

/// All that is asked of a message.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root first, parents before their children.
    nodes: Vec<Node>,
    longest_key: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub keep: Option<Keep>,
    pub kind: Type,
    pub parent: usize,
    /// Whether there can be several: it is inside a repeated field.
    pub repeats: bool,
    /// Its bit among those of its siblings that may be there once; siblings of one oneof share it.
    pub slot: Option<u32>,
    fields: Vec<(u32, usize)>,
    keys: Vec<(Box<str>, usize)>,
}

/// The bit of a message's oneof.
const CHOICE: u32 = 0;

/// The field of `google.protobuf.Struct` that holds its entries.
const ENTRIES: u32 = 1;

impl Default for Plan {
    fn default() -> Self {
        let root = Node { keep: None, kind: Type::Message, parent: 0, repeats: false, slot: None, fields: Vec::new(), keys: Vec::new() };
        Self { nodes: vec![root], longest_key: 0 }
    }
}

impl Plan {
    /// Asks for the field at the end of `path`, which begins at the message itself and goes through messages. It is
    /// declared as `kind`.
    pub fn ask(&mut self, path: &[Step], kind: Type, keep: Keep) -> Asked {
        let mut node = 0;
        for (index, step) in path.iter().enumerate() {
            let last = index.saturating_add(1) == path.len();
            node = self.descend(node, step, if last { kind } else { Type::Message });
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.keep = node.keep.max(Some(keep));
        }
        Asked(node)
    }

    fn descend(&mut self, parent: usize, step: &Step, kind: Type) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else { return 0 };
        let known = match step {
            Step::One(number) | Step::Choice(number) | Step::Each(number) => {
                node.fields.iter().find(|(own, _)| own == number).map(|(_, child)| *child)
            }
            Step::Key(name) => node.keys.iter().find(|(own, _)| own == name).map(|(_, child)| *child),
        };
        if let Some(known) = known {
            return known;
        }
        let own = u32::try_from(node.fields.len().saturating_add(node.keys.len()).saturating_add(1)).unwrap_or(u32::MAX);
        let slot = match step {
            Step::One(_) | Step::Key(_) => Some(own),
            Step::Choice(_) => Some(CHOICE),
            Step::Each(_) => None,
        };
        match step {
            Step::One(number) | Step::Choice(number) | Step::Each(number) => node.fields.push((*number, next)),
            Step::Key(name) => {
                node.keys.push((name.clone(), next));
                self.longest_key = self.longest_key.max(name.len());
            }
        }
        let repeats = node.repeats || matches!(step, Step::Each(_));
        let kind = if matches!(step, Step::Key(_)) { Type::Value } else { kind };
        self.nodes.push(Node { keep: None, kind, parent, repeats, slot, fields: Vec::new(), keys: Vec::new() });
        next
    }

    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// A key of more bytes is not wanted.
    pub(super) const fn longest_key(&self) -> usize {
        self.longest_key
    }

    pub(super) fn node(&self, node: usize) -> Option<&Node> {
        self.nodes.get(node)
    }

    /// The wanted field `number` of a message.
    pub(super) fn field(&self, message: usize, number: u32) -> Option<(usize, &Node)> {
        let (_, child) = self.nodes.get(message)?.fields.iter().find(|(own, _)| *own == number)?;
        Some((*child, self.nodes.get(*child)?))
    }

    /// Whether field `number` of a message holds the entries of a map that keys are wanted of.
    pub(super) fn is_map(&self, message: usize, number: u32) -> bool {
        number == ENTRIES && self.nodes.get(message).is_some_and(|node| !node.keys.is_empty())
    }

    /// The wanted member called `key` of a map, with its bit.
    pub(super) fn key(&self, message: usize, key: &[u8]) -> Option<(usize, Option<u32>)> {
        let (_, child) = self.nodes.get(message)?.keys.iter().find(|(own, _)| own.as_bytes() == key)?;
        Some((*child, self.nodes.get(*child)?.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::{Keep, Plan, Step, Type};

    #[test]
    fn the_same_place_is_one_question() {
        let mut plan = Plan::default();
        let part = plan.ask(&[Step::One(2), Step::Each(5)], Type::Message, Keep::Kind);
        let text = plan.ask(&[Step::One(2), Step::Each(5), Step::Choice(1)], Type::Text, Keep::Kind);
        let url = plan.ask(&[Step::One(2), Step::Each(5), Step::Choice(3)], Type::Text, Keep::Kind);
        assert_eq!(plan.ask(&[Step::One(2), Step::Each(5)], Type::Message, Keep::Text), part);
        let node = |asked: super::Asked| plan.node(asked.0).unwrap();
        assert_eq!((node(text).parent, node(part).keep), (part.0, Some(Keep::Text)));
        assert_eq!(node(text).slot, node(url).slot, "one oneof");
        assert!(node(part).repeats && node(text).repeats && node(part).slot.is_none());
        assert_eq!(plan.ask(&[], Type::Message, Keep::Kind).0, 0);
    }

    #[test]
    fn a_map_is_known_by_the_keys_that_are_wanted() {
        let mut plan = Plan::default();
        plan.ask(&[Step::One(6), Step::Key("skill".into())], Type::Text, Keep::Text);
        let (metadata, _) = plan.field(0, 6).unwrap();
        assert!(plan.is_map(metadata, 1) && !plan.is_map(metadata, 2) && !plan.is_map(0, 1));
        let (skill, _) = plan.key(metadata, b"skill").unwrap();
        assert_eq!(plan.node(skill).unwrap().kind, Type::Value);
        assert!(plan.key(metadata, b"Skill").is_none() && plan.longest_key() == 5);
    }
}
