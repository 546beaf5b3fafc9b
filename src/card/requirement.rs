//! Security requirements: a list of which one has to be met whole (OR of ANDs), in both shapes. An empty list, or an empty
//! requirement in it, asks for nothing (OpenAPI 3).

use super::dialect::Dialect;
use super::model::CardError;
use super::scheme::{Kind, Scheme};
use crate::protocol::Version;
use crate::wire::sorted::SortedMap;
use serde_json::{Map, Value, json};

/// Schemes that all have to be met, by name, each with the scopes that it asks for.
pub type Requirement = SortedMap<String, Vec<String>>;

/// Longest list of requirements, and most schemes or scopes in one.
pub const MOST: usize = 64;

/// The requirements of a card or a skill: `securityRequirements` or `security`, which may hold either shape; the sample
/// card of the 1.0 specification itself said `security`.
///
/// # Errors
/// If they are no requirements, more than [`MOST`], or if both members are there and differ.
pub fn read(map: &Map<String, Value>, at: &str) -> Result<Option<Vec<Requirement>>, CardError> {
    let mut found = None;
    for name in ["securityRequirements", "security"] {
        let Some(value) = map.get(name) else { continue };
        let list = read_list(value, &format!("{at}{name}"))?;
        match &found {
            None => found = Some(list),
            Some(earlier) if *earlier == list => {}
            Some(_) => return Err(CardError::Contradiction { at: format!("{at}{name}") }),
        }
    }
    Ok(found)
}

fn read_list(value: &Value, at: &str) -> Result<Vec<Requirement>, CardError> {
    let list = value.as_array().ok_or_else(|| CardError::wrong(at, "must be a list"))?;
    if list.len() > MOST {
        return Err(CardError::wrong(at, "has too many requirements"));
    }
    list.iter().enumerate().map(|(index, one)| read_one(one, &format!("{at}[{index}]"))).collect()
}

fn read_one(value: &Value, at: &str) -> Result<Requirement, CardError> {
    let map = value.as_object().ok_or_else(|| CardError::wrong(at, "must be an object"))?;
    // In 0.3 a scheme may itself be called "schemes", but then a list stands there.
    let (schemes, wrapped) = match map.get("schemes") {
        Some(Value::Object(schemes)) if map.len() == 1 => (schemes, true),
        Some(Value::Object(_)) => return Err(CardError::wrong(at, "must hold nothing besides schemes")),
        _ => (map, false),
    };
    if schemes.len() > MOST {
        return Err(CardError::wrong(at, "has too many schemes"));
    }
    let wanted = || CardError::wrong(at, "must give each scheme a list of scopes");
    let mut requirement = Requirement::new();
    for (name, scopes) in schemes {
        let scopes = match scopes {
            Value::Object(scopes) if wrapped && scopes.keys().all(|member| member == "list") => match scopes.get("list") {
                None | Some(Value::Null) => &[],
                Some(scopes) => scopes.as_array().ok_or_else(wanted)?.as_slice(),
            },
            Value::Array(scopes) if !wrapped => scopes,
            _ => return Err(wanted()),
        };
        if scopes.len() > MOST {
            return Err(CardError::wrong(at, "has too many scopes"));
        }
        let scopes: Option<Vec<String>> =
            scopes.iter().map(|scope| scope.as_str().filter(|scope| is_scope(scope)).map(str::to_owned)).collect();
        requirement.insert(name.clone(), scopes.ok_or_else(wanted)?);
    }
    Ok(requirement)
}

/// `scope-token` of RFC 6749 section 3.3: visible ASCII without `"` and `\`.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// Schemes and requirements as a card of one version states them.
#[derive(Debug)]
pub struct Writer {
    version: Version,
    dialect: Dialect,
    schemes: SortedMap<String, Scheme>,
    /// The schemes that stand for one that had several flows.
    aliases: SortedMap<String, Vec<String>>,
}

