//! Reads certificates and keys from PEM files, and explains files that hold none.
//!
//! It serves [`super`]. It promises that an error names the file, the line if there is one, and a
//! cure, and never a byte of the content, which may be a key. It accepts files with CRLF, with a
//! byte-order mark or with text around the blocks. It deliberately does not look into certificates
//! ([`super::certificate`]).

use std::io;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;

/// The largest file. Bytes: a bundle of authorities has a quarter of it.
const MOST: u64 = 4 << 20;

/// The content that a file should have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PemContent {
    Certificate,
    Key,
    RevocationList,
}

/// A certificate, and its position.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    /// The line of the file where it begins.
    pub(crate) line: usize,
}

/// A list of revoked certificates, and its position.
#[derive(Debug)]
pub(super) struct RevocationList {
    pub(super) der: CertificateRevocationListDer<'static>,
    /// The line of the file where it begins.
    pub(super) line: usize,
}

/// One block of a file.
#[derive(Debug, PartialEq, Eq)]
struct Block<'a> {
    label: &'a str,
    line: usize,
    encrypted: bool,
}

/// Reads all certificates of a file, in its order; at least one.
///
/// # Errors
///
/// The file cannot be read, or has other content.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, TlsError> {
    let all = all_blocks(path, "CERTIFICATE", PemContent::Certificate)?;
    Ok(all
        .into_iter()
        .map(|(der, line)| Certificate { der, line })
        .collect())
}

/// Reads all revocation lists of a file; at least one.
///
/// # Errors
///
/// The file cannot be read, or has other content.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<RevocationList>, TlsError> {
    let all = all_blocks(path, "X509 CRL", PemContent::RevocationList)?;
    Ok(all
        .into_iter()
        .map(|(der, line)| RevocationList { der, line })
        .collect())
}

/// The blocks with this label, and the lines where they begin; at least one.
fn all_blocks<T: PemObject>(
    path: &Path,
    label: &str,
    want: PemContent,
) -> Result<Vec<(T, usize)>, TlsError> {
    let text = bytes(path, want.description())?;
    let blocks = blocks(path, &text, want)?;
    let lines = blocks.iter().filter(|block| block.label == label);
    let lines: Vec<usize> = lines.map(|block| block.line).collect();
    let Some(first) = lines.first() else {
        return Err(wrong_content(path, &blocks, want));
    };
    let read = T::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| damaged(path, *first))?;
    Ok(read.into_iter().zip(lines).collect())
}

