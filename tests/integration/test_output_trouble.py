"""Where the data cannot go, the run ends with status 1 and a sentence, and nothing that was not delivered is committed."""

import sys

sys.dont_write_bytecode = True

import errno
import json
import os
import resource
import subprocess
import unittest

import harness
from harness import load_checkpoint, numbered_events
from oracle import Oracle, read_ndjson


class OutputTrouble(harness.Case):
    EVENTS = 20000

    def setUp(self):
        super().setUp()
        self.write("in.ndjson", numbered_events(0, self.EVENTS, users=3000))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")))

    def arguments(self, *more):
        return ["--backend", "memory", "--input", "in.ndjson", *more]

    def check_whole(self):
        self.sbhost(*self.arguments("--output", "out"))
        self.oracle.check_export(self.export())
        self.oracle.check_output(self.path("out"), ordered=True)

    def test_a_full_device(self):
        for tasks in ("1", "2"):
            result = self.sbhost(*self.arguments("--output", "/dev/full", "--parallelism", tasks), status=1)
            self.assertSays(result, "/dev/full", os.strerror(errno.ENOSPC))
            self.assertEqual(self.checkpoints(), [])
        self.check_whole()

    def test_full_standard_output(self):
        with open("/dev/full", "wb") as full:
            result = self.sbhost(*self.arguments("--output", "-"), status=1, stdout=full)
        self.assertSays(result, "standard output", os.strerror(errno.ENOSPC))
        self.assertEqual(self.checkpoints(), [])
        self.check_whole()

    def test_a_reader_that_leaves_early(self):
        job = self.start(*self.arguments("--output", "-"), stdout=subprocess.PIPE)
        first = job.process.stdout.readline()
        self.assertEqual(json.loads(first)["user_id"], "user-0")
        job.process.stdout.close()
        result = job.wait()
        self.assertEqual(result.status, 1, str(result))
        self.assertSays(result, "standard output", os.strerror(errno.EPIPE))
        self.assertEqual(self.checkpoints(), [])
        self.check_whole()

    def test_a_reader_that_was_never_there(self):
        reading, writing = os.pipe()
        os.close(reading)
        self.write("few.ndjson", numbered_events(0, 3))
        result = self.sbhost("--backend", "memory", "--input", "few.ndjson", stdout=writing, status=1)
        os.close(writing)
        self.assertSays(result, "standard output", os.strerror(errno.EPIPE))
        self.assertEqual(self.checkpoints(), [])

    def test_closed_standard_output(self):
        result = self.sbhost(*self.arguments("--output", "-"), status=1, stdout=None, preexec_fn=lambda: os.close(1))
        self.assertSays(result, "standard output")
        for directory, _, files in os.walk(self.dir):
            for name in files:
                if name != "in.ndjson":
                    with open(os.path.join(directory, name), "rb") as file:
                        self.assertNotIn(b"total_purchases", file.read(), "records went into " + name)
        self.assertEqual(self.checkpoints(), [])
        self.check_whole()

    def test_all_descriptors_closed(self):
        def close_all():
            for fd in (0, 1, 2):
                os.close(fd)
        self.sbhost(*self.arguments("--output", "out"), stdin=None, stdout=None, preexec_fn=close_all)
        for directory, _, files in os.walk(self.dir):
            for name in files:
                with open(os.path.join(directory, name), "rb") as file:
                    self.assertNotIn(b"Starting sbhost", file.read(), "the log went into " + name)
        self.oracle.check_export(self.export())
        self.oracle.check_output(self.path("out"), ordered=True)

    def test_export_to_a_full_device_and_to_nobody(self):
        self.check_whole()
        with open("/dev/full", "wb") as full:
            self.assertSays(self.sbhost("state", "export", stdout=full, status=1), "standard output")
        reading, writing = os.pipe()
        os.close(reading)
        self.assertSays(self.sbhost("state", "export", stdout=writing, status=1), "standard output")
        os.close(writing)
        with open("/dev/full", "wb") as full:
            self.assertEqual(self.sbhost("--help", stdout=full, status=None).status, 1)

    def test_an_output_in_a_directory_that_is_not_there(self):
        result = self.sbhost(*self.arguments("--output", "nowhere/out"), status=3)
        self.assertSays(result, "nowhere/out")
        self.assertEqual(self.checkpoints(), [])

    def test_a_file_size_limit(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
        result = self.sbhost(*self.arguments("--output", "out"), status=1, preexec_fn=limit)
        self.assertSays(result, "out", os.strerror(errno.EFBIG))
        self.check_whole()


def mount_tmpfs(case, name, size):
    """Skips the test where that cannot be done, which takes root."""
    os.mkdir(case.path(name))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "sbhost-test", case.path(name)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        case.skipTest("a tmpfs cannot be mounted here: " + done.stderr.decode().strip())
    case.addCleanup(subprocess.run, ["umount", "-l", case.path(name)], check=False)


class FullDisk(harness.Case):
    """On a tmpfs of its own, which takes root to mount."""

    EVENTS = 20000

    def setUp(self):
        super().setUp()
        self.write("in.ndjson", numbered_events(0, self.EVENTS, users=8000))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")))
        mount_tmpfs(self, "small", "400k")

    def make_room(self):
        subprocess.run(["mount", "-o", "remount,size=64m", self.path("small")], check=True)

    def arguments(self, backend, *more):
        return ["--backend", backend, "--input", "in.ndjson", "--checkpoint-compression", "none", *more]

    def check_result(self, out, *where):
        self.oracle.check_export(self.export(*where))
        self.oracle.check_output(self.path(out), ordered=True)

    def test_under_the_output(self):
        for backend in harness.backends():
            with self.subTest(backend=backend):
                args = self.arguments(backend, "--output", "small/out")
                self.sbhost(*args, "--max-events", "1000", "--restore", "none")
                good = self.checkpoints()[-1]
                result = self.sbhost(*args, "--checkpoint-interval", "0", status=1)
                self.assertSays(result, "small/out", os.strerror(errno.ENOSPC))
                self.assertEqual(self.checkpoints()[-1], good)
                self.assertEqual(load_checkpoint(good)["Events"], 1000)
                self.make_room()
                self.sbhost(*args)
                self.check_result("small/out")
                subprocess.run(["truncate", "-s0", self.path("small/out")], check=True)
                subprocess.run(["mount", "-o", "remount,size=400k", self.path("small")], check=True)

    def test_under_the_checkpoints(self):
        args = self.arguments("memory", "--output", "out", "--checkpoint-dir", "small/checkpoints")
        where = ["--checkpoint-dir", "small/checkpoints"]
        self.sbhost(*args, "--max-events", "1000")
        good = self.checkpoints("small/checkpoints")[-1]
        result = self.sbhost(*args, "--checkpoint-interval", "5ms", "--max-failed-checkpoints", "2", status=1)
        self.assertIn("ERROR Checkpoint failed; the last good one still counts  failed_in_a_row=1", result.err)
        self.assertSays(result, os.strerror(errno.ENOSPC))
        left = os.listdir(self.path("small/checkpoints"))
        self.assertEqual([name for name in left if name.endswith(".tmp")], [])
        self.assertIn(os.path.basename(good), left, "the last good ones stay")
        newest = self.checkpoints("small/checkpoints")[-1]
        with open(newest, "rb") as file:
            said, computed = harness.digest_of(file.read())
        self.assertEqual(said, computed)
        self.make_room()
        self.assertIn("Successfully restored from checkpoint", self.sbhost(*args).err)
        self.check_result("out", *where)

    def test_under_the_state(self):
        if not harness.HAVE_ROCKSDB:
            self.skipTest(harness.NO_ROCKSDB)
        args = self.arguments("rocksdb", "--output", "out", "--state-dir", "small/state", "--cache-size", "0")
        result = self.sbhost(*args, "--backend-opt", "write_buffer_size=64KiB", "--checkpoint-interval", "0", status=None)
        self.assertEqual(result.status, 1, str(result))
        self.assertSays(result, os.strerror(errno.ENOSPC))
        self.make_room()
        self.sbhost(*args)
        self.check_result("out")


class ReadOnly(harness.Case):
    """A file system that can only be read, which takes root to mount: permissions do not stop root."""

    EVENTS = 2000

    def setUp(self):
        super().setUp()
        self.write("in.ndjson", numbered_events(0, self.EVENTS, users=300))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")))
        mount_tmpfs(self, "disk", "64m")

    def remount(self, how):
        subprocess.run(["mount", "-o", "remount," + how, self.path("disk")], check=True)

    def places(self, disk):
        """Where everything goes, what is named on the disk."""
        where = {"--output": "out", "--checkpoint-dir": "checkpoints", "--state-dir": "state"}
        return [word for option, name in where.items() for word in (option, "disk/" + name if option in disk else name)]

    def check_refusal(self, backend, option, name):
        args = ["--backend", backend, "--input", "in.ndjson", *self.places([option])]
        directory = "disk/checkpoints" if option == "--checkpoint-dir" else "checkpoints"
        self.sbhost(*args, "--max-events", "500", "--restore", "none")
        before = {path: self.read(path) for path in self.checkpoints(directory)}
        self.remount("ro")
        try:
            result = self.sbhost(*args, status=3)
        finally:
            self.remount("rw")
        self.assertSays(result, "disk/" + name, os.strerror(errno.EROFS))
        self.assertEqual({path: self.read(path) for path in self.checkpoints(directory)}, before)
        self.sbhost(*args)
        self.oracle.check_export(self.export("--checkpoint-dir", directory))
        self.oracle.check_output(self.path("disk/out" if option == "--output" else "out"), ordered=True)

    def test_each_place(self):
        for backend in ("memory", "rocksdb"):
            for option, name in (("--output", "out"), ("--checkpoint-dir", "checkpoints"), ("--state-dir", "state")):
                if backend not in harness.backends():
                    continue
                with self.subTest(backend=backend, place=name):
                    self.check_refusal(backend, option, name)
                for left in ("out", "disk/out"):
                    if os.path.exists(self.path(left)):
                        os.unlink(self.path(left))

    def test_checkpoints_can_be_looked_at(self):
        for backend in harness.backends():
            for mode in ("full", "incremental"):
                with self.subTest(backend=backend, mode=mode):
                    where = ["--checkpoint-dir", "disk/%s-%s" % (backend, mode)]
                    self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", "none", "--restore", "none",
                                "--checkpoint-mode", mode, *where)
                    self.remount("ro")
                    try:
                        self.oracle.check_export(self.export(*where))
                        for command in ("list", "verify", "inspect"):
                            self.sbhost("checkpoint", command, *where)
                    finally:
                        self.remount("rw")


if __name__ == "__main__":
    unittest.main(verbosity=2)
