#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 3.1: SUBSCRIBE, UNSUBSCRIBE, wildcards, overlapping subscriptions."""

import unittest

import fubar
import mqtt_raw as m

# filter, topics that match, topics that do not
MATCHES = (
    ("a/b", ["a/b"], ["a", "a/", "a/b/", "a/b/c", "A/b", "/a/b"]),
    ("+", ["a", "b"], ["a/b", "/", "/a", "a/"]),
    ("/+", ["/a", "/"], ["a", "/a/b", "//"]),
    ("+/+", ["a/b", "/a", "a/", "/"], ["a", "a/b/c"]),
    ("a/+", ["a/b", "a/"], ["a", "a/b/c"]),
    ("+/b", ["a/b", "/b"], ["a/c", "b", "a/b/c"]),
    ("a/+/c", ["a/b/c", "a//c"], ["a/c", "a/b/c/d", "a/b/b/c"]),
    ("a/+/+/d", ["a/b/c/d", "a///d"], ["a/b/d", "a/b/c/c"]),
    ("a/#", ["a", "a/", "a/b", "a/b/c", "a//"], ["ab", "b/a", "/a"]),
    ("+/#", ["a", "a/b", "/", "/a"], []),
    ("#", ["a", "/", "a/b/c", "//"], []),
    ("/#", ["/", "/a", "/a/b", "//"], ["a", "a/b"]),
    ("a/+/#", ["a/b", "a/", "a/b/c"], ["a", "b/b"]),
    ("a/b/#", ["a/b", "a/b/", "a/b/c/d"], ["a", "a/bc", "a/c/b"]),
    ("+/+/+", ["a/b/c", "//"], ["a/b", "a/b/c/d"]),
)


class Wildcards(fubar.TestCase):
    def test_table(self):
        # [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-3.3.2-3] [MQTT-4.7.3-4]: below a prefix and, in effect, at the root
        base = self.name("x") + "/"
        topics = sorted({t for _, yes, no in MATCHES for t in yes + no})
        for i, (pattern, yes, no) in enumerate(MATCHES):
            with self.subTest(pattern=pattern):
                c = self.connected(self.name("c%d" % i))
                self.assertEqual(c.subscribe(base + pattern, qos=1), [1])
                for t in topics:
                    c.publish(base + t, t, 1)
                c.subscribe(self.name("marker"))
                got = {p.payload.decode() for p in self.nothing_for(c, c, self.name("marker"))}
                self.assertEqual(sorted(got & set(yes + no)), sorted(yes))

    def test_at_the_root(self):
        # The same without a prefix, on a client of its own that looks only at its own payloads.
        for i, (pattern, yes, no) in enumerate(MATCHES):
            with self.subTest(pattern=pattern):
                c = self.connected(self.name("c%d" % i))
                tag = self.name(str(i))
                c.subscribe(pattern, self.name("marker"))
                for t in yes + no:
                    c.publish(t, tag + t)
                got = {p.topic for p in self.nothing_for(c, c, self.name("marker")) if
                       p.payload.decode("utf-8", "replace").startswith(tag)}
                self.assertEqual(sorted(got), sorted(yes))

    def test_parent_by_hash(self):
        c = self.connected()
        base = self.name("sport/tennis")
        c.subscribe(base + "/#")
        c.publish(base, "parent")
        self.assertEqual(c.get_publish().payload, b"parent")

    def test_bad_filters(self):
        # [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1] [MQTT-3.8.3-1]: the connection closes
        for bad in (b"a/#/b", b"#/", b"a#", b"##", b"a/b#", b"a+", b"+a", b"a/+b", b"a/b+/c", b"", b"\xff", b"a\0",
                    b"#a", b"++"):
            with self.subTest(bad=bad):
                c = self.connected()
                c.send(m.subscribe_packet(1, (bad, 0)))
                got = c.wait_closed()
                if got:     # a failure code in the SUBACK would be an answer too
                    self.assertEqual([(p.kind, p.codes) for p in got], [(m.SUBACK, [0x80])])
                c = self.connected()
                c.send(m.unsubscribe_packet(1, bad))
                self.assertEqual([p.kind for p in c.wait_closed()], [])


