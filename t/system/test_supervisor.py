#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubard with children that only say what they are told (t/support/fake_child.c): births, deaths, listeners, reload,
the admin socket, the end."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import fubar
import test_admin_tool

FUBARD = os.path.join(fubar.BUILD, "fubard")
CHILD = os.path.join(fubar.BUILD, "t", "support", "fake_child")
LIMIT_S = 20


class Fake(fubar.Broker):
    """A node of the real fubard and fake children."""

    def __init__(self, workers=2, env=None, helpers=("fubar-worker", "fubar-store"), **kw):
        start = kw.pop("start", True)
        super().__init__(workers=workers, start=False, env=env, **kw)
        self.bin = os.path.join(self.dir, "bin")
        if not os.path.isdir(self.bin):
            os.mkdir(self.bin)
            shutil.copy(FUBARD, self.bin)
            for name in helpers:
                shutil.copy(CHILD, os.path.join(self.bin, name))
        if start:
            self.start()

    def command(self):
        return [os.path.join(self.bin, "fubard")] + super().command()[1:]

    def start(self):
        """Ready, and every child has logged what it was told at its start."""
        super().start()
        for a in range(0 if "log.to" in self.settings else self.workers):
            self.log.wait(r"fake store fake: WORKER_CHAN slot=%d " % a)
            for b in range(self.workers):
                if a != b:
                    self.log.wait(r"fake worker %d fake: PEER_UP slot=%d " % (a, b))
        return self

    def helper(self, name):
        return os.path.join(self.bin, name)

    def fails(self):
        """Starts what must not start: exit code, output."""
        os.makedirs(self.data_dir, exist_ok=True)
        r = subprocess.run(self.command(), capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=self.dir,
                           stdin=subprocess.DEVNULL, env=dict(fubar.sanitizer_env(self.dir), **self.env))
        return r.returncode, r.stderr

    def hello(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S) as s:
            return int(s.makefile().readline().split()[1])


