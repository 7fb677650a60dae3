# SPDX-License-Identifier: Apache-2.0
"""What holds over TCP holds over every other transport: the tests of MQTT's statements and of the limits again, each
class with a broker whose clients come in at another listener. t/system/test_over_*.py say which."""

import importlib
import unittest

import fubar

MODULES = ("test_limits", "test_mqtt_connect", "test_mqtt_malformed", "test_mqtt_publish", "test_mqtt_session",
           "test_mqtt_subscribe")
LEFT_OUT = ("Connections",)             # are refused before a handshake


def suite(transport, loader):
    tests = unittest.TestSuite()
    for module in map(importlib.import_module, MODULES):
        for case in vars(module).values():
            if isinstance(case, type) and issubclass(case, fubar.TestCase) and case.__module__ == module.__name__ and \
                    case.__name__ not in LEFT_OUT:
                options = dict(case.broker_options, transport=transport)
                again = type("%s_%s" % (case.__name__, transport), (case,), {"broker_options": options})
                tests.addTests(loader.loadTestsFromTestCase(again))
    return tests
