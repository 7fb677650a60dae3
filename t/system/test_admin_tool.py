# SPDX-License-Identifier: Apache-2.0
"""fubar-admin against a daemon made here: what goes over the wire, what is shown, exit codes."""

import json
import os
import pty
import re
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(os.path.abspath(os.environ.get("FUBAR_BUILD", os.path.join(ROOT, "build"))), "fubar-admin")
DIR = os.path.join(ROOT, "common")
DEADLINE_S = 20.0
TEXT, NUMBER, BOOL, REAL = 1, 2, 3, 4


def rows_of(path, macro):
    """The first argument of each row of a table, in order."""
    with open(os.path.join(DIR, path), encoding="utf-8") as f:
        return re.findall(r"^%s\(([^,]+),(.*)" % macro, f.read(), re.M)


IPC = {name.strip(): n + 1 for n, (name, _) in enumerate(rows_of("ipc/messages.def", "MSG"))}
COMMAND = {name.strip().strip('"'): n for n, (name, _) in enumerate(rows_of("admin/commands.def", "CMD"))}
ERR = {name.strip(): int(rest.split(",")[0]) for name, rest in rows_of("base/errors.def", "ERR")}


def le32_bytes(b):
    b = b.encode() if isinstance(b, str) else b
    return struct.pack("<I", len(b)) + b


def field(name, value):
    if isinstance(value, bool):
        return bytes([BOOL]) + le32_bytes(name) + bytes([value])
    if isinstance(value, int):
        return bytes([NUMBER]) + le32_bytes(name) + struct.pack("<q", value)
    if isinstance(value, float):
        return bytes([REAL]) + le32_bytes(name) + struct.pack("<d", value)
    return bytes([TEXT]) + le32_bytes(name) + le32_bytes(value)


def frame(kind, payload):
    return struct.pack("<IHBB", len(payload), IPC[kind], 0, 0) + payload


def row(*fields):
    return frame("ADMIN_ROW", struct.pack("<Q", 1) + b"".join(field(n, v) for n, v in fields))


def done(code=0, text=""):
    return frame("ADMIN_DONE", struct.pack("<QH", 1, code) + le32_bytes(text))


class Daemon:
    """Takes one request, sends `answer` in pieces, closes."""

    def __init__(self, answer):
        self.dir = tempfile.TemporaryDirectory(prefix="fubar-t-")
        self.path = os.path.join(self.dir.name, "admin.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.answer = answer
        self.command, self.words = None, []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            s, _ = self.listener.accept()
        except OSError:
            return
        with s:
            f = s.makefile("rb")
            n, kind, _, _ = struct.unpack("<IHBB", f.read(8))
            p = f.read(n)
            assert kind == IPC["ADMIN"]
            ident, _, self.command = struct.unpack_from("<QBH", p)
            assert ident == 1
            at = 11
            while at < n:
                size, = struct.unpack_from("<I", p, at)
                self.words.append(p[at + 4:at + 4 + size].decode())
                at += 4 + size
            for i in range(0, len(self.answer), 7):     # frames arrive in pieces
                s.sendall(self.answer[i:i + 7])

    def close(self):
        self.listener.close()
        self.dir.cleanup()


def tool(*args, input=None, env=None):
    e = {k: v for k, v in os.environ.items() if k != "FUBAR_SOCKET"}
    return subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=DEADLINE_S, check=False,
                          env=dict(e, **(env or {})), input=input if input is not None else "")


