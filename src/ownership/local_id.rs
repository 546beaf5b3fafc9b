//! Ids of tasks and contexts that no agent has: the filter answers for such a task itself. An id is `attache-` and, in base64url, a
//! version, the flow that the task stands for, the second of its making, and half of a MAC (128 bits) over what it is bound to: task or
//! context, the caller, and the connection. So it needs no memory, and says nothing to anyone else.

use super::tag::{CODE_BYTES, Subject};
use crate::wire::base64url;
use crate::wire::time::UnixTime;
use std::time::Duration;

/// What such an id begins with.
pub const PREFIX: &str = "attache-";

const VERSION: u8 = 1;
const FLOW_BYTES: usize = 16;
/// With so many bytes of time an id is a whole number of base64's groups, and no letter of it has bits to spare.
const TIME_BYTES: usize = 6;
const BYTES: usize = 1 + FLOW_BYTES + TIME_BYTES + CODE_BYTES;

/// So that nothing else that the key signs is taken for an id.
const PURPOSE: &[u8] = b"attache local task 1";

/// A MAC over these parts, with the key that signs.
pub type Mac<'k> = &'k dyn Fn(&[&[u8]]) -> [u8; 32];

/// Whether these bytes are the first half of a MAC over these parts, with any of the keys. In constant time.
pub type IsMac<'k> = &'k dyn Fn(&[&[u8]], &[u8; CODE_BYTES]) -> bool;

/// Whom and what an id is for.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// What it names.
    pub subject: Subject,
    /// Stands for the caller, and for nobody else.
    pub caller: &'a [u8; 32],
    /// The name of the connection.
    pub connection: &'a str,
}

/// An id that has the form of ours. Whether it is one, [`LocalId::is_for`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalId {
    /// Version, flow and time, as they are signed.
    head: [u8; BYTES - CODE_BYTES],
    code: [u8; CODE_BYTES],
}

impl LocalId {
    /// The id for `bound` of the flow that began at `time`.
    #[must_use]
    pub fn new(bound: &Bound<'_>, flow: &[u8; FLOW_BYTES], time: UnixTime, mac: Mac<'_>) -> Self {
        let mut head = [VERSION; BYTES - CODE_BYTES];
        let seconds = time.since(UnixTime::default()).as_secs().to_be_bytes();
        let parts = flow.iter().chain(seconds.iter().skip(seconds.len().saturating_sub(TIME_BYTES)));
        head.iter_mut().skip(1).zip(parts).for_each(|(place, byte)| *place = *byte);
        let code = mac(&signed(&head, bound)).first_chunk().copied().unwrap_or_default();
        Self { head, code }
    }

    /// The text as clients see it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{PREFIX}{}", base64url::encode(&[&self.head[..], &self.code].concat()))
    }

    /// Reads `text`, if it has the form of such an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = base64url::decode(text.strip_prefix(PREFIX)?)?;
        let (head, code) = bytes.split_first_chunk()?;
        let code = code.try_into().ok()?;
        (head.first() == Some(&VERSION)).then_some(Self { head: *head, code })
    }

    /// Whether it was made for `bound`.
    #[must_use]
    pub fn is_for(&self, bound: &Bound<'_>, is_mac: IsMac<'_>) -> bool {
        is_mac(&signed(&self.head, bound), &self.code)
    }

    /// The flow that it says it is of.
    #[must_use]
    pub fn flow(&self) -> [u8; FLOW_BYTES] {
        let [_, rest @ ..] = &self.head;
        rest.first_chunk().copied().unwrap_or_default()
    }

    /// When it says it was made, to the second.
    #[must_use]
    pub fn time(&self) -> UnixTime {
        let seconds = self.head.iter().skip(1 + FLOW_BYTES).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        UnixTime::new(Duration::from_secs(seconds))
    }
}

/// What a code is over. All but the connection's name has one length.
const fn signed<'a>(head: &'a [u8], bound: &'a Bound<'_>) -> [&'a [u8]; 5] {
    let kind: &[u8] = match bound.subject {
        Subject::Task => b"t",
        Subject::Context => b"c",
    };
    [PURPOSE, head, kind, bound.caller, bound.connection.as_bytes()]
}

