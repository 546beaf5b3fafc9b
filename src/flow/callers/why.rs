//! What is wrong with a request that is refused for its credentials or its head, for the record alone: where in the configuration the
//! rule stands, what it needs, and what was there instead. Never a credential, and nothing where no record says it.

use crate::config::{HeaderSource, KeyPlace, Scheme};
use crate::flow::callers::credentials::Credentials;
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::flow::request::head::Head;
use crate::flow::request::policy::Policy;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::Context;
use crate::identity::api_key::KeyError;
use crate::identity::basic::BasicError;
use crate::identity::bearer::{BearerError, MAX_TOKEN_BYTES};
use crate::identity::demand::Proofs;
use crate::identity::verify::VerifyError;
use crate::identity::{Caller, Forwarded, Peer, why};
use crate::protocol::{Version, version};
use crate::wire::quoted;

/// Where `target` stands in the configuration.
pub(super) fn place(target: Target) -> String {
    match target {
        Target::Agent(index) => format!("agents[{index}]"),
        Target::Connection(index) => format!("connections[{index}]"),
        Target::Webhook(index) => format!("webhooks[{index}]"),
    }
}

/// Why the caller is not known, or not let in: `reason`, after `proofs`, if it came so far.
#[cold]
#[inline(never)]
#[must_use]
pub fn unauthenticated(
    reason: Reason,
    credentials: &Credentials<'_>,
    proofs: Option<&Proofs>,
    destination: &Destination,
    context: &Context<'_>,
) -> Option<String> {
    if !context.runtime.tells() {
        return None;
    }
    let policy = destination.policy(context.runtime.supply(), context.now).here()?;
    let asked = Asked { credentials, policy: &policy, destination, context };
    match reason {
        Reason::CredentialsMissing => Some(asked.missing(proofs)),
        Reason::CredentialsRepeated => Some(asked.repeated()),
        Reason::TokenTooLarge => Some(format!("Authorization has a token of more than {MAX_TOKEN_BYTES} bytes")),
        Reason::TokenClaimRefused => asked.unfit(policy.demand.knows(proofs?)?.as_ref()),
        Reason::TokenNotBound => Some(asked.unbound()),
        Reason::TokenInactive => Some(format!("the endpoint of {} says that the token is not active", asked.introspection())),
        Reason::IntrospectionUnavailable => Some(format!("the endpoint of {} gave no usable answer", asked.introspection())),
        Reason::ApiKeyUnknown => Some(asked.unknown_key()),
        Reason::PasswordWrong => Some(format!("no user of {} has this name and password", asked.names(&policy.passwords))),
        Reason::CertificateRefused => Some(asked.certificate()),
        Reason::KeysUnavailable => Some(format!("there are no keys of {}: see jwks there, and the log", asked.issuers())),
        other => asked.token(fault(other)?),
    }
}

/// Why the scopes of a caller who is known do not do.
#[cold]
#[inline(never)]
#[must_use]
pub fn lacks_scopes(scopes: &[String], proofs: &Proofs, policy: &Policy, at: &Destination, context: &Context<'_>) -> Option<String> {
    if !context.runtime.tells() {
        return None;
    }
    let index = policy.demand.place(proofs).map(|index| format!("[{index}]")).unwrap_or_default();
    let has = policy.demand.knows(proofs).map(|caller| quoted::list(&caller.scopes)).unwrap_or_default();
    Some(format!("{}.security{index}: scopes {} needed, the caller has {has}", place(at.target()), quoted::list(scopes)))
}

