#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The README's tour, word for word: each ```sh terminal=N block is typed into that terminal, each ```text block must
appear there. It runs in a network namespace of its own where that is possible, since the tour names port 1883."""

import ctypes
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

import fubar

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def own_network():
    """A network namespace with a loopback device. False where the system does not let us."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0 and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 1 | 64))      # SIOCSIFFLAGS, up and running
    return True


class Terminal:
    def __init__(self, cwd, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe("bash", ["bash", "--norc", "--noprofile"], env)
        attrs = termios.tcgetattr(self.fd)
        attrs[3] &= ~termios.ECHO
        termios.tcsetattr(self.fd, termios.TCSANOW, attrs)
        self.text = ""
        self.seen = 0
        self.done = 0
        self.type("PS1= PS2= TERM=dumb; bind 'set enable-bracketed-paste off' 2>/dev/null\n")
        self.command("true")

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.text += data.decode("utf-8", "replace").replace("\r", "")
        return bool(data)

    def wait(self, pattern, timeout=2 * fubar.DEADLINE_S):
        """The next match behind the last one."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.compile(pattern).search(self.text, self.seen)
            if found:
                self.seen = found.end()
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                raise AssertionError("the terminal never showed %s; it showed:\n%s" % (pattern, self.text))

    def command(self, text):
        """Runs commands to their end; they must succeed."""
        self.done += 1
        start = self.seen
        self.type("set -e\n%s\nset +e; echo \"done-%d-\"$?\n" % (text, self.done))
        self.wait(r"done-%d-0\n" % self.done)
        self.seen = start

    def close(self):
        os.kill(self.pid, signal.SIGHUP)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def tour():
    """(kind, terminal, text) of each fenced block with a terminal."""
    with open(os.path.join(fubar.ROOT, "README.md"), encoding="utf-8") as f:
        text = f.read()
    out = []
    terminal = None
    for kind, option, body in re.findall(r"^```(sh|text)( terminal=\d)?\n(.*?)^```$", text, re.M | re.S):
        if option:
            terminal = int(option[-1])
        if terminal is not None:
            out.append((kind, terminal, body))
    return out


class Tour(unittest.TestCase):
    def test_word_for_word(self):
        alone = own_network()
        if not alone:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", 1883)) == 0:
                    self.skipTest("port 1883 is in use, and no network namespace is to be had")
        top = tempfile.mkdtemp(prefix="fubar-tour-")
        self.addCleanup(shutil.rmtree, top, True)
        for name in os.listdir(fubar.ROOT):
            if name != "build" and not name.startswith((".git", "build-")):
                os.symlink(os.path.join(fubar.ROOT, name), os.path.join(top, name))
        # scripts/run finds everything built; a script finds its tree by its own place, so this one is a copy.
        os.unlink(os.path.join(top, "scripts"))
        shutil.copytree(os.path.join(fubar.ROOT, "scripts"), os.path.join(top, "scripts"), copy_function=shutil.copy2)
        subprocess.run(["cp", "-a", fubar.BUILD, os.path.join(top, "build")], check=True)
        for name in ("data", "run"):
            shutil.rmtree(os.path.join(top, "build", name), ignore_errors=True)
        env = dict(os.environ)
        for name in ("FUBAR_BUILD", "FUBAR_SOCKET", "PYTHONPATH"):
            env.pop(name, None)
        terminals = {}
        try:
            self.play(top, env, terminals)
        except BaseException:
            for n, t in sorted(terminals.items()):
                while t.read(0.1):
                    pass
                print("---- terminal %d\n%s\n----" % (n, t.text), file=sys.stderr)
            raise
        finally:
            self.end(top, terminals)

    def play(self, top, env, terminals):
        busy = set()                    # terminals in which a program runs until Ctrl-C
        for kind, n, body in tour():
            if n not in terminals:
                terminals[n] = Terminal(top, env)
            t = terminals[n]
            if kind == "text":
                for line in body.strip().splitlines():
                    t.wait(re.escape(line))
                continue
            lines = body.strip().splitlines()
            last = lines[-1]
            if n in busy:
                t.type("\x03")
                t.wait(" stopped")
                busy.discard(n)
            if last.startswith(("scripts/run", "fubar-client sub")):
                if lines[:-1]:
                    t.command("\n".join(lines[:-1]))
                t.type(last + "\n")
                busy.add(n)
                if last.startswith("fubar-client sub"):
                    self.subscribed(top, re.search(r"-t '?([^' ]+)", last).group(1))
            else:
                t.command("\n".join(lines))

    def subscribed(self, top, pattern):
        """A person needs a moment to change to the other terminal; here the subscription is waited for."""
        cmd = [os.path.join(top, "build", "fubar-admin"), "--socket", os.path.join(top, "build/run/admin.sock"),
               "topic", "list"]
        fubar.until("the subscription", lambda: pattern in subprocess.run(
            cmd, capture_output=True, text=True, check=False).stdout)

    def end(self, top, terminals):
        try:
            with open(os.path.join(top, "build/data/fubard.pid"), encoding="ascii") as f:
                pid = int(f.read())
        except (OSError, ValueError):
            pid = None
        if 1 in terminals:
            terminals[1].type("\x03")
        if pid is not None:
            fubar.wait_gone(pid)
        for t in terminals.values():
            t.close()


def untold():
    """The indented commands that stand outside of the tour, but those that need systemd."""
    with open(os.path.join(fubar.ROOT, "README.md"), encoding="utf-8") as f:
        return re.findall(r"^    (fubar-(?:admin|client) .*)$", f.read(), re.M)


def inline():
    """The commands of clients that stand whole within the text."""
    with open(os.path.join(fubar.ROOT, "README.md"), encoding="utf-8") as f:
        return re.findall(r"`((?:mosquitto_|fubar-client )(?:pub|sub) [^`]* -t [^`]*)`", f.read().replace("\n", " "))


class Rest(unittest.TestCase):
    def test_within_the_text(self):
        for port in () if own_network() else (1883, 8080):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    self.skipTest("port %d is in use, and no network namespace is to be had" % port)
        commands = inline()
        self.assertGreater(len(commands), 2)
        with fubar.Broker(port=1883, auth=True, args=["--http-port", "8080"]) as broker:
            broker.admin("account", "set", "alice", "secret")
            env = dict(fubar.sanitizer_env(broker.dir), PATH=fubar.BUILD + ":" + os.environ["PATH"])
            for text in commands:
                with self.subTest(command=text):
                    enough = " -C 1 -W 30" if text.split()[0].endswith("sub") else ""
                    r = subprocess.run(["sh", "-c", text + enough], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                                       check=False)
                    self.assertEqual((r.returncode, r.stderr), (0, b""))

    def test_commands(self):
        """As they stand there, but for the names of the two servers."""
        logs = tempfile.TemporaryDirectory(prefix="fubar-logs-")
        with logs, fubar.Broker(settings={"log.dir": logs.name}) as one, fubar.Broker() as other:
            env = dict(fubar.sanitizer_env(one.dir), PATH=fubar.BUILD + ":" + os.environ["PATH"],
                       FUBAR_SOCKET=os.path.join(one.run_dir, "admin.sock"))
            commands = untold()
            self.assertGreater(len(commands), 4)
            for text in commands:
                text = text.replace("other.example.org:1883", "127.0.0.1:%d" % other.port)
                with self.subTest(command=text):
                    if text.startswith("fubar-client sub "):
                        text += " -h 127.0.0.1 -p %d -C 1 -W 20" % one.port
                        with subprocess.Popen(["sh", "-c", "exec " + text], env=env, stdin=subprocess.DEVNULL) as p:
                            self.addCleanup(p.kill)
                            fubar.until("the subscription at the other", lambda: "hello" in other.admin("topic", "list"))
                            subprocess.run([fubar.program("fubar-client"), "pub", "-h", "127.0.0.1", "-p", str(other.port),
                                            "-t", "hello/world", "-m", "hi"], check=True, env=env)
                            self.assertEqual(p.wait(30), 0)
                    else:
                        r = subprocess.run(["sh", "-c", text], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                                           check=False)
                        self.assertEqual((r.returncode, r.stderr), (0, b""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
