//! Reads the JSON of a configuration into its types and keeps the place of what it reads, so that every error can name it
//! (`agents[1].match.path_prefix`). Words and positions of errors are those of `serde_json`, which judges the syntax.

mod fault;
#[cfg(test)]
mod tests;
mod variant;

use super::ConfigError;
use fault::{Fault, Found, Step};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, Expected, Unexpected, Visitor};
use serde_json::value::RawValue;
use variant::{Choice, Name};

/// Objects and lists within each other. `serde_json` has the same limit.
const MAX_DEPTH: usize = 128;

/// Reads `json`.
///
/// # Errors
/// The first thing that is wrong with its syntax, else the first that is wrong with its content, with its place.
pub fn read<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T, ConfigError> {
    if let Err(error) = serde_json::from_slice::<&RawValue>(json) {
        // The position may be that of the byte that ends what is wrong.
        let at = offset(json, error.line(), error.column()).saturating_sub(1);
        return Err(ConfigError::from_json(&place(json.get(..at).unwrap_or(json)), error.to_string()));
    }
    let mut reader = Reader { json, at: 0, depth: 0 };
    T::deserialize(&mut reader).map_err(|fault| {
        let Found { message, at, path } = *fault.0;
        let mut place = String::new();
        path.iter().rev().for_each(|step| step.append_to(&mut place));
        let (line, column) = position(json, at.unwrap_or(reader.at));
        ConfigError::from_json(&place, format!("{message} at line {line} column {column}"))
    })
}

/// Lines count from 1; the column is the number of bytes before `at` in its line.
fn position(json: &[u8], at: usize) -> (usize, usize) {
    let before = json.get(..at).unwrap_or(json);
    let mut line = before.split(|byte| *byte == b'\n');
    (line.clone().count(), line.next_back().map_or(0, <[u8]>::len))
}

fn offset(json: &[u8], line: usize, column: usize) -> usize {
    let before = json.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>().saturating_add(column)
}

/// The place that `before` leads to, as far as a text can say that is no JSON.
fn place(before: &[u8]) -> String {
    let mut path: Vec<Option<Step>> = Vec::new();
    let mut reader = Reader { json: before, at: 0, depth: 0 };
    let mut last = String::new();
    while let Some(byte) = reader.peek() {
        match byte {
            b'"' => last = reader.string().unwrap_or_default(),
            b'{' => path.push(None),
            b'[' => path.push(Some(Step::Element(0))),
            b'}' | b']' => drop(path.pop()),
            b':' => {
                if let Some(step) = path.last_mut() {
                    *step = Some(Step::Member(std::mem::take(&mut last)));
                }
            }
            b',' => match path.last_mut() {
                Some(Some(Step::Element(index))) => *index = index.saturating_add(1),
                Some(step) => *step = None,
                None => {}
            },
            _ => {}
        }
        if byte != b'"' {
            reader.pass(1);
        }
    }
    let mut place = String::new();
    path.iter().flatten().for_each(|step| step.append_to(&mut place));
    place
}

