#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubar-admin backup and restore, fubard --restore: everything that the store keeps, under load; and what is refused."""

import glob
import os
import shutil
import subprocess
import threading
import unittest

import fubar
import mqtt_raw as m

BINARY = bytes(range(256))


class Writer(threading.Thread):
    """Sets retained messages at QoS 1, one after the other; `acked` is how many the store has."""

    def __init__(self, client):
        super().__init__()
        self.client, self.acked, self.halt = client, 0, threading.Event()

    def run(self):
        while not self.halt.is_set():
            for i in range(self.acked, self.acked + 20):
                self.client.send(m.publish_packet("load/%d" % i, "x%d" % i, 1, retain=True, pid=i % 60000 + 1))
            for i in range(self.acked, self.acked + 20):
                self.client.get(m.PUBACK, pid=i % 60000 + 1)
            self.acked += 20

    def finish(self):
        self.halt.set()
        self.join(fubar.DEADLINE_S)


def fill(b):
    """Something of each kind."""
    for name, password in (("ann", "one"), ("bob", "two")):
        b.admin("account", "set", name, password)
    b.admin("acl", "set", "10.0.0.0/8", "deny")
    b.admin("acl", "set", "127.0.0.1", "allow")
    b.admin("group", "add", "staff", "ann")
    b.admin("right", "set", "group:staff", "publish", "secret/#", "allow")
    b.admin("right", "set", "everyone", "publish", "secret/#", "deny")
    b.admin("settings", "set", "mqtt.max_qos", "2")
    b.admin("settings", "set", "session.max_age", "3d")
    with b.connected("filler") as c:
        c.publish("kept/text", "hello", qos=1, retain=True)
        c.publish("kept/binary", BINARY, qos=2, retain=True)
    with b.connected("sleeper", clean=False) as c:
        c.subscribe("news/#", qos=1)
        c.subscribe("mail/+/x", qos=2)
        c.disconnect()


LISTS = (("account", "all"), ("acl", "all"), ("right", "all"), ("group", "all"))


def seen(b):
    """What can be seen of it from outside."""
    got = {words: b.admin(*words) for words in LISTS}
    for key in ("mqtt.max_qos", "session.max_age"):
        got[key] = b.admin("settings", "get", key)
    with b.connected("looker") as c:
        c.subscribe("kept/#", qos=2)
        got["retained"] = sorted((p.topic, p.payload, p.qos) for p in (c.get_publish(), c.get_publish()))
    got["session"] = b.rows("session", "show", "sleeper")[0]["subscriptions"]
    return got


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x55]))


