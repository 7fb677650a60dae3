#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 3.1: clean and durable sessions, redelivery, what waits for an offline client."""

import unittest

import fubar
import mqtt_raw as m


class Session(fubar.TestCase):
    def setUp(self):
        self.cid = self.name("durable")
        self.topic = self.name("t")
        self.pub = self.connected(self.name("pub"))

    def tearDown(self):
        c = self.client()
        c.connect(self.cid, clean=True)
        c.disconnect()

    def back(self, sp=1, clean=False, **kw):
        c = self.client()
        self.assertEqual(c.connect(self.cid, clean=clean, **kw).sp, sp)
        return c

    def test_session_present(self):
        # [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-3.1.2-4] [MQTT-3.1.2-6]
        self.back(sp=0).disconnect()
        self.back(sp=1).disconnect()
        self.back(sp=0, clean=True).disconnect()
        self.back(sp=0).disconnect()
        self.back(sp=1).close()
        self.back(sp=1).disconnect()

    def test_level_3_has_no_flag(self):
        # 3.1 has no session present: the byte is reserved and stays 0.
        if fubar.MOSQUITTO:
            self.skipTest("mosquitto's own choice")
        self.back(sp=0, level=3).disconnect()
        self.back(sp=0, level=3).disconnect()
        self.back(sp=1).disconnect()

    def test_subscriptions_stay(self):
        # [MQTT-3.1.2-4]
        c = self.back(sp=0)
        c.subscribe(self.topic, (self.name("w/+"), 1), (self.name("h/#"), 2))
        c.disconnect()
        c = self.back()
        for t, qos in ((self.topic, 0), (self.name("w/x"), 1), (self.name("h/x/y"), 2)):
            self.pub.publish(t, "x", 2)
            self.assertEqual(c.get_publish().qos, qos)

    def test_clean_forgets(self):
        # [MQTT-3.1.2-6]
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=1)
        c.disconnect()
        self.pub.publish(self.topic, "lost", 1)
        c = self.back(sp=0, clean=True)
        self.pub.publish(self.topic, "lost", 1)
        c.subscribe(self.name("m"))
        self.assertEqual(self.nothing_for(c, self.pub, self.name("m")), [])
        c.close()
        c = self.back(sp=0)
        c.subscribe(self.name("m"))
        self.pub.publish(self.topic, "lost", 1)
        self.assertEqual(self.nothing_for(c, self.pub, self.name("m")), [])

    def test_waits_for_the_client(self):
        # [MQTT-3.1.2-5] [MQTT-4.6.0-5]: QoS 1 and 2 in order; after an orderly and a broken end
        for end in ("disconnect", "close"):
            with self.subTest(end=end):
                c = self.client()
                c.connect(self.cid, clean=False)
                c.subscribe((self.name("1"), 1), (self.name("2"), 2))
                self.broken(c) if end == "close" else c.disconnect()
                for i in range(60):
                    self.pub.publish(self.name(str(1 + i % 2)), "%d" % i, 2)
                c = self.back()
                got = [c.get_publish() for _ in range(60)]
                self.assertEqual([int(p.payload) for p in got], list(range(60)))
                self.assertEqual([p.qos for p in got], [1, 2] * 30)
                self.assertFalse(any(p.dup or p.retain for p in got))
                c.disconnect()

    def test_messages_follow_connack(self):
        # [MQTT-3.2.0-1]: CONNACK is first, also when messages wait
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=1)
        c.disconnect()
        self.pub.publish(self.topic, "waits", 1)
        c = self.client()
        c.send(m.connect_packet(self.cid, clean=False))
        self.assertEqual([c.read().kind for _ in range(2)], [m.CONNACK, m.PUBLISH])

    def test_redelivery_qos_1(self):
        # [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-2.3.1-4] [MQTT-4.6.0-1]: same ids, same order, DUP
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=1)
        for i in range(5):
            self.pub.publish(self.topic, "%d" % i, 1)
        first = [c.get_publish(ack=False) for _ in range(5)]
        c.ack(first[2])
        c.ping()
        self.broken(c)
        for i in range(5, 8):
            self.pub.publish(self.topic, "%d" % i, 1)
        c = self.back()
        again = [c.get_publish() for _ in range(7)]
        self.assertEqual([(int(p.payload), p.dup) for p in again],
                         [(0, True), (1, True), (3, True), (4, True), (5, False), (6, False), (7, False)])
        self.assertEqual([p.pid for p in again[:4]], [first[i].pid for i in (0, 1, 3, 4)])
        c.ping()
        c.disconnect()
        c = self.back()
        c.ping()
        self.assertEqual(list(c.inbox), [])

    def test_redelivery_qos_2(self):
        # [MQTT-4.4.0-1]: before PUBREC the PUBLISH again, after it the PUBREL
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=2)
        self.pub.publish(self.topic, "a", 2)
        self.pub.publish(self.topic, "b", 2)
        a, b = c.get_publish(ack=False), c.get_publish(ack=False)
        c.send(m.ack_packet(m.PUBREC, a.pid))
        self.assertEqual(c.get(m.PUBREL).pid, a.pid)
        c.close()
        c = self.back()
        got = [c.read(), c.read()]
        rel = [p for p in got if p.kind == m.PUBREL]
        pubs = [p for p in got if p.kind == m.PUBLISH]
        self.assertEqual([p.pid for p in rel], [a.pid])
        self.assertEqual([(p.pid, p.dup, p.payload) for p in pubs], [(b.pid, True, b"b")])
        c.send(m.ack_packet(m.PUBCOMP, a.pid))
        c.ack(pubs[0])
        c.disconnect()
        c = self.back()
        c.ping()
        self.assertEqual(list(c.inbox), [])

    def test_sender_ids_survive(self):
        # [MQTT-4.4.0-1] the other direction: PUBLISH of QoS 2 repeated after a reconnect is the same message
        sub = self.connected(self.name("sub"))
        sub.subscribe(self.topic, qos=2)
        c = self.back(sp=0)
        c.send(m.publish_packet(self.topic, "once", 2, pid=9))
        self.assertEqual(c.get(m.PUBREC).pid, 9)
        c.close()
        c = self.back()
        c.send(m.publish_packet(self.topic, "once", 2, dup=True, pid=9))
        self.assertEqual(c.get(m.PUBREC).pid, 9)
        c.send(m.ack_packet(m.PUBREL, 9))
        self.assertEqual(c.get(m.PUBCOMP).pid, 9)
        self.assertEqual([p.payload for p in self.nothing_for(sub, self.pub, self.topic, qos=2)], [b"once"])

    def test_takeover_redelivers(self):
        # [MQTT-3.1.4-2]: the new connection gets what the old one had not acknowledged
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=1)
        self.pub.publish(self.topic, "x", 1)
        p = c.get_publish(ack=False)
        c2 = self.back()
        c.wait_closed()
        q = c2.get_publish()
        self.assertEqual((q.payload, q.pid, q.dup), (b"x", p.pid, True))

    def test_window(self):
        # More than the in-flight window waits, and follows as acknowledgements come.
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=1)
        c.disconnect()
        count = 700
        for i in range(count):
            self.pub.publish(self.topic, "%d" % i, 1)
        c = self.back()
        got = [int(c.get_publish().payload) for _ in range(count)]
        self.assertEqual(got, list(range(count)))

    def test_unsubscribe_while_waiting(self):
        # [MQTT-3.10.4-3]: what was queued before UNSUBSCRIBE may come, nothing newer
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=1)
        c.unsubscribe(self.topic)
        c.disconnect()
        self.pub.publish(self.topic, "x", 1)
        c = self.back()
        c.ping()
        self.assertEqual(list(c.inbox), [])

    def test_durable_then_clean_then_durable(self):
        c = self.back(sp=0)
        c.subscribe(self.topic, qos=1)
        c2 = self.client()
        self.assertEqual(c2.connect(self.cid, clean=True).sp, 0)
        c.wait_closed()
        c2.close()
        c = self.back(sp=0)
        self.pub.publish(self.topic, "x", 1)
        c.subscribe(self.name("m"))
        self.assertEqual(self.nothing_for(c, self.pub, self.name("m")), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
