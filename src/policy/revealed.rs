//! Credentials in messages that are sent (A2A 1.0 section 7.6.3 wants them out of band): what can be seen to be one, by its name or by its
//! form. What only might be one passes.

use super::texts::{self, Field, Kind as FieldKind, MESSAGE_0_3, MESSAGE_1_0, Step as Path, Telling, field, metadata};
use crate::protocol::{Binding, Version};
use crate::wire::scan::{Asked, Fault, Kind, Limits, Plan, Scanner, Step};
use crate::wire::spotted::Bytes;
use crate::wire::{grpc_frame, protobuf};
use std::rc::Rc;

/// Names of members whose values are credentials, in lower case and without what stands between their words.
const NAMES: [&str; 17] = [
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "bearertoken",
    "sessiontoken",
    "clientsecret",
    "clientassertion",
    "password",
    "passwd",
    "passphrase",
    "authorization",
    "apikey",
    "xapikey",
    "privatekey",
    "secretkey",
    "secretaccesskey",
];
/// Names of such whose values may have blanks.
const OF_WORDS: [&str; 4] = ["password", "passwd", "passphrase", "privatekey"];
/// What forms say of such members in place of a value.
const NO_VALUES: [&str; 3] = ["string", "required", "optional"];
/// A shorter value is none that counts.
const SHORTEST: usize = 6;
/// The shortest token behind `Bearer`.
const SHORTEST_TOKEN: usize = 20;
/// The shortest part of a JWT.
const SHORTEST_PART: usize = 10;

/// Why a request cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Its JSON.
    Json(Fault),
    /// Its protocol buffers.
    Message(protobuf::Fault),
}

/// Where messages stand in requests. Made once.
#[derive(Debug)]
pub struct Plans {
    jsonrpc: Places,
    http_json: Places,
}

#[derive(Debug)]
struct Places {
    plan: Rc<Plan>,
    /// The request's own metadata; all else is the message.
    metadata: Asked,
}

impl Default for Plans {
    fn default() -> Self {
        Self { jsonrpc: Places::new(&[Step::member(&["params"])]), http_json: Places::new(&[]) }
    }
}

impl Places {
    fn new(root: &[Step]) -> Self {
        let mut plan = Plan::default();
        // The protobuf of 0.3 has the second name.
        plan.ask_end(&[root, &[Step::member(&["message", "request"])]].concat());
        let metadata = plan.ask_end(&[root, &[Step::member(&["metadata"])]].concat());
        Self { plan: Rc::new(plan), metadata }
    }
}

impl Plans {
    /// Where the first credential stands in the whole `body` of a request that sends a message.
    ///
    /// # Errors
    /// If it cannot be read in one way.
    pub fn find(&self, (binding, version): (Binding, Version), body: &[u8]) -> Result<Option<String>, Unread> {
        let mut found = None;
        let mut look = |root: &str, path: &[Path<'_>], text: &str| {
            if found.is_none() && is_credential(texts::name(path), text) {
                found = Some(texts::place(root, path));
            }
            None
        };
        let places = match binding {
            Binding::Jsonrpc => &self.jsonrpc,
            Binding::HttpJson => &self.http_json,
            Binding::Grpc => {
                let fields: &'static [Field] = if version == Version::V0_3 { &SENT_0_3 } else { &SENT_1_0 };
                let message = grpc_frame::unwrap(body).map_err(Unread::Message)?;
                let mut visit = |path: &[Path<'_>], text: &str| match path.split_first() {
                    Some((Path::Name(root), rest)) => look(root, rest, text),
                    _ => None,
                };
                texts::message(message, fields, &mut Telling { visit: &mut visit, number: &mut |_| {} }).map_err(Unread::Message)?;
                return Ok(found);
            }
        };
        if !may_have(body) {
            return Ok(None);
        }
        let mut scanner = Scanner::new(Limits::default(), Rc::clone(&places.plan));
        let (mut rest, mut open) = (body, 0_usize);
        while let Some(seen) = scanner.next(&mut rest).map_err(Unread::Json)? {
            let at = body.len().saturating_sub(rest.len());
            match (seen.kind, seen.end) {
                (Kind::Object | Kind::Array, None) => open = at.saturating_sub(1),
                (Kind::Object | Kind::Array, Some(_)) => {
                    let root = if seen.asked == places.metadata { "metadata" } else { "message" };
                    // Nothing is replaced.
                    let _ = texts::json(body.get(open..at).unwrap_or_default(), &mut |path, text| look(root, path, text));
                }
                _ => {}
            }
        }
        scanner.end().map_err(Unread::Json)?;
        Ok(found)
    }
}

