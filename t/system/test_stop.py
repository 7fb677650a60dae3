#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A graceful stop with much to do: no turn of a worker is long (fubar.Broker.close() looks), and all is kept."""

import unittest

import fubar
import mqtt_raw as m

CLIENTS = 1000
FILTERS = 100
SESSIONS = 600
MESSAGES = 500


class Stop(unittest.TestCase):
    def test_many_filters(self):
        with fubar.Broker(workers=1) as b:
            clients = []
            for i in range(CLIENTS):
                c = b.client()
                clients.append(c)
                c.send(m.connect_packet("c%d" % i) + m.subscribe_packet(1, *[("f/%d/%d" % (i, k), 1) for k in range(FILTERS)]))
            for c in clients:
                c.get(m.SUBACK, pid=1)
            b.stop()
            for c in clients:
                c.wait_closed()
                c.close()

    def test_long_queues(self):
        with fubar.Broker(workers=1, settings={"session.durability": "memory"}) as b:
            for i in range(SESSIONS):
                c = b.client()
                c.connect("s%d" % i, clean=False)
                c.subscribe("t", qos=1)
                c.disconnect_now()
            with b.client() as p:
                p.connect("p")
                for i in range(MESSAGES):
                    p.publish("t", b"%d" % i, qos=1)
            b.restart()
            for i in (0, 1, SESSIONS - 1):
                with b.client() as c:
                    self.assertEqual(c.connect("s%d" % i, clean=False).sp, 1)
                    got = []
                    while len(got) < MESSAGES:
                        r = c.get(m.PUBLISH)
                        c.send(m.ack_packet(m.PUBACK, r.pid))
                        got.append(int(r.payload))
                    self.assertEqual(got, list(range(MESSAGES)))


if __name__ == "__main__":
    unittest.main()
