#!/usr/bin/env python3
"""CPU time per proxied request: windlass beside nginx.

The proxy has one core alone; generator (wrk) and backend (nginx) share another. The two proxies
take turns, A B A B ..., and of every turn the CPU time (user and system) of the proxy's whole
process tree is read from /proc. Only loopback is used, and only processes started here are
ended. Needs nginx, wrk and taskset.
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


def arguments():
    target = HERE.parents[2] / "target" / "release" / "windlass"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("windlass", nargs="?", default=str(target), help="the binary to measure (default: target/release/windlass)")
    parser.add_argument("--command", help="start the gateway so instead; {listen} and {backend} stand for the addresses")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each proxy (default 7)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a turn (default 4)")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections (default 32)")
    parser.add_argument("--access", default="off", help="[log] access of the gateway (default off)")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    chosen = parser.parse_args()
    chosen.headers, chosen.path = [], "/orders/1"
    if not 1 <= chosen.rounds <= 50 or not 1 <= chosen.seconds <= 60:
        parser.error("1 to 50 rounds of 1 to 60 seconds")
    for tool in ("nginx", "wrk", "taskset"):
        if not find(tool):
            parser.error(f"`{tool}` is missing; on Debian: apt-get install nginx-light wrk util-linux")
    if not chosen.command and not pathlib.Path(chosen.windlass).is_file():
        parser.error(f"`{chosen.windlass}` is missing; build it with `cargo build --release`")
    return chosen


def find(tool):
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fill(name, folder, words):
    text = (HERE / name).read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    path = folder / name
    path.write_text(text)
    return path


def start(core, command, port, log):
    process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=log, stderr=log)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"`{' '.join(command)}` ended with {process.returncode}; see {log.name}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process
        except OSError:
            time.sleep(0.05)
    process.terminate()
    sys.exit(f"`{' '.join(command)}` does not listen on port {port}")


def children(pid):
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += children(int(child))
    return found


def cpu_seconds(pid):
    """The user and system time of a process and its children."""
    user, system = 0, 0
    for process in children(pid):
        stat = pathlib.Path(f"/proc/{process}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user / TICK, system / TICK


def load(chosen, port, seconds):
    command = ["taskset", "-c", str(chosen.load_core), "wrk", "-t1", f"-c{chosen.connections}", f"-d{seconds}s", *chosen.headers, f"http://127.0.0.1:{port}{chosen.path}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"requests failed:\n{text}")
    return int(re.search(r"(\d+) requests in", text).group(1))


def stop(running):
    for process in reversed(running):
        process.terminate()
    for process in running:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def turn(chosen, name, process, port):
    return sum(split_turn(chosen, name, process, port))


def split_turn(chosen, name, process, port):
    """The user and system time of one request in microseconds."""
    before = cpu_seconds(process.pid)
    requests = load(chosen, port, chosen.seconds)
    user, system = ((after - earlier) * 1e6 / requests for after, earlier in zip(cpu_seconds(process.pid), before))
    print(f"  {name:10} {user + system:6.2f} us a request ({user:.2f} user, {system:.2f} system), {requests / chosen.seconds:8.0f} a second", flush=True)
    return user, system


def main():
    chosen = arguments()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="windlass-load-"))
    ports = {"BACKEND": free_port(), "NGINX": free_port(), "WINDLASS": free_port()}
    words = {**ports, "DIR": folder, "ACCESS": chosen.access}
    files = {name: fill(name, folder, words) for name in ("nginx-backend.conf", "nginx-proxy.conf", "windlass.toml")}
    nginx = lambda name: [find("nginx"), "-p", str(folder), "-e", f"{folder}/start.log", "-c", str(files[name])]
    gateway = [chosen.windlass, "run", "--config", str(files["windlass.toml"])]
    if chosen.command:
        spots = {"listen": f"127.0.0.1:{ports['WINDLASS']}", "backend": f"127.0.0.1:{ports['BACKEND']}"}
        gateway = chosen.command.format(**spots).split()
    running = []
    try:
        with open(folder / "output.log", "w") as log:
            running.append(start(chosen.load_core, nginx("nginx-backend.conf"), ports["BACKEND"], log))
            running.append(start(chosen.proxy_core, nginx("nginx-proxy.conf"), ports["NGINX"], log))
            running.append(start(chosen.proxy_core, gateway, ports["WINDLASS"], log))
            peers = [("nginx", running[1], ports["NGINX"]), ("windlass", running[2], ports["WINDLASS"])]
            for _, _, port in peers:
                load(chosen, port, 1)
            costs = {"nginx": [], "windlass": []}
            for number in range(chosen.rounds):
                print(f"round {number + 1} of {chosen.rounds}", flush=True)
                for name, process, port in peers:
                    costs[name].append(turn(chosen, name, process, port))
    finally:
        stop(running)
    ratios = [ours / theirs for ours, theirs in zip(costs["windlass"], costs["nginx"])]
    print(f"median CPU time per request: nginx {statistics.median(costs['nginx']):.2f} us, windlass {statistics.median(costs['windlass']):.2f} us")
    print(f"median ratio windlass / nginx: {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
