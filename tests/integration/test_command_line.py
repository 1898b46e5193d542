"""Mistakes on the command line: the exit status says of which sort, and one sentence which option and what to do."""

import sys

sys.dont_write_bytecode = True

import json
import os
import shutil
import unittest

import harness

BAD_VALUES = [
    ("--format", "xml"), ("--delimiter", "ab"), ("--delimiter", ""), ("--delimiter", '"'), ("--on-error", "ignore"),
    ("--checkpoint-interval", "soon"), ("--checkpoint-interval", "-1s"), ("--checkpoint-interval", "30"),
    ("--checkpoint-compression", "gzip"), ("--max-failed-checkpoints", "-1"), ("--keep", "0"), ("--keep", "many"),
    ("--keep", "1.5"), ("--ttl", "forever"), ("--ttl", "99999999999999999999d"), ("--ttl-clock", "moon"),
    ("--parallelism", "0"), ("--parallelism", "129"), ("--parallelism", "two"), ("--cache-size", "big"),
    ("--cache-size", "-1"), ("--max-events", "0"), ("--max-events", "99999999999999999999"), ("--log-level", "loud"),
    ("--log-format", "xml"), ("--progress", "maybe"), ("--metrics-every", "x"),
    ("--restore-verify", "perhaps"), ("--sandbox", "global"), ("--ttl", "10000000d"), ("--cache-size", "2048TiB"),
]


