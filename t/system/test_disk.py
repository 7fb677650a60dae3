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
