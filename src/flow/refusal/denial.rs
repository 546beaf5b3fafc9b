//! A refusal in the caller's binding. The caller gets the reason and what to do about it.

use crate::credential::devices::Shown;
use crate::flow::event::Reply;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::challenge::{Challenges, Said};
use crate::protocol::envelope::Id;
use crate::protocol::error::A2aError;
use crate::protocol::grpc::{ErrorInfo, Help};
use crate::protocol::{Binding, Version, grpc};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// The domain of A2A's own reasons.
const A2A: &str = "a2a-protocol.org";

/// `allow` of a refusal (RFC 9110 section 10.2.1).
pub const ALLOWED: &str = "GET, HEAD, POST, DELETE";

/// What a consent link offers.
const LINK_OFFERS: &str = "Sign in and agree";

/// Where the user can agree, so that the same request is not refused again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// The URL; empty where the user is asked by their server. It is for this caller's user, so that no log and no record has it.
    pub link: String,
    /// Until when it can be opened, as RFC 3339 writes it.
    pub expires_at: String,
    /// What the user is shown who agrees on another device.
    pub shown: Shown,
}

impl Consent {
    /// Whether no link of ours leads there.
    #[must_use]
    pub const fn is_elsewhere(&self) -> bool {
        !self.shown.user_code.is_empty() || !self.shown.message.is_empty()
    }

    /// What `who` is to do.
    #[must_use]
    pub fn asks(&self, who: &str) -> String {
        let Shown { uri, user_code, message, .. } = &self.shown;
        match (user_code.is_empty(), message.is_empty()) {
            (true, true) => ["open ", &self.link].concat(),
            (false, _) => ["open ", uri, " on any device, sign in there, and enter the code ", user_code].concat(),
            (true, false) => ["agree on the device on which ", who, " confirm sign-ins, if it shows \"", message, "\""].concat(),
        }
    }

    /// The same for programs: each member that there is, with its names in the data of a task and in details of an error.
    pub fn members(&self) -> impl Iterator<Item = ([&'static str; 2], &str)> {
        let Shown { uri, complete, user_code, message } = &self.shown;
        let all = [
            (["link", "link"], &self.link),
            (["verification_uri", "verificationUri"], uri),
            (["verification_uri_complete", "verificationUriComplete"], complete),
            (["user_code", "userCode"], user_code),
            (["binding_message", "bindingMessage"], message),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(names, value)| (names, value.as_str()))
    }
}

/// One refusal, before it is put into a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// What the caller reads.
    pub advice: String,
    /// Name of the agent or connection, if one was matched: the realm of challenges.
    pub realm: Option<Box<str>>,
    /// Scopes that would do, for challenges.
    pub scopes: Vec<String>,
    /// Versions that would do, for version errors, as a list with commas.
    pub versions: Option<Box<str>>,
    /// The caller reads an event stream and nothing else: clients of 0.3 do over JSON-RPC.
    pub as_event: bool,
    /// The caller speaks A2A 0.3, as far as that is known.
    pub is_0_3: bool,
    /// What callers are asked for; tokens, unless the agent is known.
    pub challenges: Option<Rc<Challenges>>,
    /// Nothing but POST is taken there.
    pub is_for_posts: bool,
    /// What is wrong, for the operator's record. No caller reads it.
    pub detail: Option<Box<str>>,
    /// Where the user can agree, if that would help.
    pub consent: Option<Box<Consent>>,
}

