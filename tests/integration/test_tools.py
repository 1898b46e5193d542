"""What "checkpoint list", "inspect" and "verify" and "state …" say about checkpoints whose content is known, what they refuse, and that
they need little memory and no plugin."""

import sys

sys.dont_write_bytecode = True

import json
import os
import pty
import re
import resource
import select
import shutil
import subprocess
import unittest

import harness
from harness import SBHOST, backends, events, load_checkpoint, note, sign
from tools_case import START_MS, HOUR_MS, COUNTING, NO_COUNTING, SANITIZED, CONTROL, HOSTILE_PRINTED, Tools, full_mode


class List(Tools):
    def test_rows_and_objects_agree_with_the_files(self):
        for backend in backends():
            with self.subTest(backend=backend):
                ids = self.take_anew(backend)
                listed = self.json("checkpoint", "list")
                self.assertEqual([one["id"] for one in listed], ids[::-1])
                rows = self.text("checkpoint", "list").splitlines()
                self.assertEqual(rows[0].split(), ["ID", "AGE", "KIND", "PARENT", "SIZE", "ENTRIES", "EVENTS", "OFFSETS",
                                                   "CHECK"])
                for one, row in zip(listed, rows[1:]):
                    path = self.path("checkpoints", one["id"] + ".json")
                    file = load_checkpoint(path)
                    self.assertEqual((one["entries"], one["events"], one["offsets"], one["parent"], one["kind"]),
                                     (None if one["shared_files"] else file["Entries"], file["Events"], file["Offsets"], file["Parent"], file["Kind"]))
                    self.assertEqual((one["file_bytes"], one["timestamp"], one["valid"], one["problem"], one["check"]),
                                     (os.path.getsize(path), file["Timestamp"], True, None, "form"))
                    self.assertEqual(one["age_ms"], 0)
                    for cell in (one["id"], "0s", file["Kind"], str(file["Events"]), "0:%d" % file["Offsets"]["0"], "form ok"):
                        self.assertIn(cell, row)

    def test_age(self):
        self.take()
        for seconds, text in ((119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d"), (-5, "0s")):
            self.write("clock", str(START_MS + HOUR_MS + seconds * 1000))
            self.assertIn(" %s " % text, self.text("checkpoint", "list"))
            self.assertEqual(self.json("checkpoint", "list")[0]["age_ms"], seconds * 1000)

    def test_damage_is_told_and_verify_finds_more_of_it(self):
        ids = self.take()
        self.damage(ids[0])
        with open(self.path("checkpoints", ids[1] + ".json"), "r+b") as file:
            file.truncate(1000)
        form = {one["id"]: one for one in self.json("checkpoint", "list")}
        self.assertTrue(form[ids[2]]["valid"])
        self.assertFalse(form[ids[1]]["valid"])
        self.assertIn("damaged", form[ids[1]]["problem"])
        full = {one["id"]: one for one in self.json("checkpoint", "list", "--verify")}
        self.assertEqual([full[one]["valid"] for one in ids], [False, False, True])
        self.assertIn("digest", full[ids[0]]["problem"])
        rows = self.text("checkpoint", "list", "--verify").splitlines()
        self.assertTrue(rows[1].endswith("  ok"))
        self.assertIn("damaged", rows[2])
        self.assertIn("damaged", rows[3])
        self.assertEqual(self.ids(), ids, "a tool only looks")

    def test_a_newer_format(self):
        ids = self.take()
        path = self.path("checkpoints", ids[2] + ".json")
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(sign(re.sub(rb'"FormatVersion":\d+', b'"FormatVersion":99', content)))
        self.assertIn("format version 99", self.json("checkpoint", "list")[0]["problem"])
        self.assertIn("format version 99", self.text("checkpoint", "verify", status=5))

    def test_many_inputs_are_cut_short_in_text_only(self):
        for i in range(6):
            self.write("in-%d" % i, events(("u", "1.5", 1700000000 + i)))
        self.sbhost("--backend", "memory", *[arg for i in range(6) for arg in ("--input", "in-%d" % i)])
        self.assertIn("(6)", self.text("checkpoint", "list"))
        self.assertEqual(len(self.json("checkpoint", "list")[0]["offsets"]), 6)

    def test_nothing_there(self):
        self.assertSays(self.sbhost("checkpoint", "list", status=3), "./checkpoints")
        os.mkdir(self.path("checkpoints"))
        self.assertEqual(self.json("checkpoint", "list"), [])
        self.assertIn("no checkpoint in ./checkpoints", self.sbhost("checkpoint", "list").err)
        self.assertEqual(os.listdir(self.path("checkpoints")), [])


class Inspect(Tools):
    def test_census_against_the_oracle(self):
        for backend in backends():
            with self.subTest(backend=backend):
                ids = self.take_anew(backend, "--parallelism", "2")
                for checkpoint, cut in zip(ids, self.CUTS):
                    self.check(checkpoint, self.oracle(cut), backend)
                self.assertEqual(self.json("checkpoint", "inspect"), self.json("checkpoint", "inspect", ids[-1]))
                self.assertEqual(self.json("checkpoint", "inspect", "latest")["id"], ids[-1])

    def check(self, checkpoint, oracle, backend):
        seen = self.json("checkpoint", "inspect", checkpoint, "--samples", "4")
        file = load_checkpoint(self.path("checkpoints", checkpoint + ".json"))
        self.assertEqual((seen["id"], seen["events"], seen["offsets"], seen["backend"], seen["tasks"], seen["cut_ms"]),
                         (checkpoint, file["Events"], file["Offsets"], backend, 2, file["CutMs"]))
        if file["Kind"] == "full":
            self.assertEqual(seen["state_digest"], file["StateDigest"])
        count = len(oracle.profiles)
        key_bytes = sum(len(user.encode()) for user in oracle.profiles)
        self.assertEqual(seen["states"], [{"name": "profile", "entries": count, "key_bytes": key_bytes,
                                           "value_bytes": 40 * count}])
        self.assertEqual((seen["entries"], seen["key_bytes"]), (count, key_bytes))
        self.assertEqual((len(seen["key_group_entries"]), sum(seen["key_group_entries"])), (seen["key_groups"], count))
        self.assertEqual(sum(part["entries"] for part in seen["snapshots"]), count)
        self.assertEqual(len(seen["samples"]), 4)
        exported = [json.loads(line) for line in self.export("--checkpoint", checkpoint)]
        for sample in seen["samples"]:
            self.assertIn(sample, exported)
        self.assertEqual([field["name"] for field in seen["schema"][0]["fields"]][0], "total_purchases")
        self.assertEqual(seen["partitions"][0]["name"], "in.ndjson")
        self.assertIn({"role": "output", "path": "out", "length": file["Outputs"][-1]["Length"]}, seen["outputs"])

    def test_text(self):
        ids = self.take()
        text = self.text("checkpoint", "inspect", "--samples", "2")
        for part in (ids[-1], "example-processor 1.", "memory 1.", "in.ndjson", "total_purchases", "f64",
                     self.json("checkpoint", "inspect")["state_digest"], "128 key groups", "%d" % self.newest()["Offsets"]["0"]):
            self.assertIn(part, text)
        self.assertEqual(len(re.findall(r"(?m)^  profile +\S+ +2023-", text)), 2)
        grid = [int(n) for line in re.findall(r"(?m)^ +\d+:((?: +\d+)+)$", text) for n in line.split()]
        self.assertEqual(grid, self.json("checkpoint", "inspect")["key_group_entries"])
        self.assertNotIn("samples\n", self.text("checkpoint", "inspect", "--samples", "0"))

    def test_a_damaged_one_and_the_next_older(self):
        ids = self.take()
        self.damage(ids[-1])
        result = self.sbhost("checkpoint", "inspect", "--json")
        self.assertEqual(json.loads(result.out)["id"], ids[-2])
        self.assertIn("Damaged checkpoint passed over", result.err)
        self.assertSays(self.sbhost("checkpoint", "inspect", ids[-1], status=5), ids[-1], "damaged")
        self.assertSays(self.sbhost("checkpoint", "inspect", "checkpoint-1", status=5), "checkpoint-1")
        self.assertEqual(self.ids(), ids)

    @unittest.skipUnless(os.path.exists(COUNTING), NO_COUNTING)
    def test_raw_states_and_what_an_operator_keeps_itself(self):
        self.count()
        seen = self.json("checkpoint", "inspect")
        self.assertEqual({state["name"]: state["entries"] for state in seen["states"]}, {"counter": 2, "seen": 5})
        self.assertEqual([part["name"] for part in seen["providers"]], ["operator-0"])
        text = self.text("checkpoint", "inspect")
        self.assertIn("SUB_KEY", text)
        self.assertIn("operator-0: ", text)

    def count(self):
        self.write("counts.ndjson", "".join('{"key":%s,"value":%d,"time":%d}\n' % (json.dumps(key), value, 1700000000 + i)
                                            for i, (key, value) in enumerate(
                                                [("a", 1), ("a", 2), ("a", 1), ("b\0c", 1), ("b\0c", 5), ("b\0c", 6)])))
        self.sbhost("--backend", "memory", "--operator", COUNTING, "--input", "counts.ndjson", "--output", "none")


class Verify(Tools):
    def test_one_line_each_and_a_status(self):
        ids = self.take()
        self.assertRegex(self.text("checkpoint", "verify"), r"^%s  ok  \S+ \w+\n$" % ids[-1])
        self.assertEqual([line.split()[:2] for line in self.text("checkpoint", "verify", "--all").splitlines()],
                         [[one, "ok"] for one in ids[::-1]])
        self.damage(ids[1])
        lines = self.json_lines("checkpoint", "verify", "--all", status=5)
        self.assertEqual([line["valid"] for line in lines], [True, False, True])
        self.assertIn("digest", lines[1]["problem"])
        self.assertRegex(self.text("checkpoint", "verify", ids[1], status=5), r"^%s  .*damaged.*\n$" % ids[1])
        self.text("checkpoint", "verify", ids[0])
        self.text("checkpoint", "verify", "latest")
        self.assertEqual(self.ids(), ids, "nothing is set aside")

    def test_the_newest_is_the_newest_not_the_newest_good_one(self):
        ids = self.take()
        self.damage(ids[-1])
        self.assertIn(ids[-1], self.text("checkpoint", "verify", status=5))

    def test_every_part_of_the_file(self):
        ids = self.take()
        path = self.path("checkpoints", ids[-1] + ".json")
        with open(path, "rb") as file:
            good = file.read()
        for offset in range(0, len(good), max(1, len(good) // 60)):
            bad = bytearray(good)
            bad[offset] ^= 1
            with open(path, "wb") as file:
                file.write(bad)
            self.text("checkpoint", "verify", ids[-1], status=5)
        for length in (0, 1, len(good) // 2, len(good) - 1):
            with open(path, "wb") as file:
                file.write(good[:length])
            self.text("checkpoint", "verify", status=5)

    def test_a_checkpoint_under_another_name(self):
        ids = self.take()
        shutil.copyfile(self.path("checkpoints", ids[0] + ".json"), self.path("checkpoints", "checkpoint-5.json"))
        self.assertIn("it holds " + ids[0], self.text("checkpoint", "verify", "checkpoint-5", status=5))

    def test_nothing_there(self):
        os.mkdir(self.path("checkpoints"))
        self.assertSays(self.sbhost("checkpoint", "verify", status=5), "no checkpoint")
        self.assertSays(self.sbhost("checkpoint", "verify", "--all", status=5), "no checkpoint")
        self.assertSays(self.sbhost("checkpoint", "verify", "checkpoint-7", status=5), "checkpoint-7")


class State(Tools):
    def test_get(self):
        for backend in backends():
            with self.subTest(backend=backend):
                ids = self.take_anew(backend)
                exported = {json.loads(line)["key"]: line for line in self.export()}
                self.assertIn(HOSTILE_PRINTED, exported)
                for key in list(exported)[:5] + [HOSTILE_PRINTED]:
                    self.assertEqual(self.text("state", "get", key, "--json"), exported[key] + "\n")
                    cells = self.text("state", "get", key).rstrip("\n").split("\t")
                    entry = json.loads(exported[key])
                    self.assertEqual(cells[:2], ["profile", key])
                    self.assertEqual(json.loads(cells[3]), entry["value"])
                first = json.loads(self.text("state", "get", "user-7", "--json", "--checkpoint", ids[0]))
                self.assertEqual(first["value"]["total_purchases"], self.oracle(self.CUTS[0]).profiles["user-7"].purchases)

    def test_what_is_not_there(self):
        self.take()
        result = self.sbhost("state", "get", "nobody", status=1)
        self.assertSays(result, "nobody")
        self.assertEqual(result.out, b"")
        self.sbhost("state", "get", "user", status=1)
        self.sbhost("state", "get", "", status=1)
        self.assertSays(self.sbhost("state", "get", "user-1", "--state", "profil", status=3), "profile?")
        for key in (r"a\q", r"a\x1", "a\\", r"\xg0"):
            self.assertSays(self.sbhost("state", "get", key, status=3), "backslash")

    def test_scan(self):
        self.take()
        exported = self.export()
        self.assertEqual(self.text("state", "scan", "--json").splitlines(), exported)
        self.assertEqual(self.text("state", "export", "--json").splitlines(), exported)
        self.assertEqual(self.text("state", "scan", "--json", "--limit", "3").splitlines(), exported[:3])
        for prefix, wanted in (("user-1", "user-1"), (r"a\x1b", r"a\x1b"), ("", ""), ("zzz", "zzz"), (r"\x61", "a")):
            self.assertEqual(self.text("state", "scan", "--json", "--prefix", prefix).splitlines(),
                             [line for line in exported if json.loads(line)["key"].startswith(wanted)])
        rows = [line.split("\t") for line in self.text("state", "scan").splitlines()]
        self.assertEqual([row[1] for row in rows], [json.loads(line)["key"] for line in exported])
        self.assertEqual({len(row) for row in rows}, {4})

    @unittest.skipUnless(os.path.exists(COUNTING), NO_COUNTING)
    def test_raw_states(self):
        Inspect.count(self)
        entries = self.json_lines("state", "get", r"b\x00c")
        self.assertEqual([entry["state"] for entry in entries].count("counter"), 1)
        self.assertEqual(sorted(entry["sub_key"] for entry in entries if entry["state"] == "seen"), ["1", "5", "6"])
        self.assertEqual(len(self.json_lines("state", "get", r"b\x00c", "--state", "seen")), 3)
        self.assertEqual(len(self.json_lines("state", "scan", "--prefix", r"b\x00")), 4)
        self.sbhost("state", "get", "b", status=1)
        rows = [line.split("\t") for line in self.text("state", "scan").splitlines()]
        self.assertEqual(len(rows), 7)
        self.assertEqual({len(row) for row in rows}, {5})

    @unittest.skipUnless(shutil.which("jq"), "Skipping jq test (not available): install jq")
    def test_jq_reads_what_is_printed(self):
        ids = self.take()
        for args in (["state", "export"], ["state", "scan", "--json"], ["checkpoint", "list", "--json"],
                     ["checkpoint", "inspect", "--json"], ["checkpoint", "verify", "--all", "--json"],
                     ["checkpoint", "diff", ids[0], ids[2], "--json"], ["checkpoint", "prune", "--dry-run", "--json"],
                     ["plugin", "list", "--json"]):
            out = self.text(*args)
            done = subprocess.run(["jq", "-c", "."], input=out.encode(), stdout=subprocess.PIPE, check=True)
            self.assertTrue(done.stdout)


class Terminal(Tools):
    def on_terminal(self, *args):
        """(what was written to standard output's terminal, to standard error's, status)"""
        try:
            sides = [pty.openpty() for _ in range(2)]
        except OSError as error:
            self.skipTest("Skipping a test at a terminal (not available): %s" % error)
        process = subprocess.Popen([SBHOST, *args], cwd=self.dir, env=self._env(self.clock), stdin=subprocess.DEVNULL,
                                   stdout=sides[0][1], stderr=sides[1][1])
        seen = [b"", b""]
        for _, slave in sides:
            os.close(slave)
        waiting = {sides[0][0]: 0, sides[1][0]: 1}
        while waiting:
            for fd in select.select(list(waiting), [], [], harness.PATIENCE_S)[0]:
                try:
                    piece = os.read(fd, 65536)
                except OSError:  # the other side is closed
                    piece = b""
                if piece:
                    seen[waiting[fd]] += piece
                else:
                    del waiting[fd]
                    os.close(fd)
        return seen[0].replace(b"\r\n", b"\n"), seen[1].replace(b"\r\n", b"\n"), process.wait(harness.PATIENCE_S)

    def test_nothing_reaches_it_raw(self):
        os.rename(self.path("in.ndjson"), self.path("in\x1b[2J\x07.ndjson"))
        self.sbhost("--backend", "memory", "--input", "in\x1b[2J\x07.ndjson", "--output", "out\x1bc", "--max-events", "30")
        self.sbhost("--backend", "memory", "--input", "in\x1b[2J\x07.ndjson", "--output", "out\x1bc", "--max-events", "30")
        ids = self.ids()
        for args in (["state", "scan"], ["state", "get", HOSTILE_PRINTED], ["state", "export"], ["checkpoint", "inspect"],
                     ["checkpoint", "inspect", "--json", "--samples", "99"], ["checkpoint", "list"],
                     ["checkpoint", "diff", *ids], ["checkpoint", "diff", *ids, "--json"], ["checkpoint", "verify"],
                     ["checkpoint", "\x1b[2J"], ["checkpoint", "inspect", "\x1b[2J"], ["state", "get", "\x1b\u009b"],
                     ["state", "scan", "--state", "\x07"], ["checkpoint", "list", "--\x1b"], ["\x1b"],
                     ["checkpoint", "import", "\x1b]0;x"], ["plugin", "info", "\x1b[2J"]):
            with self.subTest(args=args):
                out, err, _ = self.on_terminal(*args)
                self.assertIsNone(CONTROL.search(out), out)
                self.assertIsNone(CONTROL.search(err.replace(b"\r\x1b[K", b"")), err)

    def test_tables_have_headings_and_progress_is_wiped_off(self):
        self.take()
        out, err, status = self.on_terminal("state", "scan")
        rows = out.decode().splitlines()
        self.assertEqual((status, rows[0].split()), (0, ["STATE", "KEY", "EXPIRES", "VALUE"]))
        self.assertEqual(len({row.index("{") for row in rows[1:]}), 1, "aligned")
        self.assertTrue(err.startswith(b"\r\x1b[Kchecking the digest"), err)
        self.assertTrue(err.endswith(b"\r\x1b[K"), err)
        self.assertEqual(self.sbhost("state", "scan").err, "", "none elsewhere")


class Mistakes(Tools):
    def test_one_sentence_and_a_status(self):
        self.take()
        for args, status, texts in (
                (["checkpoint"], 2, ["which command"]),
                (["checkpoint", "lst"], 2, ["did you mean list?"]),
                (["checkpoint", "inspct"], 2, ["did you mean inspect?"]),
                (["state", "exprt"], 2, ["did you mean export?"]),
                (["plugin", "inf"], 2, ["did you mean info?"]),
                (["checkpont"], 2, ["did you mean 'checkpoint'?"]),
                (["checkpoint", "xyzzy"], 2, ["no command xyzzy"]),
                (["checkpoint", "list", "--jsn"], 2, ["did you mean --json?"]),
                (["checkpoint", "list", "--json=yes"], 2, ["takes no value"]),
                (["checkpoint", "list", "--keep", "3"], 2, ["no option --keep"]),
                (["checkpoint", "list", "stray"], 2, ["stray"]),
                (["checkpoint", "list", "-j"], 2, ["-j"]),
                (["checkpoint", "verify", "--all", "latest"], 2, ["not both"]),
                (["checkpoint", "diff", "latest"], 2, ["A B"]),
                (["checkpoint", "diff", "a", "b", "c"], 2, ["unexpected word c"]),
                (["checkpoint", "export", "latest"], 2, ["FILE"]),
                (["checkpoint", "import"], 2, ["FILE"]),
                (["checkpoint", "prune", "--keep"], 2, ["lacks its value"]),
                (["checkpoint", "prune", "--keep", "0"], 3, ["--keep 0"]),
                (["checkpoint", "prune", "--keep", "all"], 3, ["--keep all"]),
                (["checkpoint", "inspect", "--samples", "-1"], 3, ["--samples -1"]),
                (["checkpoint", "prune", "--keep", "4294967296"], 3, ["--keep 4294967296"]),
                (["checkpoint", "diff", "a", "b", "--memory", "1"], 3, ["--memory 1"]),
                (["checkpoint", "diff", "a", "b", "--memory", "much"], 3, ["--memory much"]),
                (["checkpoint", "diff", "a", "b", "--memory", "2TiB"], 3, ["--memory 2TiB"]),
                (["plugin", "check", "memory", "--timeout", "soon"], 3, ["--timeout soon"]),
                (["plugin", "check", "memory", "--seed", "-1"], 3, ["--seed -1"]),
                (["plugin", "check", "memory", *["--opt", "a=b"] * 33], 2, ["too many --opt"]),
                (["checkpoint", "export", "latest", "x", "--compression", "gzip"], 3, ["gzip"]),
                (["checkpoint", "inspect", "yesterday"], 5, ["yesterday", "checkpoint id"]),
                (["checkpoint", "list", "--checkpoint-dir", "none"], 3, ["none"]),
                (["state", "get"], 2, ["KEY"]),
                (["state", "scan", "--limit", "0"], 3, ["--limit 0"]),
                (["state", "scan", "--state"], 2, ["lacks its value"]),
                (["state", "scan", "--p"], 2, ["several"]),
                (["plugin", "info"], 2, ["FILE"]),
                (["run", "--bakend", "x"], 2, ["did you mean --backend?"]),
                (["--imput", "x"], 2, ["did you mean --input?"]),
                (["run", "stray"], 2, ["stray", "--input"])):
            with self.subTest(args=args):
                result = self.sbhost(*args, status=status)
                self.assertSays(result, *texts)
                self.assertEqual(result.err.count("\n"), 1, result.err)
                self.assertEqual(result.out, b"")

    def test_help(self):
        for group, commands in (("checkpoint", ["list", "inspect", "verify", "diff", "export", "import", "prune"]),
                                ("state", ["get", "scan", "export"]), ("plugin", ["info", "list"])):
            text = self.text(group, "--help")
            for command in commands:
                self.assertRegex(text, r"(?m)^  %s\b" % command)
                own = self.text(group, command, "--help")
                self.assertIn("Usage: sbhost %s %s" % (group, command), own)
                self.assertIn("--json", own)

    def test_cut_options_and_words_behind_dashes(self):
        self.take()
        self.assertEqual(self.text("checkpoint", "list", "--js"), self.text("checkpoint", "list", "--json"))
        self.assertSays(self.sbhost("state", "get", "--", "--json", status=1), "--json")

    def test_output_that_cannot_be_written(self):
        self.take()
        with open("/dev/full", "wb") as full:
            for args in (["state", "export"], ["checkpoint", "list"], ["checkpoint", "inspect"], ["checkpoint", "verify"],
                         ["checkpoint", "diff", "latest", "latest"], ["checkpoint", "prune"], ["checkpoint", "--help"]):
                with self.subTest(args=args):
                    self.assertSays(self.sbhost(*args, stdout=full, status=1), "standard output")


class Size(harness.Case):
    """A state of 60 MB under an address space of 32 MiB: nothing can have been held."""

    KEYS = 200000
    LIMIT = 32 << 20

    def limited(self, *args, out, status=0):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (self.LIMIT, self.LIMIT))

        with open(self.path(out), "wb") as file:
            self.sbhost(*args, stdout=file, preexec_fn=limit, status=status)

    @unittest.skipIf(SANITIZED, "sanitizers need terabytes of address space")
    @unittest.skipIf(os.environ.get("SBHOST_COVERAGE") == "1", "Skipping a limit on memory (not with coverage): it shows nothing more there, and takes a minute")
    def test_bounded_memory(self):
        with open(self.path("in.ndjson"), "w", encoding="ascii") as file:
            for i in range(self.KEYS):
                file.write('{"user_id":"%s%06d","amount":1.5,"timestamp":%d}\n' % ("k" * 250, i, 1700000000 + i))
        for more in (self.KEYS - 1000, 1000):
            self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "none", "--max-events", str(more),
                        "--ttl", "0", *full_mode())
        ids = [os.path.basename(path)[:-5] for path in self.checkpoints()]
        self.limited("state", "export", out="lines")
        with open(self.path("lines"), "rb") as file:
            self.assertEqual(sum(1 for _ in file), self.KEYS)
        self.limited("state", "scan", out="rows")
        self.limited("state", "get", "k" * 250 + "000007", out="one")
        self.assertEqual(self.read("one").count(b"\n"), 1)
        self.limited("checkpoint", "inspect", "--json", out="census")
        self.assertEqual(json.loads(self.read("census"))["entries"], self.KEYS)
        self.limited("checkpoint", "verify", "--all", out="verdicts")
        self.limited("checkpoint", "diff", *ids, "--memory", "8MiB", "--json", out="changes")
        summary = json.loads(self.read("changes").splitlines()[-1])
        self.assertEqual(summary["states"][0], {"state": "profile", "added": 1000, "removed": 0, "changed": 0,
                                                "same": self.KEYS - 1000})
        self.limited("checkpoint", "export", "latest", "packed.json", out="log")
        self.limited("checkpoint", "import", "packed.json", "--checkpoint-dir", "there", out="log")
        self.assertEqual(self.newest("there")["StateDigest"], self.newest()["StateDigest"])


class WithoutPlugins(Tools):
    def test_full_checkpoints_need_none(self):
        os.mkdir(self.path("no-plugins"))
        for backend in backends():
            with self.subTest(backend=backend):
                ids = self.take_anew(backend, *full_mode())
                for args in (["checkpoint", "inspect"], ["checkpoint", "diff", *ids[:2]], ["state", "scan"],
                             ["state", "export"], ["checkpoint", "export", "latest", backend + ".json"]):
                    self.text(*args, "--plugin-dir", "no-plugins")


if __name__ == "__main__":
    if not harness.HAVE_ROCKSDB:
        note(harness.NO_ROCKSDB)
    unittest.main(verbosity=2)
