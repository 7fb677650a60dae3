#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A disk that is full or slow, as people see it: `fubar-admin state` and the log say so, once at its start and once at its
end; nobody is disconnected, QoS 0 does not notice, and it goes on by itself. What was acknowledged meanwhile is the
subject of test_iofaults.py."""

import unittest

import fubar
import mqtt_raw as m
import powercut


class Disk(unittest.TestCase):
    def disk(self, b):
        return next(r["disk"] for r in b.rows("state") if "disk" in r)

    def shown(self, b, pattern):
        self.assertRegex(b.admin("state"), pattern)

    def publisher(self, b):
        """A durable session that is away, and who publishes to it."""
        with b.connected("away", clean=False) as c:
            c.subscribe(("t", 1))
            c.disconnect()
        return b.connected("p")

    def check_qos0(self, b):
        with b.connected("zero") as c:
            c.subscribe("z")
            c.publish("z", "x")
            self.assertEqual(c.get(m.PUBLISH).payload, b"x")

    def test_full(self):
        with fubar.Broker(settings={"session.durability": "disk", "store.min_free": None},
                          config="store:\n  min_free: 1MiB\n") as b:
            p = self.publisher(b)
            p.publish("t", "before", qos=1)
            self.assertEqual(self.disk(b), "ok")
            self.shown(b, r"(?m)^disk: +ok$")
            b.admin("settings", "set", "store.min_free", "1TiB")
            b.log.wait("error store store: disk nearly full, durable writes are refused")
            p.publish("t", "meanwhile", qos=1, wait=False)
            fubar.until("an acknowledgement that waits", lambda: b.counter("acks_waiting") == 1)
            self.assertEqual(self.disk(b), "full")
            self.shown(b, r"(?m)^disk: +full, durable writes are refused, 1 acknowledgements wait$")
            self.check_qos0(b)
            b.admin("settings", "unset", "store.min_free")
            b.log.wait("notice store store: there is room on the disk again")
            self.assertEqual(p.get(m.PUBACK).kind, m.PUBACK)
            fubar.until("no acknowledgement that waits", lambda: b.counter("acks_waiting") == 0)
            self.assertEqual(self.disk(b), "ok")
            self.assertEqual(len(b.log.find("disk nearly full")), 1)
            self.assertEqual(b.log.find("process died"), [])
            with b.connected("away", clean=False) as c:
                self.assertEqual([c.get(m.PUBLISH).payload for _ in range(2)], [b"before", b"meanwhile"])
            p.close()

    def test_full_retained(self):
        """At any durability: a retained message waits for room, the newest of a topic stays, and QoS 0 is dropped."""
        with fubar.Broker(settings={"store.min_free": None}, config="store:\n  min_free: 1MiB\n") as b:
            p, q = b.connected("p"), b.connected("q", clean=False)
            p.publish("r/0", "before", qos=1, retain=True)
            b.admin("settings", "set", "store.min_free", "1TiB")
            b.log.wait("error store store: disk nearly full, durable writes are refused")
            for i in range(20):
                p.publish("r/%d" % (i % 3), "p%d" % i, qos=1, retain=True, wait=False)
                q.publish("s/%d" % (i % 3), "q%d" % i, qos=2, retain=True, wait=False)
            p.publish("zero", "0", retain=True)
            b.log.wait("storec: the store does not take retained messages reason=the disk is full; tried again each second")
            fubar.until("acknowledgements that wait", lambda: b.counter("acks_waiting") == 40)
            fubar.until("one that is dropped", lambda: b.counter("dropped_store_full") == 1)
            self.check_qos0(b)
            with b.connected("early") as c:
                c.subscribe("r/#")
                self.assertEqual(c.get(m.PUBLISH).payload, b"before")
            b.admin("settings", "unset", "store.min_free")
            self.assertEqual([p.get(m.PUBACK).kind for _ in range(20)], [m.PUBACK] * 20)
            self.assertEqual([q.get(m.PUBREC).kind for _ in range(20)], [m.PUBREC] * 20)
            b.log.wait("storec: the store takes retained messages again")
            self.assertEqual(b.log.find("process died"), [])
            p.close()
            q.close()
            with b.connected("late") as c:
                c.subscribe("#")
                got = sorted(c.get(m.PUBLISH).payload for _ in range(6))
            self.assertEqual(got, sorted([b"p17", b"p18", b"p19", b"q17", b"q18", b"q19"]))

    def test_slow(self):
        with powercut.CutNode("disk", workers=2) as b:
            p = self.publisher(b)
            p.publish("t", "before", qos=1)
            b.disk.set(stall_ms=1500, seed=1)
            p.publish("t", "slow", qos=1, wait=False)
            b.log.wait(r"warn store store: the disk is slow, what is to be kept waits for it flush_ms=\d+")
            self.assertEqual(self.disk(b), "slow")
            self.shown(b, r"(?m)^disk: +slow, last flush [1-9]\d*\.\d s, [01] acknowledgements wait$")
            self.check_qos0(b)
            b.disk.heal()
            self.assertEqual(p.get(m.PUBACK).kind, m.PUBACK)
            b.log.wait(r"notice store store: the disk is fast again longest_ms=\d+")
            fubar.until("no word of it", lambda: self.disk(b) == "ok")
            self.assertEqual(len(b.log.find("the disk is slow")), 1)
            self.assertEqual(b.log.find("process died"), [])
            p.close()


if __name__ == "__main__":
    fubar.main()
