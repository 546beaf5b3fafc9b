//! A card as it came: 1.0, 0.3, 0.2, or the merged card of the Python SDK for 1.0, which holds both shapes. What decides
//! about security or leaks is read strictly; everything else is kept as it is, known or not. Never follows a URL.

use crate::protocol::{Binding, Version};
use crate::wire::json::UniqueValue;
use crate::wire::protobuf::Fault;
use serde_json::{Map, Value};
use std::borrow::Cow;
use thiserror::Error;

/// Longest card that is read, in bytes.
pub const MAX_BYTES: usize = 1_048_576;

/// Why a card could not be read. Places are paths such as `skills[2].id`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CardError {
    /// More than [`MAX_BYTES`].
    #[error("the card is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not one JSON value, or an object in it repeats a name, so that two readers could see two cards.
    #[error("the card is not JSON, or repeats a member")]
    NotJson,
    /// No message of the package that it should be of, or one with two readings.
    #[error("the card is no protobuf message that can be read: {0}")]
    NotProtobuf(Fault),
    /// JSON, but not what has to stand there.
    #[error("{at}: {wanted}")]
    Wrong {
        /// Where.
        at: String,
        /// What has to stand there.
        wanted: &'static str,
    },
    /// One thing is said twice, in two spellings or shapes, and differently.
    #[error("{at} is said twice, differently")]
    Contradiction {
        /// Where.
        at: String,
    },
}

impl CardError {
    pub(super) fn wrong(at: &str, wanted: &'static str) -> Self {
        Self::Wrong { at: at.to_owned(), wanted }
    }
}

/// One agent card. Its known members are in camelCase and not null.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    members: Map<String, Value>,
}

/// An interface that a card states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated<'a> {
    /// As it stands there: a URL, for gRPC often only `host:port`.
    pub url: &'a str,
    /// `JSONRPC`, `HTTP+JSON`, `GRPC`, or the URI of another binding.
    pub binding: &'a str,
    /// `None` for versions that we do not know.
    pub version: Option<Version>,
    /// What clients of a 1.0 interface have to send as `tenant`.
    pub tenant: Option<&'a str>,
}

impl Stated<'_> {
    /// Whether it is one of this version and binding.
    #[must_use]
    pub fn is_of(&self, version: Version, binding: Binding) -> bool {
        self.version == Some(version) && self.binding.eq_ignore_ascii_case(transport(binding))
    }
}

/// What cards call a binding.
#[must_use]
pub const fn transport(binding: Binding) -> &'static str {
    match binding {
        Binding::Jsonrpc => "JSONRPC",
        Binding::HttpJson => "HTTP+JSON",
        Binding::Grpc => "GRPC",
    }
}

/// Members of a card that have a spelling in snake_case besides (ProtoJSON).
const MEMBERS: [&str; 10] = [
    "supportedInterfaces",
    "additionalInterfaces",
    "preferredTransport",
    "protocolVersion",
    "documentationUrl",
    "iconUrl",
    "securitySchemes",
    "securityRequirements",
    "defaultInputModes",
    "defaultOutputModes",
];
const OTHERS: [&str; 10] = [
    "url",
    "name",
    "description",
    "version",
    "provider",
    "capabilities",
    "security",
    "skills",
    "signatures",
    "supportsAuthenticatedExtendedCard",
];
const INTERFACE_MEMBERS: [&str; 5] = ["url", "protocolBinding", "protocolVersion", "tenant", "transport"];
const CAPABILITY_MEMBERS: [&str; 5] = ["streaming", "pushNotifications", "extensions", "extendedAgentCard", "stateTransitionHistory"];
const SKILL_MEMBERS: [&str; 9] =
    ["id", "name", "description", "tags", "examples", "inputModes", "outputModes", "security", "securityRequirements"];

impl Card {
    /// Reads the body of a card response.
    ///
    /// # Errors
    /// As [`CardError`] says. Schemes and requirements are read where they are used ([`super::Security::declared`]): a
    /// card whose security is not the policy is projected without it.
    pub fn read(bytes: &[u8]) -> Result<Self, CardError> {
        Self::from_value(json(bytes)?)
    }

    /// Takes a card that is JSON already, such as one from the configuration.
    ///
    /// # Errors
    /// As for [`Card::read`].
    pub fn from_value(value: Value) -> Result<Self, CardError> {
        let Value::Object(mut members) = value else {
            return Err(CardError::wrong("the card", "must be an object"));
        };
        respell(&mut members, "", &MEMBERS)?;
        respell(&mut members, "", &OTHERS)?;
        for list in ["supportedInterfaces", "additionalInterfaces"] {
            each_object(&mut members, list, &INTERFACE_MEMBERS)?;
        }
        each_object(&mut members, "skills", &SKILL_MEMBERS)?;
        match members.get_mut("capabilities") {
            None => {}
            Some(Value::Object(capabilities)) => respell(capabilities, "capabilities.", &CAPABILITY_MEMBERS)?,
            Some(_) => return Err(CardError::wrong("capabilities", "must be an object")),
        }
        let card = Self { members };
        for (index, skill) in card.skills().enumerate() {
            if skill.get("id").is_some_and(|id| !id.is_string()) {
                return Err(CardError::wrong(&format!("skills[{index}].id"), "must be a string"));
            }
        }
        Ok(card)
    }

