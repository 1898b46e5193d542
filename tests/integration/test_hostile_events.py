"""Input that was made to harm: lines of a gigabyte, and what a terminal would obey in whatever a user or a plugin can name."""

import sys

sys.dont_write_bytecode = True

import json
import os
import re
import resource
import subprocess
import unittest

import harness

DATA_BYTES = 160 << 20
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
OBEY = "\x1b[2J\x1b]0;mine\x07\r\u009b2J\x7f"
PLUGINS = os.path.join(harness.BUILD, "tests", "plugins")


def bounded():
    if not os.environ.get("SBHOST_SANITIZE"):
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))


class Lines(harness.Case):
    GIGABYTE = 1 << 30

    def feed(self, process, before, after):
        piece = b"a" * (1 << 20)
        process.stdin.write(before)
        for _ in range(self.GIGABYTE // len(piece)):
            process.stdin.write(piece)
        process.stdin.write(after)
        process.stdin.close()

    def job(self, before, after, *more):
        """What comes through a pipe has no length that could be looked up."""
        args = [harness.SBHOST, "--backend", "memory", "--input", "-", "--output", "out", *more]
        with open(self.path("err"), "wb") as err, subprocess.Popen(
                args, cwd=self.dir, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=err, preexec_fn=bounded) as process:
            try:
                self.feed(process, before, after)
            except BrokenPipeError:
                pass  # it has seen enough
            status = process.wait(harness.PATIENCE_S)
        return status, self.read("err").decode()

    def test_a_line_of_a_gigabyte_is_a_bad_record_and_the_next_one_is_read(self):
        good = harness.events(("ada", 1, 1700000000)).encode()
        status, err = self.job(good + b'{"user_id":"', b'"}\n' + good)
        self.assertEqual(status, 0, err)
        letters = [json.loads(line) for line in self.read("dead-letters.ndjson").splitlines()]
        self.assertEqual([(letter["offset"], letter["reason"]) for letter in letters], [(len(good), "too-large")])
        self.assertLess(os.path.getsize(self.path("dead-letters.ndjson")), 4 << 20)
        self.assertEqual(self.read("out").count(b"\n"), 2)

    def test_or_ends_the_job_with_what_where_and_what_to_do(self):
        good = harness.events(("ada", 1, 1700000000)).encode()
        status, err = self.job(good + b'{"user_id":"', b'"}\n', "--on-error", "fail")
        self.assertEqual(status, 1, err)
        last = err.splitlines()[-1]
        for text in ("-:", "too-large", str(len(good)), "1 MiB", "--on-error"):
            self.assertIn(text, last)


class Terminal(harness.Case):
    def assertTame(self, result):
        self.assertIsNone(CONTROL.search(result.err.encode("utf-8", "surrogateescape")), result.err)
        self.assertIsNone(CONTROL.search(result.out), result.out)

    def test_option_values_and_names_of_files(self):
        self.write("in.ndjson", harness.numbered_events(0, 5))
        bad = "x" + OBEY
        for args in (["--backend", bad], ["--backend", "./" + bad + ".so"], ["--operator", bad], ["--backend-opt", bad + "=1"],
                     ["--backend-opt", "initial_capacity=" + bad], ["--input", bad], ["--input", "generator:" + bad],
                     ["--input", "in.ndjson", "--map", bad + "=1"],
                     ["--output", bad + "/no"], ["--checkpoint-interval", bad], ["--ttl", bad], ["--restore", bad],
                     ["--keep", bad], ["--format", bad], ["--delimiter", bad], ["--log-level", bad], ["--cache-size", bad],
                     ["--plugin-dir", bad, "--backend", "none"], ["--require-signed-manifest", bad]):
            for log_format in ("text", "json", "logfmt"):
                with self.subTest(args, log_format=log_format):
                    result = self.sbhost("--backend", "memory", "--log-format", log_format, *args, status=None)
                    self.assertIn(result.status, (2, 3, 4, 5), str(result))
                    self.assertTame(result)

    def test_directories_and_events(self):
        """What works is told in the log: names of directories and inputs, and keys."""
        name = "in" + OBEY + ".ndjson"
        with open(os.path.join(os.fsencode(self.dir), name.encode()), "w", encoding="utf-8") as out:
            out.write(json.dumps({"user_id": "eve" + OBEY, "amount": 1, "timestamp": 1700000000}) + "\n" + OBEY.replace("\r", "") + "\n")
        for log_format in ("text", "json", "logfmt"):
            result = self.sbhost("--backend", "memory", "--input", name, "--output", "out" + OBEY, "--dead-letter", "dead" + OBEY,
                                 "--state-dir", "state" + OBEY + log_format, "--checkpoint-dir", "checkpoints" + OBEY + log_format,
                                 "--operator-opt", "log_updates=true", "--log-level", "trace", "--log-format", log_format)
            self.assertTame(result)
            self.assertIn("eve", result.err)
            os.unlink(os.path.join(os.fsencode(self.dir), ("dead" + OBEY).encode()))

    def test_what_a_plugin_says_of_itself(self):
        plugin = os.path.join(PLUGINS, "libgood_hostile_texts.so")
        for args in ([], ["--json"]):
            result = self.sbhost("plugin", "info", plugin, *args, status=None)
            self.assertIn(result.status, (0, 4), str(result))
            self.assertTame(result)
        self.assertTame(self.sbhost("plugin", "check", plugin, "--filter", "iterator_bounds_are_half_open", status=None))
        self.assertTame(self.sbhost("plugin", "list", "--plugin-dir", PLUGINS, status=None))
        self.assertTame(self.sbhost("--backend", plugin, "--max-events", "1", status=None))


if __name__ == "__main__":
    unittest.main()
