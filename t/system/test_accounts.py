#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Accounts and IP rules: who may connect."""

import itertools
import os
import re
import signal
import subprocess
import threading
import unittest

import fubar
import mqtt_raw as m

CODE_REFUSED = 4        # bad user name or password
CODE_UNAUTHORIZED = 5


class Accounts(fubar.TestCase):
    broker_options = {"auth": True, "workers": 2}
    ids = itertools.count()

    def setUp(self):
        for r in self.broker.rows("acl", "all"):
            self.broker.admin("acl", "del", r.get("prefix") or r.get("address"))

    def code(self, user=None, password=None, **kw):
        c = self.client()
        # An id of its own each time: one may be another account's for a moment after its client has left.
        rc = c.connect(self.name("c%d" % next(self.ids)), expect=None, user=user, password=password, **kw).rc
        if rc:
            self.assertEqual(c.wait_closed(), [])       # [MQTT-3.2.2-5]
        else:
            c.disconnect()
        return rc

    def test_refused_without_account(self):
        # Black-box test 1 of the original, first part.
        for level in (3, 4):
            self.assertEqual(self.code(level=level), CODE_UNAUTHORIZED)
            self.assertEqual(self.code("nobody", "x", level=level), CODE_REFUSED)

    def test_clients_of_accounts(self):
        """Counted over all workers, by number; an offline session is none."""
        connected = {}
        for name, n in (("cc one", 1), ("cc-nine", 9), ("cc-four", 4)):
            self.broker.admin("account", "set", name, "pw")
            connected[name] = [self.connected(self.name("%s-%d" % (name, i)), user=name, password="pw", clean=i % 2 == 0)
                               for i in range(n)]
        ours = lambda *most: [(r["account"], r["clients"]) for r in self.broker.rows("account", "clients", *most)
                              if r["account"].startswith("cc")]
        self.assertEqual(ours(), [("cc-nine", 9), ("cc-four", 4), ("cc one", 1)])
        for c in connected["cc-nine"][:4]:
            c.disconnect()
        connected["cc one"][0].disconnect()
        fubar.until("the others to be gone", lambda: ours() == [("cc-nine", 5), ("cc-four", 4)])
        # a takeover is one client still
        again = self.connected(connected["cc-four"][1].client_id, user="cc-four", password="pw", clean=False)
        fubar.until("the first to be gone", lambda: ours() == [("cc-nine", 5), ("cc-four", 4)])
        again.disconnect()
        fubar.until("it to be gone", lambda: ours() == [("cc-nine", 5), ("cc-four", 3)])
        self.assertEqual(ours("2"), [("cc-nine", 5), ("cc-four", 3)])
        self.assertIn(len(ours("1")), (1, 2))           # the largest of each worker
        self.assertEqual(self.broker.admin_raw("account", "clients", "many").returncode, 1)

    def test_set_get_del_all(self):
        self.broker.admin("account", "set", "ann", "first")
        self.assertEqual(self.code("ann", "first"), 0)
        self.assertEqual(self.code("ann", "second"), CODE_REFUSED)
        self.assertEqual(self.code("ann", ""), CODE_REFUSED)
        self.assertEqual(self.code("ann"), CODE_REFUSED)
        self.assertEqual(self.code("Ann", "first"), CODE_REFUSED)
        self.assertIn("ann", self.broker.admin("account", "all"))
        self.assertIn("ann", self.broker.admin("account", "get", "ann"))
        self.assertRegex(self.broker.rows("account", "get", "ann")[0]["created"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.broker.admin("account", "set", "ann", "second")
        self.assertEqual(self.code("ann", "second"), 0)
        self.assertEqual(self.code("ann", "first"), CODE_REFUSED)      # also where it was cached
        self.broker.admin("account", "del", "ann")
        self.assertEqual(self.code("ann", "second"), CODE_REFUSED)
        self.assertNotIn("ann", self.broker.admin("account", "all"))
        self.assertEqual(self.broker.admin_raw("account", "get", "ann").returncode, 1)
        self.assertEqual(self.broker.admin_raw("account", "del", "ann").returncode, 1)

    def test_password_from_stdin_and_any_bytes(self):
        self.broker.admin("account", "set", "bob", input="p ä ss\n")
        self.assertEqual(self.code("bob", "p ä ss"), 0)
        self.broker.admin("account", "set", "ü-ser", "x")
        self.assertEqual(self.code("ü-ser", "x"), 0)
        self.assertEqual(self.code("ü-ser", b"x\0y"), CODE_REFUSED)

    def test_generated_password(self):
        out = self.broker.admin_json("--generate", "account", "set", "machine")
        self.assertGreaterEqual(len(out["password"]), 22)
        self.assertEqual(self.code("machine", out["password"]), 0)
        self.assertEqual(self.code("machine", out["password"] + "x"), CODE_REFUSED)

    def test_passwords_are_nowhere(self):
        self.broker.admin("account", "set", "carl", "topsecret77")
        self.assertEqual(self.code("carl", "topsecret77"), 0)
        self.assertEqual(self.code("carl", "topsecret78"), CODE_REFUSED)
        for out in (self.broker.admin("account", "get", "carl"), self.broker.admin("account", "all"),
                    self.broker.log.text()):
            self.assertIsNone(re.search("topsecret", out))

    def test_del_closes_connections(self):
        self.broker.admin("account", "set", "dora", "x")
        clients = [self.connected(self.name("c%d" % i), user="dora", password="x") for i in range(8)]
        self.broker.admin("account", "del", "dora")
        for c in clients:
            self.assertEqual(c.wait_closed(), [])

    def test_session_belongs_to_its_account(self):
        for user in ("eve", "fred"):
            self.broker.admin("account", "set", user, "x")
        for online in (True, False):
            for clean in (True, False):
                cid = self.name("s%d%d" % (online, clean))
                c = self.connected(cid, user="eve", password="x", clean=clean)
                if not online:
                    c.disconnect()
                if clean and not online:
                    continue
                d = self.client()
                self.assertEqual(d.connect(cid, expect=None, user="fred", password="x", clean=clean).rc,
                                 CODE_UNAUTHORIZED)
                d.wait_closed()
                if online:
                    c.ping()
                    c.disconnect()

    def test_many_logins_at_once(self):
        self.broker.admin("account", "set", "crowd", "x")
        codes = []

        def login(i):
            c = self.broker.client()
            codes.append(c.connect(self.name("c%d" % i), expect=None, user="crowd",
                                   password="x" if i % 2 else "wrong").rc)
            c.close()

        threads = [threading.Thread(target=login, args=(i,)) for i in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(codes), [0] * 20 + [CODE_REFUSED] * 20)

    # -- IP rules (black-box test 1 of the original, the other parts)

    def closed_before_a_byte(self):
        c = self.client()
        try:
            c.send(m.connect_packet(self.name("x"), user="ann", password="x"))
            self.assertEqual(c.wait_closed(), [])
        except m.Closed:
            pass

    def test_acl(self):
        admin = self.broker.admin
        admin("account", "set", "ann", "x")
        self.assertEqual(self.code("ann", "x"), 0)
        admin("acl", "set", "127.0.0.1", "allow")
        self.assertEqual(self.code(), 0)                    # allowed without an account
        admin("acl", "set", "127.0.0.1", "deny")
        self.closed_before_a_byte()                         # denied even with one
        admin("acl", "set", "127.0.0.0/8", "allow")
        self.closed_before_a_byte()                         # the longest prefix wins
        self.assertIn("127.0.0.0/8", admin("acl", "all"))
        self.assertIn("deny", admin("acl", "get", "127.0.0.1"))
        admin("acl", "del", "127.0.0.1")
        self.assertEqual(self.code(), 0)
        admin("acl", "set", "0.0.0.0/0", "deny")
        self.assertEqual(self.code(), 0)
        admin("acl", "del", "127.0.0.0/8")
        self.closed_before_a_byte()
        admin("acl", "del", "0.0.0.0/0")
        self.assertEqual(self.code(), CODE_UNAUTHORIZED)    # no rule: an account is needed
        self.assertEqual(self.code("ann", "x"), 0)

    def test_acl_bad_words(self):
        for words in (("set", "300.0.0.1", "allow"), ("set", "127.0.0.1/33", "deny"), ("set", "127.0.0.1", "maybe"),
                      ("set", "::/129", "allow"), ("del", "10.9.9.9"), ("get", "10.9.9.9")):
            r = self.broker.admin_raw("acl", *words)
            self.assertIn(r.returncode, (1, 2), words)
            self.assertNotEqual(r.stderr.strip(), "")


class Follow(fubar.TestCase):
    """A command that changes something is answered when each worker follows, or is dead."""

    broker_options = {"workers": 2, "settings": {"supervisor.silence": "60s"}}
    may_die = True

    def change(self, words, question, seen):
        """A change while worker 0 stands still: the tool, which waits though the store has done its part, and that worker."""
        pid = self.broker.worker_pids()[0]
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(lambda: fubar.alive(pid) and os.kill(pid, signal.SIGCONT))
        tool = subprocess.Popen([fubar.program("fubar-admin"), "--run-dir", self.broker.run_dir, *words])
        self.addCleanup(tool.kill)
        fubar.until("the store to have it", lambda: seen in self.broker.admin(*question))
        with self.assertRaises(subprocess.TimeoutExpired):
            tool.wait(0.5)
        return tool, pid

    def test_a_worker_that_is_slow(self):
        for words, question, seen in (
                (("acl", "set", "10.0.0.0/8", "deny"), ("acl", "all"), "10.0.0.0/8"),
                (("right", "set", "everyone", "publish", "no/#", "deny"), ("right", "all"), "no/#"),
                (("trace", "topic", "a/b", "on"), ("trace", "list"), "a/b"),
                (("settings", "set", "mqtt.max_qos", "1"), ("settings", "get", "mqtt.max_qos"), "1")):
            with self.subTest(words):
                tool, pid = self.change(words, question, seen)
                os.kill(pid, signal.SIGCONT)
                self.assertEqual(tool.wait(fubar.DEADLINE_S), 0)

    def test_a_worker_that_dies(self):
        tool, pid = self.change(("acl", "set", "11.0.0.0/8", "deny"), ("acl", "all"), "11.0.0.0/8")
        at = self.broker.log.mark()
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(tool.wait(fubar.DEADLINE_S), 0)
        self.broker.log.wait("back process=worker slot=0", at)      # nobody waits for one that is not ready yet

    def test_it_holds_at_once(self):
        # By many connections, at both workers.
        for rule, code in (("deny", None), ("allow", 0)) * 5:
            self.broker.admin("acl", "set", "127.0.0.1", rule)
            for i in range(8):
                with self.broker.client() as c:
                    try:
                        self.assertEqual(c.connect(self.name(rule + str(i)), expect=None).rc, code)
                    except (m.Closed, ConnectionError):
                        self.assertIsNone(code)


class Ipv6(fubar.TestCase):
    broker_options = {"auth": True, "settings": {"listeners.mqtt.bind": ""}}

    def setUp(self):
        try:
            m.Client(self.broker.port, host="::1").close()
        except OSError:
            self.skipTest("no IPv6 here")

    def code(self, host):
        with m.Client(self.broker.port, host=host) as c:
            try:
                return c.connect(self.name("c"), expect=None).rc
            except m.Closed:
                return "closed"

    def test_acl(self):
        self.assertEqual((self.code("::1"), self.code("127.0.0.1")), (5, 5))
        self.broker.admin("acl", "set", "::1", "allow")
        self.assertEqual((self.code("::1"), self.code("127.0.0.1")), (0, 5))
        self.broker.admin("acl", "set", "127.0.0.1/32", "allow")
        self.broker.admin("acl", "set", "::/0", "deny")
        self.assertEqual((self.code("::1"), self.code("127.0.0.1")), (0, 0))
        self.broker.admin("acl", "set", "::1/128", "deny")
        self.assertEqual((self.code("::1"), self.code("127.0.0.1")), ("closed", 0))


class SharedIds(fubar.TestCase):
    broker_options = {"auth": True, "settings": {"session.shared_ids": "true"}}

    def test_another_account_may(self):
        for user in ("eve", "fred"):
            self.broker.admin("account", "set", user, "x")
        self.connected(self.name("s"), user="eve", password="x", clean=False).disconnect()
        c = self.client()
        self.assertEqual(c.connect(self.name("s"), user="fred", password="x", clean=False).sp, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