/// Stands in JSON whose syntax is good.
struct Reader<'j> {
    json: &'j [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    const fn pass(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn byte(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    /// The byte behind the white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.pass(1);
        }
        self.byte()
    }

    /// Parses what ends here and began at `start`.
    fn parse<T: for<'de> Deserialize<'de>>(&self, start: usize) -> Result<T, Fault> {
        serde_json::from_slice(self.json.get(start..self.at).unwrap_or_default()).map_err(|error| {
            let message = error.to_string();
            let plain = message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(&message);
            Fault::new(plain.to_owned(), Some(start.saturating_add(error.column())))
        })
    }

    fn string(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.pass(1);
        while let Some(byte) = self.byte() {
            self.pass(if byte == b'\\' { 2 } else { 1 });
            if byte == b'"' {
                break;
            }
        }
        self.parse(start)
    }

    fn number(&mut self) -> Result<serde_json::Number, Fault> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.pass(1);
        }
        self.parse(start)
    }

    fn here<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| fault.at(self.at))
    }

    fn no_value(at: usize) -> Fault {
        Fault::new("expected value".to_owned(), Some(at))
    }

    /// The name that chooses a variant.
    #[inline(never)]
    fn variant(&mut self) -> Result<String, Fault> {
        if self.peek() == Some(b'"') { self.string() } else { Err(Self::no_value(self.at.saturating_add(1))) }
    }

    /// Steps over the name of a member to its value.
    #[inline(never)]
    fn colon(&mut self) {
        self.peek();
        self.pass(1);
    }

    /// Something else than `expected` stands here.
    #[inline(never)]
    fn mismatch(&mut self, expected: &dyn Expected) -> Fault {
        let fault = match self.peek() {
            Some(b'{') => Ok(de::Error::invalid_type(Unexpected::Map, expected)),
            Some(b'[') => Ok(de::Error::invalid_type(Unexpected::Seq, expected)),
            Some(b'"') => self.string().map(|text| de::Error::invalid_type(Unexpected::Str(&text), expected)),
            Some(b't' | b'f' | b'n') => Ok(de::Error::invalid_type(self.word().map_or(Unexpected::Unit, Unexpected::Bool), expected)),
            _ => self.number().map(|number| {
                let whole = number.as_u64().map(Unexpected::Unsigned).or_else(|| number.as_i64().map(Unexpected::Signed));
                let unexpected = whole.unwrap_or_else(|| Unexpected::Float(number.as_f64().unwrap_or_default()));
                de::Error::invalid_type(unexpected, expected)
            }),
        };
        let Err(fault) = self.here::<()>(fault.and_then(Err)) else { return Fault::new(String::new(), None) };
        fault
    }

    #[inline(never)]
    fn enter(&mut self) -> Result<(), Fault> {
        self.pass(1);
        self.depth = self.depth.saturating_add(1);
        if self.depth < MAX_DEPTH { Ok(()) } else { Err(Fault::new("recursion limit exceeded".to_owned(), Some(self.at))) }
    }

    /// Enters what begins with `start`, an object or a list.
    #[inline(never)]
    fn begin(&mut self, start: u8, expected: &dyn Expected) -> Result<(), Fault> {
        if self.peek() == Some(start) { self.enter() } else { Err(self.mismatch(expected)) }
    }

    /// Leaves an object or a list behind its last part. When `result` is an error, that stands wherever it occurred.
    fn leave<T>(&mut self, end: u8, result: Result<T, Fault>) -> Result<T, Fault> {
        match result {
            Ok(value) => self.end(end).map(|()| value),
            Err(fault) => Err(self.end_after(end, fault)),
        }
    }

    /// Steps over the end of an object or a list. The result is what stood there.
    fn close(&mut self, end: u8) -> Option<u8> {
        self.depth = self.depth.saturating_sub(1);
        let found = self.peek();
        if found == Some(end) {
            self.pass(1);
        } else if found == Some(b',') && end == b']' {
            self.pass(1);
            self.peek();
        }
        found
    }

    #[inline(never)]
    fn end(&mut self, end: u8) -> Result<(), Fault> {
        let found = self.close(end);
        if found == Some(end) {
            return Ok(());
        }
        // A type that takes fewer parts than there are.
        let message = if found == Some(b',') && end == b'}' { "trailing comma" } else { "trailing characters" };
        Err(Fault::new(message.to_owned(), Some(self.at.saturating_add(1))))
    }

    #[inline(never)]
    fn end_of_variant(&mut self) -> Result<(), Fault> {
        let found = self.close(b'}');
        if found == Some(b'}') { Ok(()) } else { Err(Self::no_value(self.at)) }
    }

    #[inline(never)]
    fn end_after(&mut self, end: u8, fault: Fault) -> Fault {
        self.close(end);
        fault.at(self.at)
    }

    fn object<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        self.begin(b'{', &visitor)?;
        let result = visitor.visit_map(Members { reader: self, name: String::new() });
        self.leave(b'}', result)
    }

    fn list<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        self.begin(b'[', &visitor)?;
        let result = visitor.visit_seq(Elements { reader: self, next: 0 });
        self.leave(b']', result)
    }

    fn text<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.quoted(&visitor)?;
        let result = visitor.visit_str(&text);
        self.here(result)
    }

    #[inline(never)]
    fn quoted(&mut self, expected: &dyn Expected) -> Result<String, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.mismatch(expected));
        }
        let text = self.string();
        self.here(text)
    }

    #[inline(never)]
    fn yes_or_no(&mut self, expected: &dyn Expected) -> Result<bool, Fault> {
        if matches!(self.peek(), Some(b't' | b'f')) { Ok(self.word() == Some(true)) } else { Err(self.mismatch(expected)) }
    }

    #[inline(never)]
    fn amount(&mut self, expected: &dyn Expected) -> Result<serde_json::Number, Fault> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.mismatch(expected));
        }
        let number = self.number();
        self.here(number)
    }

    /// Steps over `null`, if that is what stands here.
    #[inline(never)]
    fn null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n');
        if is_null {
            self.word();
        }
        is_null
    }

    /// Enters what chooses a variant: an object, or a string that has nothing to it, which is `false`.
    #[inline(never)]
    fn choice(&mut self) -> Result<bool, Fault> {
        match self.peek() {
            Some(b'{') => self.enter().map(|()| true),
            Some(b'"') => Ok(false),
            _ => Err(Self::no_value(self.at.saturating_add(1))),
        }
    }

    /// `true`, `false` or `null`, which is `None`.
    fn word(&mut self) -> Option<bool> {
        let first = self.peek();
        self.pass(if first == Some(b'f') { 5 } else { 4 });
        (first != Some(b'n')).then_some(first == Some(b't'))
    }

    fn boolean<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        let is = self.yes_or_no(&visitor)?;
        let result = visitor.visit_bool(is);
        self.here(result)
    }

    fn count<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        let number = self.amount(&visitor)?;
        let result = match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => visitor.visit_u64(number),
            (None, Some(number)) => visitor.visit_i64(number),
            (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
        };
        self.here(result)
    }

    /// Steps over the value that stands here.
    fn skip(&mut self) -> Result<(), Fault> {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => drop(self.string()?),
                Some(b'{' | b'[') => {
                    open = open.saturating_add(1);
                    self.pass(1);
                }
                Some(b'}' | b']') => {
                    open = open.saturating_sub(1);
                    self.pass(1);
                }
                Some(b',' | b':') => self.pass(1),
                _ => {
                    while self.byte().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')) {
                        self.pass(1);
                    }
                }
            }
            if open == 0 || self.byte().is_none() {
                return Ok(());
            }
        }
    }
}

