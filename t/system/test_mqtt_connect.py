#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 3.1: CONNECT, CONNACK, keep-alive, wills, client ids."""

import threading
import time
import unittest

import fubar
import mqtt_raw as m
from mqtt_raw import Will


class Connect(fubar.TestCase):
    def refused(self, data):
        """Sends bytes on a fresh connection; returns what came before the broker closed."""
        c = self.client()
        c.send(data)
        return c.wait_closed()

    def closes_silently(self, data):
        self.assertEqual(self.refused(data), [])

    def test_both_levels(self):
        for level in (3, 4):
            ack = self.client().connect(self.name(str(level)), level=level)
            # [MQTT-3.1.4-4] [MQTT-3.2.0-1] [MQTT-3.2.2-1]
            self.assertEqual((ack.flags, ack.body), (0, b"\0\0"))

    def test_first_packet_must_be_connect(self):
        # [MQTT-3.1.0-1]
        for data in (m.packet(m.PINGREQ, 0), m.publish_packet("a", "b"), m.subscribe_packet(1, ("a", 0)),
                     m.packet(m.DISCONNECT, 0), m.ack_packet(m.PUBACK, 1)):
            with self.subTest(data=data.hex()):
                self.closes_silently(data)

    def test_second_connect_closes(self):
        # [MQTT-3.1.0-2]
        c = self.connected()
        c.send(m.connect_packet(c.client_id))
        self.assertEqual(c.wait_closed(), [])

    def test_protocol_name(self):
        # [MQTT-3.1.2-1]
        for name, level in (("MQTX", 4), ("MQT", 4), ("mqtt", 4), ("MQIsdp", 4), ("MQTT", 3), ("", 4)):
            with self.subTest(name=name, level=level):
                got = self.refused(m.connect_packet("x", name=name, level=level))
                for p in got:       # a return code 1 is allowed, success never
                    self.assertEqual((p.kind, p.sp, p.rc), (m.CONNACK, 0, 1))

    def test_level_not_supported(self):
        # [MQTT-3.1.2-2]: CONNACK 0x01, then close. [MQTT-3.2.2-4] [MQTT-3.2.2-5]
        for level in (0, 1, 2, 6, 127):
            with self.subTest(level=level):
                got = [p.body for p in self.refused(m.connect_packet("x", name="MQTT", level=level))]
                # Of a later level, so in the form of level 5: MQTT 5.0, 3.1.2.2.
                self.assertIn(got, ([b"\0\1"], [b"\0\x84\0"]) if level > 4 else ([b"\0\1"],))

    def test_reserved_flag(self):
        # [MQTT-3.1.2-3]
        self.closes_silently(m.connect_packet("x", flags=3))

    def test_will_flags(self):
        body = m.string("MQTT") + b"\4%c\0\0" + m.string(self.name())
        for flags in (2 | 8, 2 | 16, 2 | 24, 2 | 32):
            # [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15]: will QoS and retain without the will flag
            with self.subTest(flags=flags):
                self.closes_silently(m.packet(m.CONNECT, 0, body % flags))
        # [MQTT-3.1.2-14]: a will of QoS 3
        self.closes_silently(m.packet(m.CONNECT, 0, body % (2 | 4 | 24) + m.string("t") + m.string("p")))
        # [MQTT-3.1.2-9]: the will flag without the fields
        self.closes_silently(m.packet(m.CONNECT, 0, body % (2 | 4)))

    def test_password_without_user(self):
        # [MQTT-3.1.2-22]
        self.closes_silently(m.connect_packet("x", flags=2 | 0x40, tail=m.string("secret")))

    def test_user_flag_without_user(self):
        # [MQTT-3.1.2-19] [MQTT-3.1.2-21]
        self.closes_silently(m.connect_packet("x", flags=2 | 0x80))
        self.closes_silently(m.connect_packet("x", flags=2 | 0xc0, tail=m.string("u")))

    def test_trailing_bytes(self):
        # [MQTT-3.1.4-1]: level 4 is strict
        self.closes_silently(m.connect_packet(self.name(), tail=b"\0"))
        self.closes_silently(m.connect_packet(self.name(), tail=m.string("u")))

    @fubar.needs_fubar
    def test_trailing_bytes_level_3(self):
        # Level 3: tolerated, as the original did.
        self.assertEqual(self.client().connect(self.name(), level=3, tail=b"extra").rc, 0)

    def test_short_connect(self):
        whole = m.connect_packet("client", will=Will("t", "p"), user="u", password="p")
        body = whole[2:]
        for n in range(0, len(body), 3):
            with self.subTest(n=n):
                self.closes_silently(m.packet(m.CONNECT, 0, body[:n]))

    def test_fixed_header_flags(self):
        # [MQTT-2.2.2-2]
        data = m.connect_packet(self.name())
        for flags in (1, 2, 8, 15):
            self.closes_silently(bytes([0x10 | flags]) + data[1:])

    def test_client_id_lengths(self):
        # [MQTT-3.1.3-5]: 1 to 23 characters of these; longer ones are our choice
        chars = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        for cid in ("x", chars[:23], chars[23:46], chars[39:], "y" * 200, "ü-ß/∂#+ $"):
            with self.subTest(cid=cid):
                self.assertEqual(self.client().connect(cid).rc, 0)

    def test_empty_client_id(self):
        # [MQTT-3.1.3-6] [MQTT-3.1.3-7]: two of them are two clients
        a, b = self.client(), self.client()
        a.connect("")
        b.connect("")
        a.ping()
        b.ping()
        # [MQTT-3.1.3-8]
        got = self.refused(m.connect_packet("", clean=False))
        self.assertEqual([p.body for p in got], [b"\0\2"])

    @fubar.needs_fubar
    def test_empty_client_id_level_3(self):
        # Level 3 knows no empty id: identifier rejected.
        for clean in (True, False):
            got = self.refused(m.connect_packet("", level=3, clean=clean))
            self.assertEqual([p.body for p in got], [b"\0\2"])

    def test_strings_must_be_utf8(self):
        # [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-3.1.3-4] [MQTT-3.1.3-10] [MQTT-3.1.3-11]
        for bad in (b"a\0b", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"\x80"):
            with self.subTest(bad=bad):
                self.closes_silently(m.connect_packet(bad))
                self.closes_silently(m.connect_packet("x", will=Will(bad, "p")))
                self.closes_silently(m.connect_packet("x", user=bad, password="p"))

    def test_binary_fields_are_binary(self):
        # Will payload and password are bytes, not text.
        self.assertEqual(self.client().connect(self.name("a"), will=Will("t", b"\0\xff\xc0"), user="u",
                                               password=b"\0\xff").rc, 0)
        self.assertEqual(self.client().connect(self.name("b"), will=Will("t", b"")).rc, 0)

    def test_bom_is_kept(self):
        # [MQTT-1.5.3-3]
        topic = "\ufeff" + self.name("t")
        c = self.connected()
        c.subscribe(topic, self.name("t"))
        c.publish(topic, "bom")
        c.publish(self.name("t"), "plain")
        self.assertEqual([c.get_publish().topic, c.get_publish().topic], [topic, self.name("t")])

    def test_data_right_behind_connect(self):
        # A client may send before CONNACK (3.1.4, non-normative), and all of it works in order.
        c = self.client()
        t = self.name("t")
        c.send(m.connect_packet(self.name("c")) + m.subscribe_packet(7, (t, 1)) + m.publish_packet(t, "x", 1, pid=9))
        self.assertEqual(c.read().kind, m.CONNACK)
        self.assertEqual(c.get(m.SUBACK).codes, [1])
        self.assertEqual(c.get(m.PUBACK).pid, 9)
        self.assertEqual(c.get_publish().payload, b"x")

    def test_data_behind_refused_connect(self):
        # [MQTT-3.1.4-5]
        watcher = self.connected()
        t = self.name("t")
        watcher.subscribe(t)
        self.refused(m.connect_packet("", clean=False) + m.publish_packet(t, "never"))
        self.refused(m.connect_packet("x", level=9) + m.publish_packet(t, "never"))
        self.assertEqual(self.nothing_for(watcher, watcher, t), [])

    def test_bytes_one_by_one(self):
        c = self.client()
        t = self.name("t")
        for data in (m.connect_packet(self.name("c")), m.subscribe_packet(1, (t, 1)),
                     m.publish_packet(t, "slow", 1, pid=2)):
            for i in range(len(data)):
                c.send(data[i:i + 1])
        # A publish may come before the SUBACK (3.8.4, non-normative).
        self.assertEqual(c.read().kind, m.CONNACK)
        self.assertEqual((c.get(m.SUBACK).codes, c.get(m.PUBACK).pid), ([1], 2))
        self.assertEqual(c.get_publish().payload, b"slow")

    def test_takeover(self):
        # [MQTT-3.1.4-2]
        for clean in (True, False):
            with self.subTest(clean=clean):
                a, b = self.client(), self.client()
                cid = self.name("c%d" % clean)
                a.connect(cid, clean=clean)
                ack = b.connect(cid, clean=clean)
                self.assertEqual(ack.sp, 0 if clean else 1)
                self.assertEqual(a.wait_closed(), [])
                b.ping()

    def test_takeover_by_other_level(self):
        a, b = self.client(), self.client()
        a.connect(self.name("c"), level=3)
        b.connect(self.name("c"), level=4)
        self.assertEqual(a.wait_closed(), [])
        b.ping()


