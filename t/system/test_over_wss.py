#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What holds over TCP, over WebSocket over TLS."""

import unittest

import fubar
import over


def load_tests(loader, _tests, _pattern):
    # Each layer has its own quick run.
    return unittest.TestSuite() if fubar.QUICK else over.suite("wss", loader)


if __name__ == "__main__":
    unittest.main(verbosity=2)
