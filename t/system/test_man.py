#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The examples of the man pages in PAGES, word for word. Each .Dl line and .Bd block of a section EXAMPLES has a comment
before it that says how:

.\\" RUN             bash runs it; it must succeed
.\\" RUN until TEXT  the same, but it waits for messages: TEXT is published, must be shown, and then it is interrupted
.\\" SHOWS           no command, but lines that the last one printed

They run beside a broker on the ports of their own names, in a network namespace where that is possible."""

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

PAGES = ["fubar-client.1"]
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 8080}


def plain(text):
    """What mdoc shows for it."""
    for code, char in (("\\e", "\\"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\&", ""), ("\\-", "-")):
        text = text.replace(code, char)
    return text


def examples(page):
    """(how, text) of each example."""
    with open(os.path.join(fubar.ROOT, "man", page), encoding="utf-8") as f:
        section = re.search(r"^\.Sh EXAMPLES\n(.*?)(?=^\.Sh |\Z)", f.read(), re.M | re.S).group(1)
    found = re.findall(r'^(?:\.\\" (RUN.*|SHOWS)\n)?(?:\.Dl (.*)\n|\.Bd .*\n((?:(?!\.Ed).*\n)*)\.Ed\n)', section, re.M)
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
        settings = {"listeners.mqtts.port": "8883", "listeners.mqtts.cert": certs.cert, "listeners.mqtts.key": certs.key,
                    "listeners.ws.port": "8080"}
        self.broker = fubar.Broker(port=1883, settings=settings)
        self.addCleanup(self.broker.close)
        self.make_files(certs)
        path = os.path.join(self.dir, "bin") + ":" + os.environ["PATH"]
        self.env = dict(os.environ, PATH=path, FUBAR_SOCKET=os.path.join(self.broker.run_dir, "admin.sock"))

    def make_files(self, certs):
        """What the examples name."""
        os.mkdir(os.path.join(self.dir, "bin"))
        for name in ("fubar-client", "fubar-admin"):
            os.symlink(fubar.program(name), os.path.join(self.dir, "bin", name))
        # Brokers of other tests run beside ours.
        with open(os.path.join(self.dir, "bin", "pidof"), "w", encoding="ascii") as f:
            f.write("#!/bin/sh\necho %d\n" % self.broker.proc.pid)
        os.chmod(os.path.join(self.dir, "bin", "pidof"), 0o755)
        shutil.copy(certs.ca, os.path.join(self.dir, "ca.crt"))
        with open(os.path.join(self.dir, "door.json"), "w", encoding="ascii") as f:
            f.write('{"open": true}\n')

    def bash(self, text, **kw):
        return subprocess.Popen(["bash", "-e", "-o", "pipefail", "-c", text], cwd=self.dir, env=self.env, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def run_now(self, text):
        p = self.bash(text)
        out, err = p.communicate(timeout=120)
        self.assertEqual((p.returncode, err), (0, ""), text)
        return out

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

    def test_every_page(self):
        for page in PAGES:
            found = examples(page)
            self.assertGreater(len(found), 3)
            out = ""
            for how, text in found:
                with self.subTest(page=page, example=text):
                    self.assertNotEqual(how, "", "the example has no RUN before it")
                    if how == "SHOWS":
                        self.assertIn(text + "\n", out)
                    elif how == "RUN":
                        out = self.run_now(text)
                    else:
                        self.run_until(text, how.removeprefix("RUN until "))


if __name__ == "__main__":
    unittest.main(verbosity=2)
