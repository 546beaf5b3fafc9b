//! Tokens of the machine's own. Azure: the metadata endpoint of virtual machines (IMDS, api-version 2018-02-01), the identity
//! endpoint of App Service and Container Apps (api-version 2019-08-01), and workload identity. Google Cloud: the metadata server.

use super::Key;
use super::endpoint::{self, Answers, Grant, TokenRequest};
use super::secrets::{SecretError, Secrets};
use crate::config::{Google, HttpUri, ManagedIdentity, TokenParameters, UserAssigned, Workload};
use crate::wire::time::UnixTime;
use form_urlencoded::Serializer;
use secrecy::SecretString;

const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const GOOGLE: &str = "http://metadata.google.internal/";

/// What tells the tokens of this identity, through connection `connection`, from all others.
#[must_use]
pub fn key(identity: &ManagedIdentity, connection: &str) -> Key {
    let target = |uri: &str, resource: &str, own: Option<&UserAssigned>| {
        let (name, value) = own.map_or(("", ""), |own| name_of(own, Form::Metadata));
        endpoint::digest([connection, "managed_identity", uri, resource, name, value].into_iter())
    };
    match identity {
        ManagedIdentity::VirtualMachine(own) => {
            let uri = own.uri.as_ref().map_or_else(|| METADATA.to_owned(), HttpUri::to_string);
            target(&uri, &own.resource, own.identity.as_ref())
        }
        ManagedIdentity::AppService(own) => target(&own.endpoint.uri.to_string(), &own.resource, own.identity.as_ref()),
        ManagedIdentity::Workload(own) => with_grant(own, |grant| grant.key(connection, &own.client)),
        ManagedIdentity::Google(own) => target(&google(own), own.uri.as_ref().map_or(GOOGLE, HttpUri::authority), None),
    }
}

/// What the endpoint answers with.
#[must_use]
pub const fn answers(identity: &ManagedIdentity) -> Answers {
    match identity {
        ManagedIdentity::Google(Google { audience: Some(_), .. }) => Answers::Jwt,
        _ => Answers::Token,
    }
}

/// The request for a token of this identity.
///
/// # Errors
/// The secret that has no value, and why.
pub fn request(identity: &ManagedIdentity, secrets: &Secrets, now: UnixTime, serial: &Key) -> Result<TokenRequest, (String, SecretError)> {
    let usual = |text: &str| HttpUri::try_from(text.to_owned()).map_err(|_| (String::new(), SecretError::Missing));
    match identity {
        ManagedIdentity::VirtualMachine(own) => {
            let uri = own.uri.clone().map_or_else(|| usual(METADATA), Ok)?;
            let target = target(&uri, "2018-02-01", &own.resource, own.identity.as_ref().map(|own| name_of(own, Form::Metadata)));
            // The metadata service takes no request without this header: it keeps redirected browsers out.
            let headers = vec![("metadata", SecretString::from("true".to_owned()))];
            Ok(get(uri, target, own.cluster.clone(), own.timeout, headers))
        }
        ManagedIdentity::AppService(own) => {
            let uri = own.endpoint.uri.clone();
            let target = target(&uri, "2019-08-01", &own.resource, own.identity.as_ref().map(|own| name_of(own, Form::AppService)));
            let name = &own.identity_header.secret;
            let header = secrets.value(name).map_err(|error| (name.clone(), error))?;
            Ok(get(uri, target, own.endpoint.cluster.clone(), own.endpoint.timeout, vec![("x-identity-header", header.clone())]))
        }
        ManagedIdentity::Workload(own) => with_grant(own, |grant| grant.request(&own.client, secrets, now, serial)),
        ManagedIdentity::Google(own) => {
            let uri = own.uri.clone().map_or_else(|| usual(GOOGLE), Ok)?;
            let headers = vec![("metadata-flavor", SecretString::from("Google".to_owned()))];
            Ok(get(uri, google(own), own.cluster.clone(), own.timeout, headers))
        }
    }
}

/// Path and query at Google's metadata server: of an ID token for an audience, or of an access token.
fn google(own: &Google) -> String {
    let mut query = Serializer::new(String::new());
    let kind = match &own.audience {
        Some(audience) => {
            query.append_pair("audience", audience).append_pair("format", "full");
            "identity"
        }
        None => {
            if !own.scopes.is_empty() {
                query.append_pair("scopes", &own.scopes.join(","));
            }
            "token"
        }
    };
    let account = own.service_account.as_deref().unwrap_or("default");
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/computeMetadata/v1/instance/service-accounts/{account}/{kind}{mark}{query}")
}

