#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""QoS 2 at session.durability disk: exactly once, though the worker of the publisher dies between PUBLISH and PUBCOMP.
Who is connected at another worker, with a durable session or a clean one, and who is absent, get each message once.
QOS2_SEED=S repeats the moments of a run."""

import os
import random
import signal
import time
import unittest

import fubar
from mqtt_raw import PUBCOMP, PUBREC, PUBREL, ack_packet, publish_packet

SEED = int(os.environ.get("QOS2_SEED", "0")) or random.randrange(1, 1 << 30)
ROUNDS = 4 if fubar.QUICK else 8
PID = 7                         # each message has the same packet id: its identity must be forgotten in time


@fubar.needs_fubar
class Qos2(unittest.TestCase):
    def setUp(self):
        self.broker = fubar.Broker(workers=2, settings={"session.durability": "disk", "supervisor.silence": "30s"})
        self.clients = {}
        self.publisher = self.broker.on_worker(0, "publisher", clean=False)
        for client, clean in (("durable", False), ("clean", True)):
            c = self.clients[client] = self.broker.on_worker(1, client, clean=clean)
            self.assertEqual(c.subscribe("t", qos=2), [2])
        self.low = self.clients["low"] = self.broker.on_worker(1, "low", clean=True)
        self.low.subscribe("t", qos=0)
        self.came = []              # to it
        absent = self.broker.on_worker(0, "absent", clean=False)
        absent.subscribe("t", qos=2)
        absent.disconnect()

    def tearDown(self):
        for c in [self.publisher] + list(self.clients.values()):
            c.close()
        self.broker.close()

    def kill(self, slot=0):
        """The publisher's worker dies: what it sent before."""
        at = self.broker.log.mark()
        os.kill(self.broker.worker_pids()[slot], signal.SIGKILL)
        got = self.publisher.wait_closed()
        self.publisher.close()
        self.broker.log.wait(r"back process=worker slot=%d" % slot, since=at)
        return [p.kind for p in got if p.kind in (PUBREC, PUBCOMP)]

    def back(self):
        """The publisher again, at whatever worker."""
        self.publisher = self.broker.client()
        self.assertTrue(self.publisher.connect("publisher", clean=False).sp)

    def send(self, text, dup=False):
        self.publisher.send(publish_packet("t", text, 2, dup=dup, pid=PID))

    def finish(self, got):
        """What a client does that had these answers before its connection ended."""
        if PUBCOMP in got:
            return
        self.publisher.send(ack_packet(PUBREL, PID))
        self.publisher.get(PUBCOMP, pid=PID)

    def once(self, texts):
        """Each of them came to everybody, once."""
        self.publisher.publish("t", "end", qos=2, pid=PID + 1)
        self.low.inbox.extendleft(reversed(self.came))
        for c in self.clients.values():
            self.assertEqual([p.payload.decode() for p in c.publishes_until("end")], texts, c.client_id)
        absent = self.broker.connected("absent", clean=False)
        self.assertEqual([p.payload.decode() for p in absent.publishes_until("end")], texts)
        absent.disconnect()

    def test_killed_before_pubrec(self):
        texts = ["x0", "x1"]
        for text in texts:
            store = self.broker.store_pid()
            os.kill(store, signal.SIGSTOP)          # nothing gets to the disk, so no PUBREC goes out
            try:
                self.send(text)
                self.came.append(self.low.get_publish())
                self.assertEqual(self.came[-1].payload.decode(), text)
                at = self.broker.log.mark()
                os.kill(self.broker.worker_pids()[0], signal.SIGKILL)
                self.assertEqual(self.publisher.wait_closed(), [])
                self.publisher.close()
            finally:
                os.kill(store, signal.SIGCONT)
            self.broker.log.wait(r"back process=worker slot=0", since=at)
            self.back()
            self.send(text, dup=True)
            self.publisher.get(PUBREC, pid=PID)
            self.finish([])
            self.publisher.disconnect()
            self.publisher = self.broker.on_worker(0, "publisher", clean=False)
        self.once(texts)
        self.assertGreaterEqual(self.broker.counter("publish_repeated"), len(texts))

    def test_killed_before_pubrel(self):
        texts = ["x0", "x1", "x2"]
        for text in texts:
            self.send(text)
            self.publisher.get(PUBREC, pid=PID)
            self.assertEqual(self.kill(), [])
            self.back()
            self.finish([])                         # PUBREL for a publish that this worker has not seen
            self.publisher.disconnect()
            self.publisher = self.broker.on_worker(0, "publisher", clean=False)
        self.once(texts)

    def test_killed_at_any_moment(self):
        rnd = random.Random(SEED)
        texts = ["x%d" % i for i in range(ROUNDS)]
        for text in texts:
            self.send(text)
            if rnd.random() < 0.5:
                self.publisher.get(PUBREC, pid=PID)
                self.publisher.send(ack_packet(PUBREL, PID))
                had = [PUBREC]
            else:
                had = []
            time.sleep(rnd.random() * 0.01)         # the moment is what is tested
            had += self.kill()
            self.back()
            if PUBREC not in had:
                self.send(text, dup=True)
                self.publisher.get(PUBREC, pid=PID)
            self.finish(had)
            self.publisher.disconnect()
            self.publisher = self.broker.on_worker(0, "publisher", clean=False)
        self.once(texts)


if __name__ == "__main__":
    print("seed %d" % SEED)
    unittest.main(verbosity=2)
