//! Addresses: of a listener, of an endpoint, and blocks of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use super::Refused;

/// An IP address with a port, to bind to.
pub(in crate::config) fn socket(text: &str) -> Result<SocketAddr, Refused> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let refused = Refused::plain();
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    if let Ok(port) = text.parse::<u16>() {
        return Err(refused.write(&format!("0.0.0.0:{port}")));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let refused = Refused::because("has no port");
        return Err(refused.write(&SocketAddr::new(address, 8080).to_string()));
    }
    Err(match (host, port.parse::<u16>()) {
        ("" | "*", Ok(port)) => refused.write(&format!("0.0.0.0:{port}")),
        ("localhost", Ok(port)) => refused.write(&format!("127.0.0.1:{port}")),
        (_, Ok(_)) => refused.help("names are not resolved here: write an IP address"),
        (_, Err(_)) => refused,
    })
}

/// An IP address with a port, of a DNS server.
pub(in crate::config) fn resolver(text: &str) -> Result<SocketAddr, Refused> {
    let address = socket(text)?;
    if address.port() == 0 {
        let refused = Refused::because("has port 0, which nothing listens on");
        return Err(refused.write(&SocketAddr::new(address.ip(), 53).to_string()));
    }
    Ok(address)
}

/// An IP address or a name, with a port, to connect to.
pub(in crate::config) fn endpoint(text: &str) -> Result<String, Refused> {
    let Some((host, port)) = text.rsplit_once(':').filter(|_| !is_bare_ipv6(text)) else {
        return Err(odd_endpoint(text).unwrap_or_else(|| no_port(text)));
    };
    let is_good = is_host_or_ipv6(host);
    let has_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(0) if is_good => Err(Refused::because("has port 0, which nothing listens on")),
        Ok(_) if is_good && has_digits => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(odd_endpoint(text).unwrap_or_else(|| match is_good {
            true => Refused::because("has no port from 1 to 65535"),
            false => Refused::plain(),
        })),
    }
}

/// Texts that people write in the place of an endpoint's address, and the cure.
fn odd_endpoint(text: &str) -> Option<Refused> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return Some(url(scheme, rest));
    }
    if text.starts_with("unix:") {
        let help = "endpoints are asked over TCP: write a name or an IP address, and the port";
        return Some(Refused::because("is a socket of this machine").help(help));
    }
    if text.contains("${") {
        let refused = Refused::because("has a variable, and no variable is replaced in this file");
        return Some(refused.help("write the file from a template before the start"));
    }
    if text.contains('@') {
        // A password may stand before it.
        let refused = Refused::because("has a user in it, which Windlass does not send");
        return Some(refused.help("write what follows the `@`").private());
    }
    if text.contains(',') {
        let refused = Refused::because("is more than one address");
        return Some(refused.help("each is an endpoint of its own"));
    }
    let (message, address) = nearly(text)?;
    let address = endpoint(&address).ok()?;
    Some(Refused::because(message).write(&address))
}

fn url(scheme: &str, rest: &str) -> Refused {
    let authority = rest.split('/').next().unwrap_or_default();
    let port = match scheme {
        "https" | "grpcs" | "wss" => 443,
        _other => 80,
    };
    let refused = Refused::because("is a URL");
    match endpoint(authority) {
        Ok(address) => refused.write(&address),
        Err(_) if is_host(authority) => refused.write(&format!("{authority}:{port}")),
        Err(_) => refused.help("write its name or IP address, and the port"),
    }
}

/// The fault of a text that is nearly an address, and the address.
fn nearly(text: &str) -> Option<(&'static str, String)> {
    let trimmed = text.trim();
    if text != trimmed {
        return Some(("begins or ends with white space", trimmed.to_owned()));
    }
    if let Some((address, _)) = text.split_once('/') {
        let message = "has a path, but requests keep their own";
        return Some((message, address.to_owned()));
    }
    if let Some((host, port)) = text.split_once(' ') {
        return Some(("has a space in it", format!("{host}:{}", port.trim())));
    }
    let (host, port) = text.rsplit_once(':')?;
    if is_bare_ipv6(host) {
        let message = "is an IPv6 address without brackets";
        return Some((message, format!("[{host}]:{port}")));
    }
    if text.starts_with('[') && text.ends_with(']') {
        return Some(("has no port", format!("{text}:8080")));
    }
    let host = host.strip_suffix('.')?;
    Some(("has a name that ends with a dot", format!("{host}:{port}")))
}