static SENT_0_3: [Field; 2] = [field(1, "message", FieldKind::Message(&MESSAGE_0_3)), metadata(3)];
static SENT_1_0: [Field; 2] = [field(2, "message", FieldKind::Message(&MESSAGE_1_0)), metadata(4)];

/// Bytes that stand in each sign of a credential, and seldom elsewhere.
static SIGNS: Bytes = Bytes::new(b"\\dJbB-\0");

/// Whether there may be one in the JSON of `body`: most messages are a text without any of these, and are not looked into. Only `\u00`
/// writes a letter of ASCII in another way.
fn may_have(body: &[u8]) -> bool {
    let has = |place: usize, sign: &[u8]| body.get(place..).is_some_and(|rest| rest.starts_with(sign));
    let mut from = 0;
    while let Some(place) = SIGNS.find(body, from) {
        let is_sign = match body.get(place) {
            Some(b'\\') => has(place, b"\\u00") && body.get(place.saturating_add(4)).is_none_or(|digit| (b'0'..=b'7').contains(digit)),
            // Also `metadata`.
            Some(b'd') => has(place, b"data"),
            Some(b'J') => has(place.saturating_sub(2), b"eyJ"),
            Some(b'-') => has(place, b"-----BEGIN "),
            // Letters of two bytes or four: no JSON (RFC 8259 section 8.1), and refused as such.
            Some(0) => true,
            _ => body.get(place..place.saturating_add(7)).is_some_and(|word| word.eq_ignore_ascii_case(b"bearer ")),
        };
        if is_sign {
            return true;
        }
        from = place.saturating_add(1);
    }
    false
}

/// Whether `text`, the value of a member called `name`, can be seen to be a credential.
fn is_credential(name: Option<&str>, text: &str) -> bool {
    name.is_some_and(|name| is_named(name, text)) || is_formed(text)
}

/// Whether it is one by its name.
fn is_named(name: &str, text: &str) -> bool {
    // The longest of these, with what may stand between its words.
    if name.len() > 32 {
        return false;
    }
    let folded: String = name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    let text = text.trim();
    let is_value = text.len() >= SHORTEST && text.chars().any(char::is_alphanumeric) && !NO_VALUES.contains(&text);
    let is_one_word = || !text.contains(char::is_whitespace);
    is_value
        && match folded.as_str() {
            // "approved by Ann" is none.
            "authorization" => match text.split_once(' ') {
                Some((scheme, rest)) => {
                    ["bearer", "basic", "dpop"].contains(&scheme.to_ascii_lowercase().as_str()) && rest.len() >= SHORTEST
                }
                None => text.len() >= SHORTEST_TOKEN,
            },
            own => NAMES.contains(&own) && (OF_WORDS.contains(&own) || is_one_word()),
        }
}

/// Whether there is one in it by its form: a bearer token, a JWT, a private key.
fn is_formed(text: &str) -> bool {
    text.len() >= SHORTEST_TOKEN && (has_bearer(text) || has_jwt(text) || has_private_key(text))
}

/// `Bearer` and a token (RFC 6750 section 2.1). What has no digit is a word.
fn has_bearer(text: &str) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let bytes = text.as_bytes();
    bytes.windows(7).enumerate().filter(|(_, word)| word.eq_ignore_ascii_case(b"bearer ")).any(|(place, _)| {
        let rest = bytes.get(place.saturating_add(7)..).unwrap_or_default().trim_ascii_start();
        let token = rest.get(..rest.iter().position(|byte| !is_token(byte)).unwrap_or(rest.len())).unwrap_or_default();
        token.len() >= SHORTEST_TOKEN && token.iter().any(u8::is_ascii_digit)
    })
}

