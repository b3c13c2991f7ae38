//! A component on `wasi:http`, as other hosts run it too: the field `x-act` of a request says what
//! it does. Without the field it sends the request on, and its response back.

#![cfg(target_arch = "wasm32")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a panic is one of the things that it does"
)]

use wasip2::cli::environment::get_environment;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

struct Handler;

wasip2::http::proxy::export!(Handler);

impl wasip2::exports::http::incoming_handler::Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let act = field(&request.headers(), "x-act").unwrap_or_default();
        let (act, argument) = act.split_once('=').unwrap_or((&act, ""));
        match act {
            "" | "upper" | "trap-late" => {
                let is_upper = act == "upper";
                let response = send_on(request, &[("x-passed", "handler")], is_upper);
                give_back(out, response.unwrap(), is_upper, act == "trap-late");
            }
            "refuse" => answer(out, 403, b"not from here"),
            "large" => answer(out, 200, &vec![b'a'; argument.parse().unwrap()]),
            "ask" => {
                let status =
                    ask(argument).map_or_else(|error| format!("{error:?}"), |s| s.to_string());
                let response = send_on(request, &[("x-asked", &status)], false);
                give_back(out, response.unwrap(), false, false);
            }
            "twice" => {
                let headers = Fields::new();
                let authority = request.authority();
                let response = send_on(request, &[], false);
                let again = OutgoingRequest::new(headers);
                again.set_authority(authority.as_deref()).unwrap();
                again.set_path_with_query(Some("/")).unwrap();
                let again = exchange(again);
                eprintln!("the second time: {:?}", again.err());
                give_back(out, response.unwrap(), false, false);
            }
            "environment" => {
                let variables = get_environment();
                let text = variables
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"));
                answer(out, 200, text.collect::<Vec<_>>().join("\n").as_bytes());
            }
            "files" => answer(
                out,
                200,
                format!("{:?}", std::fs::read_dir("/").err()).as_bytes(),
            ),
            "panic" => panic!("told to"),
            "loop" => loop {
                std::hint::black_box(());
            },
            "memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_millis(argument.parse().unwrap()));
                answer(out, 200, b"awake");
            }
            "error" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(None))),
            "status" => answer(out, argument.parse().unwrap(), b""),
            _ => drop(out),
        }
    }
}

fn field(fields: &Fields, name: &str) -> Option<String> {
    let value = fields.get(name).pop()?;
    String::from_utf8(value).ok()
}

/// Send the request on, with these fields. Gives its response.
fn send_on(
    request: IncomingRequest,
    added: &[(&str, &str)],
    is_upper: bool,
) -> Result<IncomingResponse, ErrorCode> {
    let headers = request.headers().clone();
    for (name, value) in added {
        headers.set(name, &[value.as_bytes().to_vec()]).unwrap();
    }
    let sent = OutgoingRequest::new(headers);
    sent.set_method(&request.method()).unwrap();
    sent.set_scheme(request.scheme().as_ref()).unwrap();
    sent.set_authority(request.authority().as_deref()).unwrap();
    sent.set_path_with_query(request.path_with_query().as_deref())
        .unwrap();
    if matches!(request.method(), Method::Get | Method::Head) {
        return exchange(sent);
    }
    let body = sent.body().unwrap();
    let response = handle(sent, None)?;
    pass(request.consume().unwrap(), body, is_upper, false);
    response.subscribe().block();
    response.get().unwrap().unwrap()
}

fn exchange(request: OutgoingRequest) -> Result<IncomingResponse, ErrorCode> {
    let response = handle(request, None)?;
    response.subscribe().block();
    response.get().unwrap().unwrap()
}

fn ask(target: &str) -> Result<u16, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(target)).unwrap();
    request.set_path_with_query(Some("/check")).unwrap();
    Ok(exchange(request)?.status())
}

fn answer(out: ResponseOutparam, status: u16, bytes: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    for chunk in bytes.chunks(4096) {
        stream.blocking_write_and_flush(chunk).unwrap();
    }
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

fn give_back(out: ResponseOutparam, response: IncomingResponse, is_upper: bool, traps: bool) {
    let headers = response.headers().clone();
    headers.set("x-answered", &[b"handler".to_vec()]).unwrap();
    let given = OutgoingResponse::new(headers);
    given.set_status_code(response.status()).unwrap();
    let body = given.body().unwrap();
    ResponseOutparam::set(out, Ok(given));
    pass(response.consume().unwrap(), body, is_upper, traps);
}

/// Pass a body on, chunk by chunk.
fn pass(from: IncomingBody, to: OutgoingBody, is_upper: bool, traps: bool) {
    let (source, sink) = (from.stream().unwrap(), to.write().unwrap());
    loop {
        match source.blocking_read(4096) {
            Ok(mut chunk) => {
                if is_upper {
                    chunk.make_ascii_uppercase();
                }
                sink.blocking_write_and_flush(&chunk).unwrap();
                assert!(!traps, "told to, in the body");
            }
            Err(StreamError::Closed) => break,
            Err(error) => panic!("the body broke off: {error:?}"),
        }
    }
    drop((source, sink));
    OutgoingBody::finish(to, None).unwrap();
}
