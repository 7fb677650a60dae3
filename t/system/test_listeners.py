#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Several listeners of one kind, each with its own address, login rule and limit."""

import unittest

import fubar
import mqtt_raw as m


class Several(fubar.TestCase):
    broker_options = {"auth": True, "workers": 1, "settings": {
        "listeners.mqtt2.port": "-1", "listeners.mqtt2.bind": "127.0.0.1", "listeners.mqtt2.auth": "off",
        "listeners.mqtt3.port": "-1", "listeners.mqtt3.bind": "127.0.0.2", "listeners.mqtt3.auth": "off",
        "listeners.mqtt3.max_connections": "2"}}

    def rows(self):
        return {r["listener"].split()[0]: r for r in self.broker.admin_json("state")["tables"]["listeners"]}

    def until_connections(self, **want):
        """The end of one is seen a moment later."""
        def got():
            rows = self.rows()
            return {name: rows[name]["connections"] for name in want}
        fubar.until("connections to be %s" % want, lambda: got() == want)

    def code(self, listener, host="127.0.0.1"):
        """What a new client is told there."""
        with m.Client(self.broker.read_port(listener), host=host) as c:
            try:
                return c.connect(self.name("new"), expect=None).rc
            except m.Closed:
                return "closed"

    def test_login_is_by_listener(self):
        self.assertEqual((self.code("mqtt"), self.code("mqtt2"), self.code("mqtt3", "127.0.0.2")), (5, 0, 0))

    def test_login_can_be_changed_while_it_runs(self):
        self.broker.admin("settings", "set", "listeners.mqtt.auth", "off")
        try:
            self.assertEqual(self.code("mqtt"), 0)
        finally:
            self.broker.admin("settings", "unset", "listeners.mqtt.auth")
        self.assertEqual(self.code("mqtt"), 5)

    def test_limit_is_by_listener(self):
        port = self.broker.read_port("mqtt3")
        clients = [m.Client(port, host="127.0.0.2") for _ in range(2)]
        try:
            for i, c in enumerate(clients):
                c.connect(self.name("c%d" % i))
            self.assertEqual((self.code("mqtt3", "127.0.0.2"), self.code("mqtt2")), ("closed", 0))
            self.broker.log.wait(r"no room for more connections listener=mqtt3 limit=2$")
        finally:
            for c in clients:
                c.close()
            self.until_connections(mqtt3=0)

    def test_state_counts_by_listener(self):
        with m.Client(self.broker.read_port("mqtt2")) as c:
            c.connect(self.name("c"))
            self.until_connections(mqtt2=1, mqtt=0)
            rows = self.rows()
            self.assertEqual(rows["mqtt3"]["listener"], "mqtt3 127.0.0.2:%d" % rows["mqtt3"]["port"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