/// What in the head of a request to `agent` is wrong that is refused for `reason`.
#[cold]
#[inline(never)]
#[must_use]
pub fn of_head(reason: Reason, head: &Head<'_>, agent: &Agent, context: &Context<'_>) -> Option<String> {
    if !context.runtime.tells() {
        return None;
    }
    match reason {
        Reason::VersionMalformed | Reason::VersionConflict | Reason::VersionNotSupported | Reason::VersionMismatch => {
            let said = head.headers.all(version::HEADER).map(|line| String::from_utf8_lossy(line).into_owned());
            let said: Vec<String> = said.take(3).collect();
            let offered: Vec<&str> = agent.versions().map(Version::as_str).collect();
            Some(format!("header a2a-version is {}; offered: {}", quoted::list(&said), offered.join(", ")))
        }
        Reason::OperationUnknown => Some(format!("{} is no operation at this path", quoted::text(head.method))),
        Reason::MethodRefused => Some(format!("the method is {}", quoted::text(head.method))),
        Reason::MediaTypeRefused => {
            let said = head.headers.all("content-type").map(|line| String::from_utf8_lossy(line).into_owned());
            Some(format!("content-type is {}", quoted::list(&said.take(3).collect::<Vec<_>>())))
        }
        _ => None,
    }
}

/// The reason of a refusal as what is wrong with a token.
const fn fault(reason: Reason) -> Option<VerifyError> {
    Some(match reason {
        Reason::TokenMalformed => VerifyError::Malformed,
        Reason::TokenIssuerUnknown => VerifyError::Issuer,
        Reason::TokenTypeRefused => VerifyError::Type,
        Reason::TokenAlgorithmRefused => VerifyError::Algorithm,
        Reason::TokenKeyUnknown => VerifyError::Key,
        Reason::TokenSignatureInvalid => VerifyError::Signature,
        Reason::TokenExpired => VerifyError::Expired,
        Reason::TokenNotYetValid => VerifyError::NotYetValid,
        Reason::TokenAudienceMismatch => VerifyError::Audience,
        Reason::TokenLifetimeTooLong => VerifyError::Lifetime,
        Reason::TokenActorRefused => VerifyError::Actor,
        _ => return None,
    })
}

/// A request that is refused for its credentials.
struct Asked<'a> {
    credentials: &'a Credentials<'a>,
    policy: &'a Policy,
    destination: &'a Destination,
    context: &'a Context<'a>,
}