class KeepAlive(fubar.TestCase):
    def test_one_and_a_half(self):
        # [MQTT-3.1.2-24]
        c = self.client()
        start = time.monotonic()
        c.connect(self.name("c"), keep_alive=1)
        self.assertEqual(c.wait_closed(), [])
        took = time.monotonic() - start
        self.assertGreater(took, 1.3)
        self.assertLess(took, 8.0)

    def test_any_packet_counts_and_the_will_comes(self):
        # [MQTT-3.1.2-10] the other way round: a time-out publishes the will. [MQTT-3.12.4-1]
        t = self.name("t")
        watcher = self.connected()
        watcher.subscribe(t)
        gap = 9.0
        while gap > 2.0:            # else this machine was so busy that we came too late ourselves
            c = self.client()
            c.connect(self.name("c"), keep_alive=2, will=Will(t, "gone"))
            gap = self.stays(c)
            self.assertEqual(watcher.get_publish().payload, b"gone")

    def stays(self, c):
        """Sends for longer than its keep-alive; the longest time between two packets."""
        start = last = time.monotonic()
        gap = 0.0
        for i in range(7):
            gap, last = max(gap, time.monotonic() - last), time.monotonic()
            try:
                c.send(m.packet(m.PINGREQ, 0) if i % 2 else m.publish_packet(self.name("u"), b""))
                with self.assertRaises(m.Timeout):      # half a second in which the broker must not close
                    while True:
                        c.read(timeout=0.5)
            except m.Closed:
                gap = max(gap, time.monotonic() - last)
                self.assertGreater(gap, 2.0)
                return gap
        self.assertGreater(time.monotonic() - start, 3.5)
        return gap

    def test_zero_is_never(self):
        c = self.client()
        c.connect(self.name("c"), keep_alive=0)
        with self.assertRaises(m.Timeout):
            c.read(timeout=2.0)
        c.ping()


