//! What a reader wants to know of a document: a tree of member names, made once and shared by all scans.

use super::Fault;
use super::names::Fingerprint;

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The member with one of these names, which mean the same. Two of them in one object are a repeated name; a
    /// name that differs from them in case only is refused, for some readers take it for the same.
    Member(Vec<Box<str>>),
    /// The member with exactly this name, in an object whose names are free.
    Key(Box<str>),
    /// Every element of an array.
    Element,
}

impl Step {
    /// The member with one of these spellings.
    #[must_use]
    pub fn member(spellings: &[&str]) -> Self {
        Self::Member(spellings.iter().map(|name| (*name).into()).collect())
    }

    /// The member with this name in camelCase, or in snake_case: ProtoJSON readers take both.
    #[must_use]
    pub fn proto_json(name: &str) -> Self {
        let mut snake = String::with_capacity(name.len());
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        if snake == name { Self::member(&[name]) } else { Self::member(&[name, &snake]) }
    }

    /// The member with exactly this name.
    #[must_use]
    pub fn key(name: &str) -> Self {
        Self::Key(name.into())
    }
}

/// How much of a value is wanted. Where two ask for the same value, the greater holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// What it is; told as soon as it begins.
    Kind,
    /// Also its text, unless it is an object or array: a string without quotes and escapes, anything else as written.
    Text,
    /// As [`Keep::Text`], but a string too as written.
    Raw,
}

/// The name of something asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked(pub(in crate::wire) usize);

/// All that is asked of a document.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root first, parents before their children.
    nodes: Vec<Node>,
    longest: usize,
    skips: bool,
}

#[derive(Clone, Debug, Default)]
struct Node {
    keep: Option<Keep>,
    /// Its end is told as well.
    ends: bool,
    parent: usize,
    /// Whether there can be several: it is inside an element.
    repeats: bool,
    members: Vec<Member>,
    /// With which letters those begin that have variants: a bit for each.
    initials: u32,
    element: Option<usize>,
}

#[derive(Clone, Debug)]
struct Member {
    spellings: Vec<(Fingerprint, Box<str>)>,
    /// Other cases are other names.
    is_key: bool,
    fingerprint: Fingerprint,
    node: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], longest: 0, skips: false }
    }
}

impl Plan {
    /// Asks for the value at the end of `path`, which begins at the document itself.
    pub fn ask(&mut self, path: &[Step], keep: Keep) -> Asked {
        let node = path.iter().fold(0, |node, step| self.descend(node, step));
        if let Some(node) = self.nodes.get_mut(node) {
            node.keep = node.keep.max(Some(keep));
        }
        Asked(node)
    }

    /// Asks as [`Plan::ask`] with [`Keep::Raw`], and where it is an object or array also for its end.
    pub fn ask_end(&mut self, path: &[Step]) -> Asked {
        let asked = self.ask(path, Keep::Raw);
        if let Some(node) = self.nodes.get_mut(asked.0) {
            node.ends = true;
        }
        asked
    }

    /// Has objects and arrays of which nothing is asked, in themselves and in all that they stand in, read for their end
    /// alone. Then two names in them may be the same, and what stands between their brackets and strings need be no JSON.
    pub fn skip_unasked(&mut self) {
        self.skips = true;
    }

    fn descend(&mut self, parent: usize, step: &Step) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else { return 0 };
        let (spellings, is_key) = match step {
            Step::Member(names) => (names.as_slice(), false),
            Step::Key(name) => (std::slice::from_ref(name), true),
            Step::Element => (&[][..], false),
        };
        let found = match step {
            Step::Element => *node.element.get_or_insert(next),
            Step::Member(_) | Step::Key(_) => {
                let marked = spellings.iter().map(|name| (Fingerprint::of(name.as_bytes()), name.clone()));
                let same = |member: &&mut Member| member.spellings.iter().any(|(_, name)| spellings.contains(name));
                let (is_key, found) = match node.members.iter_mut().find(same) {
                    Some(member) => {
                        member.is_key &= is_key;
                        let new: Vec<_> = marked.filter(|name| !member.spellings.contains(name)).collect();
                        member.spellings.extend(new);
                        (member.is_key, member.node)
                    }
                    None => {
                        let fingerprint = Fingerprint::of(spellings.first().map_or(&[], |name| name.as_bytes()));
                        node.members.push(Member { spellings: marked.collect(), is_key, fingerprint, node: next });
                        (is_key, next)
                    }
                };
                let member = node.members.iter().find(|member| member.node == found && !is_key);
                let names = member.into_iter().flat_map(|member| &member.spellings);
                node.initials = names.fold(node.initials, |initials, (_, name)| initials | initial(name.as_bytes()));
                found
            }
        };
        let repeats = node.repeats || matches!(step, Step::Element);
        if found == next {
            self.nodes.push(Node { parent, repeats, ..Node::default() });
        }
        self.longest = spellings.iter().map(|name| name.len()).fold(self.longest, usize::max);
        found
    }

    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// A name of more bytes is neither wanted nor a variant of what is: a letter has variants of three bytes at most.
    pub(super) const fn longest_name(&self) -> usize {
        self.longest.saturating_mul(3)
    }

    pub(super) fn keep(&self, node: usize) -> Option<Keep> {
        self.nodes.get(node)?.keep
    }

    pub(super) fn ends(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.ends)
    }

    pub(super) fn parent(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.parent)
    }

    pub(super) fn repeats(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.repeats)
    }

    /// Whether anything is wanted of the members of an object here.
    pub(super) fn has_members(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| !node.members.is_empty())
    }

    pub(super) fn element(&self, node: usize) -> Option<usize> {
        self.nodes.get(node)?.element
    }

    /// Whether an object or array here is read for its end alone.
    #[inline]
    pub(super) fn is_skipped(&self, node: Option<usize>) -> bool {
        let is_asked =
            |node: usize| self.nodes.get(node).is_some_and(|node| node.ends || !node.members.is_empty() || node.element.is_some());
        self.skips && !node.is_some_and(is_asked)
    }

    /// The wanted member called `name`, whose fingerprint is `own`, with the fingerprint that stands for all its spellings.
    pub(super) fn member(&self, node: usize, name: &[u8], own: Fingerprint) -> Result<Option<(usize, Fingerprint)>, Fault> {
        let Some(node) = self.nodes.get(node) else { return Ok(None) };
        for member in &node.members {
            if member.spellings.iter().any(|(fingerprint, spelling)| *fingerprint == own && spelling.as_bytes() == name) {
                return Ok(Some((member.node, member.fingerprint)));
            }
        }
        if node.initials & initial(name) == 0 {
            return Ok(None);
        }
        let mut variants = node.members.iter().filter(|member| !member.is_key).flat_map(|member| &member.spellings);
        if variants.any(|(_, spelling)| is_variant(spelling, name)) { Err(Fault::CaseVariant) } else { Ok(None) }
    }
}

