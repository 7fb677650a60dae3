#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The examples of the man pages in PAGES, word for word. Each .Dl line and .Bd block has a comment before it that says
how:

.\\" RUN                bash runs it; it must succeed
.\\" RUN, typing TEXT   the same, with TEXT as standard input
.\\" RUN with WORDS     the same, with these words behind it
.\\" RUN until TEXT     it waits for messages: TEXT is published, must be shown, and then it is interrupted
.\\" STARTS             a fubard of its own, which must become ready, and stop when it is told to
.\\" SHOWS              no command, but lines that the last one printed
.\\" LIKE COMMAND       COMMAND shows such a line, with other numbers; here it may be broken
.\\" FIELDS COMMAND     COMMAND shows such a table, with other values: these names, and the same heads of columns
.\\" YAML               a configuration that fubard takes, as fubar.yaml of the examples that follow
.\\" YAML, and each part alone says the same
.\\" FORM               no example

They run beside a broker on the ports of their own names, in a network namespace where that is possible."""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import fubar
from test_readme import own_network

PAGES = ["fubard.8", "fubar-admin.8", "fubar-client.1", "fubar.yaml.5"]
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 8080, "of fubard(8)": 1884}
KINDS = re.compile(r"(RUN until|RUN with|RUN, typing|RUN|STARTS|SHOWS|LIKE|FIELDS|YAML|FORM)\b[ ,]*(.*)")


def plain(text):
    """What mdoc shows for it."""
    for code, char in (("\\e", "\\"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\&", ""), ("\\-", "-")):
        text = text.replace(code, char)
    return text


def examples(page):
    """(how, text) of each example."""
    with open(os.path.join(fubar.ROOT, "man", page), encoding="utf-8") as f:
        found = re.findall(r'^(?:\.\\" ([A-Z]+\b.*)\n)?(?:\.Dl (.*)\n|\.Bd .*\n((?:(?!\.Ed).*\n)*)\.Ed\n)', f.read(), re.M)
    return [(how, plain(line or block.rstrip("\n"))) for how, line, block in found]


class Examples(unittest.TestCase):
    def setUp(self):
        if not own_network():
            for port in PORTS.values():
                with socket.socket() as s:
                    if s.connect_ex(("127.0.0.1", port)) == 0:
                        self.skipTest("port %d is in use, and no network namespace is to be had" % port)
        self.dir = tempfile.mkdtemp(prefix="fubar-man-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        certs = fubar.certificates()
        self.make_files(certs)
        settings = {"listeners.mqtts.port": "8883", "listeners.mqtts.cert": certs.cert, "listeners.mqtts.key": certs.key,
                    "listeners.ws.port": "8080", "listeners.mqtt2.port": "-1", "listeners.mqtt2.auth": "on",
                    "log.to": "both", "log.dir": self.dir, "log.stat_interval": "1s"}
        self.broker = fubar.Broker(port=1883, settings=settings)
        self.addCleanup(self.broker.close)
        with open(os.path.join(self.dir, "bin", "pidof"), "w", encoding="ascii") as f:
            # Brokers of other tests run beside ours.
            f.write("#!/bin/sh\necho %d\n" % self.broker.proc.pid)
            os.chmod(f.fileno(), 0o755)
        path = os.path.join(self.dir, "bin") + ":" + os.environ["PATH"]
        self.env = dict(fubar.sanitizer_env(self.dir), PATH=path,
                        FUBAR_SOCKET=os.path.join(self.broker.run_dir, "admin.sock"))
        for name in ("state", "runtime", "logs"):
            self.env[name.upper() + "_DIRECTORY"] = os.path.join(self.dir, name)

    def make_files(self, certs):
        """What the examples name."""
        os.mkdir(os.path.join(self.dir, "bin"))
        for name in ("fubard", "fubar-client", "fubar-admin"):
            os.symlink(fubar.program(name), os.path.join(self.dir, "bin", name))
        for name, path in (("ca.crt", certs.ca), ("server.crt", certs.cert), ("server.key", certs.key)):
            shutil.copy(path, os.path.join(self.dir, name))
        with open(os.path.join(self.dir, "door.json"), "w", encoding="ascii") as f:
            f.write('{"open": true}\n')
        with open(os.path.join(self.dir, "fubar.yaml"), "w", encoding="ascii") as f:
            f.write("listeners.mqtt.port: 1884\n")

    def make_life(self):
        """What the examples show: an account that is connected, a client that is traced and then gone."""
        for name in ("ann", "alice"):
            self.broker.admin("account", "set", name, "secret")
        self.follow(["fubar-client", "sub", "-p", str(self.broker.read_port("mqtt2")), "-u", "alice", "-P", "secret",
                     "-t", "of/alice"])
        self.follow(["fubar-client", "sub", "-q", "1", "-i", "c2", "-t", "a/b"])
        fubar.until("the subscriptions", lambda: {"of/alice", "a/b"} <= set(self.broker.admin("topic", "list").split()))
        self.broker.admin("trace", "client", "c1", "on")
        self.run_now("fubar-client pub -i c1 -q 1 -t a/b -m hello")

    def follow(self, cmd):
        p = subprocess.Popen([fubar.program(cmd[0])] + cmd[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)

    def bash(self, text, stdin=subprocess.DEVNULL):
        return subprocess.Popen(["bash", "-e", "-o", "pipefail", "-c", text], cwd=self.dir, env=self.env, text=True,
                                stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_now(self, text, typed=None):
        p = self.bash(text, subprocess.DEVNULL if typed is None else subprocess.PIPE)
        out, err = p.communicate(typed, timeout=120)
        self.assertEqual((p.returncode, err), (0, ""), text)
        return out

    def starts(self, text, _):
        p = self.bash("exec " + text + " 2>/dev/null")
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.stdout.close)
        timer = threading.Timer(60, p.kill)
        timer.start()
        line = p.stdout.readline()
        p.terminate()
        self.assertEqual((line, p.wait(60)), ("fubard: ready\n", 0), text)
        timer.cancel()

    def like(self, text, command):
        """A line of that form: blanks are blanks, digits are digits."""
        words = [re.sub(r"\d+", lambda _: r"\d+", re.escape(w)) for w in text.split()]
        form = re.compile(r"^(?:.* )?" + r"\s+".join(words), re.M)
        fubar.until("%s in what %s shows" % (form.pattern, command), lambda: form.search(self.run_now(command)))

    def fields(self, text, command):
        def names(shown):
            out = []
            lines = shown.splitlines()
            for above, line in zip([""] + lines, lines):
                if re.match(r"\S[^:]*:", line):
                    out.append(line.split(":")[0])
                elif re.match(r"\S.*:$", above):
                    out.append(line.split())
            return out

        real = names(self.run_now(command))
        for name in names(text):
            # A column may be missing where nothing belongs there.
            fewer = isinstance(name, list) and any(set(name) < set(r) for r in real if isinstance(r, list))
            self.assertTrue(fewer or name in real, name)

    def yaml(self, text, each):
        """fubard takes it, or each part of it, and these are the same configuration."""
        text = text.replace("/etc/fubar/", self.dir + "/")
        shown = set()
        for part in text.split("\n\n") if each else [text]:
            with open(os.path.join(self.dir, "fubar.yaml"), "w", encoding="utf-8") as f:
                f.write(part + "\n")
            self.run_now("fubard -c fubar.yaml --check")
            shown.add(self.run_now("fubard -c fubar.yaml --print-config"))
        self.assertEqual(len(shown), 1)

    def run_until(self, text, what):
        topic = re.search(r"-t '?([^' ]+)", text).group(1)
        p = self.bash("exec " + text)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        fubar.until("the subscription", lambda: topic in self.broker.admin("topic", "list"))
        subprocess.run([fubar.program("fubar-client"), "pub", "-t", topic.replace("#", "x"), "-m", what], check=True)
        timer = threading.Timer(30, p.kill)
        timer.start()
        out = p.stdout.readline()
        timer.cancel()
        self.assertIn(what, out, text)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(30), 0, text)

    def play(self, page):
        found = examples(page)
        self.assertGreater(len(found), 3)
        self.make_life()
        out = ""
        for how, text in found:
            with self.subTest(page=page, example=text):
                known = KINDS.fullmatch(how)
                self.assertTrue(known, "no comment before the example says how to try it")
                kind, what = known.groups()
                if kind == "SHOWS":
                    self.assertIn(text + "\n", out)
                elif kind == "RUN":
                    out = self.run_now(text)
                elif kind == "RUN with":
                    out = self.run_now(text + " " + what)
                elif kind == "RUN, typing":
                    out = self.run_now(text, what + "\n")
                elif kind != "FORM":
                    {"RUN until": self.run_until, "STARTS": self.starts, "LIKE": self.like, "FIELDS": self.fields,
                     "YAML": self.yaml}[kind](text, what)


class Guarantees(unittest.TestCase):
    """fubar-guarantees(7) names the tests that hold fubar to what it says: each is there, and nothing stands without one."""

    def setUp(self):
        with open(os.path.join(fubar.ROOT, "man", "fubar-guarantees.7"), encoding="utf-8") as f:
            self.page = f.read()

    def section(self, name):
        return re.search(r"^\.Sh %s\n((?:(?!\.Sh ).*\n)*)" % name, self.page, re.M).group(1)

    def items(self, text):
        """{head: tests} of a list."""
        parts = re.split(r"^\.It (.*)\n", text, flags=re.M)
        return {head: re.findall(r"^(test_\w+\.py) (\w+)\.(test_\w+)$", body, re.M)
                for head, body in zip(parts[1::2], parts[2::2])}

    def check(self, where, tests):
        self.assertTrue(tests, "no test of: " + where)
        for file, group, test in tests:
            with open(os.path.join(fubar.ROOT, "t", "system", file), encoding="utf-8") as f:
                classes = {c.name: c for c in ast.parse(f.read()).body if isinstance(c, ast.ClassDef)}
            self.assertIn(group, classes, where)
            self.assertIn(test, [d.name for d in classes[group].body if isinstance(d, ast.FunctionDef)], where)

    def test_each_cell_has_a_test(self):
        cells = re.split(r"^\.Ss (.*)\n", self.section("WHAT FAILS"), flags=re.M)
        self.assertGreaterEqual(len(cells) // 2, 4)
        for fails, text in zip(cells[1::2], cells[2::2]):
            got = self.items(text)
            self.assertEqual(list(got), ["Cm memory", "Cm disk"], fails)
            for durability, tests in got.items():
                self.check("%s, %s" % (fails, durability), tests)

    def test_each_promise_has_a_test(self):
        got = self.items(self.section("AND ALWAYS"))
        self.assertGreaterEqual(len(got), 5)
        for promise, tests in got.items():
            self.check(promise, tests)

    def test_every_line_that_looks_like_one_is_checked(self):
        lines = len(re.findall(r"^test_.*$", self.page, re.M))
        cells = re.split(r"^\.Ss .*\n", self.section("WHAT FAILS"), flags=re.M)[1:]
        named = sum(len(t) for text in cells + [self.section("AND ALWAYS")] for t in self.items(text).values())
        self.assertEqual(lines, named)


for one in PAGES:
    setattr(Examples, "test_" + one.replace(".", "_").replace("-", "_"), lambda self, page=one: self.play(page))


if __name__ == "__main__":
    unittest.main(verbosity=2)