impl Asked<'_> {
    fn at(&self) -> String {
        place(self.destination.target())
    }

    /// A scheme, with the place that its credentials have in a request.
    fn scheme(&self, index: usize) -> String {
        let config = self.context.runtime.config();
        let name = config.schemes().keys().nth(index).map_or("", String::as_str);
        let how = match config.scheme_at(index) {
            Some(Scheme::Bearer(_) | Scheme::Introspection(_)) => "Authorization: Bearer".to_owned(),
            Some(Scheme::Basic(_)) => "Authorization: Basic".to_owned(),
            Some(Scheme::MutualTls(_)) => "client certificate".to_owned(),
            Some(Scheme::ApiKey(key)) => match key.place {
                KeyPlace::Header => format!("header {}", key.name),
                KeyPlace::Query => format!("query {}", key.name),
                KeyPlace::Cookie => format!("cookie {}", key.name),
            },
            Some(Scheme::None(_)) | None => "nothing".to_owned(),
        };
        format!("schemes.{name} ({how})")
    }

    fn names(&self, schemes: &[usize]) -> String {
        let all: Vec<String> = schemes.iter().take(MAX_NAMED).map(|index| self.scheme(*index)).collect();
        all.join(", ")
    }

    fn issuers(&self) -> String {
        let mut all: Vec<String> = self.policy.tokens.iter().map(|taken| format!("issuers[{}]", taken.issuer)).collect();
        all.dedup();
        all.truncate(MAX_NAMED);
        all.join(", ")
    }

    fn introspection(&self) -> String {
        self.names(self.policy.introspection.as_slice())
    }

    /// What is needed, and what was proved, if not all that one requirement names.
    fn missing(&self, proofs: Option<&Proofs>) -> String {
        let requirements: Vec<String> = self
            .policy
            .demand
            .requirements()
            .take(MAX_NAMED)
            .map(|schemes| schemes.map(|index| self.scheme(index)).collect::<Vec<_>>().join(" and "))
            .collect();
        let proved: Vec<usize> = proofs.into_iter().flat_map(Proofs::schemes).collect();
        let has = if proved.is_empty() { "nothing of that".to_owned() } else { self.names(&proved) };
        format!("{}.security: {} needed, the request has {has}", self.at(), requirements.join(", or "))
    }

    fn repeated(&self) -> String {
        let key = self.credentials.keys.iter().find(|(_, key)| matches!(key, Err(KeyError::Repeated)));
        match (&self.credentials.token, self.credentials.password, key) {
            (_, _, Some((scheme, _))) => format!("{} is there several times", self.scheme(*scheme)),
            (Err(BearerError::Repeated), ..) => {
                "several Authorization headers, a comma in one, or access_token in the query beside it".to_owned()
            }
            (_, Err(BasicError::Repeated), _) => "several Authorization headers".to_owned(),
            _ => "a credential is there several times".to_owned(),
        }
    }

    fn token(&self, fault: VerifyError) -> Option<String> {
        let Ok(token) = &self.credentials.token else { return Some("Authorization is not Bearer with one token behind it".to_owned()) };
        let agent = self.destination.agent().map(|agent| agent.index);
        let config = self.context.runtime.config();
        let place = why::Place { config, taken: &self.policy.tokens, agent, now: self.context.now };
        let said = why::token(token, fault, &place);
        Some(match self.policy.introspection {
            // What the endpoint said is not kept.
            Some(_) if said.ends_with("unverified") || !token.contains('.') => format!("as the endpoint of {} says", self.introspection()),
            _ => said,
        })
    }

    /// The header that cannot say what the caller's token has.
    fn unfit(&self, caller: &Caller) -> Option<String> {
        let agent = self.destination.agent()?;
        let unfit = |source: &HeaderSource| match source {
            HeaderSource::Claim(index) => caller.forwarded.get(*index) == Some(&Forwarded::Unfit),
            HeaderSource::Member(..) => false,
        };
        let index = agent.forward.headers.iter().position(|header| unfit(&header.source))?;
        Some(format!("{}.forward.headers[{index}]: no header value can say the claim that is named there", self.at()))
    }

    fn unbound(&self) -> String {
        let has =
            |peer: Option<&Peer>| if peer.is_some_and(|peer| peer.digest.is_some()) { "another certificate" } else { "no certificate" };
        let config = self.context.runtime.config();
        let bound = self.policy.tokens.iter().find_map(|taken| Some((taken.scheme, config.scheme_at(taken.scheme)?.bound()?)));
        match bound {
            None => "the token has cnf, and no scheme here looks at the client's certificate (bound)".to_owned(),
            Some((scheme, bound)) => {
                let peer = self.credentials.certificate(&bound.from).ok().flatten();
                format!("{}: the token is bound to no certificate, or the client has {}", self.scheme(scheme), has(peer))
            }
        }
    }

    fn unknown_key(&self) -> String {
        let presented: Vec<usize> = self.credentials.keys.iter().map(|(scheme, _)| *scheme).collect();
        format!("the key is none of {}", self.names(&presented))
    }

    fn certificate(&self) -> String {
        let config = self.context.runtime.config();
        for index in &self.policy.certificates {
            let Some(Scheme::MutualTls(tls)) = config.scheme_at(*index) else { continue };
            let said = match self.credentials.certificate(&tls.from) {
                Err(_) => {
                    "x-forwarded-client-cert is not from one of its proxies, has another number of elements, or cannot be read".to_owned()
                }
                Ok(None) => continue,
                Ok(Some(peer)) => match peer.identity() {
                    Some(identity) => format!("allow does not have {}", quoted::text(identity.as_str())),
                    None => "the certificate names nobody in visible ASCII".to_owned(),
                },
            };
            return format!("{}: {said}", self.scheme(*index));
        }
        "there is no client certificate".to_owned()
    }
}

/// Most schemes, issuers or requirements that are named.
const MAX_NAMED: usize = 4;
