//! Headers of both versions, as the specification has them and otherwise.

use super::*;

const V4: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";

fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, payload].concat()
}

fn ipv4(tlvs: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    binary(0x21, 0x11, &[&addresses, tlvs].concat())
}

fn client(bytes: &[u8]) -> Option<ProxiedClient> {
    match parse(bytes) {
        Ok(ProxyHeader::Complete { length, client }) => {
            assert!(length <= bytes.len(), "{length}");
            client
        }
        other => panic!("{other:?}"),
    }
}

fn route(source: &str, destination: &str) -> ProxiedRoute {
    ProxiedRoute {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

#[test]
fn the_client_of_both_versions_is_read_and_later_bytes_stay() {
    let expected = route("192.0.2.1:56324", "198.51.100.2:443");
    for header in [V4.to_vec(), ipv4(&[])] {
        let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        let ProxyHeader::Complete { length, client } = parse(&bytes).unwrap() else {
            panic!("{header:?}");
        };
        assert_eq!(length, header.len());
        assert_eq!(client.unwrap().route, expected);
    }
    let line = b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";
    assert_eq!(
        client(line).unwrap().route,
        route("[2001:db8::1]:0", "[::1]:65535")
    );
}

#[test]
fn what_is_written_is_read() {
    for route in [
        route("192.0.2.1:1", "198.51.100.2:443"),
        route("[2001:db8::1]:65535", "[::1]:80"),
    ] {
        for version in [ProxyProtocolVersion::V1, ProxyProtocolVersion::V2] {
            assert_eq!(client(&encode(version, Some(route))).unwrap().route, route);
            assert_eq!(client(&encode(version, None)), None);
        }
    }
    let mixed = route("192.0.2.1:1", "[::1]:80");
    let mapped = route("[::ffff:192.0.2.1]:1", "[::1]:80");
    let written = encode(ProxyProtocolVersion::V1, Some(mixed));
    assert_eq!(client(&written).unwrap().route, mapped);
}

#[test]
fn every_beginning_of_a_header_is_incomplete() {
    let unix = binary(0x21, 0x31, &[0; UNIX_PATHS]);
    for header in [V4, &ipv4(&[4, 0, 1, 0]), &unix, b"PROXY UNKNOWN\r\n"] {
        for length in 0..header.len() {
            let parsed = parse(&header[..length]);
            assert_eq!(parsed, Ok(ProxyHeader::Incomplete), "{length}");
        }
        assert!(matches!(parse(header), Ok(ProxyHeader::Complete { .. })));
    }
}

#[test]
fn a_connection_of_the_proxys_own_names_no_client() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        binary(0x20, 0x00, &[]),
        // The addresses of LOCAL are ignored, whatever they are.
        binary(0x20, 0x11, &[1, 2, 3]),
        binary(0x21, 0x00, &[]),
        binary(0x21, 0x31, &[0; UNIX_PATHS]),
    ] {
        assert_eq!(client(&header), None, "{header:?}");
    }
}

#[test]
fn other_protocols_are_no_header() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\n",
        b"PROXY/1",
        b"\x16\x03\x01\x02",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    ] {
        assert_eq!(parse(bytes), Ok(ProxyHeader::Absent), "{bytes:?}");
    }
}

#[test]
fn a_malformed_line_is_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
        "PROXY TCP4 ::1 2.2.2.2 1 2\r\n",
        "PROXY TCP6 1.1.1.1 ::1 1 2\r\n",
        "PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n",
        "PROXY TCP4\r1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
    ] {
        let parsed = parse(line.as_bytes());
        assert_eq!(parsed, Err(ProxyHeaderError::Line), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert_eq!(parse(long.as_bytes()), Err(ProxyHeaderError::Line));
    let late = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(parse(late.as_bytes()), Err(ProxyHeaderError::Line));
}

#[test]
fn a_malformed_binary_header_is_refused() {
    for (header, error) in [
        (binary(0x11, 0x11, &[0; 12]), ProxyHeaderError::Command),
        (binary(0x22, 0x11, &[0; 12]), ProxyHeaderError::Command),
        (binary(0x21, 0x12, &[0; 12]), ProxyHeaderError::Family),
        (binary(0x21, 0x41, &[0; 12]), ProxyHeaderError::Family),
        (binary(0x21, 0x11, &[0; 11]), ProxyHeaderError::Length),
        (binary(0x21, 0x21, &[0; 35]), ProxyHeaderError::Length),
        (binary(0x21, 0x31, &[0; 215]), ProxyHeaderError::Length),
        (ipv4(&[4, 0]), ProxyHeaderError::Length),
        (ipv4(&[4, 0, 2, 0]), ProxyHeaderError::Length),
        (
            [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(),
            ProxyHeaderError::TooLong,
        ),
    ] {
        assert_eq!(parse(&header), Err(error), "{header:?}");
    }
}

#[test]
fn tlvs_tell_of_tls_of_the_host_and_of_the_vpc_endpoint() {
    let tlv = |kind: u8, value: &[u8]| {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind], &length[..], value].concat()
    };
    let tlvs = [
        tlv(0x03, &[0; 4]),
        tlv(AUTHORITY, b"api.example.com"),
        tlv(SSL, &[CLIENT_SSL, 0, 0, 0, 0]),
        tlv(AWS, b"\x01vpce-08d2bf15fac5001c9"),
        tlv(0xf0, b""),
    ];
    let found = client(&ipv4(&tlvs.concat())).unwrap();
    assert!(found.is_tls);
    let facts = found.facts.unwrap();
    assert_eq!(facts.authority.as_deref(), Some("api.example.com"));
    let endpoint = facts.vpc_endpoint.as_deref();
    assert_eq!(endpoint, Some("vpce-08d2bf15fac5001c9"));
    let odd = [tlv(AUTHORITY, b"a\r\nb"), tlv(SSL, &[0]), tlv(AWS, &[2])];
    let found = client(&ipv4(&odd.concat())).unwrap();
    assert_eq!((found.is_tls, found.facts), (false, None));
}

#[test]
fn no_bytes_make_the_parser_panic_or_read_past_the_end() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut bytes = match random.u8(..3) {
            0 => V4.to_vec(),
            1 => ipv4(&[4, 0, 1, 0]),
            _ => binary(0x21, 0x21, &[7; 60]),
        };
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        if let Ok(ProxyHeader::Complete { length, .. }) = parse(&bytes) {
            assert!(length <= bytes.len());
        }
    }
}