/// A bit for the letter with which `name` begins, the same whatever its case. All bits if it is not ASCII, for it may
/// fold into any letter; none if there is no letter.
const fn initial(name: &[u8]) -> u32 {
    match name {
        [0x80..=0xff, ..] => u32::MAX,
        [first, ..] => 1 << (*first & 31),
        [] => 0,
    }
}

/// Whether a reader that folds case could take `name` for `spelling`. Beside ASCII, four letters fold into it:
/// U+017F and U+212A (Go's encoding/json), U+0130 and U+0131 (Java's equalsIgnoreCase).
fn is_variant(spelling: &str, name: &[u8]) -> bool {
    let (mut spelling, mut name) = (spelling.as_bytes(), name);
    loop {
        let (letter, behind) = match name {
            [] => return spelling.is_empty(),
            [0xc5, 0xbf, behind @ ..] => (b's', behind),
            [0xe2, 0x84, 0xaa, behind @ ..] => (b'k', behind),
            [0xc4, 0xb0 | 0xb1, behind @ ..] => (b'i', behind),
            [letter, behind @ ..] => (*letter, behind),
        };
        match spelling {
            [wanted, rest @ ..] if wanted.eq_ignore_ascii_case(&letter) => (spelling, name) = (rest, behind),
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Fingerprint, Keep, Plan, Step, is_variant};

    #[test]
    fn the_same_place_is_one_question() {
        let mut plan = Plan::default();
        let both = plan.ask(&[Step::member(&["taskId", "task_id"])], Keep::Kind);
        assert_eq!(plan.ask(&[Step::member(&["task_id"])], Keep::Text), both);
        assert_eq!(plan.keep(both.0), Some(Keep::Text));
        let element = plan.ask(&[Step::member(&["parts"]), Step::Element], Keep::Kind);
        let kind = plan.ask(&[Step::member(&["parts"]), Step::Element, Step::member(&["kind"])], Keep::Text);
        assert_eq!(plan.parent(kind.0), element.0);
        assert!(plan.repeats(kind.0) && !plan.repeats(plan.parent(element.0)));
        assert_eq!(plan.ask(&[], Keep::Kind).0, 0);
    }

    #[test]
    fn names_that_a_careless_reader_takes_for_the_wanted_one_are_refused() {
        let mut plan = Plan::default();
        let both = plan.ask(&[Step::member(&["taskId", "task_id"])], Keep::Kind);
        let key = plan.ask(&[Step::key("skill")], Keep::Kind);
        let found = |name: &str| plan.member(0, name.as_bytes(), Fingerprint::of(name.as_bytes()));
        let member = |name: &str| found(name).map(|found| found.map(|(node, _)| node));
        assert_eq!(found("taskId"), found("task_id"));
        assert_eq!((member("taskId"), member("skill"), member("Skill")), (Ok(Some(both.0)), Ok(Some(key.0)), Ok(None)));
        for variant in ["taskid", "TASKID", "TASK_ID", "taſkId", "tas\u{212a}Id", "task\u{130}d", "taskıd"] {
            assert_eq!(member(variant), Err(Fault::CaseVariant), "{variant}");
        }
        for other in ["", "taskI", "taskIds", "task-id", "täskId"] {
            assert_eq!(member(other), Ok(None), "{other}");
        }
        assert!(is_variant("params", "PARAM\u{17f}".as_bytes()));
    }
}