impl Writer {
    /// Takes schemes by name. A scheme of 1.0 has one flow, so one with several becomes several: `name`,
    /// `name_clientCredentials` and so on; those of 0.3, too, with `one_flow`.
    #[must_use]
    pub fn new(given: SortedMap<String, Scheme>, version: Version, dialect: Dialect, one_flow: bool) -> Self {
        let mut schemes = given.clone();
        let mut aliases = SortedMap::new();
        if one_flow || dialect == Dialect::ProtoJson {
            for (name, scheme) in given {
                let Kind::OAuth2 { flows, metadata_url } = scheme.kind else { continue };
                let mut names = vec![name.clone()];
                for flow in flows.iter().skip(1) {
                    let mut other = format!("{name}_{}", flow.grant.name());
                    while schemes.contains_key(&other) {
                        other.push('_');
                    }
                    let kind = Kind::OAuth2 { flows: vec![flow.clone()], metadata_url: metadata_url.clone() };
                    schemes.insert(other.clone(), Scheme { description: scheme.description.clone(), kind });
                    names.push(other);
                }
                if names.len() > 1 {
                    if let Some(Scheme { kind: Kind::OAuth2 { flows, .. }, .. }) = schemes.get_mut(&name) {
                        flows.truncate(1);
                    }
                    aliases.insert(name, names);
                }
            }
        }
        Self { version, dialect, schemes, aliases }
    }

    /// `securitySchemes`.
    #[must_use]
    pub fn schemes(&self) -> Map<String, Value> {
        self.schemes.iter().map(|(name, scheme)| (name.clone(), scheme.write(self.dialect))).collect()
    }

    /// The member for requirements and its value.
    #[must_use]
    pub fn requirements(&self, list: &[Requirement]) -> (&'static str, Value) {
        let written = list.iter().flat_map(|requirement| self.alternatives(requirement)).take(MOST);
        let name = match self.version {
            Version::V0_3 => "security",
            Version::V1_0 => "securityRequirements",
        };
        match self.dialect {
            Dialect::OpenApi => (name, written.map(|one| json!(one)).collect()),
            Dialect::ProtoJson => {
                let wrap = |one: Requirement| {
                    let schemes: Map<_, _> = one.into_iter().map(|(name, scopes)| (name, json!({ "list": scopes }))).collect();
                    json!({ "schemes": schemes })
                };
                (name, written.map(wrap).collect())
            }
        }
    }

