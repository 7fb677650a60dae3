#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubar-admin backup and restore, fubard --restore: everything that the store keeps, under load; and what is refused."""

import glob
import json
import os
import shutil
import struct
import subprocess
import threading
import unittest

import fubar
import mqtt_raw as m

BINARY = bytes(range(256))
DISK = {"session.durability": "disk"}


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


def seen_without_retained(b):
    got = {words: b.admin(*words) for words in LISTS}
    for key in ("mqtt.max_qos", "session.max_age"):
        got[key] = b.admin("settings", "get", key)
    got["session"] = b.rows("session", "show", "sleeper")[0]["subscriptions"]
    return got


def seen(b):
    """What can be seen of it from outside."""
    got = seen_without_retained(b)
    with b.connected("looker") as c:
        c.subscribe("kept/#", qos=2)
        got["retained"] = sorted((p.topic, p.payload, p.qos) for p in (c.get_publish(), c.get_publish()))
    return got


def until_answered(b, code):
    """Both workers have heard of a change of the address rules: CONNECT without a user is answered so, many times."""
    def answered():
        for _ in range(12):
            with b.client() as c:
                c.send(m.connect_packet("looker"))
                if c.get(m.CONNACK).rc != code:
                    return False
        return True
    fubar.until("CONNACK code %d" % code, answered)


def flip(path, at):
    with open(path, "r+b") as f:
        at = f.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x55]))


