#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubard as a service: what it says to a stand-in for systemd's notify socket, and the files for systemd."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import fubar


class Manager:
    """The notify socket: datagrams in the order they came."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.setblocking(False)
        self.got = []           # [{name: value}, ...]

    def take(self, timeout=0.0):
        """One more datagram; False: none came."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return False
        text = self.sock.recv(65536).decode()
        self.got.append(dict(line.split("=", 1) for line in text.split("\n")))
        return True

    def wait(self, since=0, **fields):
        """The number of the first datagram from `since` on with these fields (values are patterns)."""
        deadline = time.monotonic() + fubar.DEADLINE_S
        at = since
        while True:
            for i in range(at, len(self.got)):
                if all(re.search(v, self.got[i].get(k, "\0")) for k, v in fields.items()):
                    return i
            at = len(self.got)
            if not self.take(deadline - time.monotonic()):
                raise AssertionError("no datagram with %s; there were: %s" % (fields, self.got[since:]))


class Notify(unittest.TestCase):
    def start(self, watchdog_s=None, wait=True, settings=None, abstract=False):
        b = fubar.Broker(workers=2, settings=settings, start=False)
        self.addCleanup(b.close)
        path = os.path.join(b.dir, "notify")
        m = Manager("\0" + path if abstract else path)
        self.addCleanup(m.sock.close)
        b.env = {"NOTIFY_SOCKET": "@" + path if abstract else path}
        if watchdog_s is not None:
            b.env["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        if wait:
            b.spawn()
            m.wait(READY="^1$")
            b.port = b.read_port()
        return b, m

    def test_ready_status_stop(self):
        b, m = self.start(settings={"supervisor.stop_timeout": "10s"})
        c = b.connected("x")            # who is ready serves at once
        i = m.wait(READY="^1$")
        self.assertEqual(m.got[i]["STATUS"], "2 of 2 workers serve 0 clients")
        i += 1
        m.wait(i, STATUS="^2 of 2 workers serve 1 clients$")
        for pid in [b.store_pid(), *b.worker_pids().values()]:
            with open("/proc/%d/environ" % pid, "rb") as f:
                self.assertNotRegex(f.read(), rb"NOTIFY_SOCKET|WATCHDOG|JOURNAL_STREAM")
        c.close()
        i = m.wait(i, STATUS="^2 of 2 workers serve 0 clients$")
        self.assertNotIn("WATCHDOG", {k for d in m.got for k in d})     # nobody asked
        b.proc.send_signal(signal.SIGTERM)
        i = m.wait(i, STOPPING="^1$", STATUS="^Stopping")
        m.wait(i, EXTEND_TIMEOUT_USEC="^15000000$")
        self.assertEqual(b.stop(), 0)

    def test_nothing_before_it_is_ready(self):
        b, m = self.start(abstract=True)
        self.assertEqual([d for d in m.got if "READY" in d], m.got[-1:])
        for d in m.got[:-1]:
            self.assertEqual(d, {"STATUS": "Starting"})
        b.stop()

    def test_reload(self):
        b, m = self.start()
        for reload in (lambda: b.proc.send_signal(signal.SIGHUP), lambda: b.admin("reload")):
            at = len(m.got)
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            reload()
            i = m.wait(at, RELOADING="^1$")
            self.assertGreaterEqual(int(m.got[i]["MONOTONIC_USEC"]), before)
            self.assertLess(int(m.got[i]["MONOTONIC_USEC"]), before + 60e6)
            m.wait(i + 1, READY="^1$", STATUS="workers serve")
        b.stop()

    def test_a_refused_reload_ends_too(self):
        b, m = self.start(wait=False)
        b.config = "mqtt:\n  max_qos: 1\n"
        b.spawn()
        m.wait(READY="^1$")
        with open(os.path.join(b.dir, "fubar.yaml"), "w", encoding="ascii") as f:
            f.write("nonsense: 1\n")
        at = len(m.got)
        self.assertEqual(b.admin_raw("reload").returncode, 1)
        m.wait(m.wait(at, RELOADING="^1$") + 1, READY="^1$")
        b.stop()

    def test_watchdog(self):
        b, m = self.start(watchdog_s=2)
        at = len(m.got)
        start = time.monotonic()
        for _ in range(4):
            at = m.wait(at, WATCHDOG="^1$") + 1
        self.assertLess(time.monotonic() - start, 4 * 1.5)      # each half of the limit is good, a quarter is tried
        b.proc.send_signal(signal.SIGSTOP)
        while m.take(0.2):
            pass
        self.assertFalse(m.take(1.2))                           # who stands still does not say that all is well
        at = len(m.got)
        b.proc.send_signal(signal.SIGCONT)
        m.wait(at, WATCHDOG="^1$")
        b.stop()

    def test_another_process_is_watched(self):
        b, m = self.start(wait=False)
        b.env.update(WATCHDOG_USEC="1000000", WATCHDOG_PID="1")
        b.spawn()
        m.wait(READY="^1$")
        self.assertFalse([d for d in m.got if "WATCHDOG" in d])
        b.stop()

    def test_a_manager_that_does_not_read(self):
        """It holds nothing up, and hears what matters when it reads again."""
        b, m = self.start(wait=False)
        full = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        full.setblocking(False)
        self.addCleanup(full.close)
        with self.assertRaises(BlockingIOError):
            while True:
                full.sendto(b"STATUS=full", b.env["NOTIFY_SOCKET"])
        b.start()
        b.connected("x").close()
        m.wait(READY="^1$")
        b.stop()

    def test_why_it_did_not_start(self):
        b, m = self.start(wait=False)
        b.config = "workers: many\n"
        b.workers = None
        b.spawn()
        m.wait(STATUS="^Failed: .*workers")
        self.assertEqual(b.proc.wait(fubar.DEADLINE_S), 1)
        b.kill()


class OutOfMemory(unittest.TestCase):
    def score(self, pid):
        with open("/proc/%d/oom_score_adj" % pid, encoding="ascii") as f:
            return int(f.read())

    def test_workers_go_first(self):
        b = fubar.Broker(workers=1, start=False)
        self.addCleanup(b.close)
        b.start()
        self.assertEqual(self.score(b.worker_pids()[0]), self.score(b.proc.pid))        # nobody asked for protection
        b.stop()
        try:
            with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as f:
                before = f.read()
                f.seek(0)
                f.write("-150")
        except OSError:
            self.skipTest("only root may protect a process")
        try:
            b.start()
        finally:
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
                f.write(before)
        self.assertEqual([self.score(p) for p in (b.proc.pid, b.store_pid(), b.worker_pids()[0])], [-150, -50, 0])
        b.stop()


def needs(program):
    return unittest.skipIf(shutil.which(program) is None, "%s is not here" % program)


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="fubar-t-")
        self.addCleanup(shutil.rmtree, self.dir)

    def run_ok(self, *cmd):
        r = subprocess.run(cmd, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
        self.assertEqual((r.returncode, r.stderr), (0, ""), " ".join(cmd) + "\n" + r.stdout + r.stderr)
        return r.stdout

    def unit(self):
        """The unit as built, with programs that are there."""
        with open(os.path.join(fubar.BUILD, "etc", "fubard.service"), encoding="ascii") as f:
            text = f.read()
        self.assertNotRegex(text, r"@\w+@")
        text = re.sub(r"(?m)^(Exec\w+=)\S*/(fubard|fubar-admin)\b", lambda m: m.group(1) + fubar.program(m.group(2)), text)
        path = os.path.join(self.dir, "fubard.service")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path, text

    @needs("systemd-analyze")
    def test_unit_is_valid(self):
        self.run_ok("systemd-analyze", "verify", "--man=no", self.unit()[0])

    @needs("systemd-analyze")
    def test_unit_exposes_little(self):
        out = self.run_ok("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", self.unit()[0])
        self.assertLessEqual(float(re.search(r"exposure level for fubard.service: ([\d.]+)", out).group(1)), 2.5)

    def test_unit_and_programs_agree(self):
        path, text = self.unit()
        values = dict(re.findall(r"(?m)^(\w+)=(.*)$", text))
        self.assertEqual(values["User"], "fubar")
        config = re.search(r" -c (\S+)$", values["ExecStart"]).group(1)
        self.assertTrue(config.endswith("/etc/fubar/fubar.yaml"), config)
        self.run_ok(fubar.program("fubard"), "-c", os.path.join(fubar.ROOT, "etc", "fubar.yaml"), "--check")

    @needs("systemd-sysusers")
    @needs("systemd-tmpfiles")
    @unittest.skipIf(os.geteuid() != 0, "only root may make users")
    def test_user_and_directories(self):
        root = os.path.join(self.dir, "root")
        os.makedirs(os.path.join(root, "etc"))
        etc = os.path.join(fubar.ROOT, "etc")
        subprocess.run(["systemd-sysusers", "--root=" + root, os.path.join(etc, "sysusers.d", "fubar.conf")], check=True,
                       capture_output=True, timeout=60)
        with open(os.path.join(root, "etc", "passwd"), encoding="ascii") as f:
            name, _, uid, gid, _, home, shell = f.readline().rstrip("\n").split(":")
        self.assertEqual((name, home, os.path.basename(shell)), ("fubar", "/var/lib/fubar", "nologin"))
        subprocess.run(["systemd-tmpfiles", "--root=" + root, "--create", os.path.join(etc, "tmpfiles.d", "fubar.conf")],
                       check=True, capture_output=True, timeout=60)
        for path, mode in (("run/fubar", 0o750), ("var/lib/fubar", 0o700), ("var/log/fubar", 0o750)):
            st = os.stat(os.path.join(root, path))
            self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o7777), (int(uid), int(gid), mode), path)


if __name__ == "__main__":
    fubar.main()