    /// A requirement once for every way to meet a scheme that became several. Beyond [`MOST`] ways, only the first: fewer
    /// ways than there are is still true.
    fn alternatives(&self, requirement: &Requirement) -> Vec<Requirement> {
        let mut ways = vec![requirement.clone()];
        for (name, scopes) in requirement {
            for other in self.aliases.get(name).into_iter().flatten().skip(1) {
                if ways.len() >= MOST {
                    return vec![requirement.clone()];
                }
                let renamed = ways.iter().filter(|way| way.contains_key(name)).map(|way| {
                    let mut way = way.clone();
                    way.remove(name);
                    way.insert(other.clone(), scopes.clone());
                    way
                });
                let renamed: Vec<_> = renamed.collect();
                ways.extend(renamed);
            }
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, MOST, Scheme, Value, Version, Writer, json, read};
    use crate::wire::sorted::SortedMap;

    fn list(value: Value) -> Result<Value, String> {
        let map = value.as_object().unwrap();
        read(map, "").map(|list| json!(list)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_spelling_of_a_requirement() {
        let expected = json!([{"a": ["s"]}, {"b": [], "c": []}]);
        for value in [
            json!({"security": [{"a": ["s"]}, {"b": [], "c": []}]}),
            json!({"securityRequirements": [{"schemes": {"a": {"list": ["s"]}}}, {"schemes": {"b": {}, "c": {"list": null}}}]}),
            json!({"security": [{"schemes": {"a": {"list": ["s"]}}}, {"schemes": {"b": {}, "c": {"list": []}}}]}),
            json!({"security": [{"a": ["s"]}, {"b": [], "c": []}],
                "securityRequirements": [{"schemes": {"a": {"list": ["s"]}}}, {"schemes": {"b": {}, "c": {}}}]}),
        ] {
            assert_eq!(list(value), Ok(expected.clone()));
        }
        assert_eq!(list(json!({})), Ok(Value::Null));
        assert_eq!(list(json!({"security": [{"schemes": ["x"]}, {}]})), Ok(json!([{"schemes": ["x"]}, {}])));
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for (value, fact) in [
            (json!({"security": {}}), "security: must be a list"),
            (json!({"security": ["a"]}), "security[0]: must be an object"),
            (json!({"security": [{"a": "s"}]}), "security[0]: must give each scheme a list of scopes"),
            (json!({"security": [{"a": {"list": []}}]}), "security[0]: must give each scheme a list of scopes"),
            (json!({"security": [{"a": ["s t"]}]}), "security[0]: must give each scheme a list of scopes"),
            (json!({"security": [{"a": [1]}]}), "security[0]: must give each scheme a list of scopes"),
            (json!({"security": [{"schemes": {"a": ["s"]}}]}), "security[0]: must give each scheme a list of scopes"),
            (json!({"security": [{"schemes": {"a": {"scopes": ["s"]}}}]}), "security[0]: must give each scheme a list of scopes"),
            (json!({"security": [{"schemes": {"a": {}}, "b": []}]}), "security[0]: must hold nothing besides schemes"),
            (json!({"security": vec![json!({}); MOST + 1]}), "security: has too many requirements"),
            (json!({"security": [{"a": vec!["s"; MOST + 1]}]}), "security[0]: has too many scopes"),
            (json!({"security": [{"a": []}], "securityRequirements": []}), "security is said twice, differently"),
        ] {
            assert_eq!(list(value).unwrap_err(), fact);
        }
    }

    #[test]
    fn a_scheme_with_several_flows_becomes_several_in_1_0() {
        let flows =
            json!({"clientCredentials": {"tokenUrl": "t", "scopes": {}}, "authorizationCode": {"authorizationUrl": "a", "tokenUrl": "t"}});
        let scheme = Scheme::read(&json!({"type": "oauth2", "flows": flows}), "").unwrap();
        let schemes = SortedMap::from([
            ("a".to_owned(), scheme.clone()),
            ("b".to_owned(), scheme),
            ("a_clientCredentials".to_owned(), Scheme::mutual_tls()),
        ]);
        let requirements = [SortedMap::from([("a".to_owned(), vec!["s".to_owned()]), ("b".to_owned(), vec![])])];
        let new = Writer::new(schemes.clone(), Version::V1_0, Dialect::ProtoJson, false);
        let names: Vec<_> = new.schemes().keys().cloned().collect();
        assert_eq!(names, ["a", "a_clientCredentials", "a_clientCredentials_", "b", "b_clientCredentials"]);
        let (member, written) = new.requirements(&requirements);
        assert_eq!(member, "securityRequirements");
        let ways: Vec<_> =
            written.as_array().unwrap().iter().map(|one| one["schemes"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()).collect();
        let expected: [Vec<&str>; 4] = [
            vec!["a", "b"],
            vec!["a_clientCredentials_", "b"],
            vec!["a", "b_clientCredentials"],
            vec!["a_clientCredentials_", "b_clientCredentials"],
        ];
        assert_eq!(ways, expected);
        assert_eq!(written[0], json!({"schemes": {"a": {"list": ["s"]}, "b": {"list": []}}}));
        let old = Writer::new(schemes, Version::V0_3, Dialect::OpenApi, false);
        assert_eq!(old.schemes().len(), 3);
        assert_eq!(old.requirements(&requirements), ("security", json!([{"a": ["s"], "b": []}])));
    }
}
