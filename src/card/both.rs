//! One card that clients of both generations understand, for those that do not say which they are: the members of 1.0 with those of 0.3
//! beside them, as the Python SDK's own server writes it.

use super::dialect::Dialect;
use super::model::Card;
use super::project::{ProjectError, View, project};
use crate::protocol::Version;
use serde_json::Value;

/// The card for `view`, whose version and dialect do not matter.
///
/// # Errors
/// If one of the versions is not served.
pub fn both(card: &Card, view: &View<'_>) -> Result<Value, ProjectError> {
    let version = |version| View { version, dialect: Dialect::of(version), ..*view };
    let mut document = project(card, &version(Version::V1_0))?;
    // Clients of 1.0 read schemes of 0.3, too, and take one flow of each.
    merge(&mut document, project(card, &View { one_flow: true, ..version(Version::V0_3) })?);
    Ok(document)
}

/// The card of 0.3 as the answer to a request over HTTP+JSON. Clients do not agree in what form that comes: the Python SDK's read the
/// JSON Schema's, the JavaScript SDK's protocol buffers' JSON. Each scheme has the members of both, for that one stops at a scheme
/// that it does not know; the rest is the Schema's, and the other reads it without requirements.
///
/// # Errors
/// If 0.3 is not served.
pub fn answer(card: &Card, view: &View<'_>) -> Result<Value, ProjectError> {
    // Protocol buffers have place for one flow in each scheme.
    let form = |dialect| View { version: Version::V0_3, dialect, one_flow: true, ..*view };
    let mut document = project(card, &form(Dialect::of(Version::V0_3)))?;
    let mut other = project(card, &form(Dialect::ProtoJson))?;
    if let (Some(schemes), Some(others)) = (document.get_mut("securitySchemes"), other.get_mut("securitySchemes")) {
        merge(schemes, others.take());
    }
    Ok(document)
}

/// Adds to `new` what only `old` has.
fn merge(new: &mut Value, old: Value) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (name, value) in old {
                match new.get_mut(&name) {
                    Some(known) => merge(known, value),
                    None => _ = new.insert(name, value),
                }
            }
        }
        // Skills, in the same order.
        (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
            new.iter_mut().zip(old).for_each(|(new, old)| merge(new, old));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Card, View, both};
    use crate::card::{Capabilities, Dialect, Interface, Scheme, Security, Skills};
    use crate::protocol::{Binding, Version};
    use serde_json::json;

    #[test]
    fn both_generations_find_what_they_look_for() {
        let card = json!({
            "name": "a", "description": "d", "version": "1", "capabilities": {"streaming": true, "extendedAgentCard": true},
            "skills": [{"id": "s", "name": "s", "description": "", "tags": []}],
        });
        let flows = json!({
            "clientCredentials": {"tokenUrl": "https://i.example/token", "scopes": {}},
            "authorizationCode": {"authorizationUrl": "https://i.example/auth", "tokenUrl": "https://i.example/token", "scopes": {}},
        });
        let scheme = Scheme::read(&json!({"type": "oauth2", "flows": flows}), "").unwrap();
        let requirement = || [("corp".to_owned(), vec!["x".to_owned()])].into();
        let security = Security {
            schemes: [("corp".to_owned(), scheme)].into(),
            requirements: vec![requirement()],
            skills: [("s".to_owned(), vec![requirement()])].into(),
        };
        let interface = |version, binding, url| Interface { version, binding, url };
        let interfaces = [
            interface(Version::V1_0, Binding::HttpJson, "https://a.example/rest"),
            interface(Version::V0_3, Binding::Jsonrpc, "https://a.example/rpc"),
        ];
        let view = View {
            version: Version::V0_3,
            dialect: Dialect::of(Version::V0_3),
            public_url: "https://a.example",
            interfaces: &interfaces,
            security: &security,
            skills: Skills::All,
            capabilities: Capabilities { streaming: true, push_notifications: true, extended_card: true },
            one_flow: false,
        };
        let card = both(&Card::from_value(card).unwrap(), &view).unwrap();
        assert_eq!(card["url"], "https://a.example/rpc");
        assert_eq!((&card["protocolVersion"], &card["preferredTransport"]), (&json!("0.3.0"), &json!("JSONRPC")));
        assert_eq!(card["supportedInterfaces"].as_array().unwrap().len(), 2);
        assert_eq!(card["supportedInterfaces"][0]["protocolVersion"], "1.0");
        assert_eq!((&card["supportsAuthenticatedExtendedCard"], &card["capabilities"]["extendedAgentCard"]), (&json!(true), &json!(true)));
        assert!(card["security"].is_array() && card["securityRequirements"].is_array());
        assert!(card["skills"][0]["security"].is_array() && card["skills"][0]["securityRequirements"].is_array());
        let names: Vec<&String> = card["securitySchemes"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["corp", "corp_clientCredentials"]);
        for scheme in card["securitySchemes"].as_object().unwrap().values() {
            assert_eq!(scheme["type"], "oauth2");
            assert_eq!(scheme["flows"].as_object().unwrap().len(), 1, "{scheme}");
            assert_eq!(scheme["flows"], scheme["oauth2SecurityScheme"]["flows"]);
        }
    }

    #[test]
    fn an_answer_of_0_3_is_read_in_either_form() {
        let card = json!({"name": "a", "description": "d", "version": "1", "capabilities": {}, "skills": []});
        let scheme = Scheme::read(&json!({"type": "http", "scheme": "bearer"}), "").unwrap();
        let security = Security {
            schemes: [("corp".to_owned(), scheme)].into(),
            requirements: vec![[("corp".to_owned(), vec![])].into()],
            skills: [].into(),
        };
        let interfaces = [Interface { version: Version::V0_3, binding: Binding::HttpJson, url: "https://a.example/rest" }];
        let view = View {
            version: Version::V0_3,
            dialect: Dialect::of(Version::V0_3),
            public_url: "https://a.example",
            interfaces: &interfaces,
            security: &security,
            skills: Skills::All,
            capabilities: Capabilities { streaming: true, push_notifications: true, extended_card: true },
            one_flow: false,
        };
        let card = super::answer(&Card::from_value(card).unwrap(), &view).unwrap();
        assert_eq!(card["security"], json!([{"corp": []}]));
        let scheme = json!({"type": "http", "scheme": "bearer", "httpAuthSecurityScheme": {"scheme": "bearer"}});
        assert_eq!(card["securitySchemes"], json!({"corp": scheme}));
    }
}