impl Denial {
    /// A refusal with the reason's own advice.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            advice: reason.advice().to_owned(),
            realm: None,
            scopes: Vec::new(),
            versions: None,
            as_event: false,
            is_0_3: false,
            challenges: None,
            is_for_posts: false,
            detail: None,
            consent: None,
        }
    }

    /// The refusal of a call for whose user there is no grant yet. The link is also in its text, for those who read nothing else.
    #[must_use]
    pub fn until_agreed(consent: Consent) -> Self {
        let advice = format!("The user must sign in or agree first: let the user {} and then try again.", consent.asks("they"));
        Self { consent: Some(Box::new(consent)), ..Self::new(Reason::ConsentRequired).advise(advice) }
    }

    /// The same where the record says `detail`, if there is one.
    #[must_use]
    pub fn because(self, detail: Option<String>) -> Self {
        Self { detail: detail.map(String::into_boxed_str).or(self.detail), ..self }
    }

    /// What the record says besides the reason: why, or advice that says more than the reason's own, or what goes for every such refusal.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let usual = || match self.reason {
            Reason::Overloaded => {
                Some("the places for requests that wait are taken, or this client's share of them (max_waiting)".to_owned())
            }
            Reason::CardUnavailable => Some("the card cannot be had or used: the log has a warning that says why".to_owned()),
            Reason::HeadersNotHeld => Some("the plugin's config lacks allow_on_headers_stop_iteration: true".to_owned()),
            _ => None,
        };
        // A link is not for records.
        let advice = || (self.consent.is_none() && self.advice != self.reason.advice()).then(|| self.advice.clone());
        self.detail.as_deref().map(str::to_owned).or_else(advice).or_else(usual)
    }

    /// The same with other advice.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    /// The same at the agent or connection `name`.
    #[must_use]
    pub fn at(self, name: &str) -> Self {
        Self { realm: Some(name.into()), ..self }
    }

    /// The same for a client that reads an event stream and nothing else, if `events`: it takes an error that is an answer as an event,
    /// and one that comes with a status of its own as that.
    #[must_use]
    pub fn for_events(self, events: bool) -> Self {
        Self { as_event: self.as_event || events && self.reason.class().jsonrpc_http == 200, ..self }
    }

    /// The same for a caller of `version`.
    #[must_use]
    pub fn for_version(self, version: Version) -> Self {
        Self { is_0_3: version == Version::V0_3, ..self }
    }

    /// The refusal as an answer in `binding` (`None`: the binding is not known, or there is none). `id` is used
    /// for JSON-RPC only.
    #[must_use]
    pub fn render(&self, binding: Option<Binding>, id: &Id) -> Reply {
        let class = self.reason.class();
        let number = class.status.number(self.is_0_3);
        let grpc_status = (binding == Some(Binding::Grpc)).then_some(number);
        let is_event = self.as_event && binding == Some(Binding::Jsonrpc);
        let body = match binding {
            Some(Binding::Grpc) => self.advice.clone(),
            Some(Binding::Jsonrpc) => {
                let error = json!({"code": class.jsonrpc, "message": self.advice, "data": self.json_details()});
                // The id is JSON text already and must come back unchanged.
                format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json())
            }
            Some(Binding::HttpJson) | None => json!({"error": {
                "code": class.http, "status": class.status.name(), "message": self.advice, "details": self.json_details()
            }})
            .to_string(),
        };
        let (kind, body) = if is_event { ("text/event-stream", format!("data: {body}\n\n")) } else { ("application/json", body) };
        let mut headers = match binding {
            Some(Binding::Grpc) => vec![("grpc-status-details-bin", self.grpc_details(number))],
            _ => vec![("content-type", kind.to_owned()), ("cache-control", "no-store".to_owned())],
        };
        if let Some(error) = class.challenge {
            let realm = self.realm.as_deref().unwrap_or("attache");
            let link = self.consent.as_ref().map_or("", |consent| &consent.link);
            let said = Said { realm, error, description: &self.advice, scopes: &self.scopes, link };
            let lines = self.challenges.as_ref().map_or_else(|| Challenges::of_tokens().headers(&said), |known| known.headers(&said));
            headers.extend(lines.into_iter().map(|line| ("www-authenticate", line)));
        }
        if class.http == 405 {
            // RFC 9110 section 15.5.6 asks for it.
            headers.push(("allow", if self.is_for_posts { "POST" } else { ALLOWED }.to_owned()));
        }
        if class.http == 503 {
            headers.push(("retry-after", "1".to_owned()));
        }
        let status = if binding == Some(Binding::Jsonrpc) { class.jsonrpc_http } else { class.http };
        Reply { status, grpc_status, headers, body }
    }

    /// `google.rpc.ErrorInfo`: reason and domain, A2A's own where A2A has one (1.0 section 5.4) or its SDKs do, and metadata.
    fn error_info(&self) -> (String, &'static str, Vec<(&'static str, String)>) {
        let (reason, domain) = match self.reason {
            Reason::VersionMalformed | Reason::VersionConflict | Reason::VersionNotSupported | Reason::VersionMismatch => {
                ("VERSION_NOT_SUPPORTED".to_owned(), A2A)
            }
            Reason::StreamingNotOffered => (A2aError::UnsupportedOperation.reason().to_owned(), A2A),
            Reason::EncodingRefused | Reason::MediaTypeRefused | Reason::ContentRefused => {
                (A2aError::ContentTypeNotSupported.reason().to_owned(), A2A)
            }
            Reason::PushNotOffered => (A2aError::PushNotificationNotSupported.reason().to_owned(), A2A),
            Reason::TaskNotFound => ("TASK_NOT_FOUND".to_owned(), A2A),
            Reason::ParamsMalformed
            | Reason::LimitExceeded
            | Reason::PushTargetRefused
            | Reason::PushCredentialTaken
            | Reason::CredentialInMessage
            | Reason::TenantRefused
            | Reason::ContextMissing
            | Reason::PageTokenRefused => (A2aError::InvalidParams.reason().to_owned(), A2A),
            Reason::RequestMalformed => (A2aError::InvalidRequest.reason().to_owned(), A2A),
            Reason::OperationUnknown => (A2aError::MethodNotFound.reason().to_owned(), A2A),
            other => (other.code().to_ascii_uppercase(), "attache"),
        };
        let mut metadata = vec![("reason", self.reason.code().to_owned())];
        if let Some(versions) = &self.versions {
            metadata.push(("supportedVersions", versions.to_string()));
        }
        if !self.scopes.is_empty() {
            metadata.push(("scope", self.scopes.join(" ")));
        }
        if let Some(consent) = &self.consent {
            metadata.extend(consent.members().map(|([_, name], value)| (name, value.to_owned())));
            metadata.push(("expiresAt", consent.expires_at.clone()));
        }
        (reason, domain, metadata)
    }

    /// The same as JSON, and what helps.
    fn json_details(&self) -> Value {
        let (reason, domain, metadata) = self.error_info();
        let metadata: Map<String, Value> = metadata.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let mut details =
            vec![json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata})];
        if let Some(consent) = self.consent.as_ref().filter(|consent| !consent.link.is_empty()) {
            let link = json!({"description": LINK_OFFERS, "url": consent.link});
            details.push(json!({"@type": "type.googleapis.com/google.rpc.Help", "links": [link]}));
        }
        details.into()
    }

    /// The same as `grpc-status-details-bin`.
    fn grpc_details(&self, code: u8) -> String {
        let (reason, domain, metadata) = self.error_info();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let help = self
            .consent
            .as_ref()
            .filter(|consent| !consent.link.is_empty())
            .map(|consent| Help { description: LINK_OFFERS, url: &consent.link });
        grpc::status_details(code, &self.advice, ErrorInfo { reason: &reason, domain, metadata: &metadata }, help)
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Challenges, Consent, Denial, Id, Reason, Shown};
    use crate::protocol::envelope;
    use serde_json::Value;

    #[test]
    fn codes_are_unique_and_every_class_has_a_body_in_both_forms() {
        let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let denial = Denial::new(*reason).at("expense");
            for binding in [Some(Binding::Jsonrpc), Some(Binding::HttpJson), None] {
                let reply = denial.render(binding, &Id::default());
                assert_eq!(reply.grpc_status, None);
                let body: Value = serde_json::from_str(&reply.body).unwrap();
                let info = body.pointer("/error/data/0").or(body.pointer("/error/details/0")).unwrap();
                assert_eq!(info.pointer("/metadata/reason").unwrap(), reason.code());
                let challenged = reply.headers.iter().any(|(name, _)| *name == "www-authenticate");
                assert_eq!(challenged, matches!(reply.status, 401 | 403), "{}", reason.code());
            }
        }
    }

    #[test]
    fn the_id_comes_back_unchanged() {
        let id = envelope::parse(br#"{"jsonrpc":"2.0","id":12345678901234567890,"method":"x"}"#).unwrap().id;
        let reply = Denial::new(Reason::OperationUnknown).render(Some(Binding::Jsonrpc), &id);
        assert!(reply.body.starts_with(r#"{"jsonrpc":"2.0","id":12345678901234567890,"error":{"code":-32601"#), "{}", reply.body);
    }

    #[test]
    fn challenges_tell_a_client_how_to_repair_itself() {
        let denial = Denial { scopes: vec!["agent:execute".into()], ..Denial::new(Reason::InsufficientScope).at("ex\"pense") };
        let reply = denial.render(None, &Id::default());
        let challenge = &reply.headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap().1;
        assert!(challenge.starts_with(r#"Bearer realm="ex?pense", error="insufficient_scope", error_description=""#), "{challenge}");
        assert!(challenge.ends_with(r#", scope="agent:execute""#), "{challenge}");
    }

    #[test]
    fn a_link_is_in_every_form_and_in_no_record() {
        let link = "https://consent.example/consent/start?link=L".to_owned();
        let denial =
            Denial::until_agreed(Consent { link: link.clone(), expires_at: "2026-01-02T03:04:05.000000Z".into(), ..Consent::default() })
                .at("hr");
        for binding in [Some(Binding::Jsonrpc), Some(Binding::HttpJson)] {
            let reply = denial.render(binding, &Id::default());
            let body: Value = serde_json::from_str(&reply.body).unwrap();
            let details = body.pointer("/error/data").or(body.pointer("/error/details")).unwrap();
            assert_eq!(reply.status, 401);
            assert_eq!(details[0]["reason"], "CONSENT_REQUIRED");
            assert_eq!(
                (&details[0]["metadata"]["link"], &details[0]["metadata"]["expiresAt"]),
                (&Value::from(&*link), &"2026-01-02T03:04:05.000000Z".into())
            );
            assert_eq!(
                (&details[1]["@type"], &details[1]["links"][0]["url"]),
                (&"type.googleapis.com/google.rpc.Help".into(), &Value::from(&*link))
            );
            assert!(body["error"]["message"].as_str().unwrap().contains(&link));
            let challenge = &reply.headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap().1;
            assert!(challenge.starts_with(r#"Bearer realm="hr", error="invalid_token", "#), "{challenge}");
            assert!(challenge.ends_with(&format!(r#", error_uri="{link}""#)), "{challenge}");
        }
        let reply = denial.render(Some(Binding::Grpc), &Id::default());
        assert_eq!(reply.grpc_status, Some(16));
        assert!(reply.body.contains(&link));
        assert_eq!(denial.told(), None);
        assert_eq!(denial.because(Some("no grant".into())).told().as_deref(), Some("no grant"));
    }

    #[test]
    fn what_a_user_does_elsewhere_is_told_too() {
        let shown = Shown { uri: "https://a.example/device".to_owned(), user_code: "WDJB".to_owned(), ..Shown::default() };
        let coded = Consent { link: "https://a.example/device?c=WDJB".to_owned(), expires_at: "soon".to_owned(), shown };
        let asked = Consent { shown: Shown { message: "Agent hr BCDF".to_owned(), ..Shown::default() }, ..Consent::default() };
        for (consent, names, links) in [(coded, &["link", "verificationUri", "userCode"][..], 2), (asked, &["bindingMessage"], 1)] {
            let denial = Denial::until_agreed(consent.clone()).at("pay");
            let reply = denial.render(Some(Binding::Jsonrpc), &Id::default());
            let details = serde_json::from_str::<Value>(&reply.body).unwrap().pointer("/error/data").unwrap().clone();
            assert_eq!(details.as_array().unwrap().len(), links, "a Help without a link helps nobody: {details}");
            for name in ["link", "verificationUri", "verificationUriComplete", "userCode", "bindingMessage"] {
                assert_eq!(details[0]["metadata"].get(name).is_some(), names.contains(&name), "{name} {details}");
            }
            let challenge = &reply.headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap().1;
            assert_eq!(challenge.contains("error_uri"), links == 2, "{challenge}");
            let reply = denial.render(Some(Binding::Grpc), &Id::default());
            let said = if links == 2 { "enter the code WDJB" } else { "Agent hr BCDF" };
            assert!(reply.grpc_status == Some(16) && reply.body.contains(said), "{}", reply.body);
            assert_eq!(denial.told(), None, "no code is for records");
        }
    }

    #[test]
    fn an_agent_without_schemes_of_http_has_no_challenge() {
        let challenges = Some(std::rc::Rc::new(Challenges { certificates: true, ..Challenges::default() }));
        let reply = Denial { challenges, ..Denial::new(Reason::CertificateRefused) }.render(None, &Id::default());
        assert!(reply.status == 401 && !reply.headers.iter().any(|(name, _)| *name == "www-authenticate"));
    }
}