class Wills(fubar.TestCase):
    def setUp(self):
        self.topic = self.name("will")
        self.watcher = self.connected(self.name("watcher"))
        self.assertEqual(self.watcher.subscribe(self.topic, qos=2), [2])

    def with_will(self, payload, qos=0, retain=False, **kw):
        c = self.client()
        c.connect(self.name("c"), will=Will(self.topic, payload, qos, retain), **kw)
        return c

    def test_abnormal_close(self):
        # [MQTT-3.1.2-8]: for a closed and for a reset connection, at every QoS
        for qos in (0, 1, 2):
            for end in ("close", "reset"):
                with self.subTest(qos=qos, end=end):
                    c = self.with_will("%d %s" % (qos, end), qos)
                    getattr(c, end)()
                    p = self.watcher.get_publish()
                    self.assertEqual((p.payload.decode(), p.qos, p.retain), ("%d %s" % (qos, end), qos, False))

    def test_not_on_disconnect(self):
        # [MQTT-3.1.2-10] [MQTT-3.14.4-3]
        for level in (3, 4):
            self.with_will("never", level=level).disconnect()
        self.assertEqual(self.nothing_for(self.watcher, self.watcher, self.topic), [])

    def test_not_on_disconnect_under_a_flood(self):
        # [MQTT-3.14.4-3]: also if a write fails, since the client has gone, before its DISCONNECT is read
        if fubar.MOSQUITTO:
            self.skipTest("needs to know who is connected")
        flood, enough = self.name("flood"), threading.Event()
        pub = self.connected(self.name("pub"))

        def publish():
            while not enough.is_set():
                pub.send(m.publish_packet(flood, b"x" * 200) * 50)
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            for i in range(20):
                c = self.connected(self.name("c%d" % i), will=Will(self.topic, "never", 1))
                c.subscribe(flood)
                c.get_publish()
                c.send(m.packet(m.DISCONNECT, 0))
                (c.close if i % 2 else c.reset)()
        finally:
            enough.set()
            thread.join()
        fubar.until("they are gone", lambda: not any(self.name("c%d" % i) in self.broker.sessions() for i in range(20)))
        self.assertEqual(self.nothing_for(self.watcher, self.watcher, self.topic), [])

    def test_on_protocol_error(self):
        # [MQTT-3.1.2-8]: also when the server closes because of the client's fault
        c = self.with_will("violation")
        c.send(b"\xf0\x00")
        self.assertEqual(c.wait_closed(), [])
        self.assertEqual(self.watcher.get_publish().payload, b"violation")

    def test_on_takeover(self):
        # [MQTT-3.1.2-8] [MQTT-3.1.4-2]
        first = self.with_will("taken over")
        second = self.client()
        second.connect(self.name("c"))
        self.assertEqual(first.wait_closed(), [])
        self.assertEqual(self.watcher.get_publish().payload, b"taken over")

    def test_no_will_is_none(self):
        # [MQTT-3.1.2-12]: the will of an earlier connection is gone
        self.with_will("old", clean=False).disconnect()
        c = self.client()
        c.connect(self.name("c"), clean=False)
        c.close()
        self.connected(self.name("c"))
        self.assertEqual(self.nothing_for(self.watcher, self.watcher, self.topic), [])

    def test_retained(self):
        # [MQTT-3.1.2-16] [MQTT-3.1.2-17]
        self.with_will("kept", qos=1, retain=True).close()
        p = self.watcher.get_publish()
        self.assertEqual((p.payload, p.retain), (b"kept", False))
        late = self.connected(self.name("late"))
        late.subscribe(self.topic)
        p = late.get_publish()
        self.assertEqual((p.payload, p.retain), (b"kept", True))
        late.publish(self.topic, b"", 1, retain=True)

    def test_empty_payload(self):
        self.with_will(b"").close()
        self.assertEqual(self.watcher.get_publish().payload, b"")

    def test_for_an_offline_session(self):
        # The will is an ordinary publish: a durable session that is away gets it later.
        d = self.client()
        d.connect(self.name("d"), clean=False)
        d.subscribe(self.topic, qos=1)
        d.disconnect()
        self.with_will("later", qos=1).close()
        self.assertEqual(self.watcher.get_publish().payload, b"later")
        d = self.client()
        self.assertEqual(d.connect(self.name("d"), clean=False).sp, 1)
        self.assertEqual(d.get_publish().payload, b"later")

    def test_bad_will_topic(self):
        # [MQTT-3.3.2-2]: a will to a wildcard is no will
        for topic in ("a/#", "a/+", "") if not fubar.MOSQUITTO else ("a/#", "a/+"):
            with self.subTest(topic=topic):
                c = self.client()
                c.send(m.connect_packet(self.name("bad"), will=Will(topic, "x")))
                for p in c.wait_closed():
                    self.assertEqual(p.kind, m.CONNACK)
                    self.assertNotEqual(p.rc, 0)


@fubar.needs_fubar
class ConnectTimeout(fubar.TestCase):
    broker_options = {"settings": {"server.timeout": "1s"}, "workers": 1}

    def test_silent_and_half(self):
        # No CONNECT, half a CONNECT, and a client that did connect in time.
        for data in (b"", m.connect_packet("x")[:5]):
            with self.subTest(data=data):
                start = time.monotonic()
                c = self.client()
                if data:
                    c.send(data)
                self.assertEqual(c.wait_closed(), [])
                took = time.monotonic() - start
                self.assertGreater(took, 0.9)
                self.assertLess(took, 5.0)
        self.connected().ping()


if __name__ == "__main__":
    unittest.main(verbosity=2)