/// Reads the only private key of a file, and its line.
///
/// # Errors
///
/// The file cannot be read, or has other content.
pub(crate) fn key(path: &Path) -> Result<(PrivateKeyDer<'static>, usize), TlsError> {
    let text = bytes(path, PemContent::Key.description())?;
    let blocks = blocks(path, &text, PemContent::Key)?;
    let mut keys = blocks.iter().filter(|block| is_key(block.label));
    let (Some(block), more) = (keys.next(), keys.next()) else {
        return Err(wrong_content(path, &blocks, PemContent::Key));
    };
    if block.encrypted {
        return Err(encrypted(path, block.line));
    }
    if let Some(more) = more {
        let (first, second) = (block.line, more.line);
        return Err(TlsError::new(
            path,
            &format!("holds more than one private key (lines {first} and {second})"),
            "leave only the key that belongs to the certificate",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| damaged(path, block.line))?;
    Ok((key, block.line))
}

/// Reads a file, which should hold this.
///
/// # Errors
///
/// The file cannot be read, or is too large.
pub(super) fn bytes(path: &Path, wanted: &str) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let file = std::fs::File::open(path);
    let text = file.and_then(|file| {
        let size = file.metadata()?.len();
        let mut text = Zeroizing::new(Vec::new());
        io::Read::read_to_end(&mut io::Read::take(file, MOST + 1), &mut text)?;
        Ok((text, size))
    });
    let (mut text, size) = text.map_err(|error| unreadable(path, &error))?;
    if size > MOST || text.len() as u64 > MOST {
        let help = format!("name the file that holds {wanted}");
        return Err(TlsError::new(path, "is larger than 4 MiB", &help));
    }
    if let Some(rest) = text.strip_prefix(b"\xef\xbb\xbf") {
        text = Zeroizing::new(rest.to_vec());
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> TlsError {
    let (what, help) = match error.kind() {
        io::ErrorKind::NotFound => (
            "does not exist".to_owned(),
            "correct the path; one that does not begin with `/` is relative to the folder of the configuration",
        ),
        io::ErrorKind::PermissionDenied => (
            "cannot be read: permission denied".to_owned(),
            "let the user that runs Windlass read the file and enter its folders",
        ),
        io::ErrorKind::IsADirectory => {
            ("is a folder".to_owned(), "write the name of the file in it")
        }
        _ => (
            format!("cannot be read: {error}"),
            "make the file readable for the user that runs Windlass",
        ),
    };
    TlsError::new(path, &what, help)
}

/// The blocks of a file, each of which must have its end.
fn blocks<'a>(path: &Path, text: &'a [u8], want: PemContent) -> Result<Vec<Block<'a>>, TlsError> {
    if text.trim_ascii().is_empty() {
        let help = format!("write {} into it, in PEM", want.description());
        return Err(TlsError::new(path, "is empty", &help));
    }
    let Some(text) = std::str::from_utf8(text)
        .ok()
        .filter(|text| !text.contains('\0'))
    else {
        return Err(binary(path, text, want));
    };
    let mut all = Vec::new();
    let mut open: Option<Block<'a>> = None;
    for (index, line) in text.split('\n').enumerate() {
        let (number, line) = (index + 1, line.trim_end());
        if let Some(label) = marker(line, "BEGIN") {
            if let Some(block) = open {
                return Err(cut_short(path, &block));
            }
            open = Some(Block {
                label,
                line: number,
                encrypted: label == "ENCRYPTED PRIVATE KEY",
            });
        } else if let Some(label) = marker(line, "END") {
            match open.take() {
                Some(block) if block.label == label => all.push(block),
                Some(block) => return Err(cut_short(path, &block)),
                None => {}
            }
        } else if let Some(block) = &mut open {
            block.encrypted |= line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
            let is_field = line.contains(':');
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/= \t".contains(&byte);
            if !is_field && !line.bytes().all(is_base64) {
                return Err(invalid_line_error(path, number, line));
            }
        } else if line.contains("-BEGIN ") {
            return Err(invalid_line_error(path, number, line));
        }
    }
    match open {
        Some(block) => Err(cut_short(path, &block)),
        None => Ok(all),
    }
}

/// The label of a line that begins or ends a block.
fn marker<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("-----")?.strip_prefix(word)?;
    rest.strip_prefix(' ')?.strip_suffix("-----")
}

fn cut_short(path: &Path, block: &Block<'_>) -> TlsError {
    let Block { label, line, .. } = block;
    TlsError::new(
        path,
        &format!("is cut short: the block that begins at line {line} has no end"),
        &format!("copy the whole file again, with the line `-----END {label}-----`"),
    )
}

fn invalid_line_error(path: &Path, number: usize, line: &str) -> TlsError {
    let (what, help) = match line.find("-BEGIN ") {
        Some(_) if line.contains("\\n") => (
            "has `\\n` instead of line ends",
            "write real line ends, for example by `printf '%b'`",
        ),
        Some(_) if line.trim_start().len() < line.len() => (
            "begins with spaces",
            "remove the spaces at the beginning of each line",
        ),
        Some(_) => (
            "begins a block in a wrong form",
            "write it with five hyphens before and after, such as `-----BEGIN CERTIFICATE-----`, and nothing else in the line",
        ),
        None => (
            "is not base64, as it must be within a block",
            "copy the file again, byte for byte",
        ),
    };
    TlsError::new(path, &format!("is not PEM: line {number} {what}"), help)
}

fn damaged(path: &Path, line: usize) -> TlsError {
    TlsError::new(
        path,
        &format!("is damaged: the block that begins at line {line} is not base64"),
        "copy the file again, byte for byte",
    )
}

fn encrypted(path: &Path, line: usize) -> TlsError {
    let help = format!(
        "write it without: `openssl pkey -in {} -out plain.key`, and let nobody else read that file",
        path.display()
    );
    let what = format!("holds a private key that is locked with a password (line {line})");
    TlsError::new(path, &what, &help)
}

