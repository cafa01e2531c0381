//! The certificate of a device, from which everything follows: it is made once and never again (formats: bep 1, 2).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::{Span, tz::TimeZone};
use obhut_bep::DeviceId;
use obhut_core::durable::{self, Existing};
use obhut_core::error::{Code, Error, Result};
use obhut_core::world::{Random, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// What the certificate of a device is called.
pub const NAME: &str = "syncthing";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
/// Nobody looks at the end of it, but a certificate has one.
const DAYS: i64 = 20 * 365;
/// A file longer than this holds no certificate of a device.
const LARGEST: u64 = 1 << 20;
/// An Ed25519 key in PKCS #8, but for its last 32 bytes. The first version of that format, without the public key: older
/// OpenSSL does not read the second.
const HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Who we are toward others, and the proof of it.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    device: DeviceId,
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({:?})", self.device)
    }
}

impl Identity {
    /// Makes one in `home`, which has none. A key that is there without a certificate is what a stop in between left: it is
    /// taken, never replaced.
    pub fn create(home: &Path, now: Timestamp, random: &dyn Random) -> Result<Self> {
        let (certificate, key) = (home.join(CERTIFICATE), home.join(KEY));
        if std::fs::symlink_metadata(&certificate).is_ok() {
            return Err(Error::new(
                Code::FileExists,
                shown(&certificate),
                "this device has an identity",
            ));
        }
        let pair = if std::fs::symlink_metadata(&key).is_ok() {
            let text = String::from_utf8(read(&key)?)
                .map_err(|_| Error::damaged(shown(&key), "it is no key"))?;
            KeyPair::from_pem(&text)
        } else {
            let mut seed = [0; 32];
            random.fill(&mut seed)?;
            let der = PrivatePkcs8KeyDer::from([&HEAD[..], &seed].concat());
            KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
        }
        .map_err(|e| Error::damaged(shown(&key), e.to_string()))?;
        let mut serial = [0; 8];
        random.fill(&mut serial)?;
        let made = params(now, serial)?
            .self_signed(&pair)
            .map_err(|e| Error::internal(format!("no certificate: {e}")))?;
        if std::fs::symlink_metadata(&key).is_err() {
            let text = pair.serialize_pem();
            durable::write(&key, text.as_bytes(), 0o600, Existing::Keep)?;
        }
        durable::write(&certificate, made.pem().as_bytes(), 0o644, Existing::Keep)?;
        Self::load(home)
    }

    /// The one in `home`: Ed25519, or ECDSA or RSA as older Syncthings made them.
    pub fn load(home: &Path) -> Result<Self> {
        let (certificate, key) = (home.join(CERTIFICATE), home.join(KEY));
        let (text, secret) = (read(&certificate)?, read(&key)?);
        let der = CertificateDer::from_pem_slice(&text)
            .map_err(|e| Error::damaged(shown(&certificate), e.to_string()))?;
        let secret = PrivateKeyDer::from_pem_slice(&secret)
            .map_err(|e| Error::damaged(shown(&key), e.to_string()))?;
        let signer = any_supported_type(&secret)
            .map_err(|_| Error::damaged(shown(&key), "it is a kind of key that is not known"))?;
        let device = DeviceId::of_certificate(&der);
        let certified = CertifiedKey::new(vec![der], signer);
        certified
            .keys_match()
            .map_err(|e| Error::damaged(shown(&certificate), e.to_string()))?;
        Ok(Self {
            certified: Arc::new(certified),
            device,
        })
    }

    /// Who that is.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// One that shows these certificates and signs with a key that may be another's.
    #[cfg(test)]
    pub(super) fn forged(shown: &[&Self], signer: &Self) -> Self {
        let shown: Vec<_> = shown
            .iter()
            .map(|one| one.certified.cert[0].clone())
            .collect();
        let device = DeviceId::of_certificate(&shown[0]);
        let certified = CertifiedKey::new(shown, signer.certified.key.clone());
        Self {
            certified: Arc::new(certified),
            device,
        }
    }

    /// For TLS.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

/// What stands in the certificate, as in those that Syncthing makes.
fn params(now: Timestamp, serial: [u8; 8]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new([NAME.to_owned()])
        .map_err(|e| Error::internal(format!("no certificate: {e}")))?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Syncthing");
    name.push(DnType::OrganizationalUnitName, "Automatically Generated");
    name.push(DnType::CommonName, NAME);
    params.distinguished_name = name;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let wrong = |_| Error::new(Code::InvalidArgument, "time", "no such day");
    let first = jiff::Timestamp::from_second(now.secs)
        .map_err(wrong)?
        .to_zoned(TimeZone::UTC)
        .date();
    let last = first.checked_add(Span::new().days(DAYS)).map_err(wrong)?;
    // The type of what this gives has no name here: it is that of a crate of rcgen.
    let midnight = |day: Date| {
        let (month, day_of_month) = (day.month().unsigned_abs(), day.day().unsigned_abs());
        date_time_ymd(day.year().into(), month, day_of_month)
    };
    params.not_before = midnight(first);
    params.not_after = midnight(last);
    Ok(params)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| {
        if e.kind() == std::io::ErrorKind::NotFound {
            Error::new(Code::FileMissing, shown(path), e.to_string())
        } else {
            Error::io(shown(path), &e)
        }
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > LARGEST {
        return Err(Error::damaged(shown(path), "it is too long"));
    }
    std::fs::read(path).map_err(failed)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
