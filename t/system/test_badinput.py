#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input from the person who runs it: one line that names what is wrong and the remedy, and an exit code."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import fubar
import mqtt_raw as m


class Start(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="fubar-t-")
        self.addCleanup(shutil.rmtree, self.dir, True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run_fubard(self, *args, config=None, program=None, defaults=True, timeout=20):
        cmd = [program or fubar.program("fubard")]
        if config is not None:
            with open(self.path("fubar.yaml"), "wb") as f:
                f.write(config if isinstance(config, bytes) else config.encode())
            cmd += ["-c", self.path("fubar.yaml")]
        if defaults:
            cmd += ["--mqtt-port", "-1", "--data-dir", self.path("data"), "--run-dir", self.path("run")]
        return subprocess.run(cmd + list(args), capture_output=True, text=True, timeout=timeout, check=False,
                              stdin=subprocess.DEVNULL, env=fubar.sanitizer_env(self.dir))

    def refused(self, *words, args=(), **kw):
        r = self.run_fubard(*args, **kw)
        text = r.stderr + r.stdout
        self.assertNotEqual(r.returncode, 0, text)
        self.assertGreater(r.returncode, 0, "died by a signal: " + text)
        for w in words:
            self.assertIn(w, text)
        self.assertLess(len(text.strip().splitlines()), 8, text)
        return text

    def test_bad_lines(self):
        self.refused("fubar.yaml:2", "max_qos", config="mqtt:\n  max_qos: 7\n")
        self.refused("fubar.yaml:1", "workers", config="workers: many\n")
        self.refused("fubar.yaml:3", "listeners.mqtt.port", config="listeners:\n  mqtt:\n    prot: 1884\n")
        self.refused("fubar.yaml:1", "listeners", config="listener:\n  mqtt:\n    port: 1884\n")
        self.refused("fubar.yaml", config="mqtt: [unclosed\n")
        self.refused("fubar.yaml", config=b"\xff\xfe\0garbage\0\x01")
        self.refused("durability", "memory", "disk", config="session:\n  durability: quorum\n")

    def test_too_few_descriptors(self):
        r = subprocess.run(["/bin/sh", "-c", "ulimit -n 64; exec \"$@\"", "sh", fubar.program("fubard"), "--mqtt-port", "-1",
                            "--data-dir", self.path("data"), "--run-dir", self.path("run")], capture_output=True, text=True,
                           timeout=20, check=False, stdin=subprocess.DEVNULL, env=fubar.sanitizer_env(self.dir))
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, r"^fubard: only 64 descriptors are allowed, \d+ are needed; .*ulimit.*\n$")

    def test_no_such_file(self):
        self.refused("nowhere.yaml", args=("-c", self.path("nowhere.yaml")))

    def test_bad_options(self):
        self.refused("--no-such", args=("--no-such",))
        self.refused("mqtt.max_qos", args=("--set", "mqtt.max_qso=1"))
        self.refused("max_qos", args=("--set", "mqtt.max_qos=ten"))
        self.refused("workers", args=("--workers", "0"))
        self.refused("--set", args=("--set",))

    def test_check(self):
        r = self.run_fubard("--check", config="mqtt:\n  max_qos: 1\n")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.refused("max_qos", args=("--check",), config="mqtt:\n  max_qos: 7\n")
        self.assertFalse(os.path.exists(self.path("data", "epoch")))

    def test_print_config_round_trip(self):
        config = "node: somewhere\nworkers: 3\nmqtt:\n  max_packet_size: 12KiB\nlog:\n  level: debug\n"
        first = self.run_fubard("--print-config", "--set", "mqtt.max_qos=1", config=config)
        self.assertEqual(first.returncode, 0, first.stderr)
        for word in ("somewhere", "12KiB", "debug"):
            self.assertIn(word, first.stdout)
        second = self.run_fubard("--print-config", config=first.stdout, defaults=False)
        self.assertEqual(second.returncode, 0, second.stderr)
        # Equal but for the remarks that say where a value is from.
        self.assertEqual(*[re.sub(r"\s*#.*", "", r.stdout) for r in (first, second)])

    def test_doctor(self):
        r = self.run_fubard("--doctor")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertGreater(len((r.stdout + r.stderr).splitlines()), 2)

    def test_help_and_version(self):
        for option in ("--help", "--version"):
            r = self.run_fubard(option, defaults=False)
            self.assertEqual(r.returncode, 0)
            self.assertIn("fubar", r.stdout)

    def test_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            text = self.refused(str(port), "in use",
                                args=("--mqtt-port", str(port), "--set", "listeners.mqtt.bind=127.0.0.1"))
            self.assertNotIn("ready", text)

    def test_directories(self):
        with open(self.path("file"), "w", encoding="ascii"):
            pass
        self.refused(self.path("file"), args=("--data-dir", self.path("file")))
        self.refused(self.path("file"), args=("--run-dir", self.path("file", "below")))

    def test_directory_without_rights(self):
        if os.getuid() == 0:
            self.skipTest("root may everything")
        os.mkdir(self.path("locked"), 0o500)
        self.refused("locked", args=("--data-dir", self.path("locked", "data")))

    def test_missing_helper(self):
        os.mkdir(self.path("bin"))
        shutil.copy(fubar.program("fubard"), self.path("bin", "fubard"))
        with open(os.path.join(fubar.BUILD, "Makefile"), encoding="utf-8") as f:
            prefix = re.search(r"^prefix = (.*)$", f.read(), re.M).group(1)
        if os.path.exists(os.path.join(prefix, "libexec/fubar/fubar-worker")):
            self.skipTest("fubar is installed here")
        self.refused("fubar-", program=self.path("bin", "fubard"))

    def test_second_start_on_the_same_directory(self):
        with fubar.Broker(workers=1) as b:
            self.refused(b.data_dir, str(b.proc.pid), args=("--data-dir", b.data_dir))
            self.refused(b.run_dir, args=("--run-dir", b.run_dir))
            b.connected("c").disconnect()