class Subscribe(fubar.TestCase):
    def test_codes_in_order(self):
        # [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1]
        c = self.connected()
        filters = [(self.name(str(i)), q) for i, q in enumerate((2, 0, 1, 0, 2))]
        c.send(m.subscribe_packet(0xabcd, *filters))
        ack = c.get(m.SUBACK)
        self.assertEqual((ack.pid, ack.flags, ack.codes), (0xabcd, 0, [2, 0, 1, 0, 2]))

    def test_many_filters(self):
        c = self.connected()
        count = 3000
        filters = [(self.name("f/%d" % i), i % 3) for i in range(count)]
        c.send(m.subscribe_packet(1, *filters))
        self.assertEqual(c.get(m.SUBACK).codes, [i % 3 for i in range(count)])
        for i in (0, 1, 1499, count - 1):
            c.publish(self.name("f/%d" % i), "x", 2)
            self.assertEqual(c.get_publish().qos, i % 3)
        c.unsubscribe(*[f for f, _ in filters])
        c.publish(self.name("f/5"), "x")
        c.ping()
        self.assertEqual(list(c.inbox), [])

    def test_replaces(self):
        # [MQTT-3.8.4-3]: the same filter again is the same subscription with a new QoS
        c = self.connected()
        t = self.name("t")
        for qos in (0, 2, 1):
            self.assertEqual(c.subscribe((t, qos)), [qos])
            c.publish(t, "x", 2)
            self.assertEqual([p.qos for p in [c.get_publish()]], [qos])
        self.assertEqual(c.subscribe((t, 0), (t, 1)), [0, 1])
        c.publish(t, "x", 2)
        self.assertEqual(c.get_publish().qos, 1)
        self.assertEqual(self.nothing_for(c, c, t), [])

    @fubar.needs_fubar      # mosquitto 2.0 delivers at the first filter's QoS
    def test_overlapping(self):
        # [MQTT-3.3.5-1]: once, at the highest QoS of the matching filters (copies by filter would be allowed too)
        c = self.connected()
        t = self.name("a/b")
        c.subscribe((t, 0), (self.name("a/+"), 2), (self.name("a/#"), 1))
        c.publish(t, "x", 2)
        got = [c.get_publish()]
        got += self.nothing_for(c, c, t)
        self.assertEqual(max(p.qos for p in got), 2)
        self.assertEqual(len(got), 1)
        c.unsubscribe(self.name("a/+"))
        c.publish(t, "y", 2)
        got = [c.get_publish()]
        got += self.nothing_for(c, c, t)
        self.assertEqual(max(p.qos for p in got), 1)

    def test_own_publish_comes_back(self):
        c = self.connected()
        c.subscribe(self.name("t"))
        c.publish(self.name("t"), "me")
        self.assertEqual(c.get_publish().payload, b"me")

    def test_many_subscribers(self):
        t = self.name("t")
        subs = [self.connected() for _ in range(40)]
        for i, s in enumerate(subs):
            s.subscribe(t, qos=i % 3)
        pub = self.connected()
        for n in range(5):
            pub.publish(t, str(n), 2)
        for i, s in enumerate(subs):
            got = [s.get_publish() for _ in range(5)]
            self.assertEqual([(int(p.payload), p.qos) for p in got], [(n, i % 3) for n in range(5)])


class Unsubscribe(fubar.TestCase):
    def test_stops(self):
        # [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4]
        c = self.connected()
        c.subscribe(self.name("a"), self.name("b"), self.name("c/+"), self.name("c/#"))
        c.send(m.unsubscribe_packet(0x4321, self.name("a"), self.name("c/#")))
        ack = c.get(m.UNSUBACK)
        self.assertEqual((ack.pid, ack.flags, len(ack.body)), (0x4321, 0, 2))
        for t in ("a", "c", "c/x/y", "b", "c/x"):
            c.publish(self.name(t), t)
        self.assertEqual([p.payload for p in self.nothing_for(c, c, self.name("b"))], [b"b", b"c/x"])

    def test_by_characters(self):
        # [MQTT-3.10.4-1]: a filter that merely covers another is another
        c = self.connected()
        c.subscribe(self.name("a/b"))
        c.unsubscribe(self.name("a/+"), self.name("a/#"), "#")
        c.publish(self.name("a/b"), "still")
        self.assertEqual(c.get_publish().payload, b"still")

    def test_unknown(self):
        # [MQTT-3.10.4-5]
        c = self.connected()
        self.assertEqual(c.unsubscribe(self.name("never")).kind, m.UNSUBACK)

    def test_several(self):
        # [MQTT-3.10.4-6]: as if in packets of their own, one UNSUBACK
        c = self.connected()
        c.subscribe(self.name("a"), self.name("b"))
        c.unsubscribe(self.name("a"), self.name("nothing"), self.name("b"), self.name("a"))
        c.publish(self.name("a"), "x")
        c.publish(self.name("b"), "x")
        c.ping()
        self.assertEqual(list(c.inbox), [])

    def test_in_flight_is_finished(self):
        # [MQTT-3.10.4-3]
        c = self.connected()
        t = self.name("t")
        c.subscribe(t, qos=2)
        c.publish(t, "x", 2)
        p = c.get_publish(ack=False)
        c.unsubscribe(t)
        c.ack(p)
        c.ping()


class Levels(fubar.TestCase):
    def test_level_3(self):
        # 3.1: the same packets; a client that subscribes twice and unsubscribes
        c = self.connected(level=3)
        t = self.name("t")
        self.assertEqual(c.subscribe((t, 2)), [2])
        c.publish(t, "x", 2)
        self.assertEqual(c.get_publish().qos, 2)
        c.unsubscribe(t)
        c.publish(t, "x", 2)
        c.ping()
        self.assertEqual(list(c.inbox), [])

    def test_level_3_dup_bits(self):
        # 3.1 lets SUBSCRIBE, UNSUBSCRIBE and PUBREL carry DUP in a repeat (3.1, section 2.1).
        if fubar.MOSQUITTO:
            self.skipTest("mosquitto checks the flags at level 4 only for some")
        c = self.connected(level=3)
        for data, kind in ((m.subscribe_packet(5, (self.name("t"), 1)), m.SUBACK),
                           (m.unsubscribe_packet(6, self.name("t")), m.UNSUBACK),
                           (m.ack_packet(m.PUBREL, 7), m.PUBCOMP)):
            c.send(bytes([data[0] | 8]) + data[1:])
            self.assertEqual(c.get(kind).kind, kind)


if __name__ == "__main__":
    unittest.main(verbosity=2)
