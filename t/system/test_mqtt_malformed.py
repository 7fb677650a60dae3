#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1: malformed packets of every type close the offender, and nobody else notices."""

import random
import struct
import unittest

import fubar
import mqtt_raw as m


class Malformed(fubar.TestCase):
    def setUp(self):
        self.topic = self.name("t")
        self.bystander = self.connected(self.name("bystander"))
        self.bystander.subscribe(self.topic, qos=1)

    def closes(self, data, level=4):
        # [MQTT-4.8.0-1] [MQTT-4.8.0-2]
        c = self.connected(level=level)
        with self.subTest(data=bytes(data[:40]).hex(), level=level):
            try:
                c.send(data)
            except m.Closed:
                pass
            self.assertEqual(c.wait_closed(), [])
        c.close()

    def tearDown(self):
        self.assertEqual(self.nothing_for(self.bystander, self.bystander, self.topic, qos=1), [])

    def test_reserved_types(self):
        for first in (0x00, 0x0f, 0xf0, 0xff):
            self.closes(bytes([first, 0]))
            self.closes(bytes([first, 2, 0, 1]))

    def test_server_packets(self):
        # A client may not send what only servers send.
        self.closes(m.packet(m.CONNACK, 0, b"\0\0"))
        if fubar.MOSQUITTO:
            return              # it takes the others as a bridge would
        self.closes(m.packet(m.SUBACK, 0, b"\0\1\0"))
        self.closes(m.packet(m.UNSUBACK, 0, b"\0\1"))
        self.closes(m.packet(m.PINGRESP, 0))

    def test_fixed_header_flags(self):
        # [MQTT-2.2.2-1] [MQTT-2.2.2-2] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1]
        good = (m.subscribe_packet(1, ("a", 0)), m.unsubscribe_packet(1, "a"), m.ack_packet(m.PUBACK, 1),
                m.ack_packet(m.PUBREC, 1), m.ack_packet(m.PUBREL, 1), m.ack_packet(m.PUBCOMP, 1),
                m.packet(m.PINGREQ, 0), m.packet(m.DISCONNECT, 0))
        for data in good:
            for flags in (0, 1, 2, 3, 4, 8, 15):
                if flags != data[0] & 15:
                    if fubar.MOSQUITTO and data[0] >> 4 in (m.PINGREQ, m.PUBACK, m.PUBREC, m.PUBCOMP):
                        continue        # it does not look at these
                    self.closes(bytes([data[0] & 0xf0 | flags]) + data[1:])

    def test_publish_qos_3(self):
        # [MQTT-3.3.1-4]
        self.closes(m.packet(m.PUBLISH, 6, m.string("a") + b"\0\1x"))
        self.closes(m.packet(m.PUBLISH, 14, m.string("a") + b"\0\1x"), level=3)

    def test_publish_dup_with_qos_0(self):
        # [MQTT-3.3.1-2]
        if fubar.MOSQUITTO:
            self.skipTest("tolerated there")
        self.closes(m.packet(m.PUBLISH, 8, m.string("a") + b"x"))

    def test_publish_without_packet_id(self):
        # [MQTT-2.3.1-1]
        for qos in (1, 2):
            self.closes(m.packet(m.PUBLISH, qos << 1, m.string("a") + b"\0\0x"))
            self.closes(m.packet(m.PUBLISH, qos << 1, m.string("a")))
            self.closes(m.packet(m.PUBLISH, qos << 1, m.string("a") + b"\1"))

    def test_publish_short_topic(self):
        self.closes(m.packet(m.PUBLISH, 0, b""))
        self.closes(m.packet(m.PUBLISH, 0, b"\0"))
        self.closes(m.packet(m.PUBLISH, 0, b"\0\5abcd"))
        self.closes(m.packet(m.PUBLISH, 0, b"\xff\xffabcd"))

    def test_subscribe(self):
        self.closes(m.packet(m.SUBSCRIBE, 2, b"\0\0" + m.string("a") + b"\0"))      # [MQTT-2.3.1-1]
        self.closes(m.packet(m.SUBSCRIBE, 2, b"\0\1"))                              # [MQTT-3.8.3-3]
        self.closes(m.packet(m.SUBSCRIBE, 2, b"\0"))
        self.closes(m.packet(m.SUBSCRIBE, 2, b""))
        self.closes(m.packet(m.SUBSCRIBE, 2, b"\0\1" + m.string("a")))
        self.closes(m.packet(m.SUBSCRIBE, 2, b"\0\1\0\x09abc\0"))
        for qos in (3, 4, 0x80, 0xff):
            self.closes(m.subscribe_packet(1, ("a", qos)))                          # [MQTT-3.8.3-4]
        # a bad filter behind a good one spoils the packet
        self.closes(m.subscribe_packet(1, ("good", 0), ("bad", 3)))

    def test_unsubscribe(self):
        self.closes(m.packet(m.UNSUBSCRIBE, 2, b"\0\0" + m.string("a")))            # [MQTT-2.3.1-1]
        self.closes(m.packet(m.UNSUBSCRIBE, 2, b"\0\1"))                            # [MQTT-3.10.3-2]
        self.closes(m.packet(m.UNSUBSCRIBE, 2, b"\0\1\0\x09abc"))
        self.closes(m.packet(m.UNSUBSCRIBE, 2, b"\0\1\0"))

    def test_acks(self):
        for kind in (m.PUBACK, m.PUBREC, m.PUBREL, m.PUBCOMP):
            flags = 2 if kind == m.PUBREL else 0
            self.closes(m.packet(kind, flags, b""))
            self.closes(m.packet(kind, flags, b"\1"))
            if fubar.MOSQUITTO:
                continue
            self.closes(m.packet(kind, flags, b"\0\0"))
            self.closes(m.packet(kind, flags, b"\0\1\0"))

    def test_empty_packets_with_a_body(self):
        if fubar.MOSQUITTO:
            self.skipTest("tolerated there")
        self.closes(m.packet(m.PINGREQ, 0, b"x"))
        self.closes(m.packet(m.DISCONNECT, 0, b"x"))

    def test_length_of_five_bytes(self):
        for first in (0x30, 0xc0, 0x82):
            self.closes(bytes([first]) + b"\xff\xff\xff\xff\x01")
            self.closes(bytes([first]) + b"\x80\x80\x80\x80\x00")

    @fubar.needs_fubar
    def test_over_the_limit(self):
        # mqtt.max_packet_size is 1 MiB by default: the length alone is enough to close.
        self.closes(b"\x30" + m.length((1 << 20) + 1))
        self.closes(b"\x30\xff\xff\xff\x7f")
        c = self.connected()
        body = bytes((1 << 20) - 4 - len(m.string(self.name("big"))))
        c.publish(self.name("big"), body, qos=0)
        c.ping()

    def test_half_a_packet_then_close(self):
        whole = m.publish_packet(self.topic, "never", 1, pid=1)
        for n in range(1, len(whole), 4):
            c = self.connected()
            c.send(whole[:n])
            c.close()

    def test_after_disconnect_nothing_counts(self):
        # [MQTT-3.14.4-2] [MQTT-3.14.4-1]
        c = self.connected()
        c.send(m.packet(m.DISCONNECT, 0) + m.publish_packet(self.topic, "never", 0))
        c.wait_closed()

    def test_random_bytes(self):
        # Seeded: a failure repeats.
        rnd = random.Random(311)
        for _ in range(200):
            c = self.client()
            try:
                if rnd.random() < 0.7:
                    c.connect(self.name("r%d" % rnd.randrange(1 << 30)))
                c.send(bytes([rnd.choice((0x10, 0x30, 0x32, 0x34, 0x40, 0x62, 0x82, 0xa2, rnd.randrange(256)))]) +
                       m.length(rnd.randrange(40)) + rnd.randbytes(rnd.randrange(60)))
            except m.Closed:
                pass
            c.close()

    def test_flipped_bits(self):
        rnd = random.Random(312)
        c0 = self.connected(self.name("x"))
        good = [m.publish_packet(self.name("u/v"), "payload", 1, pid=3), m.subscribe_packet(4, (self.name("w"), 1)),
                m.unsubscribe_packet(5, self.name("w")), m.ack_packet(m.PUBREL, 6),
                m.connect_packet(self.name("y"), will=m.Will("a", "b"), user="u", password="p")]
        for _ in range(200):
            data = bytearray(rnd.choice(good))
            for _ in range(rnd.randrange(1, 4)):
                data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
            c = self.client()
            try:
                if data[0] >> 4 != m.CONNECT:
                    c.connect(self.name("z"))
                c.send(data)
            except m.Closed:
                pass
            c.close()
        c0.ping()


@fubar.needs_fubar
class Log(fubar.TestCase):
    """On a broker of its own: what the other tests do makes it log less (the rate limit)."""

    def test_one_line_in_the_log(self):
        # The violation is one line with the statement; nothing raw of the client's bytes gets into it.
        mark = self.broker.log.mark()
        cid = self.name("noisy")
        c = self.connected(cid)
        c.send(struct.pack("!BB", 0x82, 2) + b"\0\1")
        c.wait_closed()
        self.broker.log.wait(r"MQTT-3\.8\.3-3", since=mark)
        self.assertEqual(len(self.broker.log.find(r"MQTT-3\.8\.3-3", since=mark)), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
