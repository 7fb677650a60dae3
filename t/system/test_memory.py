#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""memory.limit: what is offered is many times what there is; nobody dies, what is dropped is counted.

MEMORY_CLIENTS, MEMORY_MIB, MEMORY_S: a longer run (make soak SOAK=memory: 10000, 300, 60)."""

import os
import resource
import threading
import time
import unittest

import fubar
import mqtt_raw as m

CLIENTS = int(os.environ.get("MEMORY_CLIENTS", "300"))
LIMIT_MIB = int(os.environ.get("MEMORY_MIB", "80"))
SECONDS = float(os.environ.get("MEMORY_S", "4"))
PUBLISHERS = 4
BYTES = 10000


def private_mib(pid):
    """Resident, but for files and what is shared."""
    try:
        with open("/proc/%d/statm" % pid, encoding="ascii") as f:
            resident, shared = f.read().split()[1:3]
    except OSError:
        return 0
    return (int(resident) - int(shared)) * resource.getpagesize() / 2**20


class Watch(threading.Thread):
    """The most that all processes of a broker took together."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.pids = broker.pids()
        self.most = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, sum(private_mib(p) for p in self.pids))

    def stop(self):
        self.over.set()
        self.join()
        return self.most


class Publisher(threading.Thread):
    """QoS 0, 1, 2 in turn, each waited for; a part is dropped on the way, but it is never disconnected."""

    def __init__(self, client, enough):
        super().__init__(daemon=True)
        self.client = client
        self.enough = enough        # something was dropped: a slow machine takes its time
        self.sent = 0
        self.error = None

    def run(self):
        until = time.monotonic() + SECONDS
        try:
            while time.monotonic() < until or not self.enough.is_set():
                self.client.publish("t/%d" % (self.sent % 50), bytes([self.sent % 256]) * BYTES, qos=self.sent % 3)
                self.sent += 1
        except (m.Closed, m.Timeout, OSError) as e:
            self.error = repr(e)


@unittest.skipIf(fubar.SANITIZED, "sanitizers take memory of their own")
@fubar.needs_fubar
class Memory(unittest.TestCase):
    def consumers(self, b):
        """Half of them durable, of all QoS; none reads. Small windows of TCP: that memory is the kernel's."""
        out = []
        for i in range(CLIENTS):
            c = m.Client(b.port, rcvbuf=4096)
            c.connect("slow-%d" % i, clean=i % 2 == 0)
            c.subscribe(("t/#", i % 3))
            out.append(c)
        return out

    def test_slow_consumers_stay_within_the_limit(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        settings = {"memory.limit": "%dMiB" % LIMIT_MIB, "server.sndbuf": "8KiB", "session.durability": "memory",
                    "session.buffer_limit": "100000", "session.buffer_bytes": "1GiB"}
        with fubar.Broker(settings=settings) as b:
            slow = self.consumers(b)
            pids = b.pids()
            watch = Watch(b)
            watch.start()
            enough = threading.Event()
            publishers = [Publisher(b.connected("p%d" % i), enough) for i in range(PUBLISHERS)]
            for p in publishers:
                p.start()
            try:
                fubar.until("a message that is dropped", lambda: b.counter("dropped_memory") > 0, every=0.1)
            finally:
                enough.set()
            for p in publishers:
                p.join()
            most = watch.stop()
            offered = sum(p.sent for p in publishers) * BYTES * CLIENTS / 2**30
            self.assertEqual([p.error for p in publishers], [None] * PUBLISHERS)
            self.assertGreater(offered * 1024, 5 * LIMIT_MIB)
            self.assertLess(most, LIMIT_MIB)
            self.assertEqual(set(b.pids()), set(pids))          # nobody died
            self.assertEqual(b.log.find("process died"), [])
            self.assertGreater(b.counter("dropped_memory"), 0)
            fubar.until("a look at the memory", lambda: b.counter("memory_used") > 0)
            print("offered %.1f GiB, most %.0f MiB, dropped_memory %d, memory_holds %d" %
                  (offered, most, b.counter("dropped_memory"), b.counter("memory_holds")))
            with b.connected("new") as c:       # and it works on
                c.subscribe("alive")
                c.publish("alive", "yes", qos=1)
                self.assertEqual(c.get(m.PUBLISH).payload, b"yes")
            for c in slow + [p.client for p in publishers]:
                c.close()
            b.kill()        # a graceful stop would put all of it to the disk

    def test_out_of_memory_refuses_connections_and_takes_them_again(self):
        with fubar.Broker(workers=1) as b:
            with b.connected("old") as old:
                b.admin("settings", "set", "memory.limit", "1MiB")
                b.log.wait("memory is nearly used up level=out")
                with b.client() as c:
                    with self.assertRaises(m.Closed):
                        c.connect("new")
                old.subscribe("t")
                old.publish("t", "x", qos=1)    # who is here is served
                self.assertEqual(old.get(m.PUBLISH).payload, b"x")
                self.assertGreater(b.counter("connections_memory"), 0)
                b.admin("settings", "unset", "memory.limit")
                b.log.wait("there is memory again")
                fubar.until("the limit is gone", lambda: b.counter("memory_used") < b.counter("memory_budget") / 2)
                b.connected("new").disconnect()


if __name__ == "__main__":
    fubar.main()
