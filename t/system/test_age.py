#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A node that is started again and again gets its sessions older: session.max_age counts the time that it was up."""

import time

import fubar

MAX_AGE_S = 4


class Age(fubar.TestCase):
    may_die = True

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def lives(self, end):
        """How long the node was up at most until the session was gone, in lives of a third of its age: its starts and its
        stops count, since the store is up in some part of them."""
        with fubar.Broker(workers=2, settings={"session.max_age": "%ds" % MAX_AGE_S}) as broker:
            c = broker.connected("old", clean=False)
            c.subscribe("t", qos=1)
            begin = time.monotonic()
            c.disconnect()
            ready = 0.0
            while True:
                start = time.monotonic()
                fubar.until("a part of a life", lambda: time.monotonic() - start > MAX_AGE_S / 3 or
                            "old" not in broker.sessions(), every=0.1)
                ready += time.monotonic() - start
                if "old" not in broker.sessions():
                    return time.monotonic() - begin
                self.assertLess(ready, 4 * MAX_AGE_S)
                end(broker)
                broker.start()

    def test_stops(self):
        self.assertGreater(self.lives(lambda b: b.stop()), MAX_AGE_S - 1)

    def test_kills(self):
        self.assertGreater(self.lives(lambda b: b.kill()), MAX_AGE_S - 1)


if __name__ == "__main__":
    fubar.main()
