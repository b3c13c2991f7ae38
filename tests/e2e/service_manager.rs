//! Windlass reports its state to a service manager that asks for it (`sd_notify(3)`).

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;
use windlass_tests::{Gateway, wait};

const FIXED: &str = "[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n";

fn next(socket: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let count = socket.recv(&mut text).unwrap();
    String::from_utf8(text[..count].to_vec()).unwrap()
}

#[test]
fn it_is_told_of_the_start_of_each_reload_and_of_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let gateway = Gateway::with_config(FIXED)
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .start();
    assert_eq!(next(&socket), "READY=1");
    for config in [FIXED, "broken"] {
        let _ = gateway.reload(config);
        let told = next(&socket);
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
        assert_eq!(next(&socket), "READY=1");
    }
    gateway.signal(Signal::TERM);
    assert_eq!(next(&socket), "STOPPING=1");
    assert_eq!(gateway.wait_for_end().code(), Some(0));
}

#[test]
fn a_manager_that_is_not_there_harms_nothing() {
    for name in ["/nowhere/notify", "@nobody-listens-here", ""] {
        let gateway = Gateway::with_config(FIXED)
            .env("NOTIFY_SOCKET", name)
            .start();
        assert_eq!(gateway.get("/").text(), "ok");
        assert!(gateway.terminate().success());
    }
}
