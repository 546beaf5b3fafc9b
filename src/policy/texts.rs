//! Every text in a message, wherever it stands: told with the names that lead there, in JSON and in protocol buffers. Another may take its
//! place. Names stay as they are.

use crate::wire::protobuf::{Fault, Raw, Writer, fields};
use std::borrow::Cow;

/// Most messages of protocol buffers inside each other.
const MOST_DEPTH: usize = 128;

/// One step to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Into the member of this name.
    Name(Cow<'a, str>),
    /// Into this element.
    Place(usize),
}

/// Is told where a text stands, and the text; says what takes its place, if something does.
pub type Visit<'v> = &'v mut dyn FnMut(&[Step<'_>], &str) -> Option<String>;

/// The name of the member that a text is the value of, or an element of.
#[must_use]
pub fn name<'p>(path: &'p [Step<'_>]) -> Option<&'p str> {
    path.iter().rev().take(2).find_map(|step| match step {
        Step::Name(name) => Some(name.as_ref()),
        Step::Place(_) => None,
    })
}

/// Where a text stands, for people: `message.parts[1].data.access_token`. A name that is no plain word is a `*`.
#[must_use]
pub fn place(root: &str, path: &[Step<'_>]) -> String {
    let mut text = root.to_owned();
    for step in path.iter().take(16) {
        match step {
            Step::Place(index) => text.extend(["[", &index.to_string(), "]"]),
            Step::Name(name) => {
                let is_plain = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
                text.extend([".", if is_plain { name } else { "*" }]);
            }
        }
    }
    text
}

/// Tells each text of `json`, which is well-formed; gives what becomes of it, if that is something else.
#[must_use]
pub fn json(json: &[u8], visit: Visit<'_>) -> Option<Vec<u8>> {
    let (mut path, mut is_name): (Vec<Step<'_>>, bool) = (Vec::new(), false);
    let (mut out, mut copied, mut at) = (Vec::new(), 0_usize, 0_usize);
    while let Some(byte) = json.get(at) {
        let start = at;
        at = at.saturating_add(1);
        match byte {
            b'{' => {
                path.push(Step::Name(Cow::Borrowed("")));
                is_name = true;
            }
            b'[' => {
                path.push(Step::Place(0));
                is_name = false;
            }
            b'}' | b']' => drop(path.pop()),
            b',' => match path.last_mut() {
                Some(Step::Place(index)) => *index = index.saturating_add(1),
                _ => is_name = true,
            },
            b':' => is_name = false,
            b'"' => {
                at = end_of_text(json, at);
                let raw = json.get(start..at).unwrap_or_default();
                let text = decoded(raw);
                match path.last_mut() {
                    Some(Step::Name(name)) if is_name => *name = text,
                    _ => {
                        if let Some(new) = visit(&path, &text) {
                            out.extend_from_slice(json.get(copied..start).unwrap_or_default());
                            out.extend_from_slice(serde_json::Value::from(new).to_string().as_bytes());
                            copied = at;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(json.get(copied..).unwrap_or_default());
    Some(out)
}

/// Behind the quote that ends the text of which `at` is the first letter.
fn end_of_text(json: &[u8], mut at: usize) -> usize {
    while let Some(byte) = json.get(at) {
        at = at.saturating_add(if *byte == b'\\' { 2 } else { 1 });
        if *byte == b'"' {
            break;
        }
    }
    at.min(json.len())
}

/// The text of a JSON string.
fn decoded(raw: &[u8]) -> Cow<'_, str> {
    let inside = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    match std::str::from_utf8(inside) {
        Ok(text) if !inside.contains(&b'\\') => Cow::Borrowed(text),
        _ => Cow::Owned(serde_json::from_slice(raw).unwrap_or_default()),
    }
}

/// A field of protocol buffers in which there may be texts.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its name; empty for one that JSON does not show.
    pub name: &'static str,
    /// There may be several.
    pub is_list: bool,
    /// What it is.
    pub kind: Kind,
}

/// What a field is.
#[derive(Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A number that is told.
    Number,
    /// A message with these fields.
    Message(&'static [Field]),
    /// The entries of a map from names to messages with these fields.
    Entries(&'static [Field]),
}

/// What is told of a message.
pub struct Telling<'t> {
    /// Each text.
    pub visit: Visit<'t>,
    /// Each number.
    pub number: &'t mut dyn FnMut(u64),
}

/// Tells each text of `message`, whose `known` fields are looked into; gives what becomes of it.
///
/// # Errors
/// If it cannot be read.
pub fn message(message: &[u8], known: &'static [Field], telling: &mut Telling<'_>) -> Result<Vec<u8>, Fault> {
    walk(message, known, &mut Vec::new(), telling)
}

fn walk(message: &[u8], known: &'static [Field], path: &mut Vec<Step<'static>>, telling: &mut Telling<'_>) -> Result<Vec<u8>, Fault> {
    if path.len() > MOST_DEPTH {
        return Err(Fault::TooDeep);
    }
    let mut out = Writer::default();
    // How many of each list there were: few fields are lists, and a list may be long.
    let mut counts: Vec<(u32, usize)> = Vec::new();
    for field in fields(message) {
        let (number, raw) = field?;
        let Some(field) = known.iter().find(|field| field.number == number) else {
            out.field(number, raw);
            continue;
        };
        let depth = path.len();
        // Messages that JSON does not show count as well: they nest, too.
        path.push(Step::Name(Cow::Borrowed(field.name)));
        if field.is_list {
            path.push(Step::Place(match counts.iter_mut().find(|(own, _)| *own == number) {
                Some((_, count)) => {
                    *count = count.saturating_add(1);
                    *count
                }
                None => {
                    counts.push((number, 0));
                    0
                }
            }));
        }
        match (&field.kind, raw) {
            (Kind::Number, Raw::Varint(value)) => {
                (telling.number)(value);
                out.varint(number, value);
            }
            (Kind::Text, Raw::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?;
                let new = (telling.visit)(&shown(path), text);
                out.bytes(number, new.as_ref().map_or(bytes, |new| new.as_bytes()));
            }
            (Kind::Message(known), Raw::Bytes(bytes)) => out.bytes(number, &walk(bytes, known, path, telling)?),
            (Kind::Entries(known), Raw::Bytes(bytes)) => out.bytes(number, &entry(bytes, known, path, telling)?),
            _ => return Err(Fault::WireType),
        }
        path.truncate(depth);
    }
    Ok(out.end())
}

/// An entry of a map: a name, and a message.
fn entry(bytes: &[u8], known: &'static [Field], path: &mut Vec<Step<'static>>, telling: &mut Telling<'_>) -> Result<Vec<u8>, Fault> {
    let mut out = Writer::default();
    for (place, field) in fields(bytes).enumerate() {
        match (place, field?) {
            (0, (1, Raw::Bytes(name))) => {
                let text = std::str::from_utf8(name).map_err(|_| Fault::NotUtf8)?;
                path.push(Step::Name(Cow::Owned(text.to_owned())));
                out.bytes(1, name);
            }
            (1, (2, Raw::Bytes(value))) => out.bytes(2, &walk(value, known, path, telling)?),
            _ => return Err(Fault::Entry),
        }
    }
    Ok(out.end())
}

/// The steps that JSON has, too.
fn shown(path: &[Step<'static>]) -> Vec<Step<'static>> {
    path.iter().filter(|step| !matches!(step, Step::Name(Cow::Borrowed("")))).cloned().collect()
}

/// A field that is no list.
pub(super) const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, is_list: false, kind }
}

/// A field of which there may be several.
pub(super) const fn list(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, is_list: true, kind }
}

/// `google.protobuf.Value`.
static VALUE: [Field; 3] = [field(3, "", Kind::Text), field(5, "", Kind::Message(&STRUCT)), field(6, "", Kind::Message(&VALUES))];
/// `google.protobuf.ListValue`.
static VALUES: [Field; 1] = [list(1, "", Kind::Message(&VALUE))];
/// `google.protobuf.Struct`.
static STRUCT: [Field; 1] = [field(1, "", Kind::Entries(&VALUE))];

static PART_0_3: [Field; 4] = [
    field(1, "text", Kind::Text),
    field(2, "file", Kind::Message(&FILE)),
    field(3, "data", Kind::Message(&DATA)),
    field(4, "metadata", Kind::Message(&STRUCT)),
];
static FILE: [Field; 2] = [field(1, "uri", Kind::Text), field(4, "name", Kind::Text)];
static DATA: [Field; 1] = [field(1, "data", Kind::Message(&STRUCT))];
static PART_1_0: [Field; 5] = [
    field(1, "text", Kind::Text),
    field(3, "url", Kind::Text),
    field(4, "data", Kind::Message(&VALUE)),
    field(5, "metadata", Kind::Message(&STRUCT)),
    field(6, "filename", Kind::Text),
];

/// What a message of A2A says, in 0.3.
pub(super) static MESSAGE_0_3: [Field; 2] = [list(5, "parts", Kind::Message(&PART_0_3)), field(6, "metadata", Kind::Message(&STRUCT))];
/// The same in 1.0.
pub(super) static MESSAGE_1_0: [Field; 2] = [list(5, "parts", Kind::Message(&PART_1_0)), field(6, "metadata", Kind::Message(&STRUCT))];

/// `metadata`, under this number.
pub(super) const fn metadata(number: u32) -> Field {
    field(number, "metadata", Kind::Message(&STRUCT))
}
