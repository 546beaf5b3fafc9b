//! One source card, in the shape that a client asked for, saying only what holds in front of the proxy: its interfaces,
//! schemes, requirements and capabilities are those that are served and enforced, whatever the source says.
//!
//! Kept are the members that describe the agent, and members nobody knows. Gone are signatures (RFC 7515: they cover what
//! is changed here), members of the other version, `authentication` of 0.1 (it may hold secrets), and inner hosts:
//! `documentationUrl`, `iconUrl` and other URLs stay unless they point at one, and `provider.url` then is the public URL.

use super::dialect::Dialect;
use super::hosts::InnerHosts;
use super::model::{Card, text, transport};
use super::policy::Security;
use super::requirement::Writer;
use super::scheme::Scheme;
use crate::protocol::{Binding, Version};
use crate::wire::sorted::{SortedMap, SortedSet};
use serde_json::{Map, Value, json};
use thiserror::Error;

/// What is served in front of the proxy, and what of the card this client may see.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The shape asked for.
    pub version: Version,
    /// How security is written in it.
    pub dialect: Dialect,
    /// The agent's URL, for texts and for what has no URL of its own.
    pub public_url: &'a str,
    /// Every interface that is served, of all versions.
    pub interfaces: &'a [Interface<'a>],
    /// What is enforced.
    pub security: &'a Security,
    /// The skills to show.
    pub skills: Skills<'a>,
    /// What is let through.
    pub capabilities: Capabilities,
    /// Schemes of 0.3 have one flow each, too.
    pub one_flow: bool,
}

/// One interface that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Interface<'a> {
    pub version: Version,
    pub binding: Binding,
    /// Its public URL.
    pub url: &'a str,
}

/// The skills that a caller gets to see.
#[derive(Clone, Copy, Debug)]
pub enum Skills<'a> {
    /// Every one.
    All,
    /// Those with these ids.
    Only(&'a SortedSet<String>),
}

/// What is let through; a card says true of what is true here and in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Capabilities {
    pub streaming: bool,
    pub push_notifications: bool,
    pub extended_card: bool,
}

/// Why there is no such card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProjectError {
    /// No interface of that version is served.
    #[error("no interface of A2A {0} is served")]
    NotServed(Version),
}

/// Members that are written anew, or not at all.
const REPLACED: [&str; 13] = [
    "url",
    "preferredTransport",
    "additionalInterfaces",
    "protocolVersion",
    "supportedInterfaces",
    "supportsAuthenticatedExtendedCard",
    "securitySchemes",
    "securityRequirements",
    "security",
    "signatures",
    "authentication",
    "capabilities",
    "skills",
];

/// The card for `view`.
///
/// # Errors
/// If nothing of the version asked for is served.
pub fn project(card: &Card, view: &View<'_>) -> Result<Value, ProjectError> {
    let hosts = InnerHosts::of(card, view.public_url);
    let writer = Writer::new(reachable(view.security, &hosts), view.version, view.dialect, view.one_flow);
    let mut out = card.members().clone();
    for name in REPLACED {
        out.remove(name);
    }
    if let Some(provider) = out.remove("provider").and_then(|provider| self::provider(provider, view, &hosts)) {
        out.insert("provider".to_owned(), provider);
    }
    let (capabilities, extended) = capabilities(card, view, &hosts);
    out.insert("capabilities".to_owned(), capabilities);
    let mut out = Value::Object(out);
    hosts.clean(&mut out);
    let Value::Object(mut out) = out else { return Ok(Value::Null) };
    out.insert("skills".to_owned(), skills(card, view, &writer, &hosts));
    for name in ["name", "description", "version"] {
        required_text(&mut out, name);
    }
    for name in ["defaultInputModes", "defaultOutputModes"] {
        texts(&mut out, name);
        out.entry(name).or_insert_with(|| json!([]));
    }
    for name in ["documentationUrl", "iconUrl"] {
        if out.get(name).is_some_and(|value| !value.is_string()) {
            out.remove(name);
        }
    }
    interfaces(card, view, &mut out)?;
    let schemes = writer.schemes();
    if !schemes.is_empty() {
        out.insert("securitySchemes".to_owned(), Value::Object(schemes));
    }
    if !view.security.requirements.is_empty() {
        let (name, value) = writer.requirements(&view.security.requirements);
        out.insert(name.to_owned(), value);
    }
    if view.version == Version::V0_3 && extended {
        out.insert("supportsAuthenticatedExtendedCard".to_owned(), json!(true));
    }
    Ok(Value::Object(out))
}