/// `deserialize_…` that take what the function of the reader takes. Each instantiates no more of a visitor than it needs: a
/// tenth of the module came from what no type here has a use for.
macro_rules! only {
    ($($method:ident)* : $function:ident) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.$function(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'_> {
    type Error = Fault;

    only! { deserialize_bool: boolean }
    only! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64: count }
    only! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64: count }
    only! { deserialize_f32 deserialize_f64: count }
    only! { deserialize_char deserialize_str deserialize_string deserialize_identifier: text }
    only! { deserialize_bytes deserialize_byte_buf deserialize_seq: list }
    only! { deserialize_map: object }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.peek() {
            Some(b'{') => self.object(visitor),
            Some(b'[') => self.list(visitor),
            Some(b'"') => self.text(visitor),
            Some(b't' | b'f') => self.boolean(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            _ => self.count(visitor),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if !self.null() {
            return Err(self.mismatch(&visitor));
        }
        let result = visitor.visit_unit();
        self.here(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        // (`serde_json` takes lists, too: members in the order of the source.)
        self.object(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let content = self.choice()?;
        let value = visitor.visit_enum(Choice { reader: self, content })?;
        if content {
            self.end_of_variant()?;
        }
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.skip()?;
        visitor.visit_unit()
    }
}

/// The members of an object.
struct Members<'r, 'j> {
    reader: &'r mut Reader<'j>,
    name: String,
}

impl Members<'_, '_> {
    /// The next name.
    #[inline(never)]
    fn next(&mut self) -> Result<bool, Fault> {
        match self.reader.peek() {
            Some(b'}') => return Ok(false),
            Some(b',') => self.reader.pass(1),
            _ => {}
        }
        self.reader.peek();
        self.name = self.reader.string().map_err(|fault| fault.within(Step::Member("?".to_owned())))?;
        Ok(true)
    }

    #[inline(never)]
    fn within(&mut self, fault: Fault) -> Fault {
        fault.within(Step::Member(std::mem::take(&mut self.name)))
    }
}

impl<'de> de::MapAccess<'de> for Members<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        if !self.next()? {
            return Ok(None);
        }
        let key = seed.deserialize(Name { text: &self.name, at: self.reader.at });
        key.map(Some).map_err(|fault| self.within(fault))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        self.reader.colon();
        seed.deserialize(&mut *self.reader).map_err(|fault| self.within(fault))
    }
}

/// The elements of a list.
struct Elements<'r, 'j> {
    reader: &'r mut Reader<'j>,
    next: usize,
}

impl Elements<'_, '_> {
    /// The index of the next element.
    #[inline(never)]
    fn next(&mut self) -> Option<usize> {
        match self.reader.peek() {
            Some(b']') => return None,
            Some(b',') => self.reader.pass(1),
            _ => {}
        }
        let index = self.next;
        self.next = index.saturating_add(1);
        Some(index)
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(index) = self.next() else { return Ok(None) };
        seed.deserialize(&mut *self.reader).map(Some).map_err(|fault| fault.within(Step::Element(index)))
    }
}
