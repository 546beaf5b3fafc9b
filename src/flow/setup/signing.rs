//! Keys of this side: whether the proxy can sign with those that the configuration has, and whether what is published belongs to them.
//! Found out when the configuration is read, so that no receiver is the first to learn.

use crate::config::{Algorithm, AssertionAlgorithm, Config, ConfigError, Credential, PublishedKeys, RSA_BITS, SignedJwt};
use crate::credential::secrets::Secrets;
use crate::credential::signing::{Signer, signature};
use crate::identity::jwk::{KeySet, Wanted};
use crate::identity::signature::Verifier;
use secrecy::SecretString;

/// What is signed to see whether a key can: nothing that anybody would take for a token.
const PROBE: &[u8] = b"attache";

/// Whether all that is to be signed can be, as far as its keys are there already.
///
/// # Errors
/// The place of what cannot.
pub(super) fn check(
    config: &Config,
    json: &[u8],
    secrets: &Secrets,
    signer: &dyn Signer,
    verifier: &dyn Verifier,
) -> Result<(), ConfigError> {
    let Some(place) = Config::first_signed(json) else { return Ok(()) };
    if !signer.is_there() {
        return Err(ConfigError::new(place, "needs Envoy 1.37 or newer: the proxy has no foreign function sign"));
    }
    for (index, connection) in config.connections.iter().enumerate() {
        let Credential::SignedJwt(own) = &connection.credential else { continue };
        if let Ok(key) = secrets.document(&own.key.secret) {
            try_key(own, key, config.published_keys.as_ref(), signer, verifier)
                .map_err(|cause| ConfigError::new(format!("connections[{index}].credential.signed_jwt.key"), cause))?;
        }
    }
    Ok(())
}

fn try_key(
    own: &SignedJwt,
    key: &SecretString,
    published: Option<&PublishedKeys>,
    signer: &dyn Signer,
    verifier: &dyn Verifier,
) -> Result<(), String> {
    let signature = signature(signer, own.algorithm, key, PROBE)?;
    let Some(set) = published.and_then(|published| KeySet::parse(published.document().as_bytes(), *RSA_BITS.end()).ok()) else {
        return Ok(());
    };
    let algorithm = match own.algorithm {
        AssertionAlgorithm::RS256 => Algorithm::RS256,
        AssertionAlgorithm::ES256 => Algorithm::ES256,
    };
    let wanted = Wanted { key_id: Some(&own.key_id), name: own.algorithm.name(), algorithm, with_any_key: true, owns: &|_| true };
    if set.candidates(&wanted).into_iter().any(|key| verifier.verify(algorithm, key, PROBE, &signature)) {
        return Ok(());
    }
    Err(format!("does not belong to the key {:?} of published_keys: receivers could not verify what it signs", own.key_id))
}

/// Whether receivers can use each of the published keys.
///
/// # Errors
/// The place of one that they cannot.
pub(super) fn check_published(published: &PublishedKeys) -> Result<(), ConfigError> {
    for (index, set) in published.each().enumerate() {
        if let Err(error) = KeySet::parse(set.as_bytes(), *RSA_BITS.end()) {
            return Err(ConfigError::new(format!("published_keys.jwks.inline.keys[{index}]"), error.to_string()));
        }
    }
    Ok(())
}
