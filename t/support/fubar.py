# SPDX-License-Identifier: Apache-2.0
"""Starting and watching a broker for the system tests.

FUBAR_BUILD names the build directory (default: build/ of this tree). FUBAR_TEST_BROKER=mosquitto runs the tests
that need nothing of fubar's own against mosquitto instead, which shows that the tests themselves are right.
Every broker has its own temporary directory and a port from the kernel; stop() reaps every process of it. close()
fails when a loop of the broker took more than turn_ms of CPU time for a turn."""

import atexit
import ctypes
import datetime
import functools
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import certs
import mqtt_raw
import ws_raw

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("FUBAR_BUILD", os.path.join(ROOT, "build")))
MOSQUITTO = os.environ.get("FUBAR_TEST_BROKER") == "mosquitto"
QUICK = os.environ.get("FUBAR_QUICK") == "1"
DEADLINE_S = 60.0       # after it something hangs; no test is slower, and none right, by it


def _is_sanitized():
    try:
        with open(os.path.join(BUILD, "Makefile"), encoding="utf-8") as f:
            return re.search(r"^FB_LDFLAGS = .*-fsanitize=address", f.read(), re.M) is not None
    except OSError:
        return False


SANITIZED = _is_sanitized()

# CPU time that a turn of a worker's or the store's loop may take: fubard tells of longer ones in its log.
TURN_MS = 150 if SANITIZED else 20

needs_fubar = unittest.skipIf(MOSQUITTO, "needs fubar's own features")
long_test = unittest.skipIf(QUICK, "left out of the quick run")


_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl(36, 1, 0, 0, 0)         # PR_SET_CHILD_SUBREAPER: orphans of a killed supervisor become ours to wait for


def _die_with_the_test():
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)     # PR_SET_PDEATHSIG: a killed test leaves no broker behind


@functools.cache
def certificates():
    """An authority, a server's and a client's certificate, for all tests of this process."""
    dir = tempfile.mkdtemp(prefix="fubar-c-")
    atexit.register(shutil.rmtree, dir, ignore_errors=True)
    return certs.Certs(dir)


def until(what, fn, timeout=DEADLINE_S, every=0.02):
    """Calls fn until it returns something true, for what has no event to wait on. Returns that."""
    deadline = time.monotonic() + timeout
    gate = threading.Event()
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > deadline:
            raise mqtt_raw.Timeout("waited %.0f s for: %s" % (timeout, what))
        gate.wait(every)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def alive(pid):
    """Runs, and is no zombie."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_gone(pid, timeout=DEADLINE_S):
    """Waits until process pid ended (as a zombie too); it need not be a child of ours."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], timeout)[0]:
            raise mqtt_raw.Timeout("process %d did not end in %.0f s" % (pid, timeout))
    finally:
        os.close(fd)


