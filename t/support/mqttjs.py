# SPDX-License-Identifier: Apache-2.0
"""MQTT.js, fetched by npm once a build directory and never kept in the tree."""

import fcntl
import os
import shutil
import subprocess
import unittest

import fubar


def directory():
    """Where node finds it; SkipTest when it cannot be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise unittest.SkipTest("no node and npm here")
    js_dir = os.path.join(fubar.BUILD, "js")
    os.makedirs(js_dir, exist_ok=True)
    # Several files of tests run at a time, and half an installation is none.
    with open(os.path.join(js_dir, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return fetched(js_dir)


def fetched(js_dir):
    if os.path.isdir(os.path.join(js_dir, "node_modules", "mqtt")):
        return js_dir
    try:
        r = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", js_dir, "mqtt"],
                           capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        r = None
    if r is None or r.returncode != 0:
        raise unittest.SkipTest("npm cannot fetch MQTT.js here")
    return js_dir


def bundle():
    """The one file that a browser loads."""
    path = os.path.join(directory(), "node_modules", "mqtt", "dist", "mqtt.min.js")
    if not os.path.exists(path):
        raise unittest.SkipTest("this MQTT.js has no file for browsers")
    return path
