#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What holds over TCP holds over every other transport: the tests of MQTT's statements again, each class with its clients
coming in at another listener."""

import unittest

import fubar
import test_mqtt_connect
import test_mqtt_malformed
import test_mqtt_publish
import test_mqtt_session
import test_mqtt_subscribe

MODULES = (test_mqtt_connect, test_mqtt_malformed, test_mqtt_publish, test_mqtt_session, test_mqtt_subscribe)
TRANSPORTS = ("ws",)


def over(transport, base):
    """The class of tests with another transport."""
    options = dict(base.broker_options or {}, transport=transport)
    return type("%s_%s" % (base.__name__, transport), (base,), {"broker_options": options, "__module__": __name__})


def load_tests(loader, _, __):
    suite = unittest.TestSuite()
    for transport in TRANSPORTS:
        for module in MODULES:
            for base in vars(module).values():
                if isinstance(base, type) and issubclass(base, fubar.TestCase) and base.__module__ == module.__name__:
                    suite.addTests(loader.loadTestsFromTestCase(over(transport, base)))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