class Backup(unittest.TestCase):
    def node(self, **kw):
        b = fubar.Broker(**kw)
        self.addCleanup(b.close)
        return b

    def test_everything_comes_back_on_another_node(self):
        a = self.node()
        fill(a)
        before = seen(a)
        copy = os.path.join(a.dir, "copy")
        with a.connected("writer") as c:
            w = Writer(c)
            w.start()
            self.addCleanup(w.finish)
            fubar.until("some are written", lambda: w.acked >= 200)
            known = w.acked
            r = a.admin_raw("backup", copy)
            self.assertEqual(r.returncode, 0, r.stderr)
            more = w.acked
            fubar.until("it goes on", lambda: w.acked > more)
            w.finish()
        self.assertFalse(os.path.exists(copy + ".incomplete"))
        self.assertEqual(os.stat(copy).st_mode & 0o777, 0o700)
        self.assertEqual(a.counter("store_failed"), 0)
        with open(os.path.join(a.data_dir, "epoch"), encoding="ascii") as f:
            epoch = int(f.read())
        a.stop()

        b = self.node(start=False)
        r = subprocess.run(b.command() + ["--restore", copy], capture_output=True, text=True, check=False,
                           timeout=fubar.DEADLINE_S, env=fubar.sanitizer_env(b.dir))
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("the backup is good", r.stdout)
        b.start()
        self.assertEqual(seen(b), before)
        # A number of a start is never used twice, or what workers write were taken for what they had written before.
        with open(os.path.join(b.data_dir, "epoch"), encoding="ascii") as f:
            self.assertGreater(int(f.read()), epoch)
        with b.connected("reader") as c:
            c.subscribe("load/#", qos=0)
            got = set()
            while len(got) < known or not got >= {"load/%d" % i for i in range(known)}:
                got.add(c.get_publish().topic)
            c.publish("kept/new", "works", qos=1, retain=True)

    def test_restore_while_it_runs(self):
        b = self.node()
        fill(b)
        before = seen(b)
        copy = os.path.join(b.dir, "copy")
        b.admin("backup", copy)
        b.admin("account", "del", "ann")
        b.admin("settings", "unset", "mqtt.max_qos")
        with b.connected("after") as c:
            c.publish("kept/text", "", qos=1, retain=True)
            c.publish("kept/later", "x", qos=1, retain=True)
        for _ in range(2):      # what was restored can be restored again
            with b.connected("online") as c:
                out = b.admin("--yes", "restore", copy)
                c.wait_closed()
            self.assertIn("before-restore-", out)
            self.assertEqual(seen(b), before)
        self.assertEqual(len(glob.glob(os.path.join(b.data_dir, "before-restore-*"))), 2)
        self.assertEqual(glob.glob(os.path.join(b.data_dir, "restore*")), [])
        b.restart()
        self.assertEqual(seen(b), before)

    def test_a_bad_backup_changes_nothing(self):
        b = self.node()
        fill(b)
        good = os.path.join(b.dir, "good")
        b.admin("backup", good)
        b.admin("account", "set", "carl", "three")
        before = seen(b)
        pids = b.pids()
        with b.connected("online") as c:
            for what, damage in (
                    ("a page", lambda d: flip(os.path.join(d, "state", "accounts.db"), 8192 + 4000)),
                    ("the manifest", lambda d: flip(os.path.join(d, "manifest"), 40)),
                    ("a table is missing", lambda d: os.unlink(os.path.join(d, "state", "retained.db"))),
                    ("the manifest is missing", lambda d: os.unlink(os.path.join(d, "manifest"))),
                    ("shorter", lambda d: os.truncate(os.path.join(d, "state", "acls.db"), 8192)),
                    ("all of it", shutil.rmtree)):
                with self.subTest(what):
                    bad = os.path.join(b.dir, "bad")
                    shutil.rmtree(bad, ignore_errors=True)
                    shutil.copytree(good, bad)
                    damage(bad)
                    r = b.admin_raw("--yes", "restore", bad)
                    self.assertEqual(r.returncode, 1, r.stdout)
                    self.assertIn(bad, r.stderr)
                    self.assertEqual(glob.glob(os.path.join(b.data_dir, "*restore*")), [])
            c.ping()
        self.assertEqual(b.pids(), pids)
        self.assertEqual(seen(b), before)
        self.assertEqual(b.admin_raw("restore", good).returncode, 1)    # nobody said yes

    def test_where_a_backup_may_go(self):
        b = self.node()
        empty, full = os.path.join(b.dir, "empty"), os.path.join(b.dir, "full")
        os.mkdir(empty)
        os.mkdir(full)
        with open(os.path.join(full, "x"), "w", encoding="ascii"):
            pass
        r = b.admin_raw("backup", full)
        self.assertEqual((r.returncode, "new or empty" in r.stderr), (1, True), r.stderr)
        r = b.admin_raw("backup", os.path.join(b.dir, "no", "such"))
        self.assertEqual((r.returncode, "No such file" in r.stderr), (1, True), r.stderr)
        r = b.admin_raw("backup", os.path.join(full, "x"))
        self.assertEqual((r.returncode, "new or empty" in r.stderr), (1, True), r.stderr)
        b.admin("backup", empty)
        r = b.admin_raw("backup", empty)
        self.assertEqual((r.returncode, "new or empty" in r.stderr), (1, True), r.stderr)
        # By a path that the daemon does not have.
        r = subprocess.run([fubar.program("fubar-admin"), "--run-dir", b.run_dir, "backup", "mine"], cwd=full,
                           capture_output=True, text=True, check=False, timeout=fubar.DEADLINE_S)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertTrue(os.path.exists(os.path.join(full, "mine", "manifest")))

    def test_a_disk_without_room(self):
        b = self.node(settings={"store.min_free": None})
        b.admin("settings", "set", "store.min_free", "1TiB")
        r = b.admin_raw("backup", os.path.join(b.dir, "copy"))
        self.assertEqual((r.returncode, "not enough room" in r.stderr), (1, True), r.stderr)
        self.assertEqual(glob.glob(os.path.join(b.dir, "copy*")), [])
        b.admin("settings", "unset", "store.min_free")
        b.admin("backup", os.path.join(b.dir, "copy"))

    def test_check_finds_what_is_bad(self):
        b = self.node()
        fill(b)
        with b.connected("planter", clean=False) as c:
            c.publish("planted", b"DAMAGED-RECORD", qos=1, retain=True)
            c.subscribe("only/here", qos=1)
            c.disconnect()
        got = b.admin_json("store", "check")
        self.assertEqual([r for r in got["tables"]["checked"] if r["bad"]], [])
        self.assertEqual({r["table"]: r["records"] for r in got["tables"]["checked"]}["retained"], 3)
        b.stop()
        # The version byte of a record, and the client of a subscription: its session is another one's.
        for table, was, now in (("retained", b"\x01\x01DAMAGED-RECORD", b"\x63\x01DAMAGED-RECORD"),
                                ("subscriptions", b"planter\0only/here", b"planteX\0only/here")):
            path = os.path.join(b.data_dir, "state", table + ".db")
            with open(path, "r+b") as f:
                data = f.read()
                self.assertEqual(data.count(was), 1)
                f.seek(data.index(was))
                f.write(now)
        b.start()
        r = b.admin_raw("store", "check")
        self.assertEqual(r.returncode, 1)
        self.assertIn("2 of", r.stderr)
        self.assertRegex(r.stdout, r"retained +planted +a version that this program does not know")
        self.assertRegex(r.stdout, r"subscriptions +planteX\\x00only/here +there is no such session")


if __name__ == "__main__":
    unittest.main()
