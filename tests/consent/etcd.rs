//! An etcd as far as a filter asks it, and another Envoy that shares it.

use attache::credential::grant::Grant;
use attache::credential::seal::KeyRing;
use attache::credential::user::{GrantKey, User};
use attache::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What another Envoy does to a grant.
type Edit = Box<dyn Fn(&mut Grant)>;

#[derive(Default)]
pub struct Etcd {
    /// Values and the revisions of their last changes.
    values: BTreeMap<String, (String, u64)>,
    revision: u64,
    /// How often it was read.
    pub reads: u32,
    /// It answers nobody.
    pub is_away: bool,
    /// After so many more reads another Envoy does this.
    pub then: Option<(u32, Edit)>,
}

impl Etcd {
    pub fn answer(&mut self, path: &str, body: &str) -> (u16, String) {
        if self.is_away {
            return (504, String::new());
        }
        let asked: Value = serde_json::from_str(body).unwrap();
        let answer = match path {
            "/v3/kv/range" => {
                self.reads += 1;
                if let Some((rest, edit)) = self.then.take() {
                    match rest {
                        0 => self.edit(edit),
                        rest => self.then = Some((rest - 1, edit)),
                    }
                }
                self.found(asked["key"].as_str().unwrap())
            }
            "/v3/kv/txn" => self.transaction(&asked),
            "/v3/lease/grant" => json!({"ID": asked["ID"]}),
            other => panic!("it is asked {other}"),
        };
        (200, answer.to_string())
    }

    fn found(&self, key: &str) -> Value {
        let list: Vec<Value> = self
            .values
            .get(key)
            .map(|(value, revision)| json!({"key": key, "value": value, "mod_revision": revision.to_string()}))
            .into_iter()
            .collect();
        json!({"header": {"revision": self.revision.to_string()}, "kvs": list})
    }

    fn transaction(&mut self, asked: &Value) -> Value {
        let key = asked["failure"][0]["request_range"]["key"].as_str().unwrap();
        let revision = self.values.get(key).map_or(0, |(_, revision)| *revision).to_string();
        let wanted = &asked["compare"][0]["mod_revision"];
        if !wanted.is_null() && *wanted != revision.as_str() {
            return json!({"header": {"revision": self.revision.to_string()}, "responses": [{"response_range": self.found(key)}]});
        }
        self.revision += 1;
        match asked["success"][0]["request_put"]["value"].as_str() {
            Some(value) => drop(self.values.insert(key.to_owned(), (value.to_owned(), self.revision))),
            None => drop(self.values.remove(key)),
        }
        json!({"header": {"revision": self.revision.to_string()}, "succeeded": true})
    }

    /// Where ann's grant lies.
    fn place() -> (GrantKey, String) {
        let user = User {
            issuer: "https://corp.example".to_owned(),
            tenant: None,
            subject: "ann".to_owned(),
            client: Some("orchestrator".to_owned()),
        };
        let key = user.key("hr", "hr");
        let text = |bytes: &[u8]| attache::wire::base64url::encode(bytes);
        (key, STANDARD.encode(format!("attache/g/{}/{}", text(&key.user), text(&key.grant))))
    }

    fn ring() -> KeyRing {
        KeyRing::new(std::iter::once(("k1", &super::KEY.to_owned().into()))).unwrap()
    }

    /// Ann's grant.
    pub fn grant(&self) -> (Grant, UnixTime) {
        let (key, name) = Self::place();
        let bytes = STANDARD.decode(&self.values[&name].0).unwrap();
        let (until, sealed) = bytes.split_first_chunk().unwrap();
        let plain = Self::ring().open(&[b"grant", &key.user, &key.grant], sealed).unwrap();
        (Grant::from_bytes(secrecy::ExposeSecret::expose_secret(&plain)).unwrap(), UnixTime::from_bytes(*until))
    }

    /// Another Envoy changes it.
    pub fn edit(&mut self, edit: impl Fn(&mut Grant)) {
        let (mut grant, until) = self.grant();
        edit(&mut grant);
        let (key, name) = Self::place();
        self.revision += 1;
        let nonce = [u8::try_from(self.revision % 256).unwrap(); 24];
        let sealed = Self::ring().seal(&[b"grant", &key.user, &key.grant], nonce, &grant.to_bytes());
        self.values.insert(name, (STANDARD.encode([until.to_bytes(), sealed].concat()), self.revision));
    }
}
