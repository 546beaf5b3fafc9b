//! What a call that leaves does not take along: the client's own credentials, by whatever name, and those of other places. Beside
//! a credential of ours they were meant for somebody else, and a remote agent that looks at them first would obey the client.

use crate::config::{Asked, Config, Connection, FieldName, Fields, folded};
use crate::flow::event::Effect;
use crate::wire::header::Headers;
use crate::wire::sorted::SortedSet;
use std::rc::Rc;

/// Headers that hold credentials, folded. Whole names first: those of HTTP, then of clouds and their proxies, which tell who is
/// signed in (Google's IAP, App Service, oauth2-proxy, load balancers of AWS, Envoy).
const HEADERS: [&str; 11] = [
    "cookie",
    "cookie2",
    "xforwardedclientcert",
    "xforwardeduser",
    "xforwardedemail",
    "xforwardedgroups",
    "xforwardedpreferredusername",
    "xendpointapiuserinfo",
    "xidentityheader",
    "xhoneycombteam",
    "xfunctionskey",
];
const HEADERS_BEGIN: [&str; 8] =
    ["xmstoken", "xmsclientprincipal", "xgoogauthenticateduser", "xgoogiap", "xauthrequest", "xamznoidc", "xamzsecurity", "xoidc"];
/// Nearly every service names its key so: `x-api-key`, `x-auth-token`, `private-token`, `x-vault-token`, `x-zumo-auth`,
/// `ocp-apim-subscription-key`, `x-goog-iap-jwt-assertion`, `dd-application-key`, `x-serverless-authorization`.
const HEADERS_END: [&str; 15] = [
    "apikey",
    "accesskey",
    "secretkey",
    "subscriptionkey",
    "applicationkey",
    "authkey",
    "token",
    "secret",
    "password",
    "authorization",
    "authorizationauxiliary",
    "auth",
    "assertion",
    "jwt",
    "credential",
];
/// Query parameters that hold credentials, folded. Whole names only where A2A has one that ends alike (`pageToken`). `code` is the
/// key of an Azure function, `sig` and those with `x-amz` and `x-goog` are signatures, `key` is Google's and many others'.
const QUERY: [&str; 22] = [
    "key",
    "token",
    "auth",
    "jwt",
    "code",
    "sig",
    "sas",
    "ticket",
    "bearer",
    "passwd",
    "pwd",
    "session",
    "sessionid",
    "jsessionid",
    "phpsessid",
    "signature",
    "xamzsignature",
    "xamzcredential",
    "xamzsecuritytoken",
    "xgoogsignature",
    "xgoogcredential",
    "awsaccesskeyid",
];
const QUERY_END: [&str; 14] = [
    "apikey",
    "accesskey",
    "secretkey",
    "subscriptionkey",
    "functionskey",
    "accesstoken",
    "authtoken",
    "idtoken",
    "refreshtoken",
    "sessiontoken",
    "secret",
    "password",
    "authorization",
    "assertion",
];

/// What the calls of one connection do not take along.
#[derive(Debug)]
pub struct Dropped {
    /// Folded names of the headers in which this configuration has credentials.
    own: SortedSet<String>,
    /// The same of parameters.
    own_query: SortedSet<String>,
    drop: Fields,
    keep: Fields,
    /// What becomes of the credentials that callers asked for, if these are notifications.
    asked: Option<Asked>,
}

/// Headers in which an agent sends what its caller's configuration asked for.
const ASKED: [&str; 2] = ["authorization", "x-a2a-notification-token"];

impl Dropped {
    /// For each connection of `config`.
    #[must_use]
    pub fn of(config: &Config) -> Vec<Self> {
        let fold = |names: SortedSet<&str>| -> SortedSet<String> { names.into_iter().map(folded).collect() };
        let (own, own_query) = (fold(config.credential_headers()), fold(config.credential_parameters()));
        let dropped = |Connection { drop, keep, notifications, .. }: &Connection| Self {
            own: own.clone(),
            own_query: own_query.clone(),
            drop: drop.clone(),
            keep: keep.clone(),
            asked: notifications.as_ref().map(|own| own.asked),
        };
        config.connections.iter().map(Rc::as_ref).map(dropped).collect()
    }

    /// Whether the header of this name, in lower case, does not go along.
    #[must_use]
    pub fn drops(&self, header: &str) -> bool {
        let name = folded(header);
        let is_named = |list: &[FieldName]| list.iter().any(|own| own.covers(&name));
        // In whichever of them the connection's own credential is, `Authorization` says whether that is needed.
        if self.asked == Some(Asked::Keep) && ASKED.contains(&header) && (header == "authorization" || !self.own.contains(&name)) {
            return is_named(&self.drop.headers);
        }
        self.own.contains(&name) || (is_credential_folded(&name) || is_named(&self.drop.headers)) && !is_named(&self.keep.headers)
    }