def _stat(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
        head, tail = f.read().rsplit(")", 1)
    fields = tail.split()
    return head.split("(", 1)[1], fields[0], int(fields[1]), int(fields[3])     # name, state, parent, session


def processes():
    """{pid: (name, state, parent pid, session)} of all that runs."""
    out = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                out[int(d)] = _stat(int(d))
            except (OSError, ValueError, IndexError):
                pass
    return out


def stolen_ms():
    """What the host took from all processors of this machine since it started."""
    with open("/proc/stat", encoding="ascii") as f:
        return int(f.readline().split()[8]) * 1000 // os.sysconf("SC_CLK_TCK")


def logged_at(line):
    return datetime.datetime.fromisoformat(line.split()[0]).timestamp()


def _number(line, name):
    return int(re.search(r"\b%s=(\d+)" % name, line).group(1))


class Log:
    """The lines that a process writes, read by a thread, with something to wait on."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self.cond = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            with self.cond:
                self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self.cond.notify_all()
        stream.close()
        with self.cond:
            self.ended = True
            self.cond.notify_all()

    def mark(self):
        with self.cond:
            return len(self.lines)

    def wait(self, pattern, since=0, timeout=DEADLINE_S):
        """The first line from number `since` on that matches."""
        deadline = time.monotonic() + timeout
        at = since
        with self.cond:
            while True:
                for i in range(at, len(self.lines)):
                    m = re.search(pattern, self.lines[i])
                    if m:
                        return m
                at = len(self.lines)
                left = deadline - time.monotonic()
                if self.ended:
                    raise mqtt_raw.Timeout("the process ended without a line like: %s" % pattern)
                if left <= 0 or not self.cond.wait(left):
                    raise mqtt_raw.Timeout("no line in %.0f s like: %s" % (timeout, pattern))

    def find(self, pattern, since=0):
        with self.cond:
            return [line for line in self.lines[since:] if re.search(pattern, line)]

    def text(self, since=0):
        with self.cond:
            return "\n".join(self.lines[since:])


class AdminError(Exception):
    def __init__(self, words, code, out, err):
        super().__init__("fubar-admin %s: exit %d: %s%s" % (" ".join(words), code, out, err))
        self.code, self.out, self.err = code, out, err


def program(name):
    return os.path.join(BUILD, name)


NO_REPORT = re.compile(r"==\d+==(Running thread \d+ was not suspended\. False leaks are possible|"
                       r"Unable to get registers from thread \d+)\.$")


def sanitizer_env(log_dir):
    """Environment under which sanitizer reports of any process land in files of log_dir."""
    env = dict(os.environ)
    env.setdefault("LSAN_OPTIONS", "print_suppressions=0:suppressions=" + os.path.join(ROOT, "t", "support", "lsan.supp"))
    if SANITIZED:
        path = os.path.join(log_dir, "sanitizer")
        env["ASAN_OPTIONS"] = "log_path=%s:detect_leaks=1:disable_coredump=0" % path
        env["UBSAN_OPTIONS"] = "log_path=%s:print_stacktrace=1" % path
    return env


def preloaded(library):
    """LD_PRELOAD for a library of ours under programs of ours. What the sanitizer watches it watches first; it calls ours."""
    if not SANITIZED:
        return library
    out = subprocess.run(["ldd", program("fubar-store")], capture_output=True, text=True, check=True).stdout
    return " ".join(re.findall(r"=> (\S*/libasan\.so\S*)", out) + [library])


LISTENER_OF = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws", "wss": "wss"}


class Broker:
    """One running fubard with its children. settings: {key: value} for --set; args: more options; transport: how
    client() comes in, a name of LISTENER_OF."""

    def __init__(self, workers=2, settings=None, args=(), auth=False, dir=None, port=-1, config=None, start=True,
                 env=None, transport="tcp", turn_ms=TURN_MS):
        self.own_dir = dir is None
        self.dir = dir or tempfile.mkdtemp(prefix="fubar-t-")
        self.data_dir = os.path.join(self.dir, "data")
        self.run_dir = os.path.join(self.dir, "run")
        self.workers = workers
        self.settings = {"listeners.mqtt.bind": "127.0.0.1", "auth.enabled": "true" if auth else "false",
                         "auth.scrypt_n": "1024", "store.min_free": "1MiB"}
        # Of a machine that is busy: nobody is killed there for being slow.
        self.settings.update({"supervisor.silence": "30s" if SANITIZED else "10s", "supervisor.stop_timeout": "60s"})
        self.transport = transport
        self.tls = None
        name = LISTENER_OF[transport]
        if transport != "tcp":
            self.settings.update({"listeners.%s.port" % name: "-1", "listeners.%s.bind" % name: "127.0.0.1"})
        if transport in ("tls", "wss"):
            c = certificates()
            self.tls = ssl.create_default_context(cafile=c.ca)
            self.settings.update({"listeners.%s.cert" % name: c.cert, "listeners.%s.key" % name: c.key})
        self.settings.update(settings or {})
        self.args = list(args)
        self.want_port = port
        self.config = config
        self.env = env or {}            # more of it for fubard
        self.turn_ms = max(turn_ms, TURN_MS)    # close() fails when a turn took longer
        self.long_turns = []
        self.stolen_before = stolen_ms()
        self.start_s = None     # what the first start took: how fast this machine is now
        self.stderr = subprocess.STDOUT # of fubard: with its standard output in self.log
        self.proc = self.log = self.port = None
        _brokers.add(self)
        if start:
            self.start()

    # -- life

    def command(self):
        cmd = [program("fubard")]
        if self.config is not None:
            path = os.path.join(self.dir, "fubar.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(self.config)
            cmd += ["-c", path]
        cmd += ["--mqtt-port", str(self.want_port), "--data-dir", self.data_dir, "--run-dir", self.run_dir]
        if self.workers is not None:
            cmd += ["--workers", str(self.workers)]
        for k, v in self.settings.items():
            if v is not None:       # None takes a default of ours away
                cmd += ["--set", "%s=%s" % (k, v)]
        return cmd + self.args

    def spawn(self):
        """Starts fubard without waiting for it to be ready."""
        os.makedirs(self.data_dir, exist_ok=True)
        os.makedirs(self.run_dir, exist_ok=True)
        self.proc = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=self.stderr, start_new_session=True, cwd=self.dir,
                                     preexec_fn=_die_with_the_test, env=dict(sanitizer_env(self.dir), **self.env))
        self.log = Log(self.proc.stdout)

    def start(self):
        began = time.monotonic()
        self.spawn()
        try:
            self.log.wait(r"fubard: ready")
            self.port = self.read_port()
        except BaseException:
            print(self.log.text(), file=sys.stderr)
            self.kill()
            raise
        if self.start_s is None:
            self.start_s = time.monotonic() - began
        return self

    def read_port(self, name="mqtt"):
        with open(os.path.join(self.run_dir, "ports"), encoding="ascii") as f:
            for line in f:
                words = line.split()
                if words and words[0] == name:
                    return int(words[1])
        raise AssertionError("no port of %s in %s/ports" % (name, self.run_dir))

    def pids(self):
        """Every living process of this broker, zombies not counted."""
        if self.proc is None:
            return []
        return [p for p, (_, state, _, session) in processes().items()
                if session == self.proc.pid and state not in "ZX"]

    def stop(self, timeout=DEADLINE_S):
        """Graceful stop by SIGTERM; returns fubard's exit code. Its children must have ended too."""
        if self.proc is None:
            return None
        pids = self.pids()
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise mqtt_raw.Timeout("fubard did not stop in %.0f s" % timeout) from None
        for pid in pids:
            wait_gone(pid, timeout)
        self._reap()
        self.check_sanitizer()
        return code

    def kill(self):
        """Kills and reaps everything at once."""
        if self.proc is None:
            return
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.proc.wait()
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            wait_gone(pid)
        self._reap()

    def _reap(self):
        """Orphans of fubard that became ours."""
        for pid, (_, state, parent, session) in processes().items():
            if session == self.proc.pid and parent == os.getpid() and state in "ZX":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
        self.log.thread.join(DEADLINE_S)
        self.proc = None
        stolen = stolen_ms() - self.stolen_before
        self.long_turns += [line for line in self.log.find(r"(worker \d+|store) loop: a turn took long")
                            if self._too_long(line, stolen) and not self._is_start(line)]

    def _is_start(self, line):
        """In the turn that ends its start a store serves nobody yet."""
        end = logged_at(line)
        began = end - (_number(line, "ms") + 1) / 1000
        return " store " in line and any(began <= logged_at(r) <= end for r in self.log.find(r" store store: ready"))

    def _too_long(self, line, stolen):
        """Whoever waits for a processor comes back to cold caches, and the kernel does others' work in its time: an eighth of
        what it waited is not counted. What a host takes from a virtual machine is seen as work of whoever runs: up to as much
        again is not counted where the host did take. On a quiet machine there is none of both."""
        ms, cpu = _number(line, "ms"), _number(line, "cpu_ms")
        return cpu > self.turn_ms + max(0, ms - cpu) // 8 + min(stolen, self.turn_ms)

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """The end: stops if it runs, removes the directory."""
        try:
            if self.proc is not None:
                self.stop()
        finally:
            self.kill()
            _brokers.discard(self)
            if self.own_dir and not os.environ.get("FUBAR_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)
        if self.long_turns:
            print("---- log of the broker\n%s\n----" % self.log.text()[-20000:], file=sys.stderr)
            raise AssertionError("turns of a loop took more than %d ms:\n%s" % (self.turn_ms, "\n".join(self.long_turns)))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        if kind is not None and self.log is not None:
            print("---- log of the broker\n%s\n----" % self.log.text(), file=sys.stderr)
        self.close()

    def check_sanitizer(self):
        reports = [f for f in os.listdir(self.dir) if f.startswith("sanitizer")]
        for name in reports:
            with open(os.path.join(self.dir, name), encoding="utf-8", errors="replace") as f:
                text = f.read()
            os.unlink(os.path.join(self.dir, name))
            # Said of a thread that ends, or waits in the kernel, while leaks are looked for: not that there is one.
            lines = [line for line in text.splitlines() if line.strip() and not NO_REPORT.match(line)]
            if lines:
                raise AssertionError("sanitizer report:\n" + text)

    # -- looking

    def admin_raw(self, *words, input=None, timeout=DEADLINE_S):
        cmd = [program("fubar-admin"), "--socket", os.path.join(self.run_dir, "admin.sock"), *words]
        return subprocess.run(cmd, input=input, capture_output=True, text=True, timeout=timeout, check=False,
                              env=sanitizer_env(self.dir), stdin=subprocess.DEVNULL if input is None else None)

    def admin(self, *words, input=None):
        """Output of a fubar-admin command; AdminError when its exit code is not 0."""
        r = self.admin_raw(*words, input=input)
        if r.returncode != 0:
            raise AdminError(words, r.returncode, r.stdout, r.stderr)
        return r.stdout

    def admin_json(self, *words):
        return json.loads(self.admin("--json", *words))

    def worker_pids(self):
        """{slot: pid}, by the children's command lines."""
        return {int(args[args.index("--slot") + 1]): pid for pid, args in self.children()
                if args and os.path.basename(args[0]) == "fubar-worker" and "--slot" in args}

    def store_pid(self):
        for pid, args in self.children():
            if args and os.path.basename(args[0]) == "fubar-store":
                return pid
        return None

    def children(self):
        out = []
        for pid, (_, state, parent, _) in processes().items():
            if parent == self.proc.pid and state not in "ZX":
                try:
                    with open("/proc/%d/cmdline" % pid, "rb") as f:
                        out.append((pid, f.read().decode(errors="replace").split("\0")))
                except OSError:
                    pass
        return out

    def rows(self, *words):
        """Every row of a command's answer, of all its tables."""
        got = self.admin_json(*words)
        return got["rows"] + [r for rows in got["tables"].values() for r in rows]

    def sessions(self):
        """{client id: row} of `session list`; AdminError while a worker is not ready."""
        return {r["client"]: r for r in self.rows("session", "list") if "client" in r}

    def all_sessions(self):
        """The same, and it waits for each worker to be ready."""
        def ask():
            try:
                return [self.sessions()]
            except AdminError as e:
                if "its part is missing" not in e.err:
                    raise
                return []
        return until("every worker to answer", ask)[0]

    def wait_offline(self, client_id):
        """Until the broker has seen the end of its connection."""
        until("%s to be away" % client_id, lambda: not self.all_sessions().get(client_id, {}).get("connected"))

    def counter(self, name):
        """A metric's sum over all processes."""
        return sum(r["total"] for r in self.rows("stats") if r["name"] == name)

    def worker_of(self, client_id):
        return int(self.all_sessions()[client_id]["worker"])

    def client(self):
        """A fresh connection, no CONNECT yet."""
        if self.transport != "tcp":
            wrap = ws_raw.WsSocket if self.transport in ("ws", "wss") else None
            return mqtt_raw.Client(self.read_port(LISTENER_OF[self.transport]), tls=self.tls, wrap=wrap)
        return mqtt_raw.Client(self.port)

    def connected(self, client_id="", **kw):
        c = self.client()
        try:
            c.connect(client_id, **kw)
        except BaseException:
            c.close()
            raise
        return c

    def on_worker(self, slot, client_id, tries=200, **kw):
        """A connected client on worker `slot`: opens connections until one lands there."""
        for _ in range(tries):
            c = self.connected(client_id, **kw)
            if self.worker_of(client_id) == slot:
                return c
            c.disconnect()
        raise AssertionError("no connection in %d landed on worker %d" % (tries, slot))

    def spread(self, count, prefix, **kw):
        """`count` connected clients for each worker: {slot: [client, ...]}. Spare connections are closed."""
        want = {slot: [] for slot in range(self.workers)}
        number = 0
        while any(len(v) < count for v in want.values()):
            batch = []
            for _ in range(4 * self.workers):
                batch.append(self.connected("%s-%d" % (prefix, number), **kw))
                number += 1
            sessions = self.all_sessions()
            for c in batch:
                slot = int(sessions[c.client_id]["worker"])
                if len(want[slot]) < count:
                    want[slot].append(c)
                else:
                    c.disconnect()
            if number > 1000:
                raise AssertionError("1000 connections do not reach all workers")
        return want


class Mosquitto:
    """The same face for mosquitto, as far as the generic tests use it."""

    def __init__(self, workers=None, settings=None, args=(), auth=False):
        self.dir = tempfile.mkdtemp(prefix="fubar-t-")
        self.port = free_port()
        path = os.path.join(self.dir, "mosquitto.conf")
        lines = ["listener %d 127.0.0.1" % self.port, "allow_anonymous true", "set_tcp_nodelay true",
                 "max_queued_messages 100000", "allow_zero_length_clientid true"]
        if "mqtt.max_packet_size" in (settings or {}):
            lines.append("message_size_limit 65536")
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        self.proc = subprocess.Popen(["/usr/sbin/mosquitto", "-v", "-c", path], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.log = Log(self.proc.stdout)
        self.log.wait("running")
        _brokers.add(self)

    client = Broker.client
    connected = Broker.connected

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def close(self):
        self.kill()
        _brokers.discard(self)
        shutil.rmtree(self.dir, ignore_errors=True)


_brokers = set()


@atexit.register
def _kill_leftovers():
    for b in list(_brokers):
        b.kill()


def generic_broker(**kw):
    return Mosquitto(**kw) if MOSQUITTO else Broker(**kw)


class TestCase(unittest.TestCase):
    """Tests that share one broker, started with cls.broker_options. Names from self.name() are unique in the run.
    When a test fails, what the broker logged meanwhile is shown."""

    broker_options = {}
    broker = None
    may_die = False         # of the broker's processes: a death is a failure of the test during which it came

    @classmethod
    def setUpClass(cls):
        cls.broker = generic_broker(**cls.broker_options)

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def run(self, result=None):
        self._clients = []
        since = self.broker.log.mark() if self.broker is not None and self.broker.log is not None else 0
        before = len(result.errors) + len(result.failures)
        out = super().run(result)
        for c in self._clients:
            c.close()
        died = [] if MOSQUITTO or self.may_die or self.broker is None else self.broker.log.find("process died", since)
        if died and len(result.errors) + len(result.failures) == before:
            try:
                self.fail("a process of the broker died: " + died[0])
            except AssertionError:
                result.addFailure(self, sys.exc_info())
        if len(result.errors) + len(result.failures) > before and self.broker is not None and self.broker.log:
            print("---- log of the broker during %s\n%s\n----" % (self.id(), self.broker.log.text(since)),
                  file=sys.stderr)
        return out

    def name(self, tail=""):
        return "%s-%s" % (self.id().rsplit(".", 1)[1].replace("test_", ""), tail)

    def client(self):
        c = self.broker.client()
        self._clients.append(c)
        return c

    def connected(self, client_id=None, **kw):
        """A connected client; its id, unless given, is unique and clean."""
        c = self.client()
        if client_id is None:
            client_id = self.name("c%d" % len(self._clients))
        c.connect(client_id, **kw)
        return c

    def broken(self, c):
        """Closes it as a broken network would; what is published from now on finds it away."""
        c.close()
        if not MOSQUITTO:
            self.broker.wait_offline(c.client_id)

    def nothing_for(self, sub, pub, topic, qos=0):
        """Publishes a marker that sub is subscribed to, and returns what came before it."""
        TestCase.marker = getattr(TestCase, "marker", 0) + 1
        marker = "marker-%d" % TestCase.marker
        pub.publish(topic, marker, qos=qos)
        return sub.publishes_until(marker)


def main():
    unittest.main(verbosity=2)