/// The name in a certificate: of a host, or an IP address.
pub(in crate::config) fn server_name(text: &str) -> Result<String, Refused> {
    if text.parse::<IpAddr>().is_ok() || is_host(text) {
        return Ok(text.to_owned());
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let name = rest.split(['/', ':']).next().unwrap_or_default();
    match is_host(name) {
        true => Err(Refused::because("is more than a name").write(name)),
        false => Err(Refused::plain()),
    }
}

fn no_port(text: &str) -> Refused {
    let refused = Refused::because("has no port");
    if is_bare_ipv6(text) {
        refused.write(&format!("[{text}]:8080"))
    } else if is_host(text) {
        refused.write(&format!("{text}:8080"))
    } else {
        Refused::plain()
    }
}

/// Whether it is a host, or an IPv6 address in brackets.
pub(in crate::config) fn is_host_or_ipv6(text: &str) -> bool {
    let inside = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inside.map_or_else(|| is_host(text), is_bare_ipv6)
}

fn is_bare_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Whether it is a host name (RFC 1123, and `_` as in service names) or an IPv4 address.
pub(in crate::config) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let edges = !label.starts_with('-') && !label.ends_with('-');
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && edges && label.bytes().all(allowed)
    };
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let looks_like_ip = digits(text) && text.contains('.');
    text.len() <= 253
        && text.split('.').all(label)
        && (!looks_like_ip || text.parse::<Ipv4Addr>().is_ok())
}

/// A block of addresses.
pub(in crate::config) fn block(text: &str) -> Result<IpNet, Refused> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let refused = Refused::because("is one address, not a block");
        return Err(refused.write(&IpNet::from(address).to_string()));
    }
    text.parse().map_err(|_| {
        let (address, _) = text.split_once('/').unwrap_or_default();
        match address.parse::<IpAddr>().map(IpNet::from) {
            Ok(one) => {
                let most = one.max_prefix_len();
                Refused::because(format!("has no prefix from 0 to {most}"))
            }
            Err(_) => Refused::plain(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
        result.unwrap_err().help.unwrap_or_default()
    }

    #[test]
    fn sockets() {
        assert!(socket("0.0.0.0:8080").is_ok());
        assert!(socket("[::1]:0").is_ok());
        assert_eq!(help(socket(":8080")), "write `\"0.0.0.0:8080\"`");
        assert_eq!(help(socket("8080")), "write `\"0.0.0.0:8080\"`");
        assert_eq!(help(socket("localhost:80")), "write `\"127.0.0.1:80\"`");
        assert_eq!(help(socket("10.0.0.1")), "write `\"10.0.0.1:8080\"`");
        assert_eq!(help(socket("::1")), "write `\"[::1]:8080\"`");
    }

    #[test]
    fn resolvers_have_a_port_to_ask() {
        assert!(resolver("10.0.0.2:53").is_ok());
        assert_eq!(help(resolver("10.0.0.2:0")), "write `\"10.0.0.2:53\"`");
    }

    #[test]
    fn endpoints() {
        for good in [
            "10.0.0.1:80",
            "orders:8080",
            "orders.internal:1",
            "[::1]:65535",
            "a_b:1",
        ] {
            assert_eq!(endpoint(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            ":80",
            "a:0",
            "a:65536",
            "a:+1",
            "a b:1",
            "::1:80x",
            "[::1",
            "[a]:1",
            "300.1.1.1:80",
            "-a:1",
            "a/b:1",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
        assert_eq!(
            help(endpoint("http://10.0.0.1:80/x")),
            "write `\"10.0.0.1:80\"`"
        );
        assert_eq!(help(endpoint("https://orders")), "write `\"orders:443\"`");
        assert_eq!(help(endpoint("orders")), "write `\"orders:8080\"`");
        for (theirs, ours) in [
            ("::1", "[::1]:8080"),
            ("::1:80", "[::1]:80"),
            ("[::1]", "[::1]:8080"),
            ("2001:db8::5:8443", "[2001:db8::5]:8443"),
            ("1:2:3:4:5:6:7:8:80", "[1:2:3:4:5:6:7:8]:80"),
            ("1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]:8080"),
            ("tcp://orders:80", "orders:80"),
            ("grpcs://orders", "orders:443"),
            ("orders:80/v1", "orders:80"),
            (" orders:80", "orders:80"),
            ("orders 80", "orders:80"),
            ("orders.internal.:80", "orders.internal:80"),
        ] {
            assert_eq!(help(endpoint(theirs)), format!("write `\"{ours}\"`"));
        }
        let several = help(endpoint("10.0.0.1:80,10.0.0.2:80"));
        assert_eq!(several, "each is an endpoint of its own");
        for odd in ["unix:/run/orders", "${ORDERS}:80", "me:s3cr3t@orders:80"] {
            let refused = endpoint(odd).unwrap_err();
            assert!(refused.message.is_some() && refused.help.is_some(), "{odd}");
        }
    }

    #[test]
    fn blocks() {
        let whole = block("10.0.0.0/8").unwrap();
        assert_eq!(
            (whole.addr().to_string().as_str(), whole.prefix_len()),
            ("10.0.0.0", 8)
        );
        assert!(block("::/0").is_ok());
        for bad in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "x/8",
        ] {
            assert!(block(bad).is_err(), "{bad}");
        }
        assert_eq!(help(block("10.0.0.1")), "write `\"10.0.0.1/32\"`");
        assert_eq!(help(block("::1")), "write `\"::1/128\"`");
    }
}