    /// All members.
    #[must_use]
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The skills, each as it stands there.
    pub fn skills(&self) -> impl Iterator<Item = &Map<String, Value>> {
        list(&self.members, "skills")
    }

    /// The ids of all skills that have one.
    pub fn skill_ids(&self) -> impl Iterator<Item = &str> {
        self.skills().filter_map(|skill| text(skill, "id"))
    }

    /// Whether it is a card of 0.3 that describes its schemes as protocol buffers do in JSON.
    #[must_use]
    pub fn is_proto_json(&self) -> bool {
        let schemes = self.members.get("securitySchemes").and_then(Value::as_object);
        let is_old = !self.members.contains_key("supportedInterfaces");
        is_old && schemes.is_some_and(|schemes| !schemes.is_empty() && schemes.values().all(|scheme| scheme.get("type").is_none()))
    }

    /// The ids of skills that have requirements of their own.
    #[must_use]
    pub fn promised_skills(&self) -> Vec<&str> {
        let asks = |skill: &&Map<String, Value>| {
            let is_list = |name: &str| skill.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
            is_list("security") || is_list("securityRequirements")
        };
        self.skills().filter(asks).filter_map(|skill| text(skill, "id")).collect()
    }

    /// Every interface that the card states, in its order of preference, first those of 1.0. The legacy members of a
    /// merged card repeat some of them.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Stated<'_>> {
        let mut found = Vec::new();
        for interface in list(&self.members, "supportedInterfaces") {
            if let Some(url) = text(interface, "url") {
                let version = text(interface, "protocolVersion").and_then(version);
                let tenant = text(interface, "tenant").filter(|tenant| !tenant.is_empty());
                found.push(Stated { url, binding: text(interface, "protocolBinding").unwrap_or("JSONRPC"), version, tenant });
            }
        }
        let version = version(text(&self.members, "protocolVersion").unwrap_or("0.3.0"));
        if let Some(url) = text(&self.members, "url") {
            let binding = text(&self.members, "preferredTransport").unwrap_or("JSONRPC");
            found.push(Stated { url, binding, version, tenant: None });
        }
        for interface in list(&self.members, "additionalInterfaces") {
            if let Some(url) = text(interface, "url") {
                found.push(Stated { url, binding: text(interface, "transport").unwrap_or("JSONRPC"), version, tenant: None });
            }
        }
        found
    }

    /// Whether one of its interfaces of `version` over `binding` has clients name `tenant`. These tenants are published as they
    /// stand there.
    #[must_use]
    pub fn publishes(&self, tenant: &str, version: Version, binding: Binding) -> bool {
        self.interfaces().iter().any(|one| one.tenant == Some(tenant) && version == Version::V1_0 && one.is_of(version, binding))
    }
}

/// A JSON-RPC response whose `result` is a card: the extended card of 0.3 and 1.0.
#[derive(Clone, Debug, PartialEq)]
pub struct CardResponse {
    /// The card.
    pub card: Card,
    rest: Map<String, Value>,
}

impl CardResponse {
    /// Reads a response. `None` if it is an error, or its result is no object.
    ///
    /// # Errors
    /// As for [`Card::read`].
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, CardError> {
        let Value::Object(mut rest) = json(bytes)? else { return Ok(None) };
        match rest.remove("result") {
            Some(result @ Value::Object(_)) => Ok(Some(Self { card: Card::from_value(result)?, rest })),
            _ => Ok(None),
        }
    }

    /// The response with another card.
    #[must_use]
    pub fn with(mut self, projected: Value) -> Vec<u8> {
        self.rest.insert("result".to_owned(), projected);
        Value::Object(self.rest).to_string().into_bytes()
    }
}

fn json(bytes: &[u8]) -> Result<Value, CardError> {
    if bytes.len() > MAX_BYTES {
        return Err(CardError::TooLong);
    }
    serde_json::from_slice::<UniqueValue>(bytes).map(|value| value.0).map_err(|_| CardError::NotJson)
}

/// The version of `0.2.5`, `0.3`, `0.3.0`, `1.0` or `1.0.1`. 0.2 counts as 0.3: their cards and calls are compatible.
fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split('.');
    match (numbers.next()?, numbers.next()?) {
        ("0", "2" | "3") => Some(Version::V0_3),
        ("1", "0") => Some(Version::V1_0),
        _ => None,
    }
}

fn each_object(members: &mut Map<String, Value>, name: &str, known: &[&str]) -> Result<(), CardError> {
    let elements = match members.get_mut(name) {
        None => return Ok(()),
        Some(Value::Array(elements)) => elements,
        Some(_) => return Err(CardError::wrong(name, "must be a list")),
    };
    for (index, element) in elements.iter_mut().enumerate() {
        match element {
            Value::Object(element) => respell(element, &format!("{name}[{index}]."), known)?,
            _ => return Err(CardError::wrong(&format!("{name}[{index}]"), "must be an object")),
        }
    }
    Ok(())
}