class Supervisor(unittest.TestCase):
    def node(self, **kw):
        n = Fake(**kw)
        self.addCleanup(n.close)
        return n

    def killed(self, n, pid, sig, pattern):
        at = n.log.mark()
        os.kill(pid, sig)
        n.log.wait(pattern, since=at)
        return at

    # -- births

    def test_ready_and_serving(self):
        n = self.node(workers=3)
        self.assertEqual({n.hello() for _ in range(100)}, {0, 1, 2})
        self.assertEqual(n.log.text().count("fake store fake: WORKER_CHAN"), 3)
        n.log.wait(r"limits descriptors=\d+ clients_a_worker=\d+")
        self.assertEqual(n.stop(), 0)
        self.assertFalse(os.path.exists(os.path.join(n.run_dir, "admin.sock")))

    def test_second_start_is_refused(self):
        n = self.node()
        m = Fake(dir=n.dir, start=False)
        code, err = m.fails()
        self.assertEqual(code, 1)
        self.assertRegex(err, r"^fubard: another fubard runs on %s \(pid %d\).*--data-dir\n$" % (n.data_dir, n.proc.pid))
        m.data_dir = os.path.join(n.dir, "other")
        code, err = m.fails()
        self.assertEqual(code, 1)
        self.assertRegex(err, r"^fubard: another fubard runs on %s \(pid %d\).*--run-dir\n$" % (n.run_dir, n.proc.pid))
        n.hello()

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            code, err = self.node(start=False, port=port).fails()
        self.assertEqual(code, 1)
        self.assertRegex(err, r"^fubard: cannot listen on mqtt 127.0.0.1:%d: the port is in use; .*--set listeners.mqtt.port=N\n$" % port)

    def test_port_of_another_node_is_in_use(self):
        n = self.node()
        code, err = self.node(start=False, port=n.port).fails()
        self.assertEqual(code, 1)
        self.assertIn("the port is in use", err)

    def test_missing_helper(self):
        for have, lack in (("fubar-worker", "fubar-store"), ("fubar-store", "fubar-worker")):
            code, err = self.node(start=False, helpers=[have]).fails()
            self.assertEqual(code, 1)
            self.assertRegex(err, r"^fubard: the helper program %s is missing: .*\n$" % lack)
            self.assertEqual(err.count("\n"), 1)

    def test_bad_directories(self):
        n = self.node(start=False)
        with open(os.path.join(n.dir, "file"), "w", encoding="ascii"):
            pass
        n.data_dir = os.path.join(n.dir, "data")
        n.run_dir = os.path.join(n.dir, "file")
        code, err = n.fails()
        self.assertEqual(code, 1)
        self.assertRegex(err, r"^fubard: run_dir %s: is not a directory\n$" % n.run_dir)
        n.run_dir = os.path.join(n.dir, "x" * 100)
        self.assertRegex(n.fails()[1], r"^fubard: run_dir: .* at most 80 bytes, since paths of sockets are short\n$")
        n.run_dir = os.path.join(n.dir, "open")
        os.mkdir(n.run_dir)
        os.chmod(n.run_dir, 0o777)
        self.assertRegex(n.fails()[1], r"^fubard: run_dir .* everybody may write there; chmod o-w .*\n$")

    def test_gives_up_when_it_never_was_ready(self):
        n = self.node(start=False, env={"FAKE_EXIT": "worker"})
        code, err = n.fails()
        self.assertEqual(code, 1)
        self.assertIn("cause=\"exit code 3\"", err)
        self.assertEqual(err.splitlines()[-1], "fubard: could not start; what it logged says why")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_privileges_are_dropped(self):
        n = self.node(start=False, settings={"user": "nobody"})
        os.chmod(n.dir, 0o755)
        n.data_dir = os.path.join(n.dir, "new", "data")
        n.run_dir = os.path.join(n.dir, "new", "run")
        n.proc = subprocess.Popen(n.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  start_new_session=True, env=fubar.sanitizer_env(n.dir))
        n.log = fubar.Log(n.proc.stdout)
        n.log.wait("fubard: ready")
        nobody = os.stat(n.data_dir).st_uid
        self.assertNotEqual(nobody, 0)
        for pid in n.pids():
            self.assertEqual(os.stat("/proc/%d" % pid).st_uid, nobody)
        self.assertEqual(os.stat(n.data_dir).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(os.path.join(n.run_dir, "admin.sock")).st_mode & 0o777, 0o660)
        n.port = n.read_port()
        self.killed(n, n.worker_pids()[0], signal.SIGKILL, "back process=worker slot=0")

    # -- deaths

    def test_killed_worker_comes_back(self):
        n = self.node()
        old = n.worker_pids()
        at = self.killed(n, old[0], signal.SIGKILL, r"supervisor proctab: back process=worker slot=0")
        n.log.wait(r'process died process=worker slot=0 pid=%d cause="killed by SIGKILL"' % old[0], since=at)
        down = int(n.log.wait(r"worker 1 fake: PEER_DOWN slot=0 epoch=(\d+)", since=at).group(1))
        self.assertEqual(int(n.log.wait(r"fake store fake: WORKER_GONE slot=0 epoch=(\d+)", since=at).group(1)), down)
        self.assertGreater(int(n.log.wait(r"worker 1 fake: PEER_UP slot=0 epoch=(\d+)", since=at).group(1)), down)
        self.assertEqual({n.hello() for _ in range(50)}, {0, 1})
        new = n.worker_pids()
        self.assertEqual(new[1], old[1])
        self.assertNotEqual(new[0], old[0])

    def test_killed_store_comes_back(self):
        n = self.node()
        old = n.worker_pids()
        at = self.killed(n, n.store_pid(), signal.SIGKILL, r"supervisor proctab: back process=store")
        for slot in (0, 1):
            n.log.wait(r"fake store fake: WORKER_CHAN slot=%d " % slot, since=at)
        self.assertEqual(n.worker_pids(), old)

    def test_silent_child_is_killed(self):
        n = self.node(settings={"supervisor.silence": "1s"})
        pid = n.worker_pids()[1]
        self.killed(n, pid, signal.SIGSTOP, r"process is silent, killed process=worker slot=1 pid=%d" % pid)
        n.log.wait(r"back process=worker slot=1")

    def test_poisonous_client_is_banned(self):
        n = self.node()
        at = self.killed(n, n.worker_pids()[0], signal.SIGUSR2, r"back process=worker slot=0")
        n.log.wait(r'slot=0 .*cause="killed by SIGABRT".* hint="', since=at)
        self.assertEqual(n.log.find("client banned"), [])
        at = self.killed(n, n.worker_pids()[1], signal.SIGUSR2, r"back process=worker slot=1")
        n.log.wait(r"client banned note=0*2a seconds=60", since=at)
        n.log.wait(r"fake worker 0 fake: ban note=42 seconds=60", since=at)
        n.log.wait(r"fake worker 1 fake: ban note=42 seconds=60", since=at)     # the successor too

    def test_kill_9_bans_nobody(self):
        n = self.node()
        for _ in range(2):
            self.killed(n, n.worker_pids()[0], signal.SIGKILL, r"back process=worker slot=0")
        self.assertEqual(n.log.find("client banned"), [])

    def test_listener_of_a_dead_worker_is_lent(self):
        n = self.node()
        os.rename(n.helper("fubar-worker"), n.helper("kept"))
        with open(n.helper("fubar-worker"), "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 1\n")
        os.chmod(n.helper("fubar-worker"), 0o755)
        at = self.killed(n, n.worker_pids()[0], signal.SIGKILL, r"listener lent slot=0 to=1")
        n.log.wait(r"fake worker 1 fake: listener .*slot=0", since=at)
        self.assertEqual({n.hello() for _ in range(50)}, {1})
        os.rename(n.helper("kept"), n.helper("fubar-worker"))
        n.log.wait(r"fake worker 1 fake: drop slot=0", since=at)
        self.assertEqual({n.hello() for _ in range(100)}, {0, 1})

    def test_death_of_the_supervisor(self):
        n = self.node()
        epoch = int(n.log.wait(r"fake store fake: start .*epoch=(\d+)").group(1))
        pids = n.pids()
        n.proc.kill()
        n.proc.wait()
        for pid in pids:
            fubar.wait_gone(pid)
        n._reap()
        n.start()
        self.assertGreater(int(n.log.wait(r"fake store fake: start .*epoch=(\d+)").group(1)), epoch)
        n.hello()

    # -- the end

    def test_stop_leaves_nothing(self):
        n = self.node()
        pids = n.pids()
        self.assertEqual(len(pids), 4)
        self.assertEqual(n.stop(), 0)           # which waits for every process

    def test_stop_by_force(self):
        n = self.node(env={"FAKE_DEAF": "1"}, settings={"supervisor.stop_timeout": "1s"})
        start = time.monotonic()
        self.assertEqual(n.stop(), 0)
        self.assertLess(time.monotonic() - start, 9)            # and not the default, 10
        n = self.node(env={"FAKE_DEAF": "1"}, settings={"supervisor.stop_timeout": "1h"})
        at = n.log.mark()
        n.proc.send_signal(signal.SIGINT)
        n.log.wait("stopping why=\"SIGINT\"", since=at)
        self.assertEqual(n.stop(), 0)           # the second signal is by force

    # -- configuration

    def test_reload(self):
        n = self.node(config="mqtt:\n  max_qos: 2\n")
        path = os.path.join(n.dir, "fubar.yaml")

        def hup(text, pattern):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            at = n.log.mark()
            n.proc.send_signal(signal.SIGHUP)
            n.log.wait(pattern, since=at)
            return at

        at = hup("mqtt:\n  max_qos: 1\n", r"reload: done")
        for who in ("worker 0", "worker 1", "store"):
            n.log.wait(r"fake %s fake: setting max_qos=1" % who, since=at)
        at = hup("mqtt:\n  max_qos: 0\n  max_qoss: 1\n", r"refused, the old configuration stays why=.*fubar.yaml:3:")
        self.assertIn("value: 1\n", n.admin("settings", "explain", "mqtt.max_qos").replace("  ", ""))
        hup("mqtt:\n  max_qos: 1\nnode: other\n", r"reload: done needs_restart=.node.")
        self.assertEqual(n.admin_json("state")["rows"][0]["needs_restart"], "node")
        hup("mqtt:\n  max_qos: 0\nlog:\n  to: files\n  dir: /proc/none/log\n", r"refused.*log.dir /proc/none/log")
        self.assertEqual(n.admin_json("settings", "get", "mqtt.max_qos")["rows"][0]["value"], "1")
        hup("mqtt:\n  max_qos: 1\nsession:\n  durability: quorum\n", r"refused.*durability")
        r = n.admin_raw("reload")
        self.assertEqual(r.returncode, 1)
        self.assertIn("durability", r.stderr)
        hup("mqtt:\n  max_qos: 1\nnode: other\n", r"reload: done")
        self.assertIn("needs restart: node", n.admin("reload"))

    def test_log_files_are_opened_anew(self):
        n = self.node(start=False)
        path = os.path.join(n.dir, "log", "console.log")
        n.settings["log.to"] = "files"
        n.settings["log.dir"] = os.path.dirname(path)
        n.start()
        os.rename(path, path + ".old")
        n.proc.send_signal(signal.SIGUSR1)
        os.kill(n.worker_pids()[0], signal.SIGKILL)
        fubar.until("the new file", lambda: os.path.exists(path) and "fake worker 0 fake: start" in self.read(path))
        self.assertIn("fake store fake: start", self.read(path + ".old"))

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def run_fubard(self, *args):
        return subprocess.run([FUBARD, *args], capture_output=True, text=True, timeout=LIMIT_S, check=False,
                              stdin=subprocess.DEVNULL)

    def test_print_and_parse_again(self):
        r = self.run_fubard("-p", "--set", "mqtt.max_qos=1", "--node", "n7")
        self.assertEqual(r.returncode, 0)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(r.stdout)
            f.flush()
            again = self.run_fubard("-c", f.name, "-p")
            self.assertEqual([line.split("#")[0].strip() for line in again.stdout.splitlines()],
                             [line.split("#")[0].strip() for line in r.stdout.splitlines()])
            self.assertEqual(self.run_fubard("-c", f.name, "-n").returncode, 0)
            f.write("mqtt.max_qosss: 1\n")
            f.flush()
            r = self.run_fubard("-c", f.name, "--check")
            self.assertEqual(r.returncode, 1)
            self.assertRegex(r.stderr, r"^fubard: %s:\d+:" % f.name)

    def test_flags(self):
        for args, pattern in ((["--master", "a:1"], "no cluster yet"),
                              (["--set", "x"], "KEY=VALUE"), (["--what"], "no such option"), (["x"], "only options")):
            r = self.run_fubard(*args)
            self.assertEqual(r.returncode, 2)
            self.assertIn(pattern, r.stderr)
            self.assertEqual(r.stderr.count("\n"), 1)
        self.assertEqual(self.run_fubard("--mqtts-port", "0", "--http-port", "0", "--https-port", "0", "-n").returncode, 0)
        self.assertEqual(self.run_fubard("--mqtt-port", "70000", "-n").returncode, 1)
        self.assertRegex(self.run_fubard("--version").stdout, r"^fubard \d")

    def test_doctor(self):
        n = self.node(start=False)
        r = subprocess.run([os.path.join(n.bin, "fubard"), "--data-dir", n.data_dir, "--run-dir", n.run_dir, "--mqtt-port",
                            "-1", "--set", "store.min_free=1MiB", "--doctor"], capture_output=True, text=True, check=False)
        self.assertEqual(r.returncode, 0, r.stdout)
        self.assertIn("data_dir %s: will be made" % n.data_dir, r.stdout)
        os.unlink(n.helper("fubar-store"))
        r = subprocess.run([os.path.join(n.bin, "fubard"), "--data-dir", "/dev/null", "--run-dir", n.run_dir, "--doctor"],
                           capture_output=True, text=True, check=False)
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stdout, r"WRONG  data_dir /dev/null: /dev/null is not a directory")
        self.assertRegex(r.stdout, r"WRONG  the helper program fubar-store is missing")

    # -- commands

    def test_state_and_stats(self):
        n = self.node()
        for _ in range(20):
            n.hello()
        state = n.admin_json("state")
        self.assertEqual(state["rows"][0]["state"], "running")
        rows = state["tables"]["processes"]
        self.assertEqual([(r["role"], r["slot"]) for r in rows], [("supervisor", 0), ("store", 0), ("worker", 0), ("worker", 1)])
        self.assertEqual({r["pid"] for r in rows}, set(n.pids()))
        for r in rows:
            self.assertEqual(r["state"], "ready")
            self.assertGreater(r["memory_kb"], 0)
        self.assertEqual(state["tables"]["listeners"][0]["port"], n.port)
        total = [r for r in n.admin_json("stats")["rows"] if r["name"] == "connections_total"][0]
        self.assertEqual((total["total"], total["worker_0"] + total["worker_1"]), (20, 20))
        self.killed(n, n.worker_pids()[0], signal.SIGKILL, "back process=worker")
        total = [r for r in n.admin_json("stats")["rows"] if r["name"] == "connections_total"][0]
        self.assertEqual(total["total"], 20)    # counters do not go back
        self.assertEqual([r["restarts"] for r in n.admin_json("state")["tables"]["processes"]], [0, 0, 1, 0])

    def test_fan_out(self):
        n = self.node(workers=3)
        self.assertEqual(len(n.admin_json("session", "list")["rows"]), 3)
        self.assertEqual({r["filter"]: r["subscriptions"] for r in n.admin_json("topic", "list")["rows"]},
                         {"a/b": 6, "only/0": 5, "only/others": 10})
        r = n.admin_raw("session", "show", "nobody")
        self.assertEqual((r.returncode, r.stderr), (1, "fubar-admin: no session of client nobody\n"))

    def test_child_that_does_not_answer(self):
        n = self.node(env={"FAKE_MUTE": "1"}, settings={"supervisor.silence": "8s"})    # it is waited for as long
        p = subprocess.Popen([os.path.join(fubar.BUILD, "fubar-admin"), "--socket", os.path.join(n.run_dir, "admin.sock"),
                              "--json", "session", "list"], stdout=subprocess.PIPE, text=True)
        r = n.admin_raw("account", "all")
        self.assertEqual((r.returncode, r.stderr), (1, "fubar-admin: the store did not answer in time\n"))
        out, _ = p.communicate(timeout=LIMIT_S)
        self.assertRegex(json.loads(out)["text"], r"worker 0 did not answer in time; its part is missing")

    def test_child_that_dies_before_it_answers(self):
        n = self.node(env={"FAKE_MUTE": "1"}, settings={"supervisor.silence": "1s"})
        os.kill(n.store_pid(), signal.SIGSTOP)  # it is killed for silence before the time is over
        r = n.admin_raw("account", "all")
        self.assertEqual((r.returncode, r.stderr), (1, "fubar-admin: the store died before it answered\n"))

    def test_settings(self):
        n = self.node(settings={"mqtt.max_topic_levels": "77"})
        at = n.log.mark()
        n.admin("settings", "set", "mqtt.max_qos", "1")
        n.log.wait(r"fake worker 1 fake: setting max_qos=1", since=at)
        e = n.admin_json("settings", "explain", "mqtt.max_qos")["rows"][0]
        self.assertEqual((e["value"], e["source"], e["default"], e["in_file_or_default"]), ("1", "override", "2", "2"))
        n.admin("settings", "unset", "mqtt.max_qos")
        n.log.wait(r"fake worker 1 fake: setting max_qos=2", since=at)
        self.assertEqual(n.admin_json("settings", "get", "mqtt.max_qos")["rows"][0]["value"], "2")
        for words, why in ((("mqtt.max_qos", "7"), "out of range"), (("mqtt.max_qoss", "1"), "mqtt.max_qos"),
                           (("workers", "3"), "read at start alone"), (("mqtt.max_topic_levels", "5"), "flag"),
                           (("features.retained", "maybe"), "true or false")):
            r = n.admin_raw("settings", "set", *words)
            self.assertEqual(r.returncode, 1)
            self.assertIn(why, r.stderr)
        rows = n.admin_json("settings", "list", "mqtt")["rows"]
        self.assertIn(("mqtt.max_topic_levels", "77", "flag"), [(r["key"], r["value"], r["source"]) for r in rows])

    def test_stop_by_command(self):
        n = self.node()
        self.assertEqual(n.admin_raw("stop").returncode, 0)
        self.assertEqual(n.proc.wait(LIMIT_S), 0)
        n.stop()

    def test_a_tool_of_another_version(self):
        """Commands go by number: what a tool with another table asks for is not done."""
        n = self.node()
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(n.run_dir, "admin.sock"))
        s.settimeout(LIMIT_S)
        body = struct.pack("<QBH", 1, 3, 0)
        s.sendall(struct.pack("<IHH", len(body), test_admin_tool.IPC["ADMIN"], 0) + body)
        self.assertIn(b"fubar-admin is of another version", s.recv(1000))
        s.close()
        self.assertEqual(n.admin_raw("state").returncode, 0)

    def test_hostile_admin_clients(self):
        n = self.node()
        path = os.path.join(n.run_dir, "admin.sock")
        many = []
        for _ in range(40):
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            many.append(s)
        many[-1].settimeout(LIMIT_S)
        self.assertIn(b"too many", many[-1].recv(1000))         # while all others are there
        for data in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 100, b"\0" * 8, b"\1\0\0\0\1\0\0\0\0"):
            many[0].settimeout(LIMIT_S)
            many[0].sendall(data)
            self.assertIn(b"not a request", many[0].recv(1000))
            many.pop(0).close()
        for s in many:
            s.close()
        while "too many" in (r := n.admin_raw("state")).stderr:         # until it saw them go
            pass
        self.assertEqual(r.returncode, 0)


if __name__ == "__main__":
    fubar.main()