/// Three parts of base64url, of which the first is an object (RFC 7515 section 7.1).
fn has_jwt(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    text.match_indices("eyJ").any(|(place, _)| {
        let is_inside = text.get(..place).and_then(|before| before.chars().next_back()).is_some_and(is_letter);
        // No further than three parts: callers choose how often one may begin.
        let mut rest = Some(text.get(place..).unwrap_or_default()).filter(|_| !is_inside);
        (0..3).all(|_| {
            let Some(own) = rest else { return false };
            let end = own.find(|letter| !is_letter(letter)).unwrap_or(own.len());
            rest = own.get(end..).and_then(|behind| behind.strip_prefix('.'));
            end >= SHORTEST_PART
        })
    })
}

/// A private key in PEM (RFC 7468).
fn has_private_key(text: &str) -> bool {
    text.match_indices("-----BEGIN ").any(|(place, begin)| {
        let rest = text.get(place.saturating_add(begin.len())..).unwrap_or_default();
        rest.split_once("-----").is_some_and(|(label, _)| label.len() <= 40 && label.ends_with("PRIVATE KEY"))
    })
}

#[cfg(test)]
mod tests {
    use super::{Plans, Unread, is_credential};
    use crate::protocol::{Binding, Version};
    use crate::wire::grpc_frame::wrap;
    use crate::wire::protobuf::{self, Writer};
    use crate::wire::scan::Fault;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