/// Workload identity is a client whose assertion is the federated token.
fn with_grant<T>(own: &Workload, act: impl FnOnce(&Grant<'_>) -> T) -> T {
    let request = TokenParameters { scopes: own.scopes.clone(), ..TokenParameters::default() };
    act(&Grant { kind: "client_credentials", parameters: Vec::new(), request: &request, assertion: None })
}

/// Which endpoint is asked: they call a resource id by different names.
#[derive(Clone, Copy)]
enum Form {
    Metadata,
    AppService,
}

const fn name_of(identity: &UserAssigned, form: Form) -> (&'static str, &str) {
    match (identity, form) {
        (UserAssigned::ClientId(id), _) => ("client_id", id.as_str()),
        (UserAssigned::ObjectId(id), Form::Metadata) => ("object_id", id.as_str()),
        (UserAssigned::ObjectId(id), Form::AppService) => ("principal_id", id.as_str()),
        (UserAssigned::ResourceId(id), Form::Metadata) => ("msi_res_id", id.as_str()),
        (UserAssigned::ResourceId(id), Form::AppService) => ("mi_res_id", id.as_str()),
    }
}

fn target(uri: &HttpUri, version: &str, resource: &str, identity: Option<(&str, &str)>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("api-version", version).append_pair("resource", resource);
    query.extend_pairs(identity);
    let mark = if uri.path().contains('?') { '&' } else { '?' };
    format!("{}{mark}{}", uri.path(), query.finish())
}

const fn get(
    uri: HttpUri,
    target: String,
    cluster: String,
    timeout: std::time::Duration,
    headers: Vec<(&'static str, SecretString)>,
) -> TokenRequest {
    TokenRequest { uri, target: Some(target), cluster, timeout, headers, form: None, unsigned: None }
}

#[cfg(test)]
mod tests {
    use super::{ManagedIdentity, Secrets, UnixTime, key, request};
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    fn asked(identity: Value) -> (String, Vec<(&'static str, String)>, String) {
        let identity: ManagedIdentity = serde_json::from_value(identity).unwrap();
        let mut secrets = Secrets::default();
        secrets.insert("header", Some("853b9a84".into()));
        secrets.insert("federated", Some("fed.er.ated".into()));
        let request = request(&identity, &secrets, UnixTime::from_secs(1000), &[0; 32]).unwrap();
        let headers = request.headers.iter().map(|(name, value)| (*name, value.expose_secret().to_owned())).collect();
        let form = request.form.map(|form| form.expose_secret().to_owned()).unwrap_or_default();
        (request.target.unwrap_or_else(|| request.uri.path().to_owned()), headers, form)
    }

    #[test]
    fn the_metadata_endpoint_of_virtual_machines() {
        let (target, headers, _) = asked(json!({"virtual_machine": {"cluster": "imds", "resource": "api://partner"}}));
        assert_eq!(target, "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2Fpartner");
        assert_eq!(headers, [("metadata", "true".to_owned())]);
        let identity = json!({"virtual_machine": {"cluster": "imds", "resource": "r", "identity": {"resource_id": "/sub/1"}}});
        assert!(asked(identity).0.ends_with("&resource=r&msi_res_id=%2Fsub%2F1"));
    }

    #[test]
    fn the_identity_endpoint_of_app_service() {
        let endpoint = json!({"uri": "http://127.0.0.1:41741/msi/token/?a=b", "cluster": "msi"});
        let with = json!({"app_service": {"endpoint": endpoint, "identity_header": {"secret": "header"}, "resource": "r", "identity": {"object_id": "o"}}});
        let (target, headers, _) = asked(with);
        assert_eq!(target, "/msi/token/?a=b&api-version=2019-08-01&resource=r&principal_id=o");
        assert_eq!(headers, [("x-identity-header", "853b9a84".to_owned())]);
    }

    #[test]
    fn workload_identity_is_a_federated_assertion() {
        let client = json!({"token_endpoint": {"uri": "https://login.example/t/oauth2/v2.0/token", "cluster": "entra"}, "client_id": "me",
            "authentication": {"client_assertion": {"secret": "federated"}}});
        let (target, _, form) = asked(json!({"workload": {"client": client, "scopes": ["api://x/.default"]}}));
        assert_eq!(target, "/t/oauth2/v2.0/token");
        assert_eq!(
            form,
            "grant_type=client_credentials&scope=api%3A%2F%2Fx%2F.default&client_id=me\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=fed.er.ated"
        );
    }

    #[test]
    fn the_metadata_server_of_google() {
        let start = "/computeMetadata/v1/instance/service-accounts";
        for (own, target) in [
            (json!({"cluster": "metadata"}), "/default/token".to_owned()),
            (
                json!({"cluster": "metadata", "scopes": ["https://a.example/x", "b"]}),
                "/default/token?scopes=https%3A%2F%2Fa.example%2Fx%2Cb".to_owned(),
            ),
            (
                json!({"cluster": "metadata", "audience": "https://b.example/?x&y", "service_account": "own@p.iam.gserviceaccount.com"}),
                "/own@p.iam.gserviceaccount.com/identity?audience=https%3A%2F%2Fb.example%2F%3Fx%26y&format=full".to_owned(),
            ),
        ] {
            let (asked, headers, form) = asked(json!({"google": own}));
            assert_eq!((asked, form), (format!("{start}{target}"), String::new()));
            assert_eq!(headers, [("metadata-flavor", "Google".to_owned())]);
        }
        let of = |own: Value| key(&serde_json::from_value(json!({"google": own})).unwrap(), "x");
        let keys = [
            json!({"cluster": "c"}),
            json!({"cluster": "c", "audience": "a"}),
            json!({"cluster": "c", "scopes": ["a"]}),
            json!({"cluster": "c", "uri": "http://127.0.0.1:1"}),
            json!({"cluster": "c", "service_account": "a@b"}),
        ]
        .map(of);
        assert!((1..keys.len()).all(|at| !keys[..at].contains(&keys[at])));
    }

    #[test]
    fn identities_of_one_machine_share_no_key() {
        let of = |identity: Value| {
            let machine = json!({"virtual_machine": {"cluster": "imds", "resource": "r", "identity": identity}});
            key(&serde_json::from_value(machine).unwrap(), "x")
        };
        assert_ne!(of(json!({"client_id": "1"})), of(json!({"object_id": "1"})));
        assert_ne!(of(json!({"client_id": "1"})), of(json!(null)));
    }
}
