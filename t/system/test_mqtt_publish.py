#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 3.1: PUBLISH at every QoS in both directions, packet ids, retained messages, topics."""

import unittest

import fubar
import mqtt_raw as m


class Qos(fubar.TestCase):
    def test_every_pair_of_qos(self):
        # [MQTT-3.3.4-1] [MQTT-3.8.4-6] [MQTT-4.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1]: the lower of the two counts
        for level in (3, 4):
            pub = self.connected(self.name("p%d" % level), level=level)
            for granted in (0, 1, 2):
                t = self.name("%d-%d" % (level, granted))
                sub = self.connected(self.name("s%d%d" % (level, granted)), level=level)
                self.assertEqual(sub.subscribe(t, qos=granted), [granted])
                for qos in (0, 1, 2):
                    pub.publish(t, "m%d" % qos, qos)
                    p = sub.get_publish()
                    self.assertEqual((p.topic, p.payload.decode(), p.qos, p.dup, p.retain),
                                     (t, "m%d" % qos, min(qos, granted), False, False))
                sub.ping()
                self.assertEqual(list(sub.inbox), [])

    def test_qos_2_in_detail(self):
        # [MQTT-4.3.3-2] [MQTT-2.3.1-6]: PUBREC, PUBREL, PUBCOMP with the id of the PUBLISH
        c = self.connected()
        t = self.name("t")
        c.subscribe(t, qos=2)
        c.send(m.publish_packet(t, "x", 2, pid=0x1234))
        rec = c.get(m.PUBREC)
        self.assertEqual((rec.pid, rec.flags, len(rec.body)), (0x1234, 0, 2))
        c.send(m.ack_packet(m.PUBREL, 0x1234))
        comp = c.get(m.PUBCOMP)
        self.assertEqual((comp.pid, comp.flags, len(comp.body)), (0x1234, 0, 2))
        p = c.get_publish(ack=False)
        c.send(m.ack_packet(m.PUBREC, p.pid))
        rel = c.get(m.PUBREL)
        # [MQTT-3.6.1-1]
        self.assertEqual((rel.pid, rel.flags, len(rel.body)), (p.pid, 2, 2))
        c.send(m.ack_packet(m.PUBCOMP, p.pid))
        c.ping()
        self.assertEqual(list(c.inbox), [])

    def test_qos_2_repeat_is_delivered_once(self):
        # [MQTT-4.3.3-2]: the same packet id again before PUBREL is the same message
        c, sub = self.connected(), self.connected()
        t = self.name("t")
        sub.subscribe(t, qos=2)
        for dup in (False, True, True):
            c.send(m.publish_packet(t, "once", 2, dup=dup, pid=5))
            self.assertEqual(c.get(m.PUBREC).pid, 5)
        for _ in range(2):
            c.send(m.ack_packet(m.PUBREL, 5))
            self.assertEqual(c.get(m.PUBCOMP).pid, 5)
        # after PUBREL the id means a new message
        c.publish(t, "second", 2, pid=5)
        self.assertEqual([p.payload for p in self.nothing_for(sub, c, t, qos=2)], [b"once", b"second"])

    def test_qos_1_repeat_is_delivered_again(self):
        # [MQTT-4.3.2-2]: after PUBACK a PUBLISH with the id is a new one, DUP or not
        c = self.connected()
        t = self.name("t")
        c.subscribe(t)
        c.publish(t, "a", 1, pid=3)
        c.publish(t, "a", 1, pid=3, dup=True)
        self.assertEqual(len(self.nothing_for(c, c, t)), 2)

    def test_dup_is_not_handed_on(self):
        # [MQTT-3.3.1-3]
        c = self.connected()
        t = self.name("t")
        c.subscribe(t, qos=2)
        for qos in (1, 2):
            c.publish(t, "d", qos, dup=True)
            self.assertFalse(c.get_publish().dup)

    def test_pubrel_of_unknown_id(self):
        # A PUBREL that the receiver knows nothing of is answered (4.3.3), so that a sender can always finish.
        c = self.connected()
        c.send(m.ack_packet(m.PUBREL, 77))
        self.assertEqual(c.get(m.PUBCOMP).pid, 77)

    def test_acks_of_unknown_ids(self):
        # They are not errors: a session that was lost here may have promised them.
        c = self.connected()
        for kind in (m.PUBACK, m.PUBCOMP):
            c.send(m.ack_packet(kind, 99))
        c.ping()

    def test_many_in_flight_and_any_order_of_acks(self):
        pub, sub = self.connected(), self.connected()
        t = self.name("t")
        sub.subscribe(t, qos=1)
        for i in range(20):
            pub.publish(t, str(i), 1)
        got = [sub.get_publish(ack=False) for _ in range(20)]
        self.assertEqual([int(p.payload) for p in got], list(range(20)))
        # [MQTT-2.3.1-4]: ids in use are different
        self.assertEqual(len({p.pid for p in got}), 20)
        self.assertNotIn(0, {p.pid for p in got})
        for p in reversed(got):
            sub.ack(p)
        self.assertEqual(self.nothing_for(sub, pub, t, qos=1), [])

    def test_acks_come_in_order(self):
        # [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4]: acknowledgements in the order of their packets
        c = self.connected()
        t = self.name("t")
        pids = list(range(1, 51))
        c.send(b"".join(m.publish_packet(t, "x", 1, pid=i) for i in pids))
        self.assertEqual([c.get(m.PUBACK).pid for _ in pids], pids)
        c.send(b"".join(m.publish_packet(t, "x", 2, pid=i) for i in pids))
        self.assertEqual([c.get(m.PUBREC).pid for _ in pids], pids)
        c.send(b"".join(m.ack_packet(m.PUBREL, i) for i in pids))
        self.assertEqual([c.get(m.PUBCOMP).pid for _ in pids], pids)

    def test_pubrel_in_order_of_pubrec(self):
        # [MQTT-4.6.0-4]: we as the sender
        pub, sub = self.connected(), self.connected()
        t = self.name("t")
        sub.subscribe(t, qos=2)
        for i in range(10):
            pub.publish(t, str(i), 2)
        got = [sub.get_publish(ack=False) for _ in range(10)]
        self.assertEqual([int(p.payload) for p in got], list(range(10)))
        sub.send(b"".join(m.ack_packet(m.PUBREC, p.pid) for p in got))
        self.assertEqual([sub.get(m.PUBREL).pid for _ in got], [p.pid for p in got])

    def test_order(self):
        # [MQTT-4.6.0-5] [MQTT-4.6.0-6]: one topic at one QoS stays in order; here mixed in one stream
        pub, sub = self.connected(), self.connected()
        count = 2000
        sub.subscribe(self.name("t/#"), qos=2)
        data = bytearray()
        for i in range(count):
            qos = i % 2
            data += m.publish_packet(self.name("t/%d" % qos), "%d" % i, qos, pid=i % 1000 + 1)
        pub.send(data)
        got = {0: [], 1: []}
        for _ in range(count):
            p = sub.get_publish()
            got[p.qos].append(int(p.payload))
        self.assertEqual(got, {0: list(range(0, count, 2)), 1: list(range(1, count, 2))})

    def test_every_packet_id(self):
        # [MQTT-2.3.1-1]: 1 and 65535 are ordinary ids
        c = self.connected()
        for pid in (1, 255, 256, 65535):
            for qos in (1, 2):
                c.publish(self.name("t"), "x", qos, pid=pid)

    def test_payload_sizes(self):
        # Every length around the borders of the length field, and empty.
        c = self.connected()
        t = self.name("t")
        c.subscribe(t)
        rest = 2 + len(t)
        for size in (0, 1, 127 - rest, 128 - rest, 16383 - rest, 16384 - rest, 70000, 300000):
            body = (b"%d" % size) * (size // len(b"%d" % size) + 1)
            body = body[:size]
            c.publish(t, body)
            self.assertEqual(c.get_publish().payload, body)

    def test_publish_to_nobody(self):
        c = self.connected()
        for qos in (0, 1, 2):
            c.publish(self.name("nobody"), "x", qos)


class Topics(fubar.TestCase):
    def test_exact_match(self):
        # [MQTT-3.3.2-3] [MQTT-4.7.3-4]: case counts, slashes count, nothing is normalized
        base = self.name("T")
        names = ["", "/", "//", "a", "/a", "a/", "/a/", "a//b", "A", "a b", " a", "ä", "a\u0308"]
        for i, x in enumerate(names):
            sub = self.connected(self.name("s%d" % i))
            sub.subscribe(base + x)
            for y in names:
                sub.publish(base + y, "for " + y)
            self.assertEqual([p.payload.decode() for p in self.nothing_for(sub, sub, base + x)], ["for " + x])

    def test_longest(self):
        # [MQTT-4.7.3-3]
        topic = (self.name("t") + "x" * 65535)[:65535]
        c = self.connected()
        c.subscribe(topic)
        c.publish(topic, "long")
        self.assertEqual(c.get_publish().topic, topic)

    def test_bad_names_close(self):
        # [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-3.3.2-1] [MQTT-1.5.3-1]
        for topic in (b"a/+", b"#", b"a/#", b"+", b"a+b", b"", b"a\0b", b"\xff", b"\xed\xa0\x80"):
            for qos in (0, 1):
                with self.subTest(topic=topic, qos=qos):
                    c = self.connected()
                    c.send(m.publish_packet(topic, "x", qos, pid=1))
                    self.assertEqual(c.wait_closed(), [])

    def test_dollar_topics(self):
        # [MQTT-4.7.2-1]: not matched by a wildcard at the first level
        c = self.connected()
        topic = "$" + self.name("private")
        c.subscribe("#", "+/a", "+")
        c.subscribe(topic + "/#")
        c.publish(topic + "/a", "dollar")
        c.publish(topic, "dollar")
        c.publish(self.name("plain"), "end")
        got = []
        while not got or got[-1].payload != b"end":
            p = c.get_publish()
            if "dollar" in p.topic or p.payload in (b"dollar", b"end"):
                got.append(p)
        self.assertEqual([p.topic for p in got if p.payload == b"dollar"], [topic + "/a", topic])


class Retained(fubar.TestCase):
    def tearDown(self):
        c = self.connected(self.name("sweeper"))
        for p in self.replay_all(self.name("t/#")):
            c.publish(p.topic, b"", 1, retain=True)

    def replay_all(self, *filters, qos=0):
        """What a new subscription gets replayed, all of it: a sentinel subscribed to later closes it."""
        sentinel = self.name("sentinel")
        c = self.connected()
        c.publish(sentinel, "sentinel", 1, retain=True)
        c.subscribe(*filters, qos=qos)
        c.subscribe(sentinel)
        got = c.publishes_until("sentinel")
        c.publish(sentinel, b"", 1, retain=True)
        return got

    def replay(self, *filters, qos=0):
        c = self.connected()
        c.subscribe(*filters, qos=qos)
        return c

    def test_set_replace_clear(self):
        # [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-8] [MQTT-3.3.1-10]
        t = self.name("t/x")
        c = self.connected()
        for payload in ("one", "two"):
            c.publish(t, payload, 1, retain=True)
            p = self.replay(t).get_publish()
            self.assertEqual((p.topic, p.payload.decode(), p.retain, p.dup), (t, payload, True, False))
        c.publish(t, b"", 1, retain=True)
        self.assertEqual(self.replay_all(t), [])

    def test_flag_is_for_new_subscriptions(self):
        # [MQTT-3.3.1-9]: an established subscription gets it as an ordinary message
        t = self.name("t/x")
        c = self.connected()
        c.subscribe(t)
        c.publish(t, "x", 1, retain=True)
        self.assertFalse(c.get_publish().retain)
        # [MQTT-3.3.1-10] [MQTT-3.3.1-11]: the clearing one too, as an ordinary empty message
        c.publish(t, b"", 1, retain=True)
        p = c.get_publish()
        self.assertEqual((p.payload, p.retain), (b"", False))

    def test_unretained_does_not_replace(self):
        # [MQTT-3.3.1-12]
        t = self.name("t/x")
        c = self.connected()
        c.publish(t, "kept", 1, retain=True)
        c.publish(t, "passing", 1)
        c.publish(t, b"", 1)
        self.assertEqual(self.replay(t).get_publish().payload, b"kept")

    def test_qos(self):
        # [MQTT-3.8.4-6]: the lower of the message's and the subscription's
        c = self.connected()
        for qos in (0, 1, 2):
            c.publish(self.name("t/%d" % qos), "q", qos, retain=True)
        c.ping()
        for granted in (0, 1, 2):
            for qos in (0, 1, 2):
                p = self.replay(self.name("t/%d" % qos), qos=granted).get_publish()
                self.assertEqual((p.qos, p.retain), (min(qos, granted), True))

    def test_wildcard_replay(self):
        c = self.connected()
        names = ["t", "t/a", "t/a/b", "t/a/c", "t/b/b", "t//b", "t/a/b/c", "t/ax"]
        for n in names:
            c.publish(self.name(n), n, 1, retain=True)
        for pattern, want in (("t/#", names), ("t/+", ["t/a", "t/ax"]), ("t/+/b", ["t/a/b", "t/b/b", "t//b"]),
                              ("t/a/+", ["t/a/b", "t/a/c"]), ("t/a/#", ["t/a", "t/a/b", "t/a/c", "t/a/b/c"]),
                              ("t/+/+/c", ["t/a/b/c"]), ("t/+/+", ["t/a/b", "t/a/c", "t/b/b", "t//b"]),
                              ("t/a/b/c/+", []), ("t/nothing/#", [])):
            with self.subTest(pattern=pattern):
                got = self.replay_all(self.name(pattern))
                self.assertEqual(sorted(p.payload.decode() for p in got), sorted(want))
                self.assertTrue(all(p.retain for p in got))
        c.publish(self.name("t"), b"", 1, retain=True)

    def test_dollar_is_not_replayed(self):
        # [MQTT-4.7.2-1]
        topic = "$" + self.name("t")
        c = self.connected()
        c.publish(topic, "hidden", 1, retain=True)
        self.assertEqual([p for p in self.replay_all("#") if p.topic == topic], [])
        self.assertEqual(self.replay(topic).get_publish().payload, b"hidden")
        c.publish(topic, b"", 1, retain=True)

    def test_resubscribe_replays(self):
        # [MQTT-3.8.4-3]
        t = self.name("t/x")
        c = self.connected()
        c.publish(t, "again", 1, retain=True)
        for _ in range(3):
            c.subscribe(t, qos=1)
            self.assertTrue(c.get_publish().retain)

    def test_clean_session_does_not_clear(self):
        # [MQTT-3.1.2-7]
        t = self.name("t/x")
        c = self.connected(self.name("c"))
        c.publish(t, "stays", 1, retain=True)
        c.disconnect()
        self.connected(self.name("c"))
        self.assertEqual(self.replay(t).get_publish().payload, b"stays")

    def test_for_every_filter_of_one_subscribe(self):
        c = self.connected()
        c.publish(self.name("t/a"), "a", 1, retain=True)
        c.publish(self.name("t/b"), "b", 1, retain=True)
        r = self.replay(self.name("t/a"), self.name("t/b"))
        self.assertEqual(sorted(r.get_publish().payload for _ in range(2)), [b"a", b"b"])

    def test_many(self):
        # More than one frame, one yield of the cursor, one window can hold.
        count = 3000
        c = self.connected()
        data = bytearray()
        for i in range(count):
            data += m.publish_packet(self.name("t/%d/x" % i), "%d" % i, 1, retain=True, pid=i + 1)
        c.send(data)
        for _ in range(count):
            c.get(m.PUBACK)
        r = self.replay(self.name("t/+/x"), qos=1)
        got = [int(r.get_publish().payload) for _ in range(count)]
        self.assertEqual(sorted(got), list(range(count)))
        data = bytearray()
        for i in range(count):
            data += m.publish_packet(self.name("t/%d/x" % i), b"", 1, retain=True, pid=i + 1)
        c.send(data)
        for _ in range(count):
            c.get(m.PUBACK)
        self.assertEqual(self.replay_all(self.name("t/#")), [])


class Retry(fubar.TestCase):
    broker_options = {"settings": {"session.retry_after": "1s", "session.max_retries": "2"}}

    def test_level_3_is_sent_again_while_connected(self):
        old, new, pub = self.connected(self.name("old"), level=3), self.connected(self.name("new")), self.connected()
        for c in (old, new):
            c.subscribe("retry", qos=1)
        pub.publish("retry", "x", qos=1)
        first = [c.get(m.PUBLISH) for c in (old, new)]
        again = old.get(m.PUBLISH)
        self.assertEqual((again.pid, again.payload, first[0].dup, again.dup), (first[0].pid, b"x", False, True))
        old.get(m.PUBLISH)
        # Later versions forbid it. [MQTT-4.4.0-1]
        new.ping()
        self.assertEqual([p for p in new.inbox if p.kind == m.PUBLISH], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
