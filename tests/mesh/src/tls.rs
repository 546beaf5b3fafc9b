//! Certificates of a CA that the tests hold, and TLS listeners and clients with them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, SanType};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::envoy_file::EnvoyFile;
use crate::http::{Call, Reply};
use crate::place;

/// A certificate authority.
pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    chain: String,
    key: String,
    /// SHA-256 of the certificate (DER).
    pub digest: [u8; 32],
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        Ok(Self { certificate: params.self_signed(&key)?, key })
    }

    /// A certificate for `name` as subject, with these alternative names.
    pub fn issue(&self, name: &str, uris: &[&str], dns: &[&str]) -> Result<Identity> {
        self.issue_as(&[("CN", name)], uris, dns)
    }

    /// The same for a subject of several parts (CN and O), as they stand in the certificate.
    pub fn issue_as(&self, subject: &[(&str, &str)], uris: &[&str], dns: &[&str]) -> Result<Identity> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, text) in subject {
            let kind = if *kind == "O" { DnType::OrganizationName } else { DnType::CommonName };
            params.distinguished_name.push(kind, *text);
        }
        for name in dns {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.certificate, &self.key)?;
        Ok(Identity { digest: Sha256::digest(certificate.der()).into(), chain: certificate.pem(), key: key.serialize_pem() })
    }

    /// Makes the first listener of `file` speak TLS as `server`; clients may bring a certificate of this authority, and no
    /// other.
    pub fn guard(&self, file: &mut EnvoyFile, server: &Identity) -> Result<()> {
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = place::logs().join(place::unique(name));
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let ca = write("ca.pem", &self.certificate.pem())?;
        let (chain, key) = (write("server.pem", &server.chain)?, write("server.key", &server.key)?);
        let listener = file.listeners_mut()?.first_mut().context("no listener")?;
        let name = |path: &PathBuf| json!({ "filename": path });
        listener["filter_chains"][0]["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_certificates": [{"certificate_chain": name(&chain), "private_key": name(&key)}],
                    "validation_context": {"trusted_ca": name(&ca)},
                },
            },
        });
        Ok(())
    }

    /// Sends `call` over TLS to 127.0.0.1:`port`, as `client` if there is one.
    pub async fn send(&self, call: &Call, port: u16, client: Option<&Identity>) -> Result<Reply> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = CertificateDer::pem_slice_iter(client.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(client.key.as_bytes())?)?
            }
        };
        let connector = TlsConnector::from(Arc::new(config));
        call.send_over(port, async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.set_nodelay(true)?;
            Ok(connector.connect(ServerName::try_from("localhost")?, stream).await?)
        })
        .await
    }
}
