#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What holds over TCP, over WebSocket."""

import unittest

import over


def load_tests(loader, _tests, _pattern):
    return over.suite("ws", loader)


if __name__ == "__main__":
    unittest.main(verbosity=2)
