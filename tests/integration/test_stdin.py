"""Standard input: a pipe is read once, a file that is redirected is rewound like one that is named."""

import sys

sys.dont_write_bytecode = True

import os
import subprocess
import unittest

import harness
from harness import numbered_events
from oracle import Oracle, read_ndjson


class StandardInput(harness.Case):
    ARGS = ["--backend", "memory", "--input", "-", "--output", "out"]

    def setUp(self):
        super().setUp()
        self.write("in.ndjson", numbered_events(0, 5000))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")))

    def check(self):
        self.oracle.check_export(self.export())
        self.oracle.check_output(self.path("out"), ordered=True)

    def pipe(self, content, *more):
        job = self.start(*self.ARGS, *more, stdin=subprocess.PIPE)
        job.process.stdin.write(content)
        job.process.stdin.close()
        done = job.wait()
        self.assertEqual(done.status, 0, str(done))
        return done

    def test_a_pipe(self):
        self.pipe(self.read("in.ndjson"))
        self.check()

    def test_a_pipe_that_goes_on_where_the_last_one_ended(self):
        lines = self.read("in.ndjson").splitlines(keepends=True)
        first = self.pipe(b"".join(lines[:2000]))
        self.assertNotIn("cannot be rewound", first.err)
        second = self.pipe(b"".join(lines[2000:]))
        self.assertRegex(second.err, r"(?m)^WARN  This input cannot be rewound: .*lost")
        self.assertEqual(self.newest()["Offsets"], {"0": len(self.read("in.ndjson"))})
        self.check()

    def test_a_slow_pipe_is_processed_as_it_comes(self):
        job = self.start("--backend", "memory", "--input", "-", "--output", "-", stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
        for line in self.read("in.ndjson").splitlines(keepends=True)[:3]:
            job.process.stdin.write(line)
            job.process.stdin.flush()
            self.assertTrue(job.process.stdout.readline().endswith(b"}\n"), "the answer comes before the next question")
        job.process.stdin.close()
        self.assertEqual(job.wait().status, 0)

    def redirect(self, name, *more, status=0):
        with open(self.path(name), "rb") as file:
            return self.sbhost(*self.ARGS, *more, stdin=file, status=status)

    def test_a_redirected_file_is_rewound(self):
        self.redirect("in.ndjson", "--max-events", "1234")
        self.assertEqual(self.newest()["Events"], 1234)
        again = self.redirect("in.ndjson")
        self.assertNotIn("cannot be rewound", again.err)
        self.check()

    def test_a_redirected_file_that_is_another_one_is_refused(self):
        self.redirect("in.ndjson", "--max-events", "1234")
        self.write("other.ndjson", numbered_events(7, 5000))
        self.assertSays(self.redirect("other.ndjson", status=3), "standard input", "--restore none")

    def test_a_redirected_file_is_read_from_where_it_stands(self):
        with open(self.path("in.ndjson"), "rb") as file:
            skipped = len(file.readline())
            os.lseek(file.fileno(), skipped, os.SEEK_SET)
            self.sbhost(*self.ARGS, stdin=file)
        self.assertEqual(len(self.read("out").splitlines()), 4999)

    def test_a_pipe_in_the_place_of_the_file_and_the_reverse(self):
        self.pipe(self.read("in.ndjson"))
        self.assertSays(self.redirect("in.ndjson", status=3), "standard input", "pipe")

    def test_a_pipe_with_a_csv_header(self):
        rows = b"".join(b"u%d,%d,17%08d\n" % (i % 5, i, i) for i in range(100))
        self.pipe(b"user_id,amount,timestamp\n" + rows, "--format", "csv")
        self.assertEqual(len(self.read("out").splitlines()), 100)
        self.assertFalse(os.path.exists(self.path("dead-letters.ndjson")))

    def test_nothing_at_all(self):
        done = self.pipe(b"")
        self.assertIn("Finished  events=0", done.err)
        self.assertEqual(self.read("out"), b"")


if __name__ == "__main__":
    unittest.main(verbosity=2)
