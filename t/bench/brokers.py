# SPDX-License-Identifier: Apache-2.0
"""Brokers and the load generator for the measuring scripts beside this file: pinned, with limits lifted so that
nothing is dropped, without a log."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
sys.dont_write_bytecode = True

import fubar  # noqa: E402  (found by the path above)

# Queues large enough for every window below; the log costs nothing then.
LIFTED = {
    "log.level": "error",
    "session.buffer_limit": "1000000",
    "session.buffer_bytes": "4GiB",
    "session.output_bytes": "1GiB",
    "session.max_inflight": "65535",
    "session.max_wait": "65535",
    "session.max_subscriptions": "1000000",
    "store.min_free": "1MiB",
}


def pinned(core, cmd):
    return cmd if core is None else ["taskset", "-c", str(core), *cmd]


class Fubar(fubar.Broker):
    name = "fubar"

    def __init__(self, core=None, workers=1, settings=None, auth=False, transport="tcp"):
        self.core = core
        super().__init__(workers=workers, settings={**LIFTED, **(settings or {})}, auth=auth, transport=transport)

    def start(self):
        super().start()
        if self.transport != "tcp":
            self.port = self.read_port({"tls": "mqtts", "ws": "ws"}[self.transport])
        return self

    def command(self):
        return pinned(self.core, super().command())

    def pid(self):
        return str(self.proc.pid)

    def bench_args(self):
        return ["--admin-socket", os.path.join(self.run_dir, "admin.sock")]


class _Simple:
    """A server of one program that ends by SIGTERM."""

    def __init__(self, transport="tcp"):
        self.transport = transport
        self.dir = tempfile.mkdtemp(prefix="fubar-b-")
        self.procs = []

    def pid(self):
        return ",".join(str(p.pid) for p in self.procs)

    def bench_args(self):
        return []

    def close(self):
        for p in self.procs:
            p.terminate()
        for p in self.procs:
            p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.close()


class Mosquitto(_Simple):
    name = "mosquitto"

    def __init__(self, core=None, workers=1, settings=None, auth=False, transport="tcp"):
        super().__init__(transport)
        self.port = fubar.free_port()
        path = os.path.join(self.dir, "mosquitto.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write("listener %d 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n"
                    "max_inflight_messages 0\nlog_type none\n" % self.port)
            if transport == "ws":
                f.write("protocol websockets\n")
            if transport == "tls":
                f.write("certfile %s\nkeyfile %s\n" % (fubar.certificates().cert, fubar.certificates().key))
                if os.geteuid() == 0:       # else it could not read them
                    f.write("user root\n")
        exe = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if exe is None:
            raise SystemExit("mosquitto is not installed (on Debian: apt-get install mosquitto)")
        self.procs.append(subprocess.Popen(pinned(core, [exe, "-c", path]), stdin=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL))
        fubar.until("mosquitto listens", self._listens)

    def _listens(self):
        if self.procs[0].poll() is not None:
            raise SystemExit("mosquitto did not start")
        return subprocess.run([fubar.program("fubar-client"), "pub", "-h", "127.0.0.1", "-p", str(self.port), "-t", "up",
                               "-n", "--quiet", *transport_args(self)], check=False).returncode == 0


class Bare(_Simple):
    """t/bench/bare, as many processes as the others have workers."""

    name = "bare"

    def __init__(self, core=None, workers=1, settings=None, auth=False, transport="tcp"):
        if transport != "tcp":
            raise SystemExit("bare has neither TLS nor WebSocket")
        super().__init__()
        self.port = 0
        for _ in range(workers):
            p = subprocess.Popen(pinned(core, [fubar.program("t/bench/bare"), str(self.port)]), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE)
            self.procs.append(p)
            self.port = int(p.stdout.readline())


KINDS = {"fubar": Fubar, "mosquitto": Mosquitto, "bare": Bare}


def transport_args(broker):
    return {"tcp": [], "tls": ["--cafile", fubar.certificates().ca], "ws": ["--ws"]}[broker.transport]


def bench_command(broker, args, core=None):
    return pinned(core, [fubar.program("fubar-client"), "bench", *args, "-h", "127.0.0.1", "-p", str(broker.port),
                         *transport_args(broker), "--json", "--quiet"])


def bench(broker, args, core=None, pids=True):
    """One run of fubar-client bench; its report. Raises RuntimeError when the run failed or lost something."""
    cmd = bench_command(broker, args, core) + (["--broker-pid", broker.pid()] if pids else [])
    if "--cross" in args:
        cmd += broker.bench_args()
    r = subprocess.run(cmd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if r.returncode != 0:
        raise RuntimeError("%s: exit %d\n%s%s" % (" ".join(cmd), r.returncode, r.stderr, r.stdout))
    return json.loads(r.stdout)