/// The schemes as clients can use them: one that sends them to an inner host says only what to bring.
fn reachable(security: &Security, hosts: &InnerHosts) -> SortedMap<String, Scheme> {
    let mut schemes = security.schemes.clone();
    for scheme in schemes.values_mut().filter(|scheme| scheme.urls().any(|url| hosts.has(url))) {
        *scheme = Scheme { description: scheme.description.take(), ..Scheme::bearer() };
    }
    for description in schemes.values_mut().filter_map(|scheme| scheme.description.as_mut()) {
        let mut value = json!(description);
        hosts.clean(&mut value);
        if let Value::String(cleaned) = value {
            *description = cleaned;
        }
    }
    schemes
}

/// The interfaces of `view`, those of the version asked for first, each version in the order in which the source
/// prefers its bindings.
fn interfaces(card: &Card, view: &View<'_>, out: &mut Map<String, Value>) -> Result<(), ProjectError> {
    let stated = card.interfaces();
    let rank = |one: &Interface<'_>| {
        let is_same = |binding: &str| binding.eq_ignore_ascii_case(transport(one.binding));
        let same = stated.iter().position(|stated| is_same(stated.binding) && stated.version == Some(one.version));
        let alike = stated.iter().position(|stated| is_same(stated.binding));
        (same.is_none(), same.or(alike).unwrap_or(usize::MAX))
    };
    let mut served = view.interfaces.to_vec();
    served.sort_by_key(|one| (one.version != view.version, std::cmp::Reverse(one.version), rank(one)));
    let mut own = served.iter().filter(|one| one.version == view.version);
    let first = own.next().ok_or(ProjectError::NotServed(view.version))?;
    match view.version {
        Version::V0_3 => {
            out.insert("protocolVersion".to_owned(), json!("0.3.0"));
            out.insert("url".to_owned(), json!(first.url));
            out.insert("preferredTransport".to_owned(), json!(transport(first.binding)));
            // 0.3 section 5.5.5: if there are several, the first is to be among them.
            let all: Vec<_> =
                std::iter::once(first).chain(own).map(|one| json!({"url": one.url, "transport": transport(one.binding)})).collect();
            if all.len() > 1 {
                out.insert("additionalInterfaces".to_owned(), json!(all));
            }
        }
        Version::V1_0 => {
            let mut all = Vec::new();
            for one in &served {
                let entry = json!({"url": one.url, "protocolBinding": transport(one.binding), "protocolVersion": one.version.as_str()});
                // A tenant is a part of requests, which go on as they came: clients have to send what the source wants.
                let same = stated.iter().filter(|stated| one.version == Version::V1_0 && stated.is_of(one.version, one.binding));
                let mut tenants: Vec<_> = same.map(|stated| stated.tenant).collect();
                if tenants.is_empty() {
                    tenants.push(None);
                }
                for tenant in tenants {
                    let mut entry = entry.clone();
                    if let (Some(tenant), Some(members)) = (tenant, entry.as_object_mut()) {
                        members.insert("tenant".to_owned(), json!(tenant));
                    }
                    if !all.contains(&entry) {
                        all.push(entry);
                    }
                }
            }
            out.insert("supportedInterfaces".to_owned(), json!(all));
        }
    }
    Ok(())
}

fn skills(card: &Card, view: &View<'_>, writer: &Writer, hosts: &InnerHosts) -> Value {
    let mut shown = Vec::new();
    for skill in card.skills() {
        let Some(id) = text(skill, "id").filter(|id| !id.is_empty()) else { continue };
        if let Skills::Only(allowed) = view.skills
            && !allowed.contains(id)
        {
            continue;
        }
        let mut skill = skill.clone();
        for name in ["id", "security", "securityRequirements"] {
            skill.remove(name);
        }
        let mut described = Value::Object(skill);
        hosts.clean(&mut described);
        let Value::Object(mut skill) = described else { continue };
        // Identifiers are not texts: these and scopes stay as they are.
        skill.insert("id".to_owned(), json!(id));
        if let Some(requirements) = view.security.skills.get(id).filter(|requirements| !requirements.is_empty()) {
            let (name, value) = writer.requirements(requirements);
            skill.insert(name.to_owned(), value);
        }
        for name in ["name", "description"] {
            required_text(&mut skill, name);
        }
        for name in ["tags", "examples", "inputModes", "outputModes"] {
            texts(&mut skill, name);
        }
        skill.entry("tags").or_insert_with(|| json!([]));
        shown.push(Value::Object(skill));
    }
    Value::Array(shown)
}