class Commands(fubar.TestCase):
    broker_options = {"workers": 1, "settings": {"server.timeout": "1s"}}

    def usage(self, *words, says=()):
        r = self.broker.admin_raw(*words)
        self.assertEqual(r.returncode, 2, (words, r.stdout, r.stderr))
        for s in says:
            self.assertIn(s, r.stderr)

    def test_too_long(self):
        r = self.broker.admin_raw("account", "set", "a" * 100000, "p")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("longer than 64 KiB", r.stderr)

    def test_what_is_shown_of_what_was_typed(self):
        r = self.broker.admin_raw("session", "show", "\x1b[2J\n")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("\\x1b[2J", r.stderr)
        self.assertEqual(r.stderr.count("\n"), 1)
        self.assertNotIn("\x1b", r.stderr)

    def test_words(self):
        self.usage("nonsense", says=("nonsense", "state", "account"))
        self.usage("account", "sett", "x", says=("sett", "set"))
        self.usage("account", says=("set", "get", "del", "all"))
        self.usage("account", "get", says=("NAME",))
        self.usage("acl", "set", "127.0.0.1", says=("allow",))
        self.usage("s", says=("state", "stats", "stop", "settings", "session"))
        self.usage()

    def test_no_daemon(self):
        r = subprocess.run([fubar.program("fubar-admin"), "--socket", "/nonexistent/admin.sock", "state"],
                           capture_output=True, text=True, check=False)
        self.assertEqual(r.returncode, 3)
        self.assertIn("/nonexistent/admin.sock", r.stderr)

    def test_garbage_on_the_admin_socket(self):
        for data in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 4096, b"\0" * 64, b""):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(os.path.join(self.broker.run_dir, "admin.sock"))
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                s.settimeout(fubar.DEADLINE_S)
                try:
                    while s.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        self.broker.admin("state")

    def test_admin_socket_rights(self):
        mode = os.stat(os.path.join(self.broker.run_dir, "admin.sock")).st_mode & 0o777
        self.assertEqual(mode, 0o660)

    def test_other_protocols_on_the_mqtt_port(self):
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
                     b"SSH-2.0-x\r\n"):
            c = self.client()
            c.send(data)
            self.assertEqual(c.wait_closed(), [])


class FullDisk(unittest.TestCase):
    def test_refuses_durable_writes_and_serves_the_rest(self):
        with fubar.Broker(workers=2, config="store:\n  min_free: 1TiB\n", settings={"store.min_free": None}) as b:
            # The operator's own writes are few and small, and go on to the last 16 MiB.
            b.admin("account", "set", "ann", "x")
            a, c = b.connected("a"), b.connected("c")
            a.subscribe("t", qos=1)
            c.publish("t", "live", 1)
            self.assertEqual(a.get_publish().payload, b"live")
            # Nothing is acknowledged that is not kept: no PUBACK for a retained message, and nobody else suffers.
            c.send(m.publish_packet("r", "x", 1, retain=True, pid=9))
            try:
                c.ping()
                self.assertEqual([p for p in c.inbox if p.kind == m.PUBACK], [])
            except m.Closed:
                pass
            d = b.client()
            try:
                if d.connect("durable", expect=None, clean=False).rc == 0:
                    self.assertEqual(d.subscribe("t", qos=1), [0x80])
            except m.Closed:
                pass
            a.ping()
            for x in (a, c, d):
                x.close()
            b.log.wait("disk nearly full, durable writes are refused")
            # Room again (here by a lower limit): writes work without a restart.
            with open(os.path.join(b.dir, "fubar.yaml"), "w", encoding="ascii") as f:
                f.write("store:\n  min_free: 1MiB\n")
            b.admin("reload")
            b.log.wait("there is room on the disk again")
            with b.connected("e") as e:
                e.publish("r", "y", 1, retain=True)
            with b.connected("durable", clean=False) as d:
                self.assertEqual(d.subscribe("t", qos=1), [1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
