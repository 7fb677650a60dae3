#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""t/system/test_memory.py at length, for `make soak SOAK=memory`: 10,000 consumers that do not read, a limit of 300 MiB.
Rounds and seed are soak's; one round is all there is, and nothing in it is chance."""

import os
import subprocess
import sys

import fubar

if __name__ == "__main__":
    env = dict(os.environ)
    for name, value in (("MEMORY_CLIENTS", "10000"), ("MEMORY_MIB", "300"), ("MEMORY_S", "60")):
        env.setdefault(name, value)
    sys.exit(subprocess.run([sys.executable, os.path.join(fubar.ROOT, "t", "system", "test_memory.py"), "-v"], env=env,
                            check=False).returncode)
