//! Certificates of X.509 version 1, which rustls sends and does not read.

use std::sync::Arc;

use headgate_ring::message::{Certificate, PrivateKey};
use headgate_tcp::network::run;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, version};

use super::tls::{connect, request, world};
use super::world::has_line;

/// For shop.example.com, as `openssl ca` makes it without extensions.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBFDCBuwIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdUZXN0IENBMB4XDTIw
MDEwMTAwMDAwMFoXDTQwMDEwMTAwMDAwMFowGzEZMBcGA1UEAwwQc2hvcC5leGFt
cGxlLmNvbTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKbujT//xfO7rLwBY4nV
heohHe919cL/Vv3xAgWGm6kBR3zDFkazGFukUg0rrnNxwkh1mrMsXMS56gzoQgpo
Co0wCgYIKoZIzj0EAwIDSAAwRQIhAPELtSsDf/6eG0xiLYF4o934FqPIFhxcVBqM
eHjsgi/0AiAfNBI9Jlhqnz45OKZKUHUjgu1AARqXlUAVjFIw7Ov5Ug==
-----END CERTIFICATE-----
";

/// Its key, which is used for nothing else.
const KEY: &[u8] = b"-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIN7nOPVHvVchv1HRaXE0aMZ7WoJ4F6NrwBLiCiNsPq0/oAoGCCqGSM49
AwEHoUQDQgAEpu6NP//F87usvAFjidWF6iEd73X1wv9W/fECBYabqQFHfMMWRrMY
W6RSDSuuc3HCSHWasyxcxLnqDOhCCmgKjQ==
-----END EC PRIVATE KEY-----
";

/// A client that takes this certificate and no other, as those do that have been told to trust one.
#[derive(Debug)]
struct Pinned(CertificateDer<'static>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *certificate == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General("another certificate".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn they_are_served() {
    run(async {
        let der = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let world = world(vec![Arc::new(Certificate {
            name: "ns/old".into(),
            hosts: vec!["shop.example.com".into()],
            chain: vec![der.to_vec()],
            key: PrivateKey(key.secret_der().to_vec().into()),
        })]);
        for versions in [&[&version::TLS12], &[&version::TLS13]] {
            let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned(der.clone())))
                .with_no_client_auth();
            let mut stream = connect(&world, &Arc::new(config), "shop.example.com")
                .await
                .unwrap();
            let answer = request(&mut stream, "shop.example.com").await;
            has_line(&answer, "x-forwarded-proto: https");
        }
    });
}
