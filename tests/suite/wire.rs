//! Shared by the suites of the client side: one gateway in front of one endpoint, and exact bytes.

use std::net::SocketAddr;

use windlass_tests::{Client, Gateway, Reply, Response, Upstream};

/// A gateway, and an endpoint that responds with the request's target.
pub(crate) struct Wire {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
}

/// A configuration with these settings of its listener, and one route to this endpoint.
pub(crate) fn config(listener: &str, endpoint: SocketAddr) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [[route]]\npath = \"$default\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [{{ address = \"{endpoint}\" }}]\n"
    )
}

impl Wire {
    /// Start a gateway with these settings of its listener.
    pub(crate) fn start(listener: &str) -> Self {
        Self::with(listener, echo())
    }

    /// Start a gateway in front of another endpoint.
    pub(crate) fn with(listener: &str, upstream: Upstream) -> Self {
        let gateway = Gateway::with_config(config(listener, upstream.address())).start();
        Self { gateway, upstream }
    }

    /// Send these bytes on a new connection. The responses must have exactly these statuses, and
    /// the endpoint must get exactly these targets.
    pub(crate) fn expect(
        &self,
        bytes: &[u8],
        answers: &[u16],
        targets: &[&str],
    ) -> Result<Vec<Response>, String> {
        let before = self.upstream.count();
        let mut client = self.gateway.client();
        // The gateway may close before it has read everything.
        let _ = client.try_send_raw(bytes);
        let is_head = bytes.starts_with(b"HEAD ");
        let came = read(&mut client, answers.len(), is_head)?;
        let statuses: Vec<u16> = came.iter().map(|answer| answer.status).collect();
        if statuses != answers {
            let said: Vec<_> = came
                .iter()
                .map(|a| String::from_utf8_lossy(&a.body))
                .collect();
            return Err(format!(
                "answers {statuses:?} instead of {answers:?}: {said:?}"
            ));
        }
        client.finish_sending();
        if !client.is_closed() {
            return Err("more than the answers came".to_owned());
        }
        let received = self.upstream.received();
        let asked: Vec<&str> = received.iter().skip(before).map(|r| &*r.target).collect();
        match asked == targets {
            true => Ok(came),
            false => Err(format!("the endpoint got {asked:?} instead of {targets:?}")),
        }
    }
}

fn read(client: &mut Client, count: usize, is_head: bool) -> Result<Vec<Response>, String> {
    let mut came = Vec::new();
    for _ in 0..count {
        match client.try_read(is_head, true) {
            Ok(Some(answer)) => came.push(answer),
            Ok(None) => break,
            Err(error) => return Err(format!("{error} after {} answers", came.len())),
        }
    }
    Ok(came)
}

/// An endpoint that responds with the request's target.
pub(crate) fn echo() -> Upstream {
    Upstream::with(|request, stream| {
        let body = match &*request.method {
            "HEAD" => String::new(),
            _ => request.target.clone(),
        };
        Reply::status(200).body(body).write(stream)
    })
}
