//! What a user agreed to: the tokens that one server gave for it, as they lie in the store, sealed.

use super::endpoint::digest;
use super::user::User;
use super::user_tokens::UserTokens;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// How long a token is used whose answer does not say it, if there is a way to renew it.
const UNSAID_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a grant lies that nobody uses and that can be renewed; and the longest life of a token that cannot be.
pub const LONGEST_IDLE: Duration = Duration::from_secs(90 * 24 * 3600);

/// A grant of one user.
#[derive(Clone)]
pub struct Grant {
    /// Who agreed, and for which client.
    pub user: User,
    /// Through which connection.
    pub connection: String,
    /// The access token.
    pub access: SecretString,
    /// When it was asked for.
    pub since: UnixTime,
    /// First moment at which it is no longer good.
    pub until: UnixTime,
    /// With what a new one is asked for.
    pub refresh: Option<SecretString>,
    /// A digest of what was asked for: where that changes, the user is asked again.
    pub asked: [u8; 16],
    /// What the server says that it gave, or else what was asked for.
    pub scopes: Vec<String>,
    /// When the user agreed.
    pub agreed: UnixTime,
    /// Who renews it, until when. Nobody else may meanwhile: many servers take a refresh token once.
    pub lease: Option<(u64, UnixTime)>,
}

impl fmt::Debug for Grant {
    /// Without anything of the user.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Grant").field("connection", &self.connection).field("until", &self.until).finish_non_exhaustive()
    }
}

/// What a user is asked for, as a digest: registration, client, scopes and resources.
#[must_use]
pub fn asked(issuer: Option<&str>, client: &str, scopes: &[String], resource: &[String]) -> [u8; 16] {
    let lists = [("scope", scopes), ("resource", resource)];
    let lists = lists.into_iter().flat_map(|(name, list)| list.iter().flat_map(move |value| [name, value.as_str()]));
    let key = digest(["attache asked 1", issuer.unwrap_or_default(), client].into_iter().chain(lists));
    key.first_chunk().copied().unwrap_or_default()
}

/// Scopes that say how tokens come, not what they are good for: servers leave them out of what they gave.
const SILENT: [&str; 2] = ["openid", "offline_access"];
/// Most scopes that are kept of what a server says.
const MOST_SCOPES: usize = 64;

/// Those of `asked` that `said`, the `scope` of an answer, has, and what that has besides.
fn given(asked: &[String], said: &str) -> Vec<String> {
    let is_said = |scope: &String| SILENT.contains(&scope.as_str()) || said.split(' ').any(|one| one == scope);
    let own = asked.iter().filter(|scope| is_said(scope)).cloned();
    let more = said.split(' ').filter(|one| !one.is_empty() && asked.iter().all(|scope| scope != one)).map(str::to_owned);
    own.chain(more).take(MOST_SCOPES).collect()
}

impl Grant {
    /// What `user` agreed to at `agreed`: scopes, and the digest of all that was asked for; with the tokens, and when they were asked for.
    #[must_use]
    pub fn new(
        user: User,
        connection: String,
        (scopes, asked): (Vec<String>, [u8; 16]),
        (tokens, since): (UserTokens, UnixTime),
        agreed: UnixTime,
    ) -> Self {
        let access = tokens.access.clone();
        let own = Self { user, connection, access, since, until: since, refresh: None, asked, scopes, agreed, lease: None };
        own.with(tokens, since)
    }

    /// The same with `tokens`, which were asked for at `since`. A server that gives no new refresh token means the old one
    /// (RFC 6749 section 6).
    #[must_use]
    pub fn with(self, tokens: UserTokens, since: UnixTime) -> Self {
        let refresh = tokens.refresh.or(self.refresh);
        let longest = if refresh.is_some() { UNSAID_LIFETIME } else { LONGEST_IDLE };
        let lifetime = tokens.lifetime.unwrap_or(longest).min(LONGEST_IDLE);
        let scopes = tokens.scope.map(|said| given(&self.scopes, &said)).unwrap_or(self.scopes);
        Self { access: tokens.access, since, until: since.plus(lifetime), refresh, scopes, lease: None, ..self }
    }

    /// Until when it is of any use.
    #[must_use]
    pub fn ends(&self, now: UnixTime) -> UnixTime {
        if self.refresh.is_some() { now.plus(LONGEST_IDLE) } else { self.until }
    }

