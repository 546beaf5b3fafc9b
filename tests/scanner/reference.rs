//! A plain reader of whole documents that says what the scanner has to say: byte by byte, with real texts in place of
//! fingerprints, and nothing of the scanner's own code.

use attache::wire::scan::{Fault, Keep, Kind, Limits, Step};
use std::collections::BTreeSet;

/// A question, and what was found for it.
pub type Hit = (usize, Kind, Option<String>);

/// What is asked: paths, each with how much of the value is wanted. No two are the same place.
pub type Questions = Vec<(Vec<Step>, Keep)>;

/// All that is found in `body` before its first fault, and that fault.
pub fn read(body: &[u8], questions: &Questions, limits: Limits, skips: bool) -> (Vec<Hit>, Result<(), Fault>) {
    let mut reader = Reader { rest: body, questions, limits, skips, depth: 0, names: 0, hits: Vec::new() };
    let every: Vec<(usize, usize)> = (0..questions.len()).map(|question| (question, 0)).collect();
    let result = reader.document(&every);
    (reader.hits, result)
}

struct Reader<'a> {
    rest: &'a [u8],
    questions: &'a Questions,
    limits: Limits,
    skips: bool,
    depth: usize,
    /// Names in all open objects.
    names: usize,
    hits: Vec<Hit>,
}

/// Questions whose first steps lead to where the reader is, and how many steps.
type Here = [(usize, usize)];

fn fold(letter: char) -> char {
    match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        '\u{130}' | '\u{131}' => 'i',
        letter => letter.to_ascii_lowercase(),
    }
}

