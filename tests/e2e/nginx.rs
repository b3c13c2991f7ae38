//! nginx as an endpoint: over HTTP/1.1, and over HTTP/2 with TLS.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use windlass_tests::Gateway;
use windlass_tests::wait::until;

use crate::config::all_to;
use crate::wire::Authority;

/// A running nginx. Dropping this value ends it.
struct Nginx {
    process: Child,
    clear: SocketAddr,
    secure: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// Responds with the HTTP version of the request, and closes each connection after five
    /// requests.
    fn start(authority: &Authority) -> Self {
        let folder = TempDir::new().unwrap();
        let identity = authority.issue(&["127.0.0.1"]);
        std::fs::write(folder.path().join("own.pem"), identity.certificate).unwrap();
        std::fs::write(folder.path().join("own.key"), identity.key).unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (free(), free());
        let (clear, secure) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        drop((one, other));
        let mut text = String::from(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\n",
        );
        text += "http { access_log off; keepalive_requests 5; client_body_temp_path body;\n";
        text += "proxy_temp_path proxy; fastcgi_temp_path fast; uwsgi_temp_path uw; scgi_temp_path scgi;\n";
        writeln!(
            text,
            "server {{ listen {clear}; listen {secure} ssl http2; ssl_certificate own.pem; ssl_certificate_key own.key;\nlocation / {{ return 200 $server_protocol; }} }} }}"
        )
        .unwrap();
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let process = Command::new("nginx")
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx; apt-get install nginx-light");
        until("nginx", || TcpStream::connect(clear).ok());
        Self {
            process,
            clear,
            secure,
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs nginx: apt-get install nginx-light"]
fn nginx_answers_every_request_though_it_ends_its_connections() {
    let authority = Authority::new();
    let nginx = Nginx::start(&authority);
    for (address, keys, version) in [
        (nginx.clear, "", "HTTP/1.1"),
        (nginx.secure, "tls = { ca = \"ca.pem\" }\n", "HTTP/2.0"),
    ] {
        let gateway = Gateway::with_config(format!("{}{keys}", all_to(address)))
            .file("ca.pem", &authority.pem)
            .start();
        let mut clients: Vec<_> = (0..4).map(|_| gateway.client()).collect();
        for _ in 0..25 {
            for client in &mut clients {
                client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            }
            for client in &mut clients {
                let answer = client.read_response();
                assert_eq!((answer.status, answer.text()), (200, version));
            }
        }
    }
}