/// Brings the `known` members of `map` to camelCase and drops those that are null, which ProtoJSON reads as absent.
pub(super) fn respell(map: &mut Map<String, Value>, at: &str, known: &[&str]) -> Result<(), CardError> {
    for name in known {
        if map.get(*name).is_some_and(Value::is_null) {
            map.remove(*name);
        }
        let Cow::Owned(other) = snake(name) else { continue };
        match map.remove(&other) {
            None | Some(Value::Null) => {}
            Some(value) if map.get(*name).is_none_or(|known| *known == value) => {
                map.insert((*name).to_owned(), value);
            }
            Some(_) => return Err(CardError::Contradiction { at: format!("{at}{name}") }),
        }
    }
    Ok(())
}

/// `name` in snake_case, borrowed if that is the same.
fn snake(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    Cow::Owned(text)
}

/// The string called `name`.
pub(super) fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    map.get(name).and_then(Value::as_str)
}

/// The objects in the list called `name`.
fn list<'a>(map: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Map<String, Value>> + use<'a> {
    map.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

#[cfg(test)]
mod tests {
    use super::{Card, CardError, CardResponse, MAX_BYTES, Version};
    use serde_json::json;

    fn read(json: &str) -> Result<Card, CardError> {
        Card::read(json.as_bytes())
    }

    #[test]
    fn interfaces_of_every_shape() {
        let card = read(
            r#"{"supported_interfaces":[{"url":"h:1","protocol_binding":"GRPC","protocolVersion":"1.0.1","tenant":"t"},
                {"url":"http://h","protocolBinding":"JSONRPC","protocolVersion":"9.0","tenant":""},{"protocolBinding":"x"}]}"#,
        )
        .unwrap();
        let seen: Vec<_> = card.interfaces().iter().map(|one| (one.url, one.binding, one.version, one.tenant)).collect();
        assert_eq!(seen, [("h:1", "GRPC", Some(Version::V1_0), Some("t")), ("http://h", "JSONRPC", None, None)]);
        let card =
            read(r#"{"url":"http://h","additionalInterfaces":[{"url":"http://i","transport":"HTTP+JSON"}],"protocolVersion":"0.2.5"}"#);
        let card = card.unwrap();
        let seen: Vec<_> = card.interfaces().iter().map(|one| (one.url, one.binding, one.version)).collect();
        assert_eq!(seen, [("http://h", "JSONRPC", Some(Version::V0_3)), ("http://i", "HTTP+JSON", Some(Version::V0_3))]);
        assert_eq!(read("{}").unwrap().interfaces(), []);
    }

    #[test]
    fn what_is_no_card_is_refused_by_place() {
        for (json, fact) in [
            ("", "the card is not JSON, or repeats a member"),
            ("<html>", "the card is not JSON, or repeats a member"),
            (r#"{"skills":[],"skills":[]}"#, "the card is not JSON, or repeats a member"),
            ("[]", "the card: must be an object"),
            (r#"{"skills":{}}"#, "skills: must be a list"),
            (r#"{"skills":[{"id":"a"},{"id":1}]}"#, "skills[1].id: must be a string"),
            (r#"{"skills":["a"]}"#, "skills[0]: must be an object"),
            (r#"{"additionalInterfaces":[{"url":"a"},3]}"#, "additionalInterfaces[1]: must be an object"),
            (r#"{"supportedInterfaces":"x"}"#, "supportedInterfaces: must be a list"),
            (r#"{"capabilities":[]}"#, "capabilities: must be an object"),
            (r#"{"skills":[{"inputModes":["a"],"input_modes":["b"]}]}"#, "skills[0].inputModes is said twice, differently"),
        ] {
            assert_eq!(read(json).unwrap_err().to_string(), fact, "{json}");
        }
        assert_eq!(Card::read(&vec![b' '; MAX_BYTES + 1]), Err(CardError::TooLong));
    }

    #[test]
    fn null_is_absent_and_unknown_members_are_kept() {
        let card = read(r#"{"skills":null,"capabilities":null,"x_y":null,"icon_url":"i","iconUrl":"i"}"#).unwrap();
        assert_eq!(serde_json::to_string(card.members()).unwrap(), r#"{"iconUrl":"i","x_y":null}"#);
    }

    #[test]
    fn the_card_in_a_response_is_found() {
        let read = |json: &str| CardResponse::read(json.as_bytes());
        let response = read(r#"{"jsonrpc":"2.0","id":"1","result":{"skills":[{"id":"a"}]}}"#).unwrap().unwrap();
        assert_eq!(response.card.skill_ids().collect::<Vec<_>>(), ["a"]);
        assert_eq!(response.with(json!({})), br#"{"id":"1","jsonrpc":"2.0","result":{}}"#);
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32007}}"#), Ok(None));
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":null}"#), Ok(None));
        assert_eq!(read("x"), Err(CardError::NotJson));
    }
}