impl Reader<'_> {
    fn peek(&self) -> Result<u8, Fault> {
        self.rest.first().copied().ok_or(Fault::Incomplete)
    }

    fn take(&mut self) -> Result<u8, Fault> {
        let byte = self.peek()?;
        self.rest = &self.rest[1..];
        Ok(byte)
    }

    /// The first byte that is no white space.
    fn token(&mut self) -> Result<u8, Fault> {
        while matches!(self.peek()?, b' ' | b'\n' | b'\r' | b'\t') {
            self.take()?;
        }
        self.take()
    }

    fn document(&mut self, here: &Here) -> Result<(), Fault> {
        let first = self.token()?;
        self.value(first, here)?;
        match self.token() {
            Ok(_) => Err(Fault::Trailing),
            Err(_) => Ok(()),
        }
    }

    fn value(&mut self, first: u8, here: &Here) -> Result<(), Fault> {
        let ends: Vec<usize> =
            here.iter().filter(|(question, steps)| self.questions[*question].0.len() == *steps).map(|(question, _)| *question).collect();
        let (asked, keep) = match ends.first() {
            Some(question) => (*question, Some(self.questions[*question].1)),
            None => (0, None),
        };
        let before = self.rest;
        let kind = match first {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => return Err(Fault::Malformed),
        };
        let is_open = matches!(kind, Kind::Object | Kind::Array);
        if is_open && self.depth >= self.limits.depth {
            return Err(Fault::TooDeep);
        }
        if keep.is_some() && (keep == Some(Keep::Kind) || is_open) {
            self.hits.push((asked, kind, None));
        }
        let mut text = String::new();
        match first {
            b'{' | b'[' => {
                let names = self.names;
                self.depth += 1;
                let is_asked = here.iter().any(|(question, steps)| self.questions[*question].0.len() > *steps);
                if self.skips && !is_asked {
                    self.skip(first == b'{')?;
                } else if first == b'{' {
                    self.object(here)?;
                } else {
                    self.array(here)?;
                }
                self.depth -= 1;
                self.names = names;
            }
            b'"' => text = self.string(false)?,
            b't' => self.literal(b"rue")?,
            b'f' => self.literal(b"alse")?,
            b'n' => self.literal(b"ull")?,
            first => self.number(first)?,
        }
        if matches!(keep, Some(Keep::Text | Keep::Raw)) && !is_open {
            let raw = &before[..before.len() - self.rest.len()];
            if kind != Kind::String || keep == Some(Keep::Raw) {
                text = format!("{}{}", char::from(first), std::str::from_utf8(raw).unwrap());
            }
            self.hits.push((asked, kind, Some(text).filter(|text| text.len() <= self.limits.text)));
        }
        Ok(())
    }

    fn array(&mut self, here: &Here) -> Result<(), Fault> {
        let each: Vec<(usize, usize)> = here
            .iter()
            .filter(|(question, steps)| self.questions[*question].0.get(*steps) == Some(&Step::Element))
            .map(|(question, steps)| (*question, steps + 1))
            .collect();
        let mut next = self.token()?;
        if next == b']' {
            return Ok(());
        }
        loop {
            self.value(next, &each)?;
            match self.token()? {
                b',' => next = self.token()?,
                b']' => return Ok(()),
                _ => return Err(Fault::Malformed),
            }
        }
    }

    fn object(&mut self, here: &Here) -> Result<(), Fault> {
        let mut names = BTreeSet::new();
        let mut next = self.token()?;
        if next == b'}' {
            return Ok(());
        }
        loop {
            if next != b'"' {
                return Err(Fault::Malformed);
            }
            let name = self.string(true)?;
            let mut inner = Vec::new();
            let (mut is_variant, mut one) = (false, name.clone());
            for (question, steps) in here {
                let (spellings, is_key) = match self.questions[*question].0.get(*steps) {
                    Some(Step::Member(names)) => (names.as_slice(), false),
                    Some(Step::Key(name)) => (std::slice::from_ref(name), true),
                    _ => continue,
                };
                if spellings.iter().any(|spelling| **spelling == name) {
                    inner.push((*question, steps + 1));
                    one = spellings[0].to_string();
                }
                is_variant |= !is_key && spellings.iter().any(|spelling| name.chars().map(fold).eq(spelling.chars().map(fold)));
            }
            if inner.is_empty() && is_variant {
                return Err(Fault::CaseVariant);
            }
            if !names.insert(one) {
                return Err(Fault::RepeatedName);
            }
            if self.names >= self.limits.names {
                return Err(Fault::TooManyMembers);
            }
            self.names += 1;
            if self.token()? != b':' {
                return Err(Fault::Malformed);
            }
            let first = self.token()?;
            self.value(first, &inner)?;
            match self.token()? {
                b',' => next = self.token()?,
                b'}' => return Ok(()),
                _ => return Err(Fault::Malformed),
            }
        }
    }

    /// Behind the bracket of what is not asked for.
    fn skip(&mut self, is_object: bool) -> Result<(), Fault> {
        let mut open = vec![is_object];
        while let Some(innermost) = open.last() {
            match self.token()? {
                b'"' => drop(self.string(false)?),
                byte @ (b'{' | b'[') => {
                    if self.depth - 1 + open.len() >= self.limits.depth {
                        return Err(Fault::TooDeep);
                    }
                    open.push(byte == b'{');
                }
                byte @ (b'}' | b']') if (byte == b'}') == *innermost => drop(open.pop()),
                byte if b":,+-.0123456789eEtrufalsn".contains(&byte) => {}
                _ => return Err(Fault::Malformed),
            }
        }
        Ok(())
    }

    fn literal(&mut self, letters: &[u8]) -> Result<(), Fault> {
        for letter in letters {
            if self.take()? != *letter {
                return Err(Fault::Malformed);
            }
        }
        Ok(())
    }

    /// Only the end of the document may cut a number off, and only where it may end.
    fn number(&mut self, first: u8) -> Result<(), Fault> {
        let first = if first == b'-' { self.digit()? } else { first };
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Ok(b'.') {
            self.take()?;
            self.digit()?;
            self.digits();
        }
        if matches!(self.peek(), Ok(b'e' | b'E')) {
            self.take()?;
            if matches!(self.peek(), Ok(b'+' | b'-')) {
                self.take()?;
            }
            self.digit()?;
            self.digits();
        }
        // Inside of something it may go on in what is missing.
        if self.depth > 0 { self.peek().map(drop) } else { Ok(()) }
    }

    fn digit(&mut self) -> Result<u8, Fault> {
        if self.peek()?.is_ascii_digit() { self.take() } else { Err(Fault::Malformed) }
    }

    fn digits(&mut self) {
        while self.digit().is_ok() {}
    }

    fn string(&mut self, is_name: bool) -> Result<String, Fault> {
        let mut text = String::new();
        loop {
            match self.take()? {
                b'"' => return Ok(text),
                b'\\' => {
                    let letter = self.escape()?;
                    if is_name && letter == '\0' {
                        return Err(Fault::ControlCharacter);
                    }
                    text.push(letter);
                }
                ..0x20 => return Err(Fault::ControlCharacter),
                byte @ ..0x80 => text.push(char::from(byte)),
                first => text.push(self.character(first)?),
            }
        }
    }

    /// A character of several bytes: wrong with the first byte that begins none.
    fn character(&mut self, first: u8) -> Result<char, Fault> {
        let mut bytes = vec![first];
        loop {
            match std::str::from_utf8(&bytes) {
                Ok(character) => return Ok(character.chars().next().unwrap()),
                Err(error) if error.error_len().is_some() => return Err(Fault::NotUtf8),
                Err(_) => bytes.push(self.take()?),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        Ok(match self.take()? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return char::from_u32(unit).ok_or(Fault::LoneSurrogate);
                }
                for due in [b'\\', b'u'] {
                    if self.take()? != due {
                        return Err(Fault::LoneSurrogate);
                    }
                }
                let low = self.unit()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(Fault::LoneSurrogate);
                }
                char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).unwrap()
            }
            _ => return Err(Fault::Malformed),
        })
    }

    fn unit(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + char::from(self.take()?).to_digit(16).ok_or(Fault::Malformed)?;
        }
        Ok(unit)
    }
}
