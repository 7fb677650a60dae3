#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""$SYS/broker/...: the names of mosquitto, with values that are right."""

import os
import re
import signal
import subprocess
import unittest

import fubar
import mqtt_raw as m

# As `mosquitto_sub -t '$SYS/#'` shows them at mosquitto 2.0, without bridges and what only its memory pool has.
NAMES = """version uptime clients/total clients/connected clients/disconnected clients/maximum clients/expired clients/active
clients/inactive messages/received messages/sent messages/stored store/messages/count store/messages/bytes publish/messages/received
publish/messages/sent publish/messages/dropped publish/bytes/received publish/bytes/sent bytes/received bytes/sent
subscriptions/count shared_subscriptions/count heap/current heap/maximum""".split() + ["retained messages/count"] + [
    "load/%s/%s" % (what, span) for span in ("1min", "5min", "15min") for what in (
        "messages/received", "messages/sent", "publish/received", "publish/sent", "publish/dropped", "bytes/received",
        "bytes/sent", "sockets", "connections")]


class Sys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = fubar.Broker(workers=2, config="sys.interval: 1s\n")

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def setUp(self):
        self.clients = []

    def tearDown(self):
        for c in self.clients:
            c.close()

    def connected(self, *args, **kw):
        self.clients.append(self.broker.connected(*args, **kw))
        return self.clients[-1]

    def value(self, name):
        """As a new subscriber gets it. Another value may come just then, before the one that is kept: once more."""
        for _ in range(5):
            with self.broker.connected() as c:
                c.subscribe("$SYS/broker/" + name)
                p = c.get_publish()
                self.assertEqual((p.topic, p.qos), ("$SYS/broker/" + name, 0))
                if p.retain:
                    return p.payload.decode()
        self.fail("%s never comes as what is kept" % name)

    def until_value(self, name, wanted):
        fubar.until("%s to be right" % name, lambda: wanted(self.value(name)))

    def test_mosquitto_sub_gets_all_names(self):
        got = subprocess.run(["mosquitto_sub", "-p", str(self.broker.port), "-v", "-t", "$SYS/#", "-C", str(len(NAMES))],
                             capture_output=True, text=True, timeout=fubar.DEADLINE_S, check=True).stdout
        values = dict(re.match(r"\$SYS/broker/(.+?) (\S+|\d+ seconds|fubar version .*)$", line).groups()
                      for line in got.splitlines())
        self.assertEqual(sorted(values), sorted(NAMES))
        self.assertRegex(values["version"], r"^fubar version \d")
        self.assertRegex(values["uptime"], r"^\d+ seconds$")
        self.assertGreater(int(values["heap/current"]), 1 << 20)
        self.assertGreaterEqual(int(values["heap/maximum"]), int(values["heap/current"]))

    def test_values_follow(self):
        watcher = self.connected("watcher")
        watcher.subscribe("$SYS/broker/clients/disconnected", "$SYS/broker/publish/messages/received")
        before = int(self.value("publish/messages/received"))
        gone = self.connected("gone", clean=False)
        gone.subscribe("sys/t", qos=1)
        gone.disconnect()
        c = self.connected("c")
        for i in range(10):
            c.publish("sys/t", b"x" * 100, i % 3)
        c.publish("sys/retained", "x", 1, retain=True)
        self.until_value("publish/messages/received", lambda v: int(v) >= before + 11)
        self.until_value("clients/disconnected", lambda v: int(v) >= 1)
        self.until_value("messages/stored", lambda v: int(v) >= 6 + 1)      # QoS 1 and 2 wait for the one who is gone
        self.until_value("retained messages/count", lambda v: int(v) >= 1)
        self.until_value("publish/bytes/received", lambda v: int(v) >= 1001)
        self.until_value("clients/maximum", lambda v: int(v) >= 2)
        self.until_value("load/publish/received/1min", lambda v: float(v) > 1)
        self.until_value("subscriptions/count", lambda v: int(v) >= 1)
        c.subscribe("$share/g/sys/s")
        self.until_value("shared_subscriptions/count", lambda v: int(v) == 1)
        self.until_value("store/messages/bytes", lambda v: int(v) >= 600)
        live = watcher.get_publish()
        while live.retain:                                                  # the two of its SUBSCRIBE
            live = watcher.get_publish()
        self.assertIn(live.topic.split("/")[-1], ("disconnected", "received"))
        gone = self.connected("gone", clean=True)

    def test_wildcards_do_not_reach_it(self):
        # [MQTT-4.7.2-1]
        c = self.connected("all")
        c.subscribe("#", "+/broker/uptime")
        watcher = self.connected("watcher2")
        watcher.subscribe("$SYS/broker/uptime")
        while watcher.get_publish().retain:
            pass
        c.publish("sentinel/sys", "end")
        self.assertEqual([p.topic for p in c.publishes_until("end") if p.topic.startswith("$")], [])

    def test_clients_cannot_publish_there(self):
        watcher = self.connected("watcher3")
        watcher.subscribe("$SYS/forged/#", "sentinel/forged")
        c = self.connected("forger", will=m.Will("$SYS/forged/will", "x", 0))
        for qos in (0, 1, 2):
            c.publish("$SYS/forged/%d" % qos, "x", qos, retain=True)
        c.close()
        self.connected("other").publish("sentinel/forged", "end")
        self.assertEqual(watcher.publishes_until("end"), [])
        late = self.connected("late")
        late.subscribe("$SYS/forged/#")
        late.ping()
        self.assertEqual([p for p in late.inbox if p.kind == m.PUBLISH], [])

    def test_a_worker_dies(self):
        received = int(self.value("messages/received"))
        for slot in (0, 1):
            since = self.broker.log.mark()
            os.kill(self.broker.worker_pids()[slot], signal.SIGKILL)
            self.broker.log.wait(r"back process=worker slot=%d" % slot, since)
        self.assertGreaterEqual(int(self.value("messages/received")), received)     # its own count was not lost
        c = self.connected("after")
        c.subscribe("$SYS/broker/uptime")
        while c.get_publish().retain:
            pass

    def test_off_and_on(self):
        self.broker.admin("settings", "set", "sys.interval", "0")
        try:
            def nothing():
                with self.broker.connected() as c:
                    c.subscribe("$SYS/#")
                    c.ping()
                    return [p for p in c.inbox if p.kind == m.PUBLISH] == []
            fubar.until("nothing to be there", nothing)
        finally:
            self.broker.admin("settings", "set", "sys.interval", "1s")
        self.assertRegex(self.value("uptime"), "seconds")


if __name__ == "__main__":
    unittest.main()