class Backup(unittest.TestCase):
    def node(self, **kw):
        b = fubar.Broker(**kw)
        self.addCleanup(b.close)
        return b

    def test_everything_comes_back_on_another_node(self):
        large = dict(DISK, **{"session.buffer_limit": "1000000", "session.buffer_bytes": "1GiB"})   # a backup takes its time
        a = self.node(settings=large)
        fill(a)
        before = seen(a)
        copy = os.path.join(a.dir, "copy")
        with a.connected("away", clean=False) as c:
            c.subscribe("load/#", "once/#", qos=2)
            c.disconnect()
        with a.connected("poster", clean=False) as c:
            for i in range(50):
                c.publish("once/%d" % i, b"z" * i, qos=2)
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

        b = self.node(start=False, settings=large)
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
        with b.connected("away", clean=False) as c:
            got = [c.get_publish() for _ in range(50 + known)]
        self.assertEqual([p.topic for p in got],
                         ["once/%d" % i for i in range(50)] + ["load/%d" % i for i in range(known)])
        self.assertEqual([len(p.payload) for p in got[:50]], list(range(50)))
        self.assertEqual(b.admin_raw("store", "check").returncode, 0)

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
        with b.connected("online") as c:
            b.admin("--yes", "restore", copy)
            c.wait_closed()
        for _ in range(2):      # what was restored can be restored again
            self.assertEqual(seen(b), before)
            out = b.admin("--yes", "restore", copy)
            self.assertIn("before-restore-", out)
            self.assertEqual(seen(b), before)
        self.assertEqual(len(glob.glob(os.path.join(b.data_dir, "before-restore-*"))), 3)
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
                    ("a page", lambda d: flip(os.path.join(d, "state", "accounts.db"), -4)),
                    ("the manifest", lambda d: flip(os.path.join(d, "manifest"), 40)),
                    ("a table is missing", lambda d: os.unlink(os.path.join(d, "state", "retained.db"))),
                    ("the manifest is missing", lambda d: os.unlink(os.path.join(d, "manifest"))),
                    ("shorter", lambda d: os.truncate(os.path.join(d, "state", "acls.db"), 4096)),
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

    def test_a_disk_that_gets_full(self):
        b = self.node()
        small = os.path.join(b.dir, "small")
        os.mkdir(small)
        # Room for all bytes, but not for all files.
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,nr_inodes=9", "none", small], check=False,
                          capture_output=True).returncode != 0:
            self.skipTest("no file system can be mounted here")
        try:
            r = b.admin_raw("backup", os.path.join(small, "copy"))
            self.assertEqual((r.returncode, "the disk is full" in r.stderr), (1, True), r.stderr)
            self.assertEqual(os.listdir(small), [])
        finally:
            subprocess.run(["umount", small], check=True)
        b.admin("backup", os.path.join(small, "copy"))
        self.assertEqual(b.counter("store_failed"), 0)

    def test_export_and_import(self):
        a, b = self.node(auth=True, settings=DISK), self.node(auth=True, settings=DISK)
        a.admin("acl", "set", "127.0.0.1", "allow")
        until_answered(a, 0)
        fill(a)
        made = a.admin_json("account", "set", "--generate", "robot")["password"]
        with a.connected("many", clean=False) as c:
            for i in range(300):
                c.publish("load/%d" % i, b"x" * 5000, qos=1, retain=True)
            c.publish("kept/large", b"y" * 300000, qos=1, retain=True)
            for i in range(100):
                c.subscribe("mine/%d" % i, qos=i % 3)
            c.disconnect()
        with a.connected("poster", clean=False) as c:
            for i in range(20):
                c.publish("news/%d" % i, b"waits %d" % i, qos=1 + i % 2)
                c.publish("mail/%d/x" % i, b"", qos=2)
        file = os.path.join(a.dir, "lines")
        a.admin("store", "export", file)
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        with open(file, encoding="ascii") as f:
            lines = f.read().splitlines()
        self.assertEqual(json.loads(lines[0])["format"], 1)
        self.assertEqual(json.loads(lines[-1]), {"type": "end", "records": len(lines) - 2})
        self.assertEqual(a.admin_raw("store", "export", file).returncode, 1)    # is there already
        self.assertEqual(a.admin("store", "import", file), "added: 0\nsame: %d\n" % (len(lines) - 2))

        b.admin("store", "import", file)
        self.assertEqual(b.admin("store", "export", "-").splitlines()[1:], lines[1:])
        self.assertEqual(seen_without_retained(b), seen_without_retained(a))
        # It holds at once: rules, accounts, generated passwords, sessions that wait for their clients.
        b.admin("acl", "del", "127.0.0.1")
        until_answered(b, 5)
        b.connected("x", user="ann", password="one").close()
        b.connected("y", user="robot", password=made).close()     # an id of its own: x may be ann's for a moment yet
        with b.client() as c:
            c.connect("z", user="ann", password="two", expect=4)
        b.admin("acl", "set", "127.0.0.1", "allow")
        until_answered(b, 0)
        with b.connected("someone") as c:
            c.publish("news/today", "after the import", qos=1)
        now = b.admin("store", "export", "-").splitlines()[1:]
        with b.connected("sleeper", clean=False) as c:
            got = [c.get_publish() for _ in range(41)]
        self.assertEqual([p.topic for p in got],
                         [t for i in range(20) for t in ("news/%d" % i, "mail/%d/x" % i)] + ["news/today"])
        self.assertEqual(got[40].payload, b"after the import")
        self.assertEqual([r for r in b.admin_json("store", "check")["tables"]["checked"] if r["bad"]], [])
        self.assertEqual(len(now), len(lines))          # the lines, and the message from after the import
        self.assertEqual([line for line in now if line not in lines[1:-1]][0].count('"news/today"'), 1)

    def test_the_queue_of_a_shared_group_is_imported(self):
        a, b = self.node(settings=DISK), self.node(settings=DISK)
        with a.connected("member", clean=False) as c:
            c.subscribe("$share/g/jobs/#", qos=1)
            c.disconnect()
        with a.connected("poster") as c:
            for i in range(4):
                c.publish("jobs/%d" % i, b"", qos=1)
        lines = a.admin("store", "export", "-")
        self.assertEqual(b.admin("store", "import", "-", input=lines), "added: %d\n" % (lines.count("\n") - 2))
        with b.connected("member", clean=False) as c:
            self.assertEqual([c.get_publish().topic for _ in range(4)], ["jobs/%d" % i for i in range(4)])

    def test_import_of_what_is_there(self):
        b = self.node()
        fill(b)
        lines = b.admin("store", "export", "-")
        other = lines.replace('"topic":"kept/text","qos":1', '"topic":"kept/text","qos":0')
        self.assertNotEqual(lines, other)
        other = other.replace('"client":"sleeper","filter":"news/#"', '"client":"sleeper","filter":"olds/#"')
        at = next(i for i, line in enumerate(lines.splitlines(), 1) if "kept/text" in line)
        r = b.admin_raw("store", "import", "-", input=other)
        self.assertEqual(r.returncode, 1)
        self.assertIn("-:%d: is there with another value" % at, r.stderr)
        self.assertIn("nothing was imported", r.stderr)
        self.assertEqual(b.admin("store", "export", "-"), lines)
        r = json.loads(b.admin("--json", "store", "import", "-", "keep", input=other))
        self.assertEqual((r["ok"], r["rows"][0]["kept"], r["rows"][0]["replaced"]), (True, 1, 0))
        self.assertEqual(b.admin("store", "export", "-"), lines)
        r = b.admin_raw("store", "import", "-", "replace", input=other)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("replaced: 1\n", r.stdout)
        self.assertIn("live: 1\n", r.stdout)           # the session is this node's own
        self.assertIn("this node has the session", r.stderr)
        self.assertEqual(b.admin("store", "export", "-"),
                         lines.replace('"topic":"kept/text","qos":1', '"topic":"kept/text","qos":0'))

    def test_wrong_lines_are_named(self):
        b = self.node()
        before = b.admin("store", "export", "-")
        head, end = '{"type":"fubar-export","format":1}', '{"type":"end"}'
        acl = '{"type":"acl","prefix":"10.0.0.0/8","allow":true}'
        for lines, where, what in (
                ([acl, end], 1, "the first line must be"),
                (['{"type":"fubar-export","format":2}', end], 1, "another format"),
                ([head, acl], 2, "cut short"),
                ([head, "{", end], 2, "no JSON"),
                ([head, "[1]", end], 2, "object with a member type"),
                ([head, acl, acl.replace("10.0.0.0/8", "10.0.0.1/8"), end], 3, "prefix: must be"),
                ([head, acl.replace("acl", "lca"), end], 2, "type: lca is not known"),
                ([head, acl.replace("true", '"yes"'), end], 2, "allow: must be true or false"),
                ([head, acl.replace("true", "[]"), end], 2, "allow: must be a string"),
                ([head, acl.replace('"allow"', '"alow"'), end], 2, "allow: is missing"),
                ([head, acl[:-1] + ',"more":1}', end], 2, "more: no such member"),
                ([head, '{"type":"retained","topic":"a/#","qos":1,"payload":"eA=="}', end], 2, "topic: must be"),
                ([head, '{"type":"retained","topic":"a","qos":3,"payload":"eA=="}', end], 2, "qos: must be 0 to 2"),
                ([head, '{"type":"retained","topic":"a","qos":1,"payload":"eA="}', end], 2, "payload: must be base64"),
                ([head, '{"type":"retained","topic":"a","qos":1,"payload":"eB=="}', end], 2, "payload: must be base64"),
                ([head, '{"type":"retained","topic":"a","qos":1,"payload":"eA==","properties":"/w=="}', end], 2,
                 "properties: are not"),
                ([head, '{"type":"account","name":"x","hash":"secret"}', end], 2, "hash: is no hash"),
                ([head, '{"type":"setting","key":"mqtt.max_qos","value":"7"}', end], 2, "mqtt.max_qos"),
                ([head, '{"type":"right","place":1,"who":"me","action":"all","filter":"#","allow":true}', end], 2, "who: must be"),
                ([head, '{"type":"session","client":"a\\u0000b","expiry":5}', end], 2, "client: must be"),
                ([head, end, acl], 3, "behind the end")):
            r = b.admin_raw("store", "import", "-", input="\n".join(lines) + "\n")
            with self.subTest(lines):
                self.assertEqual(r.returncode, 1, r.stdout)
                self.assertIn("-:%d: " % where, r.stderr)
                self.assertIn(what, r.stderr)
        self.assertEqual(b.admin("store", "export", "-"), before)
        r = b.admin_raw("store", "import", "/no/such/file")
        self.assertEqual((r.returncode, "No such file" in r.stderr), (1, True))

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

    def test_check_of_the_queues(self):
        b = self.node(workers=1, settings=DISK)
        for name in ("one", "two", "three"):
            with b.connected(name, clean=False) as c:
                c.subscribe("q/#", qos=1)
                c.disconnect()
        with b.connected("poster") as c:
            for i in range(3):
                c.publish("q/%d" % i, b"x" * 1000, qos=1)
        r = b.admin_json("store", "check")["tables"]
        self.assertNotIn("bad", r)
        self.assertEqual({x["table"]: x["records"] for x in r["checked"] if x["table"] in ("items", "bodies", "refs")},
                         {"items": 9, "bodies": 3, "refs": 3})
        b.stop()
        for table, was, now in (("bodies", b"\x01\x01\x03\x00\x00\x00q/1", b"\x63\x01\x03\x00\x00\x00q/1"),
                                ("refs", b"\x01" + struct.pack("<Q", 3), b"\x01" + struct.pack("<Q", 7))):
            path = os.path.join(b.data_dir, "queue", table + ".db")
            with open(path, "r+b") as f:
                data = f.read()
                self.assertIn(was, data)
                f.seek(data.index(was))
                f.write(now)
        b.start()
        # Counts are compared when nothing was written meanwhile.
        fubar.until("both are found", lambda: "2 of" in b.admin_raw("store", "check").stderr)
        r = b.admin_raw("store", "check")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stdout, r"bodies +[0-9a-f]{16} +a version that this program does not know")
        self.assertRegex(r.stdout, r"refs +[0-9a-f]{16} +says 7, 3 wait for the message")
        self.assertIn("2 of", r.stderr)


if __name__ == "__main__":
    unittest.main()