/// `capabilities`, and whether there is an extended card.
fn capabilities(card: &Card, view: &View<'_>, hosts: &InnerHosts) -> (Value, bool) {
    let mut out = card.members().get("capabilities").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, allowed) in [("streaming", view.capabilities.streaming), ("pushNotifications", view.capabilities.push_notifications)] {
        match out.get(name).map(Value::as_bool) {
            None => {}
            Some(Some(stated)) => _ = out.insert(name.to_owned(), json!(stated && allowed)),
            Some(None) => _ = out.remove(name),
        }
    }
    let stated = out.remove("extendedAgentCard").and_then(|value| value.as_bool());
    let legacy = card.members().get("supportsAuthenticatedExtendedCard").and_then(Value::as_bool);
    let extended = stated.or(legacy).map(|stated| stated && view.capabilities.extended_card);
    if view.version == Version::V1_0 {
        out.remove("stateTransitionHistory");
        if let Some(extended) = extended {
            out.insert("extendedAgentCard".to_owned(), json!(extended));
        }
    }
    match out.get_mut("extensions") {
        None => {}
        // An extension is known by its URI alone, so one that cannot be named cannot be stated.
        Some(Value::Array(extensions)) => {
            extensions.retain(|extension| extension.get("uri").and_then(Value::as_str).is_some_and(|uri| !hosts.has(uri)));
        }
        Some(_) => _ = out.remove("extensions"),
    }
    (Value::Object(out), extended == Some(true))
}

fn provider(value: Value, view: &View<'_>, hosts: &InnerHosts) -> Option<Value> {
    let Value::Object(mut provider) = value else { return None };
    for name in ["organization", "url"] {
        required_text(&mut provider, name);
    }
    if text(&provider, "url").is_some_and(|url| hosts.has(url)) {
        provider.insert("url".to_owned(), json!(view.public_url));
    }
    Some(Value::Object(provider))
}

/// Makes `name` a string: what is none becomes empty.
fn required_text(map: &mut Map<String, Value>, name: &str) {
    if text(map, name).is_none() {
        map.insert(name.to_owned(), json!(""));
    }
}

