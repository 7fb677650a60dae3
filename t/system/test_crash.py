#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of any process, and of all, at random moments under load (t/support/crash.py). `make soak` runs hundreds of
rounds of the same; CRASH_SEED=S repeats a round."""

import os
import random
import unittest

import crash
import fubar

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.randrange(1, 1 << 30)


class Memory(unittest.TestCase):
    def test_store_alone(self):
        # Nothing is lost, nobody disconnected, in memory too.
        r = crash.run_round(SEED, "memory", kinds=("store",), faults=2)
        self.assertEqual({w: r[w] for w in crash.WRONG if r[w]}, {}, "seed %d" % SEED)

    def test_the_books_see_what_memory_loses(self):
        # This test's own test: with all processes dead, messages of absent sessions are gone, and the books say so.
        r = crash.run_round(SEED, "memory", kinds=("all",), faults=1, pause=(0.5, 1), stall=3)
        self.assertGreater(r["lost"], 10, "seed %d" % SEED)


class Disk(unittest.TestCase):
    def one(self, seed, **kw):
        r = crash.run_round(seed, "disk", **kw)
        print("seed %d: %s" % (seed, crash.describe(r)))

    def test_worker(self):
        self.one(SEED, kinds=("worker",), faults=2)

    def test_store(self):
        self.one(SEED + 1, kinds=("store",), faults=2)

    def test_all_at_once(self):
        self.one(SEED + 2, kinds=("all",), faults=1)

    def test_supervisor(self):
        self.one(SEED + 3, kinds=("supervisor",), faults=1)

    @fubar.long_test
    def test_store_with_many_rows(self):
        # As `make soak` with a million.
        print("gap %.2f s" % crash.big_store(SEED, rows=50000, updates=20000))

    @fubar.long_test
    def test_anything(self):
        self.one(SEED + 4)


if __name__ == "__main__":
    print("seed %d" % SEED)
    unittest.main(verbosity=2)