    /// What removes headers.
    pub fn headers<'a>(&self, headers: &'a Headers) -> impl Iterator<Item = Effect> + use<'a> {
        let mut names: Vec<&str> = headers.names().filter(|name| !name.starts_with(':') && self.drops(name)).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| Effect::RemoveHeader(name.to_owned().into()))
    }

    /// `target` without such parameters, if there are some in its query. Everything else stays as it is.
    #[must_use]
    pub fn target(&self, target: &str) -> Option<String> {
        let (path, query) = target.split_once('?')?;
        let drops = |pair: &&str| {
            let pair = form_urlencoded::parse(pair.as_bytes()).next();
            pair.is_some_and(|(name, _)| self.drops_parameter(&folded(&name)))
        };
        if !query.split('&').any(|pair| drops(&pair)) {
            return None;
        }
        let kept: Vec<&str> = query.split('&').filter(|pair| !drops(pair)).collect();
        Some(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
    }

    fn drops_parameter(&self, name: &str) -> bool {
        // The URL of a webhook is its owner's own, with all that is in it.
        let is_known = self.asked.is_none() && (QUERY.contains(&name) || QUERY_END.iter().any(|end| name.ends_with(end)));
        let is_named = |list: &[FieldName]| list.iter().any(|own| own.covers(name));
        self.own_query.contains(name) || (is_known || is_named(&self.drop.query)) && !is_named(&self.keep.query)
    }
}

/// Whether the header `name` holds a credential, by its name alone.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    is_credential_folded(&folded(name))
}

fn is_credential_folded(name: &str) -> bool {
    HEADERS.contains(&name)
        || HEADERS_BEGIN.iter().any(|start| name.starts_with(start))
        || HEADERS_END.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::{Config, Dropped, Effect, Headers, is_credential};
    use serde_json::json;

    fn dropped(drop: &serde_json::Value, keep: &serde_json::Value) -> Dropped {
        let config = json!({"secrets": {"s": {"env": "S"}}, "connections": [
            {"name": "a", "match": {"hosts": ["a"], "path_prefix": "/"}, "version": "1.0", "pin": "none", "drop": drop, "keep": keep,
             "credential": {"header": {"name": "x-partner", "value": {"secret": "s"}}}},
            {"name": "b", "match": {"hosts": ["b"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
             "credential": {"header": {"name": "x-of-another", "value": {"secret": "s"}}}}]});
        Dropped::of(&Config::parse(config.to_string().as_bytes()).unwrap()).swap_remove(0)
    }

    #[test]
    fn look_alikes_are_credentials() {
        for name in [
            "authorization",
            "proxy_authorization",
            "x-serverless-authorization",
            "cookie",
            "x_api_key",
            "api-key",
            "apikey",
            "x-auth-token",
            "private-token",
            "x-amz-security-token",
            "x-goog-iap-jwt-assertion",
            "x-goog-authenticated-user-email",
            "x-ms-token-aad-access-token",
            "x_ms_token_aad_expires_on",
            "x-ms-client-principal-name",
            "x-forwarded-access-token",
            "x-functions-key",
            "ocp-apim-subscription-key",
            "x-zumo-auth",
            "x-forwarded-client-cert",
            "x-amzn-oidc-data",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in [
            "accept",
            "content-type",
            "a2a-version",
            "a2a-extensions",
            "traceparent",
            "x-request-id",
            "x-forwarded-for",
            "user-agent",
            "idempotency-key",
            "last-event-id",
            "grpc-timeout",
            "x-amz-date",
        ] {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn a_connection_can_drop_more_and_keep_some() {
        let names = |dropped: &Dropped| {
            let given = ["x_tenant", "x-corp-a", "cookie", "x-partner", "x_of_another", "x-ms-token-aad", "accept", "cookie", ":path"];
            let headers = Headers::new(given.map(|name| (name.to_owned(), b"v".to_vec())).to_vec());
            let name = |effect: Effect| match effect {
                Effect::RemoveHeader(name) => name.into_owned(),
                other => panic!("{other:?}"),
            };
            dropped.headers(&headers).map(name).collect::<Vec<_>>()
        };
        let usual = dropped(&json!({}), &json!({}));
        assert_eq!(names(&usual), ["cookie", "x-ms-token-aad", "x-partner", "x_of_another"]);
        let other = dropped(&json!({"headers": ["X-Tenant", "x-corp-*"]}), &json!({"headers": ["cookie", "x-ms-token-*"]}));
        assert_eq!(names(&other), ["x-corp-a", "x-partner", "x_of_another", "x_tenant"]);
    }

    #[test]
    fn the_query_loses_credentials_and_nothing_else() {
        let usual = dropped(&json!({}), &json!({}));
        let other = dropped(&json!({"query": ["tenant"]}), &json!({"query": ["code", "key"]}));
        for (target, by_default, otherwise) in [
            ("/a?api_key=x&b=%2F+&Api-Key=y&%61pikey=z", Some("/a?b=%2F+"), Some("/a?b=%2F+")),
            ("/a?access_token=x", Some("/a"), Some("/a")),
            ("/a?code=x&key=y&tenant=z", Some("/a?tenant=z"), Some("/a?code=x&key=y")),
            ("/tasks?pageToken=x&page_token=y&A2A-Version=1.0&contextId=c", None, None),
            ("/a?=x&&b", None, None),
            ("/api_key=x", None, None),
        ] {
            assert_eq!(usual.target(target).as_deref(), by_default, "{target}");
            assert_eq!(other.target(target).as_deref(), otherwise, "{target}");
        }
    }
}
