#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A disk that fails, is full, or hangs for seconds, under load (t/support/powercut.c below the store): nothing is acknowledged
that is not kept, QoS 0 does not notice, nobody is disconnected, and when the fault ends it goes on without a restart.
Each ends with a cut of the power, which shows whether what was acknowledged was really there."""

import os
import random
import threading
import time
import unittest

import crash
import fubar
import mqtt_raw as m
import powercut

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.randrange(1, 1 << 30)
QUIET_S = 1.0           # without an acknowledgement, while nothing can be kept
PING_S = 3.0            # a QoS 0 message there and back at most: less than a stall


class Pinger(threading.Thread):
    """A QoS 0 message to itself, again and again; `worst` is the longest it took, `count` how many came back."""

    def __init__(self, node):
        super().__init__()
        self.client = node.connected("pinger")
        self.client.subscribe("ping")
        self.halt = threading.Event()
        self.worst, self.count, self.error = 0.0, 0, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.halt.set()
        self.join()
        self.client.close()

    def run(self):
        try:
            while not self.halt.wait(0.02):
                start = time.monotonic()
                self.client.publish("ping", b"x" * 64)
                self.client.get(m.PUBLISH)
                self.worst = max(self.worst, time.monotonic() - start)
                self.count += 1
        except (OSError, m.Closed, m.Timeout) as e:
            self.error = e


class IoFaults(unittest.TestCase):
    def episode(self, silent=True, seconds=QUIET_S, settings=None, **fault):
        rnd = random.Random(SEED)
        with powercut.CutNode("disk", workers=2, settings=settings) as node:
            with crash.Load(node.port, seed=SEED, pubs="12ab", subs="DdOo", rate=200) as load:
                load.up()
                load.wait_acks(100)
                with Pinger(node) as ping:
                    self.during(node, load, ping, silent, seconds, dict(fault, seed=SEED))
                    node.disk.heal()
                    load.wait_acks(100)                 # it goes on, by itself
                    fubar.until("pings", lambda: ping.count > 20 or ping.error)
                self.assertIsNone(ping.error)
                self.assertLess(ping.worst, PING_S)
                self.assertEqual(load.closed(0, time.monotonic()), set())
                self.assertGreater(node.disk.get("faults") + node.disk.get("stalls"), 0)
                what = node.fault("power", rnd)
                r = load.result()
        self.assertEqual(({w: r[w] for w in crash.WRONG if r[w]}, r["bad"][:5]), ({}, []), "seed %d, %s" % (SEED, what))

    def during(self, node, load, ping, silent, seconds, fault):
        node.disk.set(**fault)
        if silent:
            # What was flushed before is still acknowledged; from then on nothing is.
            gate, last = threading.Event(), []
            while len(last) < 20 and last[-2:] != [load.acks()] * 2:
                last.append(load.acks())
                gate.wait(QUIET_S / 2)
            pings = ping.count
            fubar.until("QoS 0 that goes on", lambda: ping.count > pings + 20 or ping.error)
            gate.wait(seconds)
            self.assertEqual(load.acks(), last[-1], "acknowledged, though nothing can be kept")
        else:
            threading.Event().wait(seconds)
            fubar.until("a fault", lambda: node.disk.get("faults") + node.disk.get("stalls") > 0)

    @fubar.long_test
    def test_flushes_fail(self):
        self.episode(sync_eio=1000000)

    def test_a_flush_that_failed_is_not_tried_again(self):
        # The system calls what it could not write written: another flush by the same process would say that all is well.
        with powercut.CutNode("disk", workers=2) as node, crash.Load(node.port, seed=SEED, rate=200) as load:
            load.up()
            load.wait_acks(100)
            node.disk.set(sync_eio=500000, seed=SEED)
            fubar.until("flushes that fail", lambda: node.disk.get("faults") >= 3)
            node.disk.heal()
            load.wait_acks(100)
            self.assertEqual(node.disk.tried_again(), set())
            what = node.fault("power", random.Random(SEED))
            r = load.result()
        self.assertEqual(({w: r[w] for w in crash.WRONG if r[w]}, r["bad"][:5]), ({}, []), "seed %d, %s" % (SEED, what))

    @fubar.long_test
    def test_writes_fail(self):
        self.episode(write_eio=1000000)

    def test_some_fail(self):
        self.episode(silent=False, seconds=2, sync_eio=50000, write_eio=10000)

    @fubar.long_test
    def test_full(self):
        self.episode(enospc=1)

    @fubar.long_test
    def test_slow(self):
        # Longer than supervisor.silence: the store's loop does not wait for its disk.
        self.episode(silent=False, seconds=4, settings={"supervisor.silence": "3s"}, stall_ms=3500)


if __name__ == "__main__":
    print("seed %d" % SEED)
    unittest.main(verbosity=2)
