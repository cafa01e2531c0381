//! TLS as devices speak it: version 1.3 only, one certificate on each side, any at all. Who it is follows from the
//! certificate; that it is theirs follows from the signature of the handshake, which is checked (formats: bep 1).

use std::sync::Arc;

use obhut_bep::DeviceId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme,
};

use super::identity::{Identity, NAME};
use super::x509::common_name;

const PROTOCOL: &[u8] = b"bep/1.0";

/// Both sides of TLS.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
}

impl Tls {
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let any = Arc::new(AnyLeaf::new(&provider));
        let resolver = Arc::new(SingleCertAndKey::from(identity.certified()));
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(any.clone())
            .with_client_cert_resolver(resolver.clone());
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.enable_sni = false;
        // Nobody is believed to be whom an earlier connection was with.
        client.resumption = Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(any)
            .with_cert_resolver(resolver);
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

/// The name that TLS asks for and nobody looks at.
pub(super) fn no_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into())
}

/// Who it is, by the certificates that TLS was given; or why it is nobody.
pub(super) fn who(certificates: Option<&[CertificateDer<'_>]>) -> Result<DeviceId, &'static str> {
    let Some([leaf]) = certificates else {
        return Err("it did not show exactly one certificate");
    };
    if is_named(leaf) {
        Ok(DeviceId::of_certificate(leaf))
    } else {
        Err("its certificate is not that of a device: the name in it is another")
    }
}

/// Whether the subject, or one of the other names, is that of a device.
fn is_named(leaf: &CertificateDer<'_>) -> bool {
    if common_name(leaf) == Some(NAME.as_bytes()) {
        return true;
    }
    let (Ok(parsed), Ok(name)) = (
        ParsedCertificate::try_from(leaf),
        ServerName::try_from(NAME),
    ) else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

/// Takes any one certificate, and a signature only if it is by its key.
#[derive(Debug)]
struct AnyLeaf(WebPkiSupportedAlgorithms);

impl AnyLeaf {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }

    fn signed(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.0)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A chain is none of ours, and whoever has one means something else by it.
fn alone(others: &[CertificateDer<'_>]) -> Result<(), Error> {
    if others.is_empty() {
        Ok(())
    } else {
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

impl ServerCertVerifier for AnyLeaf {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        alone(others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for AnyLeaf {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        alone(others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use obhut_core::world::{SystemRandom, Timestamp};
    use rustls::{ClientConnection, ServerConnection};

    fn identity() -> Identity {
        let home = tempfile::tempdir().unwrap();
        Identity::create(home.path(), Timestamp::default(), &SystemRandom).unwrap()
    }

    /// Whom client and server take each other for.
    fn handshake(client: &Identity, server: &Identity) -> Result<[DeviceId; 2], Error> {
        let (ours, theirs) = (Tls::new(client)?, Tls::new(server)?);
        let mut client = ClientConnection::new(ours.client, no_name())?;
        let mut server = ServerConnection::new(theirs.server)?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets()?;
        }
        assert_eq!(client.alpn_protocol(), Some(PROTOCOL));
        assert_eq!(client.tls13_tickets_received(), 0);
        let them = who(client.peer_certificates()).unwrap();
        let us = who(server.peer_certificates()).unwrap();
        Ok([them, us])
    }

    #[test]
    fn both_know_who_the_other_is() {
        let (a, b) = (identity(), identity());
        assert_eq!(handshake(&a, &b), Ok([b.device(), a.device()]));
    }

    #[test]
    fn a_certificate_without_its_key_is_worth_nothing() {
        let (victim, thief, other) = (identity(), identity(), identity());
        let forged = Identity::forged(&[&victim], &thief);
        assert_eq!(forged.device(), victim.device());
        for found in [handshake(&forged, &other), handshake(&other, &forged)] {
            let wanted = Err(CertificateError::BadSignature.into());
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn two_certificates_are_one_too_many() {
        let (a, b, other) = (identity(), identity(), identity());
        let both = Identity::forged(&[&a, &b], &a);
        for found in [handshake(&both, &other), handshake(&other, &both)] {
            let wanted = Err(CertificateError::ApplicationVerificationFailure.into());
            assert_eq!(found, wanted);
        }
        assert!(who(None).is_err() && who(Some(&[])).is_err());
    }

    #[test]
    fn names_in_certificates() {
        let certified = identity().certified();
        let leaf = &certified.cert[0];
        assert_eq!(common_name(leaf), Some(NAME.as_bytes()));
        for length in 0..leaf.len() {
            let cut = CertificateDer::from(&leaf[..length]);
            assert_eq!(common_name(&cut), None, "{length}");
            assert!(!is_named(&cut));
        }
        // Bytes of it altered: another name, or none, and nothing worse.
        let mut altered = leaf.to_vec();
        for at in 0..leaf.len() {
            for byte in [0, 0x7f, 0x81, 0x82, 0xff] {
                altered[at] = byte;
                let _ = is_named(&CertificateDer::from(&altered[..]));
            }
            altered[at] = leaf[at];
        }
    }
}
