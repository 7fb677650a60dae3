#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Crowds of CONNECTs on few ids, retained publishes and durable subscriptions, while workers and the store are killed
with -9: no process says that something is wrong with its own state, and at rest the store and the workers agree on which
sessions there are. STORM_S: seconds of it; STORM_SEED."""

import os
import random
import signal
import threading
import time
import unittest

import fubar
import mqtt_raw as m

WORKERS = 3
IDS = 20
SECONDS = float(os.environ.get("STORM_S", "8"))
SEED = int(os.environ.get("STORM_SEED", "0")) or random.randrange(1, 1 << 30)


class Crowd(threading.Thread):
    """Ten connections at a time; it takes what comes of them."""

    def __init__(self, broker, seed, halt):
        super().__init__()
        self.broker, self.rnd, self.halt = broker, random.Random(seed), halt
        self.connected = 0

    def work(self, c):
        c.get(m.CONNACK, timeout=0.2)
        self.connected += 1
        data = bytearray()
        for i in range(1, self.rnd.randrange(2, 9)):
            data += m.publish_packet("r/%d" % self.rnd.randrange(40), "x", 1, pid=i, retain=True)
        if self.rnd.random() < 0.5:
            data += m.subscribe_packet(9, ("f/%d/#" % self.rnd.randrange(9), 1))
        c.send(data)
        if self.rnd.random() < 0.3:
            c.get(m.PUBACK, timeout=0.2)
        if self.rnd.random() < 0.5:
            c.disconnect_now()

    def run(self):
        while not self.halt.is_set():
            clients = []
            for _ in range(10):
                try:
                    clients.append(self.broker.client())
                    clients[-1].send(m.connect_packet("s%d" % self.rnd.randrange(IDS), clean=self.rnd.random() < 0.3))
                except (OSError, m.Closed):
                    self.halt.wait(0.02)            # nobody listens just now
            for c in clients:
                try:
                    self.work(c)
                except (OSError, m.Closed, m.Timeout):
                    pass
            for c in clients:
                c.close()


class Storm(fubar.TestCase):
    may_die = True
    broker_options = {"workers": WORKERS}

    def agree(self):
        """As many ids in the store's table as sessions in the workers; False while a process is down."""
        try:
            ids = [int(r["session_ids"]) for r in self.broker.rows("state") if "session_ids" in r]
            return ids == [len(self.broker.sessions())]
        except fubar.AdminError:
            return False

    def test_storm(self):
        rnd = random.Random(SEED)
        halt = threading.Event()
        crowds = [Crowd(self.broker, SEED + n, halt) for n in range(5)]
        for t in crowds:
            t.start()
        end = time.monotonic() + SECONDS
        kills = 0
        enough = lambda: kills > 3 and sum(t.connected for t in crowds) > 100
        while time.monotonic() < end or (not enough() and time.monotonic() < end + 3 * fubar.DEADLINE_S):
            halt.wait(rnd.uniform(0.1, 1.0))        # when it strikes is chance, no event
            workers = list(self.broker.worker_pids().values())
            pid = self.broker.store_pid() if rnd.random() < 0.35 or not workers else rnd.choice(workers)
            try:
                os.kill(pid or 0x7fffffff, signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                pass
        halt.set()
        for t in crowds:
            t.join()
        fubar.until("all processes", lambda: len(self.broker.worker_pids()) == WORKERS, timeout=60)
        fubar.until("the store and the workers to agree (seed %d)" % SEED, self.agree, timeout=60, every=0.5)
        self.assertGreater(sum(t.connected for t in crowds), 100)
        self.assertGreater(kills, 3)
        self.assertEqual(self.broker.log.find(r"assert|gap in the numbers|answer without a request"), [], "seed %d" % SEED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