    #[test]
    fn credentials_are_seen_by_name_or_by_form() {
        for (name, text) in [
            ("access_token", "s3cret"),
            ("AccessToken", "gho_16C7e42F292c6912E7710c838347Ae178B4a"),
            ("api-key", "abcdef"),
            ("X-API-Key", "abcdef"),
            ("password", "correct horse battery staple"),
            ("client_secret", "abcdef"),
            ("Authorization", "Basic QWxhZGRpbg=="),
            ("authorization", "0123456789abcdef0123"),
            ("text", "use Bearer 0123456789abcdefghij, please"),
            ("text", "BEARER   mF_9.B5f-4.1JqM.mF_9.B5f-4.1JqM"),
            ("text", &format!("my token:{JWT}.")),
            ("x", "-----BEGIN PRIVATE KEY-----\nMIIE"),
            ("x", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"),
        ] {
            assert!(is_credential(Some(name), text), "{name}: {text}");
        }
        for (name, text) in [
            ("password", "******"),
            ("password", "string"),
            ("password", ""),
            ("password", "none"),
            ("password_policy", "twelve letters"),
            ("authorization", "approved by Ann"),
            ("authorization", "approved"),
            ("access_token", "see the vault"),
            ("token", "0123456789abcdef0123456789abcdef"),
            ("text", "What is a Bearer token?"),
            ("text", "the bearer responsibilities/accountabilities of it"),
            ("text", "bearer 0123456789"),
            ("text", "eyJhbGciOiJIUzI1NiJ9 is a header, eyJhbGciOiJIUzI1NiJ9.e30. has no signature"),
            ("text", "xeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"),
            ("text", "-----BEGIN CERTIFICATE-----\nMIIE -----BEGIN PUBLIC KEY-----"),
            ("text", "How do I change my password? It is about api_key and access_token."),
        ] {
            assert!(!is_credential(Some(name), text), "{name}: {text}");
        }
    }

    #[test]
    fn what_could_begin_anywhere_is_looked_through_once() {
        // With a look at all that follows for each beginning these would take hours.
        for part in ["eyJ", "eyJ.", "eyJ-.", "eyJaaaaaaaa.a ", "bearer ", "-----BEGIN "] {
            assert!(!is_credential(None, &part.repeat((1 << 20) / part.len())), "{part}");
        }
        // So many parts of a message that have nothing in them.
        let parts: Vec<u8> = [0x2a, 0].repeat(1 << 19);
        let mut writer = Writer::default();
        writer.bytes(2, &parts);
        let body = wrap(&writer.end()).unwrap();
        assert_eq!(Plans::default().find((Binding::Grpc, Version::V1_0), &body), Ok(None));
    }

    #[test]
    fn what_has_no_sign_of_one_is_not_looked_into() {
        for body in [
            r#"{"text":"hello"}"#,
            r#"{"text":"a token of the bearer, for key 'e'"}"#,
            r#"{"text":"day --BEGIN"}"#,
            r#"{"text":"h\u00e9llo \u20ac"}"#,
            "",
        ] {
            assert!(!super::may_have(body.as_bytes()), "{body}");
        }
        for body in [r#"{"text":"\u0042earer"}"#, r#"{"data":1}"#, r#"{"metadata":1}"#, "eyJ", "bEARER x", "-----BEGIN PRIVATE", "{\0\"\0"]
        {
            assert!(super::may_have(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn the_place_is_named_and_nothing_else() {
        let find = |binding, body: &str| Plans::default().find((binding, Version::V1_0), body.as_bytes()).unwrap();
        for (params, expected) in [
            (
                r#"{"message":{"parts":[{"text":"hi"},{"data":{"a":{"access_token":"s3cret"}}}]}}"#,
                Some("message.parts[1].data.a.access_token"),
            ),
            (r#"{"message":{"parts":[{"data":{"keys":[{"api\u005fkey":"s3cret"}]}}]}}"#, Some("message.parts[0].data.keys[0].api_key")),
            (r#"{"request":{"content":[{"data":{"data":{"password":["s3cret"]}}}]}}"#, Some("message.content[0].data.data.password[0]")),
            (r#"{"message":{"metadata":{"a b":{"password":"s3cret"}}}}"#, Some("message.metadata.*.password")),
            (r#"{"metadata":{"id_token":"s3cret"},"message":{}}"#, Some("metadata.id_token")),
            // It is made for one.
            (r#"{"configuration":{"taskPushNotificationConfig":{"authentication":{"password":"s3cret"}}},"message":{"parts":[]}}"#, None),
            (r#"{"message":{"parts":[{"data":{"password":{"type":"string"}}}]}}"#, None),
        ] {
            assert_eq!(find(Binding::HttpJson, params).as_deref(), expected, "{params}");
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{params}}}"#);
            assert_eq!(find(Binding::Jsonrpc, &body).as_deref(), expected, "{body}");
        }
        let twice = Plans::default().find((Binding::HttpJson, Version::V1_0), br#"{"message":{"metadata":{}},"message":{}}"#);
        assert_eq!(twice, Err(Unread::Json(Fault::RepeatedName)));
    }

    #[test]
    fn messages_of_grpc_are_looked_at_in_each_version() {
        let inside = |number: u32, bytes: &[u8]| {
            let mut writer = Writer::default();
            writer.bytes(number, bytes);
            writer.end()
        };
        let entry = [inside(1, b"access_token"), inside(2, &inside(3, b"s3cret"))].concat();
        let fields = inside(1, &entry);
        for (version, data, expected) in [
            (Version::V1_0, inside(2, &inside(5, &inside(4, &inside(5, &fields)))), "message.parts[0].data.access_token"),
            (Version::V0_3, inside(1, &inside(5, &inside(3, &inside(1, &fields)))), "message.parts[0].data.data.access_token"),
            (Version::V1_0, inside(4, &fields), "metadata.access_token"),
            (Version::V0_3, inside(3, &fields), "metadata.access_token"),
        ] {
            let find = |body: &[u8]| Plans::default().find((Binding::Grpc, version), body);
            assert_eq!(find(&wrap(&data).unwrap()), Ok(Some(expected.to_owned())));
            assert_eq!(find(&wrap(&inside(9, &data)).unwrap()), Ok(None));
            assert_eq!(find(b"\x01\0\0\0\0"), Err(Unread::Message(protobuf::Fault::Compressed)));
        }
    }
}
