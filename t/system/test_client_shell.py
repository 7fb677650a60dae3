#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubar-client shell: from scripts, from a program that talks to it line by line, and at a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import fubar
from fake_server import Server, elsewhere

CLIENT = fubar.program("fubar-client")


class Case(fubar.TestCase):
    def args(self, *args):
        return [CLIENT, "shell", "-h", "127.0.0.1", "-p", str(self.broker.port), *args]

    def script(self, text, *args, code=0):
        r = subprocess.run(self.args(*args), input=text.encode(), capture_output=True, timeout=60, check=False)
        self.assertEqual(r.returncode, code, r.stdout.decode() + r.stderr.decode())
        return r.stdout.decode(), r.stderr.decode()


class Scripts(Case):
    def test_every_qos_and_level(self):
        for level in ("31", "311"):
            for qos in "012":
                t = self.name(level + qos)
                out, err = self.script("""
                    connect @a -V %s -i %sa
                    connect @b -V %s -i %sb
                    subscribe @a %s/+ -q %s
                    publish @b %s/x 'hello world' -q %s
                    wait @a
                    last-message @a -F '%%t %%q %%p'
                    """ % (level, t, level, t, t, qos, t, qos))
                self.assertIn("\n%s/x %s hello world\n" % (t, qos), out)
                self.assertEqual(err, "")

    def test_options_of_connect(self):
        t = self.name()
        out, _ = self.script("""
            connect @watch -i %(t)sw
            subscribe @watch %(t)s
            connect @a -i %(t)s -c -k 33 --will-topic %(t)s --will-payload gone --will-qos 1
            state @a
            drop @a
            wait @watch
            connect @a
            list
            disconnect @a
            ! wait @watch 1 0.2
            connect @a -i %(t)s -k 5
            """ % {"t": t})
        self.assertRegex(out, r"(?m)^client id  %s$" % t)
        self.assertRegex(out, r"(?m)^session    kept$")
        self.assertRegex(out, r"(?m)^keep-alive 33 s$")
        self.assertRegex(out, r"(?m)^will       %s$" % t)
        self.assertRegex(out, r"(?m)^@watch %s: gone$" % t)
        self.assertRegex(out, r"(?m)^> @a +up ")
        self.assertEqual(out.count("session present"), 1)

    @fubar.needs_fubar
    def test_directly(self):
        t = self.name()
        out, _ = self.script("connect @%s1\nconnect @%s2\npublish @%s2 %s1 psst -q 1\nwait @%s1\n" % ((t,) * 5))
        self.assertIn("@%s1 %s1 (QoS 1): psst\n" % (t, t), out)

    def test_a_session_that_is_kept(self):
        t = self.name()
        out, _ = self.script("""
            connect @a -i %(t)s -c
            subscribe %(t)s/t -q 1
            disconnect
            connect @b -i %(t)sb
            publish @b %(t)s/t one -q 1
            publish @b %(t)s/t two -q 1
            connect @a
            wait @a 2
            unsubscribe @a %(t)s/t
            publish @b %(t)s/t three -q 1
            ! wait @a 1 0.2
            """ % {"t": t})
        self.assertEqual(re.findall(r"@a \S+ \(QoS 1\): (\w+)", out), ["one", "two"])

    def test_retained_and_files(self):
        t = self.name()
        with tempfile.NamedTemporaryFile() as f:
            f.write(b"a\nfile\x01")
            f.flush()
            out, _ = self.script("""
                connect
                publish %(t)s -f %(f)s -r -q 1
                subscribe %(t)s
                wait
                last-message
                publish %(t)s -n -r -q 1
                """ % {"t": t, "f": f.name})
        self.assertIn(r"@c1 %s (QoS 0, retained): a\x0afile\x01" % t, out)
        self.assertIn("retained 1\nlength   7\na\nfile\x01\n", out)

    def test_what_fails(self):
        for text, what in (("bogus", "no command 'bogus'"), ("s", "'s' could be: subscribe state"), ("publish a b", "no client"),
                           ("use @no", "no client @no"), ("use", "needs the name"), ("connect @a/b", "no name"),
                           ("connect -q 1", "unknown option"), ("connect 'x", "quote"), ("connect -p 1", "Connection refused"),
                           ("connect\nwait 1 0.1", "waited in vain"), ("connect\nlast-message", "no message yet"),
                           ("connect\nsubscribe a/#/b", "no valid"), ("connect\npublish a", "what is to be"),
                           ("connect\npublish +/a x", "no valid"), ("connect\npublish a -f /no", "No such file"),
                           ("connect @a\nconnect @a", "is up"), ("connect\ndisconnect\npublish a b", "is down"),
                           ("connect\ndisconnect\ndisconnect", "is down"), ("! echo", "did not fail")):
            out, err = self.script(text + "\necho never\n", code=1)
            self.assertNotIn("never", out)
            lines = text.count("\n") + 1
            self.assertIn("fubar-client shell: line %d: " % lines, err)
            self.assertIn(what, err)
            if not text.startswith("!"):
                first, _, last = text.rpartition("\n")
                out, err = self.script("%s\n! %s\necho on\n" % (first, last))
                self.assertEqual((out.splitlines()[-1 if "@" not in out.splitlines()[-1] else -2], err), ("on", ""))

    def test_quit_and_usage(self):
        out, _ = self.script("echo 'a  b' c\\ d \"e'f\" # no\nquit\necho no")
        self.assertEqual(out, "a  b c d e'f\n")
        r = subprocess.run([CLIENT, "shell", "--bogus"], capture_output=True, check=False)
        self.assertEqual(r.returncode, 2)
        self.assertEqual(subprocess.run([CLIENT, "shell", "--help"], capture_output=True, check=False).returncode, 0)
        out, _ = self.script("help\nhelp connect\n")
        self.assertIn("last-message", out)
        self.assertIn("--will-topic", out)

    def test_line_by_line(self):
        """A program writes a line when it has read the answer to the last; what comes meanwhile is there at once."""
        t = self.name()
        p = subprocess.Popen(self.args(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.stdin.close)
        p.stdin.write("connect @a -i %s\n" % t)
        self.assertIn("@a connected", p.stdout.readline())
        p.stdin.write("subscribe %s/t\n" % t)
        self.assertIn("@a subscribed", p.stdout.readline())
        subprocess.run([CLIENT, "pub", *self.args()[2:], "-t", t + "/t", "-m", "from outside"], check=True)
        self.assertEqual(p.stdout.readline(), "@a %s/t: from outside\n" % t)


class Extensions(unittest.TestCase):
    def test_sent_elsewhere_with_another_keep_alive(self):
        last = Server(b"\x20\x04\x00\x00\x07\x08")
        first = Server(elsewhere("tcp://127.0.0.1:%d" % last.port, 2))
        self.addCleanup(last.close)
        self.addCleanup(first.close)
        r = subprocess.run([CLIENT, "shell"], capture_output=True, timeout=60, check=False, text=True,
                           input="connect @a -h 127.0.0.1 -p %d -V 31 --redirects 3 -k 60\nstate\ndisconnect\n" % first.port)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn("@a is sent to mqtt://127.0.0.1:%d\n" % last.port, r.stdout)
        self.assertIn("keep-alive 1800 s instead of 60\n", r.stdout)
        self.assertIn("keep-alive 1800 s\n", r.stdout)
        last.close()
        self.assertEqual((first.connects[0][-2:], last.connects[0][-2:]), (b"\x00\x03", b"\x00\x02"))


@fubar.needs_fubar
class BetweenBrokers(unittest.TestCase):
    def test_both_extensions(self):
        with fubar.Broker(workers=1, settings={"server.valid_keep_alive": "100-200", "extensions.keep_alive_negotiation": "true",
                                               "extensions.alternate_server_v4": "true"}) as target:
            with fubar.Broker(workers=1, settings={"server.alternate": "tcp://127.0.0.1:%d" % target.port,
                                                   "extensions.alternate_server_v4": "true"}) as first:
                r = subprocess.run([CLIENT, "shell", "-h", "127.0.0.1", "-p", str(first.port)], capture_output=True,
                                   timeout=60, check=False, text=True, input="""
                    connect @stays
                    connect @a -V 31 --redirects 2
                    connect @b -V 311 --redirects 1 -k 150
                    connect @c --redirects 1 -k 300
                    """)
                self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
                there = "connected to mqtt://127.0.0.1:%d" % target.port
                self.assertIn("@stays connected to mqtt://127.0.0.1:%d\n" % first.port, r.stdout)
                self.assertIn("@a %s, keep-alive 100 s instead of 60\n" % there, r.stdout)
                self.assertIn("@b %s\n" % there, r.stdout)
                self.assertIn("@c %s, keep-alive 200 s instead of 300\n" % there, r.stdout)


class Terminal(Case):
    def setUp(self):
        super().setUp()
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.history = os.path.join(self.dir.name, "history")
        self.open()

    def open(self):
        env = dict(fubar.sanitizer_env(self.dir.name), TERM="xterm", FUBAR_CLIENT_HISTORY=self.history, LC_ALL="C.UTF-8", HOME=self.dir.name)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(CLIENT, self.args(), env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        self.addCleanup(self.end, self.pid, self.fd)
        self.text = ""
        self.prompt("fubar> ")

    def end(self, pid, fd):
        os.close(fd)
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, what, timeout=20):
        """Reads until the new output has that; gives what came before and with it."""
        deadline = time.monotonic() + timeout
        while what not in self.text:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                self.fail("the terminal never showed %r; it showed %r" % (what, self.text))
            self.text += os.read(self.fd, 65536).decode("utf-8", "replace")
        at = self.text.index(what) + len(what)
        out, self.text = self.text[:at], self.text[at:]
        return out

    def prompt(self, what):
        """The shell is ready for keys: libedit shows the prompt a moment before it takes the terminal."""
        self.expect(what)
        fubar.until("no echo", lambda: not termios.tcgetattr(self.fd)[3] & termios.ECHO, every=0.002)

    def pub(self, topic, text):
        subprocess.run([CLIENT, "pub", *self.args()[2:], "-t", topic, "-m", text, "-q", "1"], check=True)

    def connect(self, name="a"):
        self.type("connect @%s -i %s%s\n" % (name, self.name(), name))
        self.expect("@%s connected" % name)
        self.prompt("@%s> " % name)

    def test_a_message_while_typing(self):
        t = self.name() + "/t"
        self.connect()
        self.type("subscribe %s\n" % t)
        self.expect("@a subscribed")
        self.prompt("@a> ")
        self.type("echo half a li")
        self.expect("half a li")
        self.pub(t, "in between")
        # The line goes, the message stands alone, prompt and line are there again.
        shown = self.expect("@a %s: in between" % t)
        self.assertIn("\r\x1b[J", shown)
        self.assertIn("@a> echo half a li", self.expect("half a li"))
        self.type("ne\n")
        self.expect("\nhalf a line\r\n")

    def test_a_long_line_that_wraps(self):
        t = self.name() + "/t"
        self.connect()
        self.type("subscribe %s\n" % t)
        self.expect("@a subscribed")
        self.prompt("@a> ")
        words = " ".join("word%02d" % i for i in range(20))             # 3 rows of 60
        self.type("echo " + words)
        self.expect("word19")
        self.pub(t, "x")
        self.assertIn("\r\x1b[2A\x1b[J", self.expect("@a %s: x" % t))
        self.expect("word19")
        self.type("\n")
        self.expect("\n" + words + "\r\n")

    def test_completion(self):
        self.connect("alpha")
        self.type("unsu\t")
        self.expect("bscribe ")
        self.type("\x03sta\t@al\t\n")
        self.expect("state      up")
        self.prompt("@alpha> ")
        self.type("sub\tsome/long/topic\n")
        self.expect("subscribed")
        self.prompt("@alpha> ")
        self.type("pub\tsome/\tx\n")
        self.expect("some/long/topic: x")
        self.prompt("@alpha> ")
        self.type("connect @beta --will-t\t")
        self.expect("opic ")

    def test_history(self):
        self.connect()
        self.type("echo first-one\n")
        self.expect("\nfirst-one\r\n")
        self.prompt("@a> ")
        self.type("\x1b[A\n")
        self.expect("\nfirst-one\r\n")
        self.prompt("@a> ")
        self.type("connect @b -u joe -P secret\n")
        self.expect("@b connected")
        self.prompt("@b> ")
        self.type("quit\n")
        os.waitpid(self.pid, 0)
        with open(self.history, encoding="utf-8") as f:
            text = f.read()
        self.assertIn("echo first-one\n", text)
        self.assertNotIn("secret", text)
        self.assertEqual(os.stat(self.history).st_mode & 0o77, 0)
        self.open()
        self.type("\x12first")
        self.expect("echo first-one")

    def test_keys_that_end(self):
        self.type("echo wrong\x03echo right\n")
        self.expect("\nright\r\n")
        self.prompt("fubar> ")
        self.type("wait\n")
        self.expect("no client yet")
        self.prompt("fubar> ")
        self.connect()
        self.type("wait 1 100\n")
        self.expect("wait 1 100\r\n")
        # What is typed before the command has begun is the line editor's, and no signal: so again, until it has ended.
        deadline = time.monotonic() + 20
        while "@a> " not in self.text and time.monotonic() < deadline:
            self.type("\x03")
            again = time.monotonic() + 1
            while "@a> " not in self.text and select.select([self.fd], [], [], max(0, again - time.monotonic()))[0]:
                self.text += os.read(self.fd, 65536).decode("utf-8", "replace")
        self.prompt("@a> ")
        self.type("\x04")
        self.assertEqual(os.waitpid(self.pid, 0)[1], 0)

    def test_bytes_that_would_harm_the_terminal(self):
        t = self.name() + "/t"
        self.connect()
        self.type("subscribe %s\n" % t)
        self.expect("@a subscribed")
        self.pub(t, "\x1b]0;owned\x07")
        self.expect("\\x1b]0;owned\\x07")


if __name__ == "__main__":
    unittest.main(verbosity=2)
