#!/usr/bin/env bash
# grpcio 1.76.0 (PyPI), against a server made of h2 4.3.0 (PyPI).
#
# A gRPC call is answered by plain HTTP: status 429, `retry-after: 7`, a JSON body. So answers a gateway
# or a load balancer that throttles.
#
# The likely guess: RESOURCE_EXHAUSTED, or at least that the call's metadata has `retry-after`, since the
# field came in the head of the answer.
#
# What happens: the code is UNAVAILABLE ("HTTP to gRPC Status Code Mapping" says so), which retry policies
# take for "try again now"; and the call has no metadata at all, initial or trailing, so that the caller
# cannot learn how long to wait. The same fields in an answer of trailers only, with `grpc-status: 8`,
# are all there.
#
# Exit 0: as described. 1: it has changed. 2: it could not be tried.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.76.0 h2==4.3.0 || exit 2
cat > "$folder/case.py" << 'END'
import socket, sys, threading
import grpc, h2.config, h2.connection, h2.events

def serve(listener, head, body):
    client, _ = listener.accept()
    settings = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
    connection = h2.connection.H2Connection(config=settings)
    connection.initiate_connection()
    client.sendall(connection.data_to_send())
    while data := client.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                connection.send_headers(event.stream_id, head, end_stream=not body)
                if body:
                    connection.send_data(event.stream_id, body, end_stream=True)
        client.sendall(connection.data_to_send())

def call(head, body):
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, head, body), daemon=True).start()
    with grpc.insecure_channel(f"127.0.0.1:{listener.getsockname()[1]}") as channel:
        try:
            channel.unary_unary("/test.Test/Call")(b"", timeout=20)
        except grpc.RpcError as error:
            fields = list(error.initial_metadata() or []) + list(error.trailing_metadata() or [])
            return error.code().name, dict(fields).get("retry-after")

plain = call([(":status", "429"), ("content-type", "application/json"), ("retry-after", "7")], b"{}")
told = call([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "8"), ("retry-after", "7")], b"")
print("plain 429:", plain, "| trailers only:", told)
sys.exit(0 if plain == ("UNAVAILABLE", None) and told == ("RESOURCE_EXHAUSTED", "7") else 1)
END
"$folder/venv/bin/python" "$folder/case.py"
