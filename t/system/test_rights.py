#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rights: who may publish, subscribe, send direct messages and receive what."""

import collections
import os
import signal
import unittest

import fubar

Will = collections.namedtuple("Will", "topic payload qos retain")
USERS = ("ann", "bob", "eve")


class Rights(fubar.TestCase):
    broker_options = {"auth": True, "workers": 2}
    may_die = True
    count = 0

    def setUp(self):
        for user in USERS:
            self.admin("account", "set", user, "x")

    def tearDown(self):
        for row in self.rules():
            self.admin("right", "del", str(row["place"]))
        for row in self.broker.rows("group", "all"):
            self.admin("group", "del", row["group"], row["account"])
        self.admin("settings", "set", "auth.default_right", "allow")

    def admin(self, *words):
        return self.broker.admin(*words)

    def rules(self):
        return self.broker.rows("right", "all")

    def rule(self, *words):
        self.admin("right", "set", *words)

    def user(self, user, tail="", **kw):
        return self.connected(self.name(user + tail), user=user, password="x", **kw)

    def on(self, slot, user, tail="", **kw):
        c = self.broker.on_worker(slot, self.name(user + tail), user=user, password="x", **kw)
        self._clients.append(c)
        return c

    def reaches(self, pub, topic, sub, qos=1):
        """Does a publish arrive? Something that always arrives comes behind it."""
        self.count += 1
        end = "end/%d" % self.count
        sub.subscribe((end, 1))
        pub.publish(topic, "m", qos)
        pub.publish(end, "end", 1)
        got = False
        while True:
            p = sub.get_publish()
            if p.topic == end:
                return got
            got = got or p.topic == topic

    # -- publish

    def test_publish_denied(self):
        sub = self.user("bob")
        sub.subscribe(("#", 2))
        for slot in range(2):
            ann = self.on(slot, "ann", str(slot))
            self.rule("user:ann", "publish", "secret/#", "deny")
            for qos in (0, 1, 2):
                self.assertFalse(self.reaches(ann, "secret/x", sub, qos))   # it is acknowledged all the same
                self.assertTrue(self.reaches(ann, "open/x", sub, qos))
            self.assertTrue(self.reaches(self.user("eve", str(slot)), "secret/x", sub))
            self.admin("right", "del", "user:ann", "publish", "secret/#")
            self.assertTrue(self.reaches(ann, "secret/x", sub))             # at once, both ways
        self.assertGreaterEqual(self.broker.counter("refused_publish"), 6)
        self.broker.log.wait(r"rights: publish refused client=\S+ account=ann topic=secret/x")

    def test_default_deny(self):
        sub, ann = self.user("bob"), self.user("ann")
        self.rule("user:ann", "all", "ok/#", "allow")
        self.rule("everyone", "all", "end/#", "allow")
        self.rule("user:bob", "all", "#", "allow")
        self.admin("settings", "set", "auth.default_right", "deny")
        sub.subscribe(("#", 1))
        self.assertTrue(self.reaches(ann, "ok/x", sub))
        self.assertFalse(self.reaches(ann, "no/x", sub))
        self.assertEqual(ann.subscribe(("ok/+", 1), ("no/+", 1), ("#", 1)), [1, 0x80, 0x80])
        self.admin("settings", "set", "auth.default_right", "allow")
        self.assertTrue(self.reaches(ann, "no/x", sub))

    def test_retained_and_wills(self):
        self.rule("user:ann", "publish", "keep/#", "deny")
        sub, ann = self.user("bob"), self.user("ann")
        ann.publish("keep/a", "m", 1, retain=True)
        self.assertEqual(sub.subscribe(("keep/#", 1)), [1])
        dies = self.user("ann", "will", will=Will("keep/will", "gone", 1, True))
        lives = self.user("eve", "will", will=Will("keep/will2", "gone", 1, False))
        dies.close()
        lives.close()
        self.assertEqual(sub.get_publish().topic, "keep/will2")
        again = self.user("bob", "2")
        again.subscribe(("keep/#", 1), (self.name("m"), 1))
        self.assertEqual(self.nothing_for(again, self.user("eve"), self.name("m")), [])

    # -- order and groups

    def test_first_match_wins(self):
        sub, ann = self.user("bob"), self.user("ann")
        sub.subscribe(("#", 1))
        self.rule("user:ann", "publish", "a/b", "allow")
        self.rule("everyone", "publish", "a/#", "deny")
        self.assertTrue(self.reaches(ann, "a/b", sub))
        self.assertFalse(self.reaches(ann, "a/c", sub))
        self.assertEqual([r["place"] for r in self.rules()], [10, 20])
        self.rule("everyone", "publish", "a/b", "deny", "5")
        self.assertFalse(self.reaches(ann, "a/b", sub))
        self.rule("everyone", "publish", "a/b", "allow")        # keeps its place
        self.assertEqual([(r["place"], r["rule"]) for r in self.rules()], [(5, "allow"), (10, "allow"), (20, "deny")])
        self.rule("everyone", "publish", "a/b", "deny", "30")   # moves
        self.assertEqual([r["place"] for r in self.rules()], [10, 20, 30])
        self.assertTrue(self.reaches(ann, "a/b", sub))
        r = self.broker.admin_raw("right", "set", "user:eve", "all", "x", "deny", "20")
        self.assertEqual(r.returncode, 1)
        self.assertIn("another rule has that place", r.stderr)

    def test_groups(self):
        sub, ann = self.user("bob"), self.user("ann")
        sub.subscribe(("#", 1))
        self.rule("group:staff", "publish", "staff/#", "allow")
        self.rule("everyone", "publish", "staff/#", "deny")
        self.assertFalse(self.reaches(ann, "staff/x", sub))
        self.admin("group", "add", "staff", "ann")
        self.assertEqual(self.broker.rows("group", "all"), [{"account": "ann", "group": "staff"}])
        self.assertTrue(self.reaches(ann, "staff/x", sub))
        self.admin("group", "del", "staff", "ann")
        self.assertFalse(self.reaches(ann, "staff/x", sub))
        self.admin("group", "add", "staff", "ann")
        self.admin("account", "del", "ann")
        self.assertEqual(self.broker.rows("group", "all"), [])  # nobody inherits it
        self.assertEqual(self.broker.admin_raw("group", "add", "staff", "ann").returncode, 1)
        self.admin("account", "set", "ann", "x")
        self.assertFalse(self.reaches(self.user("ann", "2"), "staff/x", sub))

    # -- subscribe

    def test_subscribe(self):
        self.rule("user:ann", "subscribe", "secret/#", "deny")
        self.rule("user:ann", "subscribe", "own/%u/%c/#", "allow")
        self.rule("user:ann", "subscribe", "own/#", "deny")
        ann = self.user("ann")
        own = "own/ann/%s/" % ann.client_id
        asked = [("secret/x", 0x80), ("secret/#", 0x80), ("#", 0x80), ("+/x", 0x80), ("open/#", 1), ("secret2", 1),
                 (own + "#", 1), (own + "+/a", 1), ("own/ann/+/#", 0x80), ("own/bob/x/#", 0x80)]
        for f, code in asked:
            self.assertEqual(ann.subscribe((f, 1)), [code], f)
        self.assertGreaterEqual(self.broker.counter("refused_subscribe"), 5)

    def test_hostile_names(self):
        self.rule("everyone", "all", "dev/%c/#", "allow")
        self.rule("everyone", "all", "dev/#", "deny")
        sub = self.user("bob")
        for cid in ("#", "+", "a/b", "+/x", "a/#", "/"):
            c = self.connected(cid, user="ann", password="x")
            for f in ("dev/#", "dev/+/x", "dev/a/b/c", "dev/%s/x" % cid.replace("#", "q").replace("+", "q")):
                self.assertEqual(c.subscribe((f, 1)), [0x80], (cid, f))
            self.assertFalse(self.reaches(c, "dev/victim/x", sub))
        good = self.connected("victim", user="ann", password="x")
        self.assertEqual(good.subscribe(("dev/victim/#", 1)), [1])

    # -- receive

    def test_receive(self):
        for slot in range(2):
            bob, eve = self.on(slot, "bob", str(slot)), self.on(slot, "eve", str(slot))
            ann = self.on(1, "ann", str(slot))
            for c in (bob, eve):
                c.subscribe(("#", 2))
            self.rule("user:bob", "receive", "secret/#", "deny")
            for qos in (0, 1, 2):
                self.assertFalse(self.reaches(ann, "secret/x", bob, qos))
                self.assertTrue(self.reaches(ann, "secret/x", eve, qos))
            self.admin("right", "del", "user:bob", "receive", "secret/#")
            self.assertTrue(self.reaches(ann, "secret/x", bob))

    def test_receive_in_a_group(self):
        # A member that may not gets none; the others in its worker get them.
        for slot in range(2):
            for qos in (0, 1, 2):
                tail = "%d%d" % (slot, qos)
                share, end = "$share/%s/s/#" % tail, "end-" + tail
                bob, eve, ann = self.on(slot, "bob", tail), self.on(slot, "eve", tail), self.user("ann", tail)
                for c in (bob, eve):
                    c.subscribe((share, qos), (end, 1))
                self.rule("user:bob", "receive", "s/secret", "deny")
                for _ in range(6):
                    ann.publish("s/secret", "m", qos)
                eve_got = [eve.get_publish().topic for _ in range(6)]
                self.assertEqual(eve_got, ["s/secret"] * 6)
                ann.publish(end, "end", 1)
                self.assertEqual(bob.get_publish().topic, end)
                for c in (bob, eve):
                    c.disconnect()

    def test_subscribe_to_a_group(self):
        self.rule("user:ann", "subscribe", "secret/#", "deny")
        ann = self.user("ann")
        self.assertEqual(ann.subscribe(("$share/g/secret/x", 1), ("$share/g/open/x", 1), ("$share/g/#", 1)),
                         [0x80, 1, 0x80])

    def test_receive_retained(self):
        ann = self.user("ann")
        for t in ("r/secret/x", "r/open/x"):
            ann.publish(t, "m", 1, retain=True)
        self.rule("user:bob", "receive", "r/secret/#", "deny")
        bob = self.user("bob")
        bob.subscribe(("r/#", 1), (self.name("m"), 1))
        self.assertEqual(bob.get_publish().topic, "r/open/x")
        self.assertEqual(self.nothing_for(bob, ann, self.name("m")), [])

    def test_receive_what_waited(self):
        bob, ann = self.user("bob", clean=False), self.user("ann")
        bob.subscribe(("w/#", 1))
        bob.disconnect()
        ann.publish("w/secret/x", "m", 1)
        ann.publish("w/open/x", "m", 1)
        self.rule("user:bob", "receive", "w/secret/#", "deny")
        bob = self.user("bob", clean=False)
        self.assertEqual(bob.get_publish().topic, "w/open/x")

    # -- direct messages

    def test_send(self):
        for slot in range(2):
            bob, ann = self.on(slot, "bob", str(slot)), self.on(0, "ann", str(slot))
            self.rule("user:ann", "send", "#", "deny")
            self.assertFalse(self.reaches(ann, bob.client_id, bob))
            bob.subscribe((bob.client_id, 1))
            self.assertTrue(self.reaches(ann, bob.client_id, bob))          # by its subscription
            self.assertTrue(self.reaches(self.user("eve", str(slot)), bob.client_id, bob))
            self.admin("right", "del", "user:ann", "send", "#")

    def test_send_alone(self):
        # May not publish, but send: only the client of that name gets it.
        for slot in range(2):
            bob, eve = self.on(slot, "bob", str(slot)), self.on(1 - slot, "eve", str(slot))
            ann = self.on(0, "ann", str(slot))
            for c in (bob, eve):
                c.subscribe(("#", 1))
            self.rule("user:ann", "publish", "+", "deny")
            self.assertFalse(self.reaches(ann, bob.client_id, bob))         # the default makes no direct message of it
            self.rule("user:ann", "send", bob.client_id, "allow")
            self.assertTrue(self.reaches(ann, bob.client_id, bob))
            self.assertFalse(self.reaches(ann, bob.client_id, eve))
            for r in self.rules():
                self.admin("right", "del", str(r["place"]))

    # -- who has not logged in

    def test_anonymous(self):
        self.admin("acl", "set", "127.0.0.1", "allow")
        try:
            self.rule("anonymous", "publish", "a/#", "deny")
            self.rule("user:ann", "publish", "b/#", "deny")
            self.rule("everyone", "publish", "c/%u", "deny")
            sub = self.connected(self.name("sub"))
            sub.subscribe(("#", 1))
            c = self.connected(self.name("c"), user="ann", password="wrong, and nobody looks")
            self.assertFalse(self.reaches(c, "a/x", sub))
            self.assertTrue(self.reaches(c, "b/x", sub))        # a name that nobody checked is nobody's
            self.assertFalse(self.reaches(c, "c/x", sub))
        finally:
            self.admin("acl", "del", "127.0.0.1")

    # -- commands

    def test_check(self):
        def check(*words):
            rows = self.broker.rows("right", "check", *words)
            self.assertEqual(len(rows), 1)
            return rows[0]["verdict"], rows[0].get("place")

        self.rule("group:g", "all", "a/%u/#", "allow")
        self.rule("user:ann", "publish", "a/#", "deny")
        self.admin("group", "add", "g", "ann")
        self.assertEqual(check("ann", "c", "publish", "a/ann/x"), ("allow", 10))
        self.assertEqual(check("ann", "c", "publish", "a/x"), ("deny", 20))
        self.assertEqual(check("ann", "c", "publish", "b"), ("allow", None))
        self.assertEqual(check("bob", "c", "publish", "a/x"), ("allow", None))
        self.assertEqual(check("", "c", "receive", "a/x"), ("allow", None))
        self.assertEqual(check("ann", "c", "subscribe", "$share/g/a/ann/#"), ("allow", 10))
        for words in (("ann", "c", "publish", "a/#"), ("ann", "c", "subscribe", "a#")):
            self.assertEqual(self.broker.admin_raw("right", "check", *words).returncode, 1)

    def test_bad_words(self):
        for words in (("set", "ann", "publish", "a", "allow"), ("set", "user:", "publish", "a", "allow"),
                      ("set", "user:ann", "write", "a", "allow"), ("set", "user:ann", "publish", "a#", "allow"),
                      ("set", "user:ann", "publish", "%x", "allow"), ("set", "user:ann", "publish", "a", "maybe"),
                      ("set", "user:ann", "publish", "a", "allow", "0"), ("del", "77"), ("del", "user:ann"),
                      ("del", "user:ann", "all", "nix")):
            r = self.broker.admin_raw("right", *words)
            self.assertIn(r.returncode, (1, 2), words)
            self.assertNotEqual(r.stderr.strip(), "")
        self.assertEqual(self.rules(), [])

    # -- what lasts

    def test_deaths_and_restart(self):
        self.rule("group:g", "publish", "t/ok", "allow")
        self.rule("everyone", "publish", "t/#", "deny")
        self.admin("group", "add", "g", "ann")
        before = self.rules()

        def holds(tail):
            sub, ann = self.user("bob", tail), self.user("ann", tail)
            sub.subscribe(("#", 1))
            self.assertTrue(self.reaches(ann, "t/ok", sub))
            self.assertFalse(self.reaches(ann, "t/no", sub))
            sub.close()
            ann.close()

        at = self.broker.log.mark()
        live = self.user("ann", "live")
        os.kill(self.broker.store_pid(), signal.SIGKILL)
        # Meanwhile they hold too.
        live.publish("t/no", "m", 0)
        for _ in range(2):
            self.broker.log.wait("worker loaded", at)
        holds("store")
        self.assertEqual(self.rules(), before)
        for slot, pid in self.broker.worker_pids().items():
            at = self.broker.log.mark()
            os.kill(pid, signal.SIGKILL)
            self.broker.log.wait("worker loaded slot=%d" % slot, at)
            fubar.until("worker %d is back" % slot, lambda s=slot: self.broker.worker_pids().get(s))
        holds("worker")
        live.close()
        self.broker.restart()
        self.assertEqual(self.rules(), before)
        holds("restart")

    def test_reset(self):
        self.rule("everyone", "publish", "#", "deny")
        self.admin("--yes", "reset")
        self.assertEqual(self.rules(), [])
        for user in USERS:
            self.admin("account", "set", user, "x")
        sub = self.user("bob")
        sub.subscribe(("#", 1))
        self.assertTrue(self.reaches(self.user("ann"), "x", sub))


if __name__ == "__main__":
    unittest.main(verbosity=2)