/// Explains a file of bytes that is not text.
fn binary(path: &Path, bytes: &[u8], want: PemContent) -> TlsError {
    let shown = path.display();
    let is_text = |mark: &[u8]| bytes.starts_with(mark);
    let (what, help) = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => (
            "is text in UTF-16, not PEM",
            "save it as plain ASCII or UTF-8".to_owned(),
        ),
        _ if is_text(&[0xfe, 0xed, 0xfe, 0xed]) => (
            "is a Java key store, not PEM",
            format!(
                "convert it: `keytool -importkeystore -srckeystore {shown} -destkeystore store.p12 -deststoretype pkcs12`, then `openssl pkcs12 -in store.p12 -nodes`"
            ),
        ),
        // A PFX is a SEQUENCE that begins with the INTEGER 3 (RFC 7292).
        [0x30, 0x80 | 0x82, rest @ ..] if rest.windows(3).take(3).any(|some| some == [2, 1, 3]) => {
            (
                "is PKCS #12 (`.pfx`, `.p12`), not PEM",
                match want {
                    PemContent::Certificate => {
                        format!("convert it: `openssl pkcs12 -in {shown} -nokeys -out api.pem`")
                    }
                    PemContent::Key => format!(
                        "convert it: `openssl pkcs12 -in {shown} -nocerts -nodes -out api.key`"
                    ),
                    PemContent::RevocationList => {
                        "name the file that the authority publishes its list in".to_owned()
                    }
                },
            )
        }
        [0x30, ..] => (
            "is DER, not PEM",
            match want {
                PemContent::Certificate => {
                    format!("convert it: `openssl x509 -inform der -in {shown} -out api.pem`")
                }
                PemContent::Key => {
                    format!("convert it: `openssl pkey -inform der -in {shown} -out api.key`")
                }
                PemContent::RevocationList => {
                    format!("convert it: `openssl crl -inform der -in {shown} -out crl.pem`")
                }
            },
        ),
        _ => (
            "is not text, so it is not PEM",
            format!("name the file that holds {}", want.description()),
        ),
    };
    TlsError::new(path, what, &help)
}

/// Explains a file that has only other blocks.
fn wrong_content(path: &Path, blocks: &[Block<'_>], want: PemContent) -> TlsError {
    let has = |is: fn(&str) -> bool| blocks.iter().any(|block| is(block.label));
    let shown = path.display();
    let (what, help) = match want {
        PemContent::Certificate if has(is_key) => (
            "a private key and no certificate",
            "name the certificate's file as `certificate`, and this one as `key`".to_owned(),
        ),
        PemContent::Certificate if has(|label| label.ends_with("CERTIFICATE REQUEST")) => (
            "a certificate request and no certificate",
            "name the file that the authority issued for it".to_owned(),
        ),
        PemContent::Certificate if has(|label| matches!(label, "PKCS7" | "CMS")) => (
            "PKCS #7 and no usable certificate",
            format!("convert it: `openssl pkcs7 -in {shown} -print_certs -out api.pem`"),
        ),
        PemContent::Certificate
            if has(|label| matches!(label, "TRUSTED CERTIFICATE" | "X509 CERTIFICATE")) =>
        {
            (
                "a certificate under another name than `CERTIFICATE`",
                format!("convert it: `openssl x509 -in {shown} -out api.pem`"),
            )
        }
        PemContent::Key if has(|label| label == "CERTIFICATE") => (
            "a certificate and no private key",
            "name the private key's file as `key`, and this one as `certificate`".to_owned(),
        ),
        PemContent::Key if has(|label| label.ends_with("PUBLIC KEY")) => (
            "a public key and no private key",
            "name the file of the private key that it was made from".to_owned(),
        ),
        PemContent::Key if has(|label| label == "OPENSSH PRIVATE KEY") => (
            "a key in OpenSSH's format",
            format!("convert a copy of it: `ssh-keygen -p -m pkcs8 -N '' -f {shown}`"),
        ),
        PemContent::Certificate | PemContent::Key | PemContent::RevocationList => {
            let (missing, begins) = match want {
                PemContent::Certificate => ("no certificate", "-----BEGIN CERTIFICATE-----"),
                PemContent::Key => ("no private key", "-----BEGIN PRIVATE KEY-----"),
                PemContent::RevocationList => ("no revocation list", "-----BEGIN X509 CRL-----"),
            };
            let help = format!(
                "name the file with {}: it begins with `{begins}`",
                want.description()
            );
            return TlsError::new(path, &format!("holds {missing} in PEM"), &help);
        }
    };
    TlsError::new(path, &format!("holds {what}"), &help)
}

fn is_key(label: &str) -> bool {
    matches!(
        label,
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY"
    )
}

impl PemContent {
    fn description(self) -> &'static str {
        match self {
            Self::Certificate => "the certificate",
            Self::Key => "the private key",
            Self::RevocationList => "the revocation list",
        }
    }
}
