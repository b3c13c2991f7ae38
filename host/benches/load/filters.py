#!/usr/bin/env python3
"""CPU time per proxied request with filters, beside the same request without: what a chain costs the proxy.

One gateway has a route without filters and routes with them. They take turns, A B C A B C .., each with the same
request, and of every turn the CPU time of the gateway is read from /proc. Load and endpoint share the gateway's core:
to wake an idle one costs the gateway system time, and more of it the less often it is busy. Needs nginx, wrk and taskset.
"""

import argparse
import base64
import hashlib
import hmac
import json
import pathlib
import shutil
import statistics
import sys
import tempfile

import run

HERE = pathlib.Path(__file__).resolve().parent
SECRET = "a secret of the bench, 32 bytes long at the least"
KEY = "bench-key"
ROUTES = ["none", "cors", "jwt", "api-key", "usage-plan", "transform", "rate-limit", "five"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = HERE.parents[2] / "target" / "release" / "windlass"
    parser.add_argument("windlass", nargs="?", default=str(target), help="the binary to measure (default: target/release/windlass)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each route (default 15)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a turn (default 2)")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections (default 32)")
    parser.add_argument("--routes", nargs="+", default=["none", "jwt", "five"], choices=ROUTES)
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=0, help="core of load and endpoint (default: the proxy's own, so that it wakes no idle core)")
    chosen = parser.parse_args()
    if not 2 <= chosen.rounds <= 50 or not 1 <= chosen.seconds <= 60:
        parser.error("2 to 50 rounds of 1 to 60 seconds")
    if "none" not in chosen.routes:
        parser.error("`none` is the route that the others are compared with: add it to --routes")
    for tool in ("nginx", "wrk", "taskset"):
        if not run.find(tool):
            parser.error(f"`{tool}` is missing; on Debian: apt-get install nginx-light wrk util-linux")
    if not pathlib.Path(chosen.windlass).is_file():
        parser.error(f"`{chosen.windlass}` is missing; build it with `cargo build --release`")
    return chosen


def token():
    """A token of an ordinary size, about 800 bytes."""
    encode = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=")
    claims = {"iss": "https://issuer.example", "aud": "orders", "sub": "anna", "scope": "orders:read", "exp": 4_000_000_000, "more": "x" * 400}
    signed = encode(b'{"alg":"HS256"}') + b"." + encode(json.dumps(claims).encode())
    signature = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + encode(signature)).decode()


def main():
    chosen = arguments()
    chosen.headers = ["-H", f"authorization: Bearer {token()}", "-H", f"x-api-key: {KEY}", "-H", "origin: https://app.example"]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="windlass-filters-"))
    (folder / "token-secret").write_text(SECRET)
    ports = {"BACKEND": run.free_port(), "WINDLASS": run.free_port()}
    words = {**ports, "DIR": folder, "DIGEST": hashlib.sha256(KEY.encode()).hexdigest()}
    files = {name: run.fill(name, folder, words) for name in ("nginx-backend.conf", "filters.toml")}
    backend = [run.find("nginx"), "-p", str(folder), "-e", f"{folder}/start.log", "-c", str(files["nginx-backend.conf"])]
    gateway = [chosen.windlass, "run", "--config", str(files["filters.toml"])]
    costs = {route: [] for route in chosen.routes}
    running = []
    try:
        with open(folder / "output.log", "w") as log:
            running.append(run.start(chosen.load_core, backend, ports["BACKEND"], log))
            running.append(run.start(chosen.proxy_core, gateway, ports["WINDLASS"], log))
            for route in chosen.routes:
                chosen.path = f"/{route}"
                run.load(chosen, ports["WINDLASS"], 1)
            for number in range(chosen.rounds):
                print(f"round {number + 1} of {chosen.rounds}", flush=True)
                for route in chosen.routes:
                    chosen.path = f"/{route}"
                    costs[route].append(run.split_turn(chosen, route, running[1], ports["WINDLASS"]))
    finally:
        run.stop(running)
    for route in chosen.routes:
        print(f"{route:10} median {statistics.median(map(sum, costs[route])):6.2f} us a request, beside none:", end="")
        for name, part in (("all", sum), ("user", lambda cost: cost[0]), ("system", lambda cost: cost[1])):
            differences = [part(with_filters) - part(without) for with_filters, without in zip(costs[route], costs["none"])]
            low, middle, high = statistics.quantiles(differences, n=4)
            print(f"  {name} {middle:+.2f} ({low:+.2f} to {high:+.2f})", end="")
        print()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
