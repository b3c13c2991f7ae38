//! Debian's `openssl` as a TLS client.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The end of a connection of `openssl s_client`.
pub(crate) struct Seen {
    /// All that it printed, errors last.
    pub(crate) output: String,
}

impl Seen {
    /// The server's certificate in PEM.
    pub(crate) fn certificate(&self) -> Option<String> {
        const END: &str = "-----END CERTIFICATE-----";
        let from = self.output.find("-----BEGIN CERTIFICATE-----")?;
        let rest = self.output.get(from..)?;
        let to = rest.find(END)? + END.len();
        rest.get(..to).map(str::to_owned)
    }
}

/// Makes a handshake, and ends the connection.
pub(crate) fn connect(address: SocketAddr, options: &[&str]) -> Seen {
    let address = address.to_string();
    run(&[&["s_client", "-connect", &address], options].concat())
}

/// Makes a handshake, sends this, and reads to the end.
pub(crate) fn exchange(address: SocketAddr, options: &[&str], input: &str) -> Seen {
    let address = address.to_string();
    let always = ["s_client", "-connect", &address, "-ign_eof"];
    with_input(&[&always, options].concat(), input)
}

/// Runs a command of `openssl` without input.
pub(crate) fn run(arguments: &[&str]) -> Seen {
    with_input(arguments, "")
}

fn with_input(arguments: &[&str], input: &str) -> Seen {
    let mut running = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Debian's package `openssl`");
    // A server that refuses the handshake reads nothing.
    let _ = running.stdin.take().unwrap().write_all(input.as_bytes());
    let ended = running.wait_with_output().unwrap();
    let [output, errors] =
        [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Seen {
        output: output + &errors,
    }
}

/// Whether two PEM texts begin with the same certificate.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    der(one) == der(other)
}
