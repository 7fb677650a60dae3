#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What MQTT's statements ask for, over TLS: the tests of plain TCP, with clients that speak TLS."""

import importlib
import unittest

import fubar

LEFT_OUT = ("Connections",)             # are refused before a handshake
MODULES = ("test_limits", "test_mqtt_malformed", "test_mqtt_publish", "test_mqtt_session", "test_mqtt_subscribe")


def over_tls(case):
    """The same tests with another broker."""
    options = dict(case.broker_options, transport="tls")
    return type(case.__name__ + "OverTls", (case,), {"broker_options": options})


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for name in MODULES:
        for case in vars(importlib.import_module(name)).values():
            if isinstance(case, type) and issubclass(case, fubar.TestCase) and case is not fubar.TestCase and \
                    case.__name__ not in LEFT_OUT:
                suite.addTests(loader.loadTestsFromTestCase(over_tls(case)))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