class AdminTool(unittest.TestCase):
    def ask(self, answer, *args, input=None):
        d = Daemon(answer)
        self.addCleanup(d.close)
        r = tool("--socket", d.path, *args, input=input)
        return d, r

    def test_every_command_goes_out_with_its_number_and_arguments(self):
        for words, rest in rows_of("admin/commands.def", "CMD"):
            words = words.strip().strip('"')
            args = [w for w in re.match(r'\s*"([^"]*)"', rest).group(1).split() if w[0] != "["]
            args = [a.split("|")[0] for a in args]
            extra = ["pass word"] if words == "account set" else []
            if words in ("store export", "store import"):
                continue                                # they ask as often as it takes: test_backup.py
            if words in ("backup", "restore"):
                args = ["/tmp/" + args[0]]              # or it would be in the working directory
            d, r = self.ask(done(), "--yes", *words.split(), *args, *extra)
            self.assertEqual(r.returncode, 0, r.stderr)
            d.thread.join(DEADLINE_S)
            self.assertEqual(d.command, COMMAND[words])
            self.assertEqual(d.words, args + extra)

    def test_a_single_row_is_a_block(self):
        _, r = self.ask(row(("name", "bob"), ("logins", 12), ("strong", True)) + done(), "account", "get", "bob")
        self.assertEqual(r.stdout, "name:   bob\nlogins: 12\nstrong: yes\n")

    def test_lists_and_groups_are_tables(self):
        _, r = self.ask(row(("client", "a"), ("queue", 5)) + done(), "session", "list")
        self.assertEqual(r.stdout, "client  queue\na           5\n")
        _, r = self.ask(row(("node", "n")) + row(("_table", "worker"), ("slot", 0), ("load", 0.5039)) +
                        row(("_table", "worker"), ("slot", 10), ("note", "x")) + done(), "state")
        self.assertEqual(r.stdout, "node: n\n\nworker:\n  slot  load  note\n     0  0.50  -\n    10     -  x\n")

    def test_what_came_from_clients_is_escaped(self):
        _, r = self.ask(row(("client", b"\x1b[2J\xff"), ("queue", 5)) + done(), "session", "list")
        self.assertIn("\\x1b[2J\\xff", r.stdout)
        self.assertNotIn("\x1b", r.stdout)

    def test_json(self):
        answer = row(("node", "n"), ("ok", True), ("load", 0.5)) + row(("_table", "worker"), ("slot", 0)) + done(0, "hi")
        _, r = self.ask(answer, "--json", "state")
        self.assertEqual(json.loads(r.stdout), {
            "ok": True, "code": "ok", "text": "hi", "rows": [{"node": "n", "ok": True, "load": 0.5}],
            "tables": {"worker": [{"slot": 0}]}})

    def test_refused_without_control_characters(self):
        _, r = self.ask(done(ERR["ENOENT"], "no \x1b[2J\"é\""), "account", "get", "bob")
        self.assertEqual(r.stderr, "fubar-admin: no \\x1b[2J\\x22é\\x22\n")

    def test_json_is_ascii(self):
        # U+009B is as good as ESC [ to some terminals.
        _, r = self.ask(row(("client", "é\x9b31m\x1b".encode())) + done(), "--json", "session", "list")
        self.assertTrue(r.stdout.isascii())
        self.assertNotIn("\x1b", r.stdout)
        self.assertEqual(json.loads(r.stdout)["rows"], [{"client": "é\x9b31m\x1b"}])

    def test_refused(self):
        answer = done(ERR["ENOENT"], "no account \"bob\"")
        _, r = self.ask(answer, "account", "get", "bob")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertEqual(r.stderr, "fubar-admin: no account \"bob\"\n")
        _, r = self.ask(answer, "--json", "account", "get", "bob")
        self.assertEqual(r.returncode, 1)
        self.assertEqual(json.loads(r.stdout), {"ok": False, "code": "FB_ENOENT", "text": "no account \"bob\""})
        _, r = self.ask(done(ERR["EPERM"]), "account", "get", "bob")
        self.assertEqual(r.stderr, "fubar-admin: not allowed\n")

    def test_usage(self):
        for args in ([], ["acount"], ["account", "get"], ["--what"], ["state", "--socket"], ["state", "--generate"],
                     ["account", "set", "a", "b", "--generate"], ["acl", "set", "::1", "maybe"]):
            r = tool(*args)
            self.assertEqual(r.returncode, 2, args)
            self.assertTrue(r.stderr.startswith("fubar-admin: "), args)
        self.assertIn("session", tool("sesion").stderr)
        r = tool("--help", "nonsense")
        self.assertEqual((r.returncode, r.stdout, r.stderr.count("\n")), (2, "", 1))

    def test_no_daemon(self):
        for args in (["--socket", "/nonexistent/admin.sock"], ["--run-dir", "/nonexistent"]):
            r = tool(*args, "state")
            self.assertEqual(r.returncode, 3)
            self.assertIn("no daemon at /nonexistent/admin.sock", r.stderr)
        r = tool("state", env={"FUBAR_SOCKET": "/nonexistent/by-env"})
        self.assertIn("/nonexistent/by-env", r.stderr)
        _, r = self.ask(b"", "state")
        self.assertEqual(r.returncode, 3)
        _, r = self.ask(b"HTTP/1.1 400 Bad Request\r\n", "state")
        self.assertEqual(r.returncode, 3)
        self.assertIn("not understood", r.stderr)
        _, r = self.ask(b"", "stop")
        self.assertEqual(r.returncode, 0)

    def test_words_with_dashes(self):
        d, r = self.ask(done(), "settings", "set", "listeners.mqtt.port", "-1")
        self.assertEqual((r.returncode, d.words), (0, ["listeners.mqtt.port", "-1"]))
        d, r = self.ask(done(), "account", "set", "--", "bob", "--secret")
        self.assertEqual((r.returncode, d.words), (0, ["bob", "--secret"]))

    def test_password_from_standard_input(self):
        d, r = self.ask(done(), "account", "set", "bob", input="se cret\r\nmore\n")
        self.assertEqual((r.returncode, d.words), (0, ["bob", "se cret"]))
        for text in ("", "\n"):
            r = tool("account", "set", "bob", input=text)
            self.assertEqual(r.returncode, 2)

    def test_made_passwords(self):
        d, r = self.ask(done(), "account", "set", "bob", "--generate")
        self.assertEqual(d.words[0], "bob")
        self.assertRegex(d.words[1], "^[A-Za-z0-9]{24}$")
        self.assertEqual(d.words[2:], ["generated"])
        self.assertEqual(r.stdout, "password: %s\n" % d.words[1])
        e, r = self.ask(done(), "--json", "account", "set", "bob", "-g")
        self.assertEqual(json.loads(r.stdout)["password"], e.words[1])
        self.assertNotEqual(d.words[1], e.words[1])
        _, r = self.ask(done(ERR["EIO"], "no"), "account", "set", "bob", "-g")
        self.assertEqual((r.returncode, r.stdout), (1, ""))

    def on_terminal(self, answer, typed, *args):
        """Runs the tool with a terminal; typed: [(prompt to wait for, line)]."""
        d = Daemon(answer)
        self.addCleanup(d.close)
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(TOOL, ["fubar-admin", "--socket", d.path, *args])
        seen = b""
        for prompt, line in typed:
            while prompt not in seen:
                seen += os.read(fd, 1024)
            os.write(fd, line)
        try:
            while chunk := os.read(fd, 1024):
                seen += chunk
        except OSError:
            pass
        os.close(fd)
        return d, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen

    def test_password_from_a_prompt(self):
        d, code, seen = self.on_terminal(done(), [(b"Password:", b"secret\n"), (b"again:", b"secret\n")],
                                         "account", "set", "bob")
        self.assertEqual((code, d.words), (0, ["bob", "secret"]))
        self.assertNotIn(b"secret", seen)
        _, code, seen = self.on_terminal(done(), [(b"Password:", b"secret\n"), (b"again:", b"other\n")],
                                         "account", "set", "bob")
        self.assertEqual(code, 2)
        self.assertIn(b"differ", seen)

    def test_reset_asks(self):
        r = tool("reset")
        self.assertEqual(r.returncode, 1)
        self.assertIn("--yes", r.stderr)
        d, code, _ = self.on_terminal(done(), [(b"[yes/no]", b"no\n")], "reset")
        self.assertEqual((code, d.command), (1, None))
        d, code, _ = self.on_terminal(done(), [(b"[yes/no]", b"yes\n")], "reset")
        self.assertEqual((code, d.command), (0, COMMAND["reset"]))

    def test_help_version_and_completion(self):
        r = tool("--help")
        for words in COMMAND:
            self.assertIn("\n  " + words, r.stdout)
        self.assertEqual(tool("help", "acl").returncode, 0)
        self.assertEqual(tool("help", "what").returncode, 2)
        self.assertRegex(tool("--version").stdout, r"^fubar-admin \d")
        script = tool("--complete").stdout + """
            c() { COMP_WORDS=(fubar-admin "$@"); COMP_CWORD=$#; _fubar_admin; echo "${COMPREPLY[*]}"; }
            c se; c account ''; c --json acl s; c settings set mqtt.max_q; c acl set ::1 ''; c --js"""
        r = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        self.assertEqual(r.stdout.splitlines(), ["settings session", "set get del all clients", "set", "mqtt.max_qos",
                                                 "allow deny", "--json"])


if __name__ == "__main__":
    unittest.main()
