//! Verifies tokens. A signature is checked once; whether what is signed is good is judged for each request.

use crate::flow::event::metric::Tally;
use crate::flow::event::reason::Reason;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::store::{Supply, Verifying};
use crate::identity::verify::{self, Accepted, Taken, Verified};
use std::rc::Rc;

impl Supply {
    /// What `token` says, if its signature was verified before.
    #[must_use]
    pub fn recall(&self, token: &str) -> Option<Rc<Verified>> {
        self.remembered.borrow_mut().recall(token)
    }

    /// Verifies `token` where those that are `taken` are. `known` is what [`Supply::recall`] has of it. With `may_wait`, missing keys are waited for once.
    #[must_use]
    pub fn authenticate(
        &self,
        (token, known): (&str, Option<&Verified>),
        taken: &[Taken],
        may_wait: bool,
        context: &Verifying<'_>,
    ) -> Sought<Accepted> {
        let now = context.now;
        let issuer = |index: usize| self.config().issuers.get(index).ok_or(Sought::No(Reason::TokenIssuerUnknown));
        let judge =
            |verified: &Verified| Accepted::judge(verified, issuer(verified.issuer)?, taken, now).map_err(|error| Sought::No(error.into()));
        // A signature is worth no more than its key: beyond max_stale neither counts.
        if let Some(known) = known.filter(|known| self.keyrings.borrow().is_usable(known.issuer, now)) {
            Tally::add(&self.tally.remembered, 1);
            return judge(known).map_or_else(|refused| refused, Sought::Here);
        }
        let parts = match verify::open(token, &self.config().issuers, taken) {
            Ok(parts) => parts,
            Err(error) => return Sought::No(error.into()),
        };
        let issuer = match issuer(parts.issuer) {
            Ok(issuer) => issuer,
            Err(refused) => return refused,
        };
        let keys = match self.keyrings.borrow_mut().find(&parts, issuer, may_wait, now) {
            Sought::Here(keys) => keys,
            Sought::Wait(want) => return Sought::Wait(want),
            Sought::No(reason) => return Sought::No(reason),
        };
        Tally::add(&self.tally.examined, 1);
        let verified = match parts.verify(issuer, &keys, context.verifier) {
            Ok(verified) => Rc::new(verified),
            Err(error) => return Sought::No(error.into()),
        };
        match judge(&verified) {
            Ok(accepted) => {
                self.remembered.borrow_mut().remember(token, verified);
                Sought::Here(accepted)
            }
            Err(refused) => refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sought;
    use crate::config::{Algorithm, Config};
    use crate::credential::secrets::Secrets;
    use crate::flow::callers::credentials::Credentials;
    use crate::flow::event::target::Target;
    use crate::flow::request::head::Head;
    use crate::flow::setup::runtime::{Context, Runtime};
    use crate::identity::jwk::Key;
    use crate::identity::signature::{Software, Verifier};
    use crate::wire::header::Headers;
    use crate::wire::time::UnixTime;
    use serde_json::{Value, json};
    use std::cell::Cell;

    /// Counts the signatures that are checked.
    #[derive(Debug, Default)]
    struct Counting(Cell<usize>);

    impl Verifier for Counting {
        fn verify(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
            self.0.set(self.0.get() + 1);
            Software.verify(algorithm, key, message, signature)
        }
    }

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/vectors/tokens.json")).unwrap()
    }

    fn token(vectors: &Value, name: &str) -> String {
        let tokens = vectors["tokens"].as_array().unwrap();
        tokens.iter().find(|vector| vector["name"] == name).unwrap()["token"].as_str().unwrap().to_owned()
    }

    /// Agent 0 takes tokens of `corp`, agent 1 those of another issuer, agent 2 of both.
    fn runtime(vectors: &Value, changes: &Value) -> Runtime {
        let mut corp = json!({"name": "corp", "issuer": vectors["issuer"], "audiences": [vectors["audience"]],
            "algorithms": vectors["algorithms"], "jwks": {"inline": vectors["keys"]}});
        for (name, value) in changes.as_object().unwrap() {
            corp[name] = value.clone();
        }
        let other = json!({"name": "other", "issuer": "https://other.example", "audiences": ["x"], "jwks": {"inline": vectors["keys"]}});
        let agent = |name: &str, scheme: &str| {
            json!({"name": name, "match": {"hosts": ["*"], "path_prefix": format!("/{name}")}, "security": [{scheme: []}],
                "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "default_version": "1.0"})
        };
        let mut foreign = agent("d", "corp");
        foreign["audiences"] = json!(["https://other.example"]);
        let mut either = agent("h", "typed");
        either["security"] = json!([{"typed": []}, {"foreign": []}, {"corp": []}]);
        let agents = [
            agent("a", "corp"),
            agent("b", "other"),
            agent("c", "both"),
            foreign,
            agent("e", "typed"),
            agent("f", "short"),
            agent("g", "roles"),
            either,
        ];
        let taking = |terms: Value| {
            let mut bearer = json!({"issuers": ["corp"]});
            bearer.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
            json!({"bearer": bearer})
        };
        let config = json!({"issuers": [corp, other], "agents": agents,
            "schemes": {"typed": taking(json!({"token_types": ["logout+jwt"]})), "short": taking(json!({"max_lifetime": "1s"})),
                        "roles": taking(json!({"required": ["roles"]})), "foreign": taking(json!({"audiences": ["x"]})),
                        "corp": {"bearer": {"issuers": ["corp"]}}, "other": {"bearer": {"issuers": ["other"]}},
                        "both": {"bearer": {"issuers": ["other", "corp"]}}}});
        Runtime::new(Config::parse(config.to_string().as_bytes()).unwrap(), Secrets::default()).unwrap().seeded(42)
    }

    /// What agent `index` makes of `token`.
    fn at(runtime: &Runtime, index: usize, token: &str, verifier: &Counting, now: u64) -> &'static str {
        let list = [(":method", "POST"), (":path", "/a"), (":authority", "h"), ("authorization", &format!("Bearer {token}"))];
        let headers = Headers::new(list.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec());
        let head = Head::read(&headers).unwrap();
        let context = Context { runtime, verifier, now: UnixTime::from_secs(now) };
        let destination = runtime.destination(Target::Agent(index)).unwrap();
        let policy = destination.policy(runtime.supply(), context.now).here().unwrap();
        let credentials = Credentials::read(&policy, runtime, &head, None);
        match runtime.identify(&destination, &credentials, true, &context) {
            Sought::Here(_) => "ok",
            Sought::No(reason) => reason.code(),
            Sought::Wait(_) => "wait",
        }
    }

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_token_that_one_agent_took_is_judged_anew_at_another() {
        let (vectors, verifier) = (vectors(), Counting::default());
        let (runtime, token) = (runtime(&vectors, &json!({})), token(&vectors, "RS256 good"));
        for (index, expected) in [(1, "token_issuer_unknown"), (0, "ok"), (1, "token_issuer_unknown"), (2, "ok"), (0, "ok")] {
            assert_eq!(at(&runtime, index, &token, &verifier, NOW), expected, "agent {index}");
        }
        assert_eq!(verifier.0.get(), 1, "one signature, checked once");
    }

    #[test]
    fn each_agent_has_terms_of_its_own() {
        let (vectors, verifier) = (vectors(), Counting::default());
        let (runtime, token) = (runtime(&vectors, &json!({})), token(&vectors, "RS256 good"));
        let refusing = [(3, "token_audience_mismatch"), (4, "token_type_refused"), (5, "token_lifetime_too_long"), (6, "token_malformed")];
        // Before another took it, and after.
        for (index, expected) in refusing.into_iter().chain([(7, "ok"), (0, "ok")]).chain(refusing) {
            assert_eq!(at(&runtime, index, &token, &verifier, NOW), expected, "agent {index}");
        }
        // Only what was taken is remembered, and of a type that nobody takes no signature is checked.
        assert_eq!(verifier.0.get(), 4);
    }

    #[test]
    fn what_a_remembered_token_is_good_for_ends() {
        let (vectors, verifier) = (vectors(), Counting::default());
        let runtime = runtime(&vectors, &json!({"max_token_age": "120000000s"}));
        let token = token(&vectors, "RS256 good");
        for (now, expected) in [(NOW, "ok"), (1_700_000_000 - 60, "token_not_yet_valid"), (NOW, "ok"), (1_900_000_000, "token_expired")] {
            assert_eq!(at(&runtime, 0, &token, &verifier, now), expected, "{now}");
        }
        assert_eq!(verifier.0.get(), 1);
    }

    #[test]
    fn only_what_was_verified_and_taken_is_remembered() {
        let (vectors, verifier) = (vectors(), Counting::default());
        let (runtime, good) = (runtime(&vectors, &json!({})), token(&vectors, "RS256 good"));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let other = format!("{signed}.A{}", &signature[1..]);
        for _ in 0..2 {
            assert_eq!(at(&runtime, 0, &other, &verifier, NOW), "token_signature_invalid");
            assert_eq!(at(&runtime, 0, &token(&vectors, "exp that has passed"), &verifier, NOW), "token_expired");
        }
        assert!(runtime.supply().recall(&other).is_none() && runtime.supply().recall(&token(&vectors, "exp that has passed")).is_none());
        // The signature of one that is remembered, under other claims.
        assert_eq!(at(&runtime, 0, &good, &verifier, NOW), "ok");
        let (header, _) = signed.split_once('.').unwrap();
        let forged = format!("{header}.{}.{signature}", "eyJzdWIiOiJyb290In0");
        assert_ne!(at(&runtime, 0, &forged, &verifier, NOW), "ok");
    }
}
