#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make check: the tables against what is written for people. Without Python 3 there is nothing to hold it with.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
exec python3 "$(dirname "$0")/tables.py"