class CommandLine(harness.Case):
    def refused(self, status, texts, *args):
        result = self.sbhost(*args, status=status)
        self.assertSays(result, *texts)
        self.assertEqual(result.out, b"")
        self.assertEqual(result.err.count("\n"), 1, "one sentence: " + result.err)
        self.assertEqual(os.listdir(self.dir), self.before, "nothing is made before the command line is understood")

    def setUp(self):
        super().setUp()
        self.write("in.ndjson", harness.numbered_events(0, 3))
        self.before = os.listdir(self.dir)

    def test_bad_values_name_their_option(self):
        for option, value in BAD_VALUES:
            with self.subTest(option=option, value=value):
                self.refused(3, [option, value], "--backend", "memory", "%s=%s" % (option, value))

    def test_bad_generators(self):
        for text in ("users=0", "rate=-1", "rate=nan", "seed=x", "count=-1", "colour=red", "users"):
            with self.subTest(text=text):
                self.refused(3, ["generator"], "--backend", "memory", "--input", "generator:" + text)

    def test_unknown_options_and_commands_are_usage_errors(self):
        for args in (["--frobnicate"], ["--backend"], ["run", "--frobnicate"], ["run", "stray"], ["--backend", "memory", "stray"],
                     ["frobnicate"], ["plugin"], ["plugin", "frobnicate"], ["plugin", "info"], ["plugin", "list", "stray"],
                     ["state"], ["state", "frobnicate"], ["state", "export", "--frobnicate"]):
            with self.subTest(args=args):
                result = self.sbhost(*args, status=2)
                self.assertEqual(result.out, b"")
                self.assertIn("--help", result.err)
                self.assertIn("sbhost", result.err)

    def test_an_unknown_command_names_the_nearest(self):
        self.assertIn("did you mean 'state'?", self.sbhost("stat", status=2).err)

    def test_help_and_version(self):
        for args in (["--help"], ["help"], ["run", "--help"], ["plugin", "--help"], ["state", "--help"]):
            with self.subTest(args=args):
                result = self.sbhost(*args)
                self.assertIn(b"Usage: ", result.out)
                self.assertEqual(result.err, "")
        self.assertRegex(self.sbhost("--version").out, rb"^sbhost \d+\.\d+\.\d+\n$")

    def test_run_help_names_every_option_of_the_design(self):
        text = self.sbhost("run", "--help").out.decode()
        for option in ("backend", "backend-opt", "operator", "operator-opt", "input", "format", "map", "output",
                       "dead-letter", "on-error", "state-dir", "checkpoint-dir", "checkpoint-interval", "keep", "restore",
                       "allow-fresh-start", "ttl", "ttl-clock", "parallelism", "cache-size", "max-events", "log-level",
                       "log-format"):
            self.assertRegex(text, r"--%s\b" % option)

    def test_bad_maps(self):
        for text, hint in (("nobody=x", "user_id, amount, timestamp"), ("user_id", "FIELD=COLUMN"),
                           ("timestamp=t:stardate", "time format")):
            with self.subTest(map=text):
                self.assertSays(self.sbhost("--backend", "memory", "--input", "in.ndjson", "--map", text, status=3),
                                "--map " + text, hint)

    def test_a_csv_header_that_lacks_a_column(self):
        self.write("in.csv", "user_id,amount\nu,1\n")
        self.assertSays(self.sbhost("--backend", "memory", "--format", "csv", "--input", "in.csv", status=3), "in.csv",
                        "timestamp")

    def test_inputs_that_cannot_be_read(self):
        os.mkdir(self.path("directory"))
        for name in ("missing.ndjson", "directory"):
            self.assertSays(self.sbhost("--backend", "memory", "--input", name, status=3), name)
        self.assertSays(self.sbhost("--backend", "memory", "--input", "in.ndjson", "--input", "in.ndjson", status=3),
                        "in.ndjson", "twice")
        self.write("empty.csv", "")
        self.assertSays(self.sbhost("--backend", "memory", "--format", "csv", "--input", "empty.csv", status=3), "empty.csv")

    def test_unknown_plugin_options_name_the_nearest(self):
        self.assertSays(self.sbhost("--backend", "memory", "--backend-opt", "memory_limt=1", status=3), "memory_limt",
                        "memory_limit")
        self.assertSays(self.sbhost("--backend", "memory", "--operator-opt", "premium_abov=1", status=3), "premium_abov",
                        "premium_above")
        if harness.HAVE_ROCKSDB:
            self.assertSays(self.sbhost("--backend-opt", "write_bufer_size=1MiB", status=3), "write_bufer_size",
                            "write_buffer_size")

    def test_bad_values_of_plugin_options(self):
        for args in (["--backend-opt", "memory_limit=much"], ["--backend-opt", "huge_pages=perhaps"],
                     ["--backend-opt", "initial_capacity=-1"], ["--operator-opt", "premium_above=-1"],
                     ["--operator-opt", "premium_above=nan"], ["--operator-opt", "premium_above"]):
            with self.subTest(args=args):
                self.assertSays(self.sbhost("--backend", "memory", *args, status=3), args[1].split("=")[0])
        self.assertSays(self.sbhost("--backend", "memory", "--operator-opt", "vip_above=1", status=3), "vip_above",
                        "premium_above")

    def test_plugins_that_are_refused(self):
        self.write("text.so", "this is no plugin\n" * 100)
        self.write("empty.so", "")
        memory = os.path.join(harness.BUILD, "plugins", "libmemory_backend.so")
        with open(memory, "rb") as file:
            self.write("cut.so", file.read()[:5000])
        shutil.copyfile(memory, self.path("writable.so"))
        for name in ("text.so", "empty.so", "cut.so"):
            os.chmod(self.path(name), 0o700)
        os.chmod(self.path("writable.so"), 0o777)
        before = os.listdir(self.dir)
        for name, hint in (("./text.so", "not a shared object"), ("./empty.so", "empty"), ("./cut.so", "truncated"),
                           ("./writable.so", "chmod"), ("./missing.so", "no plugin file"), ("./", "directory"),
                           ("/bin/true", "-shared"), ("memry", "memory"), (memory.replace("memory_backend",
                                                                                          "example_processor"), "no backend")):
            for option in (["--backend", name], ["plugin", "info", name]):
                if option[0] == "plugin" and name.endswith("example_processor.so"):
                    continue
                with self.subTest(option=option):
                    self.assertSays(self.sbhost(*option, status=4), hint)
        self.assertSays(self.sbhost("--backend", "memory", "--operator", "nobody", status=4), "nobody")
        self.assertEqual(os.listdir(self.dir), before)

    def test_a_plugin_named_by_its_path(self):
        path = os.path.join(harness.BUILD, "plugins", "libmemory_backend.so")
        self.sbhost("--backend", path, "--max-events", "1")
        os.symlink(path, self.path("link.so"))
        self.sbhost("--backend", "./link.so", "--max-events", "1")
        self.sbhost("--backend", "plugins/libmemory_backend.so", "--max-events", "1", "--state-dir", self.path("s"),
                    "--checkpoint-dir", self.path("c"), "--dead-letter", self.path("d"), cwd=harness.BUILD)

    def test_plugin_info(self):
        names = ["memory", "example-processor"] + (["rocksdb"] if harness.HAVE_ROCKSDB else [])
        for name in names:
            described = json.loads(self.sbhost("plugin", "info", name, "--json").out)
            self.assertEqual((described["abi_major"], described["components"][0]["id"]), (1, name))
            text = self.sbhost("plugin", "info", name).out.decode()
            for option in described["components"][0]["options"]:
                self.assertIn(option["name"], text)
        operator = json.loads(self.sbhost("plugin", "info", "example-processor", "--json").out)["components"][0]
        self.assertEqual(operator["kind"], "operator")
        self.assertEqual([field["name"] for field in operator["inputs"]], ["user_id", "amount", "timestamp"])
        self.assertEqual([field["name"] for field in operator["outputs"]],
                         ["user_id", "total_purchases", "total_spent", "last_purchase", "category"])

    def test_plugin_list(self):
        listed = {entry["name"]: entry for entry in json.loads(self.sbhost("plugin", "list", "--json").out)}
        wanted = {"memory-backend", "example-processor"} | ({"rocksdb-backend"} if harness.HAVE_ROCKSDB else set())
        self.assertLessEqual(wanted, set(listed))
        text = self.sbhost("plugin", "list").out.decode()
        for name in wanted:
            self.assertEqual(listed[name]["status"], "ok")
            self.assertRegex(text, r"(?m)^%s +\S+ +1\.\d+ +\S+\.so +ok$" % name)
        os.mkdir(self.path("none"))
        self.assertEqual(json.loads(self.sbhost("plugin", "list", "--json", "--plugin-dir", "none").out), [])
        self.assertSays(self.sbhost("plugin", "list", "--plugin-dir", "missing", status=3), "missing")

    @harness.needs_rocksdb
    def test_presets(self):
        for preset in ("balanced", "low-latency", "high-throughput", "large-state"):
            self.sbhost("--backend-opt", "preset=" + preset, "--input", "in.ndjson", "--output", "out", "--restore", "none")
            self.assertEqual(len(self.read("out").splitlines()), 3)
        self.assertSays(self.sbhost("--backend-opt", "preset=fastest", "--input", "in.ndjson", status=3), "preset",
                        "balanced")

    def test_export_without_checkpoints(self):
        self.assertSays(self.sbhost("state", "export", status=3), "./checkpoints")
        os.mkdir(self.path("checkpoints"))
        self.assertSays(self.sbhost("state", "export", status=5), "./checkpoints")
        self.assertSays(self.sbhost("state", "export", "--checkpoint", "checkpoint-1", status=5), "checkpoint-1")
        self.assertEqual(os.listdir(self.path("checkpoints")), [], "a tool only looks")


if __name__ == "__main__":
    unittest.main(verbosity=2)