    /// As bytes, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let time = |time: UnixTime| time.since(UnixTime::default()).as_secs();
        json!({
            "user": self.user.to_value(), "connection": self.connection, "access": self.access.expose_secret(), "since": time(self.since),
            "until": time(self.until), "refresh": self.refresh.as_ref().map(|token| token.expose_secret()), "asked": self.asked,
            "scopes": self.scopes, "agreed": time(self.agreed), "lease": self.lease.map(|(who, until)| (who, time(until))),
        })
        .to_string()
        .into_bytes()
    }

    /// What [`Grant::to_bytes`] made of one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let time = |value: &Value| value.as_u64().map(UnixTime::from_secs);
        let at = |name: &str| time(value.get(name)?);
        let asked = value.get("asked")?.as_array()?.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()));
        let scopes = value.get("scopes")?.as_array()?.iter().map(|scope| scope.as_str().map(str::to_owned));
        let lease = value.get("lease").and_then(Value::as_array).and_then(|lease| match lease.as_slice() {
            [who, until] => Some((who.as_u64()?, time(until)?)),
            _ => None,
        });
        Some(Self {
            user: User::from_value(value.get("user")?)?,
            connection: text("connection")?,
            access: text("access")?.into(),
            since: at("since")?,
            until: at("until")?,
            refresh: text("refresh").map(SecretString::from),
            asked: asked.collect::<Option<Vec<u8>>>()?.try_into().ok()?,
            scopes: scopes.collect::<Option<_>>()?,
            agreed: at("agreed")?,
            lease,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Grant, LONGEST_IDLE, UserTokens, asked};
    use crate::credential::user::User;
    use crate::wire::time::UnixTime;
    use secrecy::ExposeSecret;
    use std::time::Duration;

    fn grant() -> Grant {
        let user = User { issuer: "i".to_owned(), tenant: None, subject: "ann".to_owned(), client: Some("c".to_owned()) };
        let at = UnixTime::from_secs;
        Grant {
            user,
            connection: "hr".to_owned(),
            access: "a".to_owned().into(),
            since: at(1),
            until: at(2),
            refresh: Some("r".to_owned().into()),
            asked: [7; 16],
            scopes: vec!["s".to_owned()],
            agreed: at(1),
            lease: Some((u64::MAX, at(9))),
        }
    }

    fn tokens(lifetime: Option<u64>, refresh: Option<&str>) -> UserTokens {
        let refresh = refresh.map(|token| token.to_owned().into());
        UserTokens { access: "b".to_owned().into(), lifetime: lifetime.map(Duration::from_secs), refresh, id_token: None, scope: None }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        for grant in [grant(), Grant { refresh: None, lease: None, scopes: Vec::new(), ..grant() }] {
            let read = Grant::from_bytes(&grant.to_bytes()).unwrap();
            assert_eq!(read.to_bytes(), grant.to_bytes());
            assert_eq!((read.lease, read.asked, read.user), (grant.lease, grant.asked, grant.user));
        }
        assert!(Grant::from_bytes(b"{}").is_none() && Grant::from_bytes(b"").is_none());
        assert!(!format!("{:?}", grant()).contains("ann"));
    }

    #[test]
    fn tokens_that_come_later_take_the_place_of_those_before() {
        let since = UnixTime::from_secs(100);
        let renewed = grant().with(tokens(Some(60), None), since);
        assert_eq!((renewed.until, renewed.lease), (UnixTime::from_secs(160), None));
        assert_eq!((renewed.access.expose_secret(), renewed.refresh.unwrap().expose_secret()), ("b", "r"), "the old one goes on");
        let rotated = grant().with(tokens(None, Some("r2")), since);
        assert_eq!((rotated.refresh.clone().unwrap().expose_secret(), rotated.until), ("r2", UnixTime::from_secs(3700)));
        assert_eq!(rotated.ends(since), since.plus(LONGEST_IDLE));
        let plain = Grant { refresh: None, ..grant() }.with(tokens(None, None), since);
        assert_eq!((plain.until, plain.ends(since)), (since.plus(LONGEST_IDLE), since.plus(LONGEST_IDLE)), "it never expires by itself");
    }

    #[test]
    fn scopes_are_those_that_the_server_says() {
        let asked = ["openid", "tasks.read", "tasks.write", "offline_access"].map(str::to_owned).to_vec();
        for (said, expected) in [
            (None, "openid tasks.read tasks.write offline_access"),
            (Some("tasks.read"), "openid tasks.read offline_access"),
            (Some("tasks.write  tasks.read more"), "openid tasks.read tasks.write offline_access more"),
            (Some(""), "openid offline_access"),
            (Some("Tasks.read"), "openid offline_access Tasks.read"),
        ] {
            let tokens = UserTokens { scope: said.map(str::to_owned), ..tokens(None, None) };
            let granted = Grant { scopes: asked.clone(), ..grant() }.with(tokens, UnixTime::from_secs(1));
            assert_eq!(granted.scopes.join(" "), expected, "{said:?}");
        }
        let many = (0..100).map(|number| format!("s{number}")).collect::<Vec<_>>().join(" ");
        assert_eq!(super::given(&asked, &many).len(), super::MOST_SCOPES);
    }

    #[test]
    fn what_is_asked_for_is_told_apart() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let own = asked(Some("i"), "c", &list(&["a", "b"]), &[]);
        assert_eq!(own, asked(Some("i"), "c", &list(&["a", "b"]), &[]));
        for other in [
            asked(Some("i"), "c", &list(&["a"]), &[]),
            asked(Some("i"), "c", &list(&["a"]), &list(&["b"])),
            asked(Some("i"), "d", &list(&["a", "b"]), &[]),
            asked(None, "c", &list(&["a", "b"]), &[]),
        ] {
            assert_ne!(own, other);
        }
    }
}