/// Makes `name`, if it is there, a list of strings: what is no list goes, as does what is no string in it.
fn texts(map: &mut Map<String, Value>, name: &str) {
    match map.get_mut(name) {
        None => {}
        Some(Value::Array(elements)) => elements.retain(Value::is_string),
        Some(_) => _ = map.remove(name),
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Capabilities, Card, Dialect, Interface, ProjectError, Security, Skills, Value, Version, View, json, project};
    use crate::wire::sorted::SortedSet;

    const ALL: Capabilities = Capabilities { streaming: true, push_notifications: true, extended_card: true };
    const NONE: Capabilities = Capabilities { streaming: false, push_notifications: false, extended_card: false };
    const URL: &str = "https://out.example/a";

    fn served(list: &[(Version, Binding)]) -> Vec<Interface<'static>> {
        list.iter().map(|(version, binding)| Interface { version: *version, binding: *binding, url: URL }).collect()
    }

    fn shown(
        card: Value,
        version: Version,
        interfaces: &[Interface<'_>],
        skills: Skills<'_>,
        capabilities: Capabilities,
    ) -> Result<Value, ProjectError> {
        let security = Security::default();
        let view = View {
            version,
            dialect: Dialect::of(version),
            public_url: URL,
            interfaces,
            security: &security,
            skills,
            capabilities,
            one_flow: false,
        };
        project(&Card::from_value(card).unwrap(), &view)
    }

    #[test]
    fn a_version_that_is_not_served_has_no_card() {
        let old = served(&[(Version::V0_3, Binding::Jsonrpc)]);
        assert_eq!(shown(json!({}), Version::V1_0, &old, Skills::All, ALL), Err(ProjectError::NotServed(Version::V1_0)));
        assert_eq!(shown(json!({}), Version::V0_3, &[], Skills::All, ALL), Err(ProjectError::NotServed(Version::V0_3)));
    }

    #[test]
    fn what_both_versions_require_is_there_even_of_an_empty_card() {
        let both = served(&[(Version::V0_3, Binding::Jsonrpc), (Version::V1_0, Binding::Grpc)]);
        let odd = json!({"name": 1, "skills": [{}, {"id": ""}, {"id": "a", "tags": "x", "examples": [{}, "e"]}], "defaultInputModes": {},
            "iconUrl": [], "provider": {"url": 3}, "capabilities": {"streaming": "yes", "extensions": {}}, "authentication": {"credentials": "s"}});
        let expected = json!({
            "name": "", "description": "", "version": "", "url": URL, "preferredTransport": "JSONRPC", "protocolVersion": "0.3.0",
            "provider": {"organization": "", "url": ""}, "capabilities": {}, "defaultInputModes": [], "defaultOutputModes": [],
            "skills": [{"id": "a", "name": "", "description": "", "tags": [], "examples": ["e"]}],
        });
        assert_eq!(shown(odd, Version::V0_3, &both, Skills::All, ALL).unwrap(), expected);
        let new = shown(json!({}), Version::V1_0, &both, Skills::All, ALL).unwrap();
        let entry = |binding, version| json!({"url": URL, "protocolBinding": binding, "protocolVersion": version});
        assert_eq!(new["supportedInterfaces"], json!([entry("GRPC", "1.0"), entry("JSONRPC", "0.3")]));
    }

    #[test]
    fn bindings_stand_in_the_order_of_the_source_and_keep_its_tenants() {
        let inner = |binding: &str, tenant: &str| json!({"url": "http://in:1", "protocolBinding": binding, "protocolVersion": "1.0", "tenant": tenant});
        let card = json!({"supportedInterfaces": [inner("HTTP+JSON", "b"), inner("JSONRPC", ""), inner("HTTP+JSON", "a"), inner("HTTP+JSON", "b")]});
        let bindings = [
            (Version::V0_3, Binding::Jsonrpc),
            (Version::V0_3, Binding::HttpJson),
            (Version::V1_0, Binding::Jsonrpc),
            (Version::V1_0, Binding::HttpJson),
        ];
        let new = shown(card.clone(), Version::V1_0, &served(&bindings), Skills::All, ALL).unwrap();
        let seen: Vec<_> = new["supportedInterfaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {} {}", one["protocolBinding"], one["protocolVersion"], one["tenant"]).replace('"', ""))
            .collect();
        assert_eq!(seen, ["HTTP+JSON 1.0 b", "HTTP+JSON 1.0 a", "JSONRPC 1.0 null", "HTTP+JSON 0.3 null", "JSONRPC 0.3 null"]);
        let old = shown(card, Version::V0_3, &served(&bindings), Skills::All, ALL).unwrap();
        assert_eq!(old["preferredTransport"], "HTTP+JSON");
        let additional = json!([{"url": URL, "transport": "HTTP+JSON"}, {"url": URL, "transport": "JSONRPC"}]);
        assert_eq!(old["additionalInterfaces"], additional);
    }

    #[test]
    fn skills_and_capabilities_are_those_that_hold() {
        let old = served(&[(Version::V0_3, Binding::Jsonrpc), (Version::V1_0, Binding::Jsonrpc)]);
        let card = json!({"skills": [{"id": "a", "security": [{"x": []}]}, {"id": "b"}], "supportsAuthenticatedExtendedCard": true,
            "capabilities": {"streaming": true, "pushNotifications": false, "stateTransitionHistory": true}});
        let only = SortedSet::from(["b".to_owned(), "c".to_owned()]);
        let some = shown(card.clone(), Version::V1_0, &old, Skills::Only(&only), NONE).unwrap();
        assert_eq!(some["skills"].as_array().unwrap().len(), 1);
        assert_eq!(some["capabilities"], json!({"streaming": false, "pushNotifications": false, "extendedAgentCard": false}));
        let all = shown(card.clone(), Version::V1_0, &old, Skills::All, ALL).unwrap();
        assert_eq!(all["skills"][0]["id"], "a");
        assert_eq!(all["skills"][0].get("security"), None, "what nobody enforces is not stated");
        assert_eq!(all["capabilities"], json!({"streaming": true, "pushNotifications": false, "extendedAgentCard": true}));
        let all = shown(card, Version::V0_3, &old, Skills::All, ALL).unwrap();
        assert_eq!(all["capabilities"], json!({"streaming": true, "pushNotifications": false, "stateTransitionHistory": true}));
        assert_eq!(all["supportsAuthenticatedExtendedCard"], true);
    }
    #[test]
    fn what_asks_in_the_json_of_protocol_buffers_is_answered_in_it() {
        let card = Card::from_value(json!({"securitySchemes": {"k": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}})).unwrap();
        assert!(card.is_proto_json());
        let security = Security {
            schemes: [("k".to_owned(), crate::card::Scheme::bearer())].into(),
            requirements: vec![[("k".to_owned(), vec!["a".to_owned()])].into()],
            ..Security::default()
        };
        let interfaces = served(&[(Version::V0_3, Binding::HttpJson)]);
        let (version, skills) = (Version::V0_3, Skills::All);
        let view = View {
            version,
            dialect: Dialect::ProtoJson,
            one_flow: false,
            public_url: URL,
            interfaces: &interfaces,
            security: &security,
            skills,
            capabilities: ALL,
        };
        let shown = project(&card, &view).unwrap();
        assert_eq!(shown["securitySchemes"], json!({"k": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}));
        assert_eq!(shown["security"], json!([{"schemes": {"k": {"list": ["a"]}}}]));
        assert_eq!((&shown["url"], &shown["protocolVersion"]), (&json!(URL), &json!("0.3.0")));
    }
}
