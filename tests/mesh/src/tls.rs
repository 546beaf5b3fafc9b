//! Certificates of a CA that the tests hold, and TLS listeners and clients with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
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

impl Identity {
    /// One that vouches for itself.
    pub fn self_signed(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { digest: Sha256::digest(certificate.der()).into(), chain: certificate.pem(), key: key.serialize_pem() })
    }

    /// Writes `<name>.pem` and `<name>.key` into a folder, each by moving a new file over the old one.
    pub fn put(&self, folder: &Path, name: &str) -> Result<()> {
        replace_file(&folder.join(format!("{name}.key")), &self.key)?;
        replace_file(&folder.join(format!("{name}.pem")), &self.chain)
    }

    /// Its certificate, in a file.
    pub fn file(&self) -> Result<PathBuf> {
        write("certificate.pem", &self.chain)
    }

    /// The certificate and its key in files, as Envoy reads them.
    pub fn in_files(&self) -> Result<Value> {
        let (chain, key) = (write("certificate.pem", &self.chain)?, write("certificate.key", &self.key)?);
        Ok(json!({"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}))
    }
}

/// Makes calls to cluster `name` of `file` go over TLS to a server of `authority`, with the certificate of `client`.
pub fn call_over(file: &mut EnvoyFile, name: &str, authority: &Authority, client: Option<&Identity>) -> Result<()> {
    let certificates = client.map(Identity::in_files).transpose()?;
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == name).with_context(|| format!("no cluster {name}"))?;
    cluster["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "localhost",
            "common_tls_context": {
                "tls_certificates": certificates.into_iter().collect::<Vec<_>>(),
                "validation_context": {"trusted_ca": {"filename": write("ca.pem", &authority.certificate.pem())?}},
            },
        },
    });
    Ok(())
}

/// Gives a file new content as those do who renew secrets: whoever reads it sees all of the old or all of the new.
pub fn replace_file(path: &Path, text: &str) -> Result<()> {
    let new = path.with_added_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(&new, path)?)
}

fn write(name: &str, text: &str) -> Result<PathBuf> {
    let path = place::logs().join(place::unique(name));
    std::fs::write(&path, text)?;
    Ok(path)
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

    /// Writes its certificate to `path`.
    pub fn put(&self, path: &Path) -> Result<()> {
        replace_file(path, &self.certificate.pem())
    }

    /// Its certificate, in a file.
    pub fn file(&self) -> Result<PathBuf> {
        write("ca.pem", &self.certificate.pem())
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

    /// What `peers/user_server.mjs` reads that speaks TLS as `server`.
    pub fn user_server_file(&self, server: &Identity) -> Result<PathBuf> {
        let text = json!({"cert": server.chain, "key": server.key, "ca": self.certificate.pem()});
        write("tls.json", &text.to_string())
    }

    /// Makes the first listener of `file` speak TLS as `server`; clients may bring a certificate of this authority, and no
    /// other.
    pub fn guard(&self, file: &mut EnvoyFile, server: &Identity) -> Result<()> {
        let ca = write("ca.pem", &self.certificate.pem())?;
        let listener = file.listeners_mut()?.first_mut().context("no listener")?;
        listener["filter_chains"][0]["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_certificates": [server.in_files()?],
                    "validation_context": {"trusted_ca": {"filename": ca}},
                },
            },
        });
        Ok(())
    }

    /// What a server of this authority reads, which knows its clients by certificates of this authority, and one by
    /// `self_signed`.
    pub fn server_file(&self, server: &Identity, self_signed: &Identity) -> Result<PathBuf> {
        let text = json!({"cert": server.chain, "key": server.key, "ca": self.certificate.pem(), "self_signed": self_signed.chain});
        write("tls.json", &text.to_string())
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
