//! What TLS cannot take less than: microseconds of the cryptography below a handshake and a record, on one core.
//!
//! ```text
//! cargo run --release -p headgate-l7 --example crypto_ns
//! ```
//!
//! Each figure is the median of the rounds; others may share the core. `openssl speed` has the same of OpenSSL.
#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "measures times")]
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use ::aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::SignatureScheme;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const ROUNDS: usize = 9;
const RECORD: usize = 16 << 10;

fn main() {
    println!("{:<46} {:>10}", "on one core, median of rounds", "µs");
    for (name, algorithm, scheme) in [
        (
            "ECDSA P-256",
            &rcgen::PKCS_ECDSA_P256_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ),
        (
            "RSA 2048",
            &rcgen::PKCS_RSA_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
        ),
    ] {
        let pair = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&der).expect("a key");
        let signer = key.choose_scheme(&[scheme]).expect("a scheme");
        let took = median(100, || {
            drop(black_box(signer.sign(&[7; 130]).expect("a signature")));
        });
        println!("{:<46} {took:>10.1}", format!("a signature, {name}"));
    }
    for group in [kx_group::X25519, kx_group::SECP256R1, kx_group::X25519MLKEM768] {
        let share = share(group);
        let took = median(100, || {
            drop(black_box(group.start_and_complete(&share).expect("a secret")));
        });
        let name = format!("a server's key exchange, {:?}", group.name());
        println!("{name:<46} {took:>10.1}");
    }
    let ticketer = aws_lc_rs::Ticketer::new().expect("a ticketer");
    let took = median(1_000, || {
        let ticket = ticketer.encrypt(&[7; 200]).expect("a ticket");
        drop(black_box(ticketer.decrypt(&ticket).expect("a ticket")));
    });
    println!("{:<46} {took:>10.1}", "a ticket of 200 bytes made and read");
    for (name, algorithm) in [
        ("AES-128-GCM", &aead::AES_128_GCM),
        ("AES-256-GCM", &aead::AES_256_GCM),
        ("ChaCha20-Poly1305", &aead::CHACHA20_POLY1305),
    ] {
        let name = format!("a record of 16 KiB in place, {name}");
        println!("{name:<46} {:>10.1}", seal(algorithm));
    }
}

fn share(group: &'static dyn SupportedKxGroup) -> Vec<u8> {
    group.start().expect("a key").pub_key().to_vec()
}

fn seal(algorithm: &'static aead::Algorithm) -> f64 {
    let key = UnboundKey::new(algorithm, &[7; 32][..algorithm.key_len()]).expect("a key");
    let key = LessSafeKey::new(key);
    let mut record = vec![7; RECORD];
    median(200, || {
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from([7; 5]), &mut record);
        let _tag = black_box(tag.expect("a tag"));
    })
}

/// Microseconds of `work`.
fn median(count: u32, mut work: impl FnMut()) -> f64 {
    work();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..count).for_each(|_| work());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
