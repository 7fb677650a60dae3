#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The power goes under load, and all that was not flushed with it (t/support/powercut.c and .py). First what is said to be
the disk: files that a small program writes."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

import crash
import fubar
import powercut

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.randrange(1, 1 << 30)
A, B, C = b"a" * 4096, b"b" * 4096, b"c" * 4096


class Layer(unittest.TestCase):
    """What is left of files in the worst case; `self.run_on(text)` runs Python with `d` the directory, then the power goes."""

    def setUp(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="fubar-t-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.data = os.path.join(self.dir, "data")
        os.mkdir(self.data)
        self.disk = powercut.Disk(self.data, os.path.join(self.dir, "side"))
        with open(os.path.join(self.data, "old"), "wb") as f:
            f.write(A + A)

    def run_on(self, text, mode="lose", check=True):
        head = ("import os\nd=%r\nA,B,C=(c*4096 for c in (b'a',b'b',b'c'))\ndef fd(n,f=os.O_RDWR): return os.open(d+'/'+n,f,0o600)\n"
                "old=fd('old')\n" % self.data)
        env = dict(os.environ, POWERCUT_PROGRAM=os.path.basename(sys.executable), **self.disk.env())
        env["LD_PRELOAD"] = env["LD_PRELOAD"].split()[-1]               # Python has no sanitizer
        r = subprocess.run([sys.executable, "-c", head + text], env=env, capture_output=True, text=True, check=False)
        if check:
            self.assertEqual((r.returncode, r.stderr), (0, ""))
        if mode:
            self.disk.cut(random.Random(SEED), mode)
        return r

    def content(self, name="old"):
        with open(os.path.join(self.data, name), "rb") as f:
            return f.read()

    def names(self):
        return sorted(os.listdir(self.data))

    def test_a_write_is_lost_until_flushed(self):
        self.run_on("os.pwrite(old, B, 0)")
        self.assertEqual(self.content(), A + A)
        self.run_on("os.pwrite(old, B, 0); os.fdatasync(old); os.pwrite(old, C, 4096)")
        self.assertEqual(self.content(), B + A)
        self.run_on("os.pwrite(old, C, 0); os.pwrite(old, B, 4096)", "keep")
        self.assertEqual(self.content(), C + B)

    def test_small_and_overlapping_writes(self):
        self.run_on("os.pwrite(old, b'xyz', 510); os.pwrite(old, b'123', 511); os.write(old, b'q'); os.lseek(old, 8190, 0); "
                    "os.write(old, b'qqqqq')")
        self.assertEqual(self.content(), A + A)
        self.run_on("os.pwrite(old, b'xyz', 510); os.fsync(old); os.pwrite(old, b'123', 511)")
        self.assertEqual(self.content(), b"a" * 510 + b"xyz" + b"a" * (8192 - 513))

    def test_lengths(self):
        self.run_on("os.pwrite(old, C, 8192)")
        self.assertEqual(self.content(), A + A)
        self.run_on("os.pwrite(old, C, 8192); os.fsync(old); os.ftruncate(old, 100); os.pwrite(old, B, 100)")
        self.assertEqual(self.content(), A + A + C)
        self.run_on("os.close(fd('old', os.O_WRONLY | os.O_TRUNC))")
        self.assertEqual(self.content(), A + A + C)
        self.run_on("os.ftruncate(old, 5); os.fsync(old)")
        self.assertEqual(self.content(), b"aaaaa")

    def test_the_cache_outlives_the_program(self):
        self.run_on("os.pwrite(old, B, 0)", None)
        self.run_on("assert os.pread(old, 1, 0) == b'b'; os.pwrite(old, C, 4096)")
        self.assertEqual(self.content(), A + A)
        self.run_on("os.pwrite(old, B, 0)", None)
        self.run_on("os.fsync(old)")            # the successor's flush covers it
        self.assertEqual(self.content(), B + A)

    def test_a_note_that_was_cut_short(self):
        self.run_on("os.pwrite(old, B, 0)", None)
        with open(self.disk.journal, "r+b") as f:
            f.truncate(os.path.getsize(self.disk.journal) - 1)          # kill -9 while it wrote that
        self.run_on("os.pwrite(old, C, 4096)")
        self.assertEqual(self.content(), B + A)

    def test_names(self):
        self.run_on("os.close(fd('new', os.O_RDWR|os.O_CREAT)); os.rename(d+'/old', d+'/other'); os.mkdir(d+'/sub'); "
                    "os.unlink(d+'/new')")
        self.assertEqual((self.names(), self.content()), (["old"], A + A))
        self.run_on("n=fd('new', os.O_RDWR|os.O_CREAT); os.write(n, B); os.rename(d+'/new', d+'/old')")
        self.assertEqual((self.names(), self.content()), (["old"], A + A))
        self.run_on("n=fd('new', os.O_RDWR|os.O_CREAT); os.write(n, B); os.fsync(n); os.unlink(d+'/old')")
        self.assertEqual((self.names(), self.content(), self.content("new")), (["new", "old"], A + A, B))

    def test_names_when_strict(self):
        self.disk.strict = True
        self.run_on("n=fd('new', os.O_RDWR|os.O_CREAT); os.write(n, B); os.fsync(n)")
        self.assertEqual(self.names(), ["old"])
        self.run_on("n=fd('new', os.O_RDWR|os.O_CREAT); os.write(n, B); os.fsync(n); os.fsync(os.open(d, os.O_RDONLY))")
        self.assertEqual((self.names(), self.content("new")), (["new", "old"], B))

    def test_a_failed_flush_stays_failed(self):
        self.disk.set(sync_eio=1000000)
        self.run_on("os.pwrite(old, B, 0)\ntry: os.fsync(old)\nexcept OSError: pass\nelse: raise SystemExit(1)", None)
        self.disk.set(sync_eio=0)
        self.run_on("os.pwrite(old, C, 4096); os.fsync(old)")
        self.assertEqual(self.content(), A + C)
        self.disk.set(sync_eio=1000000)
        self.run_on("os.pwrite(old, B, 0)\ntry: os.fsync(old)\nexcept OSError: pass", None)
        self.disk.set(sync_eio=0)
        self.run_on("os.pwrite(old, b'b', 0); os.fsync(old)")           # the page is written again
        self.assertEqual(self.content(), B + C)

    @fubar.long_test
    def test_torn_and_cut_anywhere(self):
        seen = set()
        for seed in range(30):
            with open(os.path.join(self.data, "old"), "wb") as f:
                f.write(A)
            self.run_on("os.pwrite(old, B + B, 0)", None)
            self.disk.cut(random.Random(seed), "mixed")
            got = self.content()
            sectors = [got[i:i + 512][:1] for i in range(0, len(got), 512)]
            self.assertTrue(4096 <= len(got) <= 8192 and set(sectors[:8]) <= {b"a", b"b"} and set(sectors[8:]) <= {b"\0", b"b"})
            seen.add(bytes(got))
        self.assertGreater(len(seen), 10)

    def test_faults(self):
        self.disk.set(enospc=1)
        r = self.run_on("os.pwrite(old, B, 0); os.pwrite(old, B, 8192)", None, check=False)
        self.assertIn("No space left", r.stderr)
        self.disk.set(enospc=0, write_eio=1000000)
        r = self.run_on("os.pwrite(old, B, 0)", None, check=False)
        self.assertIn("Input/output error", r.stderr)
        self.disk.set(write_eio=0, lie=1)
        self.run_on("os.pwrite(old, C, 0); os.fsync(old)")
        self.assertEqual(self.content(), A + A)
        self.assertEqual(self.disk.get("faults"), 2)


class Node(unittest.TestCase):
    def test_cuts(self):
        for i in range(2):
            r = powercut.run_round(SEED + i, faults=1 + i)
            print("seed %d: %s" % (SEED + i, crash.describe(r)))

    @fubar.long_test
    def test_names_of_files_are_flushed_too(self):
        r = powercut.run_round(SEED, strict=True, mode="lose", faults=1)
        print("seed %d: %s" % (SEED, crash.describe(r)))

    @fubar.long_test
    def test_a_disk_that_lies_is_found_out(self):
        # This test's own test: flushes that do nothing, and what was acknowledged is missing.
        with self.assertRaisesRegex(crash.Wrong, "lost|session"):
            powercut.run_round(SEED, lie=True, mode="lose", faults=1, stall=2)


if __name__ == "__main__":
    print("seed %d" % SEED)
    unittest.main(verbosity=2)