#[cfg(test)]
mod tests {
    use super::{Bound, CODE_BYTES, LocalId, PREFIX, Subject};
    use crate::wire::base64url;
    use crate::wire::time::UnixTime;
    use hmac::{Hmac, Mac};
    use sha2::Sha256;

    fn with(key: &'static [u8]) -> impl Fn(&[&[u8]]) -> [u8; 32] {
        move |parts| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().into()
        }
    }

    /// Checks with this key.
    fn by(key: &'static [u8]) -> impl Fn(&[&[u8]], &[u8; CODE_BYTES]) -> bool {
        move |parts, code| with(key)(parts).starts_with(code)
    }

    const ANN: Bound<'static> = Bound { subject: Subject::Task, caller: &[1; 32], connection: "hr" };
    const TIME: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn made() -> LocalId {
        LocalId::new(&ANN, &[7; 16], TIME, &with(b"key"))
    }

    #[test]
    fn an_id_comes_back_as_it_was_made() {
        let text = made().text();
        assert_eq!((text.len(), text.get(..8)), (60, Some(PREFIX)));
        let read = LocalId::parse(&text).unwrap();
        assert_eq!((read, read.flow(), read.time()), (made(), [7; 16], TIME));
        assert!(read.is_for(&ANN, &by(b"key")));
        let late = LocalId::new(&ANN, &[0; 16], UnixTime::from_secs(0x0001_0203_0405), &with(b"key"));
        assert_eq!(late.time(), UnixTime::from_secs(0x0001_0203_0405));
    }

    #[test]
    fn it_is_for_one_caller_connection_and_kind() {
        let id = made();
        let other = |byte| {
            let mut caller = [1; 32];
            caller[byte] = 2;
            caller
        };
        for at in 0..32 {
            assert!(!id.is_for(&Bound { caller: &other(at), ..ANN }, &by(b"key")), "{at}");
        }
        for connection in ["", "h", "hr ", "HR", "hr2", "r"] {
            assert!(!id.is_for(&Bound { connection, ..ANN }, &by(b"key")), "{connection}");
        }
        assert!(!id.is_for(&Bound { subject: Subject::Context, ..ANN }, &by(b"key")));
        assert!(!id.is_for(&ANN, &by(b"other key")));
        let context = LocalId::new(&Bound { subject: Subject::Context, ..ANN }, &[7; 16], TIME, &with(b"key"));
        assert!(context != id && !context.is_for(&ANN, &by(b"key")));
    }

    #[test]
    fn no_bit_of_it_can_change() {
        let text = made().text();
        let bytes = base64url::decode(text.get(8..).unwrap()).unwrap();
        assert_eq!(bytes.len(), 39);
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = LocalId::parse(&format!("{PREFIX}{}", base64url::encode(&bytes)));
            assert!(changed.is_none_or(|id| !id.is_for(&ANN, &by(b"key"))), "{bit}");
        }
    }

    #[test]
    fn no_letter_of_it_can_change() {
        let text = made().text();
        for at in 0..text.len() {
            for letter in ('\u{20}'..='\u{7e}').filter(|letter| text.get(at..=at) != Some(letter.to_string().as_str())) {
                let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                assert!(LocalId::parse(&changed).is_none_or(|id| !id.is_for(&ANN, &by(b"key"))), "{changed}");
            }
        }
    }

    #[test]
    fn what_has_another_form_is_none() {
        let text = made().text();
        let bytes = base64url::decode(text.get(8..).unwrap()).unwrap();
        let ours = |bytes: &[u8]| format!("{PREFIX}{}", base64url::encode(bytes));
        for other in [
            String::new(),
            PREFIX.to_owned(),
            text.get(8..).unwrap().to_owned(),
            text.get(..59).unwrap().to_owned(),
            format!("{text}A"),
            format!("{text}="),
            format!(" {text}"),
            text.replace(PREFIX, "Attache-"),
            ours(&bytes[..bytes.len() - 1]),
            ours(&[&bytes[..], &[0]].concat()),
            ours(&[&[2], &bytes[1..]].concat()),
            ours(&bytes[..39 - CODE_BYTES]),
        ] {
            assert_eq!(LocalId::parse(&other), None, "{other}");
        }
    }
}
