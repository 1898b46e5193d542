"""The tools: what "checkpoint …" and "state …" say about checkpoints whose content is known, what they refuse, and what they
leave on the disk."""

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
from oracle import Oracle, iso, read_ndjson

START_MS = 1700000000123
HOUR_MS = 3600000
COUNTING = os.path.join(harness.BUILD, "tests", "plugins", "libcounting_operator.so")
NO_COUNTING = "Skipping counting-operator test (not available): build the tests"
SANITIZED = bool(os.environ.get("SBHOST_SANITIZE"))
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")

HOSTILE = "a\x1b[31mred\x07\n\t\x7f\u009b2J\\x41"
HOSTILE_PRINTED = r"a\x1b[31mred\x07\x0a\x09\x7f\xc2\x9b2J\\x41"


def record(user, amount, ms):
    return json.dumps({"user_id": user, "amount": amount, "timestamp": ms / 1000}) + "\n"


class Tools(harness.Case):
    """Three checkpoints, each with its own known content: event time, TTL of an hour, so that profiles come, change and go."""

    USERS = 60
    CUTS = (700, 1400, 2000)

    def setUp(self):
        super().setUp()
        self.lines = [record("user-%d" % (i * 7 % self.USERS if i < 1200 else i * 3 % 100), (i * 37 % 900) + 0.25,
                             START_MS + i * 4000) for i in range(2000)]
        self.lines[5] = record(HOSTILE, 7.5, START_MS + 20000)
        self.lines[1990] = record(HOSTILE, 8.5, START_MS + 7960000)
        self.write("in.ndjson", "".join(self.lines))
        self.write("clock", str(START_MS + HOUR_MS))
        self.clock = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}

    def take(self, backend="memory", *more):
        """Runs to each cut; the ids, oldest first."""
        done = 0
        for cut in self.CUTS:
            self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", "out", "--ttl", "1h", "--ttl-clock",
                        "event", "--max-events", str(cut - done), *more, env=self.clock)
            done = cut
        return self.ids()

    def take_anew(self, backend, *more):
        for name in ("state-data", "checkpoints"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        return self.take(backend, *more)

    def ids(self, directory="checkpoints"):
        return [os.path.basename(path)[:-len(".json")] for path in self.checkpoints(directory)]

    def oracle(self, cut):
        self.write("part.ndjson", "".join(self.lines[:cut]))
        return Oracle(read_ndjson(self.path("part.ndjson")), ttl_ms=HOUR_MS)

    def check_export(self, cut, *args):
        oracle = self.oracle(cut)
        oracle.profiles = {HOSTILE_PRINTED if user == HOSTILE else user: p for user, p in oracle.profiles.items()}
        oracle.check_export(self.export(*args))

    def text(self, *args, status=0):
        out = self.sbhost(*args, status=status, env=self.clock).out
        self.assertIsNone(CONTROL.search(out), out)
        return out.decode()

    def json(self, *args, status=0):
        return json.loads(self.text(*args, "--json", status=status))

    def json_lines(self, *args, status=0):
        return [json.loads(line) for line in self.text(*args, "--json", status=status).splitlines()]

    def damage(self, checkpoint, offset=None):
        path = self.path("checkpoints", checkpoint + ".json")
        with open(path, "r+b") as file:
            content = bytearray(file.read())
            content[len(content) // 2 if offset is None else offset] ^= 1
            file.seek(0)
            file.write(content)


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


class Diff(Tools):
    def expected(self, old, new):
        """{(change, key)} by the oracle."""
        def seen(profile):
            return profile.purchases, profile.spent, profile.last_ms, profile.expiry_ms

        return ({("added", user) for user in new.profiles if user not in old.profiles} |
                {("removed", user) for user in old.profiles if user not in new.profiles} |
                {("changed", user) for user in new.profiles
                 if user in old.profiles and seen(new.profiles[user]) != seen(old.profiles[user])})

    def key(self, user):
        return HOSTILE_PRINTED if user == HOSTILE else user

    def check(self, ids, a, b, *more):
        old, new = self.oracle(self.CUTS[a]), self.oracle(self.CUTS[b])
        *lines, summary = self.json_lines("checkpoint", "diff", ids[a], ids[b], *more)
        expected = self.expected(old, new)
        self.assertEqual(sorted((line["change"], line["key"]) for line in lines),
                         sorted((change, self.key(user)) for change, user in expected))
        self.assertEqual([line["key"] for line in lines], sorted(line["key"] for line in lines))
        for line in lines:
            if line["change"] != "changed":
                continue
            user = HOSTILE if line["key"] == HOSTILE_PRINTED else line["key"]
            was, now = old.profiles[user], new.profiles[user]
            for name, values in (("total_purchases", (was.purchases, now.purchases)),
                                 ("total_spent", (float(was.spent), float(now.spent))),
                                 ("last_purchase", (iso(was.last_ms), iso(now.last_ms)))):
                if values[0] == values[1]:
                    self.assertNotIn(name, line["fields"])
                else:
                    self.assertEqual(tuple(line["fields"][name][side] for side in ("old", "new")), values)
            self.assertEqual(line["expiry_ms"], {"old": was.expiry_ms, "new": now.expiry_ms})
        counts = {change: sum(1 for c, _ in expected if c == change) for change in ("added", "removed", "changed")}
        same = len(new.profiles) - counts["added"] - counts["changed"]
        self.assertEqual(summary, {"change": "summary", "a": ids[a], "b": ids[b], "differences": len(expected),
                                   "states": [dict(state="profile", same=same, **counts)]})
        return counts

    def test_against_the_oracle(self):
        for backend in backends():
            with self.subTest(backend=backend):
                ids = self.take_anew(backend)
                seen = {"added": 0, "removed": 0, "changed": 0}
                for a, b in ((0, 1), (1, 2), (0, 2), (2, 0)):
                    for change, count in self.check(ids, a, b).items():
                        seen[change] += count
                self.assertTrue(all(seen.values()), "every sort of change must have come up: %s" % seen)

    def test_text(self):
        ids = self.take()
        lines = self.text("checkpoint", "diff", ids[0], ids[2]).splitlines()
        self.assertTrue(lines[0].startswith("--- %s  2023-" % ids[0]) and lines[0].endswith(", 700 events"), lines[0])
        self.assertTrue(lines[1].startswith("+++ " + ids[2]))
        *changes, summary = self.json_lines("checkpoint", "diff", ids[0], ids[2])
        marks = {"+": "added", "-": "removed", "~": "changed"}
        shown = [(marks[line[0]], line.split("  ")[1]) for line in lines[2:] if line[:1] in marks]
        self.assertEqual(shown, [(line["change"], line["key"]) for line in changes])
        counts = summary["states"][0]
        self.assertEqual(lines[-1].split(), ["profile"] + [str(counts[name]) for name in ("added", "removed", "changed",
                                                                                          "same")])
        changed = next(line for line in changes if "total_purchases" in line.get("fields", {}))
        purchases = changed["fields"]["total_purchases"]
        self.assertTrue(any("~ profile  %s  total_purchases %d -> %d  " % (changed["key"], purchases["old"],
                                                                           purchases["new"]) in line for line in lines))

    def test_status(self):
        ids = self.take()
        self.assertEqual(self.json_lines("checkpoint", "diff", ids[1], ids[1])[-1]["differences"], 0)
        self.assertEqual(len(self.json_lines("checkpoint", "diff", "latest", ids[2], "--exit-code")), 1)
        self.json_lines("checkpoint", "diff", ids[0], "latest", "--exit-code", status=1)
        self.assertNotIn("~", self.text("checkpoint", "diff", ids[1], ids[1]))
        self.assertSays(self.sbhost("checkpoint", "diff", ids[0], "checkpoint-9", status=5), "checkpoint-9")
        self.damage(ids[0])
        self.assertSays(self.sbhost("checkpoint", "diff", ids[0], ids[1], status=5), "damaged")

    def test_sorting_in_files_gives_the_same(self):
        self.write("many.ndjson", "".join(record("user-%05d" % (i * 7919 % 20011), i % 100 + 0.5, START_MS + i)
                                          for i in range(30000)))
        for events_more in ("25000", "5000"):
            self.sbhost("--backend", "memory", "--input", "many.ndjson", "--output", "none", "--max-events", events_more,
                        env=self.clock)
        ids = self.ids()
        whole = self.text("checkpoint", "diff", ids[0], ids[1])
        os.mkdir(self.path("tmp"))
        self.clock["TMPDIR"] = self.path("tmp")
        self.assertEqual(self.text("checkpoint", "diff", ids[0], ids[1], "--memory", "64KiB"), whole)
        self.assertEqual(os.listdir(self.path("tmp")), [])
        keys = [line.split("  ")[1] for line in whole.splitlines() if line[:1] in "+-~" and line[1:2] == " "]
        self.assertEqual(keys, sorted(keys))
        self.assertEqual(len(keys), 5000)
        self.clock["TMPDIR"] = self.path("missing")
        self.assertSays(self.sbhost("checkpoint", "diff", ids[0], ids[1], "--memory", "64KiB", env=self.clock, status=3),
                        "missing")

    def test_one_state_only(self):
        ids = self.take()
        self.assertEqual(self.text("checkpoint", "diff", ids[0], ids[1], "--state", "profile"),
                         self.text("checkpoint", "diff", ids[0], ids[1]))
        self.assertSays(self.sbhost("checkpoint", "diff", ids[0], ids[1], "--state", "profil", status=3), "profile?")

    @unittest.skipUnless(os.path.exists(COUNTING), NO_COUNTING)
    def test_raw_states(self):
        for count in (3, 2):
            self.write("counts.ndjson", "".join('{"key":"k","value":%d,"time":%d}\n' % (i % 3, 1700000000 + i)
                                                for i in range(5)))
            self.sbhost("--backend", "memory", "--operator", COUNTING, "--input", "counts.ndjson", "--output", "none",
                        "--ttl", "0", "--max-events", str(count))
        *lines, summary = self.json_lines("checkpoint", "diff", *self.ids())
        raw = [line for line in lines if line["state"] == "seen"]
        self.assertEqual([(line["change"], line["key"], line["sub_key"]) for line in raw],
                         [("changed", "k", "0"), ("changed", "k", "1")])
        self.assertEqual(raw[0]["value"], {"old": r"\x01" + r"\x00" * 7, "new": r"\x02" + r"\x00" * 7})
        self.assertEqual([(state["state"], state["changed"], state["same"]) for state in summary["states"]],
                         [("counter", 1, 0), ("seen", 2, 1)])


class Copies(Tools):
    def run_on(self, directory, backend, *more, status=0):
        return self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", "out", "--ttl", "1h", "--ttl-clock",
                           "event", "--checkpoint-dir", directory, "--state-dir", directory + "-state", *more,
                           env=self.clock, status=status)

    def test_export_import_and_on_to_the_end(self):
        for backend in backends():
            for compression in ("none", "zstd"):
                with self.subTest(backend=backend, compression=compression):
                    for name in ("here", "here-state", "there", "there-state"):
                        shutil.rmtree(self.path(name), ignore_errors=True)
                    for name in ("packed.json", "out"):
                        if os.path.exists(self.path(name)):
                            os.remove(self.path(name))
                    self.run_on("here", backend, "--max-events", "900")
                    self.run_on("here", backend, "--max-events", "100", "--parallelism", "2")
                    done = self.json("checkpoint", "export", "latest", "packed.json", "--checkpoint-dir", "here",
                                     "--compression", compression)
                    packed = load_checkpoint(self.path("packed.json"))
                    original = self.newest("here")
                    self.assertEqual((packed["Kind"], packed["Parent"], packed["Codec"]), ("full", None, compression))
                    for name in ("ID", "Timestamp", "Offsets", "Events", "Partitions", "Outputs", "States"):
                        self.assertEqual(packed[name], original[name])
                    digest = self.json("checkpoint", "inspect", "--checkpoint-dir", "here")["state_digest"]
                    self.assertEqual(packed["StateDigest"], digest)
                    self.assertEqual((done["id"], done["entries"], done["file_bytes"]),
                                     (original["ID"], packed["Entries"], os.path.getsize(self.path("packed.json"))))
                    shutil.rmtree(self.path("here"))
                    done = self.json("checkpoint", "import", "packed.json", "--checkpoint-dir", "there")
                    taken_up = self.newest("there")
                    self.assertEqual((done["id"], done["source"]), (taken_up["ID"], original["ID"]))
                    for name in ("Timestamp", "Offsets", "Events", "StateDigest"):
                        self.assertEqual(taken_up[name], packed[name])
                    self.text("checkpoint", "verify", "--all", "--checkpoint-dir", "there")
                    self.run_on("there", backends()[-1 if backend == "memory" else 0])
                    self.check_export(2000, "--checkpoint-dir", "there")
                    self.oracle(2000).check_output(self.path("out"), ordered=False)

    def test_the_imported_one_is_the_newest(self):
        ids = self.take()
        self.sbhost("checkpoint", "export", ids[0], "first.json")
        self.write("clock", "1000")  # a clock far behind does not matter
        text = self.text("checkpoint", "import", "first.json")
        newest, = self.ids()
        self.assertRegex(text, r"^imported first\.json as %s, \d+ entries, " % newest)
        self.assertEqual(load_checkpoint(self.path("checkpoints", newest + ".json"))["Events"], self.CUTS[0])
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out", "--ttl", "1h", "--ttl-clock", "event",
                    env=self.clock)
        self.check_export(2000)
        self.oracle(2000).check_output(self.path("out"), ordered=True)

    def test_no_run_falls_back_from_an_imported_one_to_another_history(self):
        ids = self.take()
        self.sbhost("checkpoint", "export", ids[0], "first.json")
        imported = self.sbhost("checkpoint", "import", "first.json", env=self.clock)
        self.assertIn("checkpoints/abandoned: %d" % len(ids), imported.err)
        self.assertEqual(sorted(os.listdir(self.path("checkpoints", "abandoned"))), sorted(one + ".json" for one in ids))
        newest, = self.ids()
        self.damage(newest)
        job = ["--backend", "memory", "--input", "in.ndjson", "--output", "out", "--ttl", "1h", "--ttl-clock", "event"]
        self.assertSays(self.sbhost(*job, status=5, env=self.clock), "1 damaged")
        # People can go back, and once more to what was imported.
        os.rename(self.path("checkpoints", "abandoned", ids[2] + ".json"), self.path("checkpoints", ids[2] + ".json"))
        self.check_export(self.CUTS[2])
        self.assertEqual(self.json("checkpoint", "import", "first.json")["abandoned"], 1)
        self.check_export(self.CUTS[0])

    def test_an_import_that_fails_abandons_nothing(self):
        ids = self.take()
        self.sbhost("checkpoint", "export", ids[0], "first.json")
        content = self.read("first.json")
        # Found only when it is read: its digest is right, its entries are not.
        self.write("bad.json", sign(re.sub(rb'"Entries":\d+', b'"Entries":1', content)))
        self.assertSays(self.sbhost("checkpoint", "import", "bad.json", status=5, env=self.clock), "bad.json")
        self.assertEqual(self.ids(), ids)
        self.assertFalse(os.path.exists(self.path("checkpoints", "abandoned")))

    def test_an_export_replaces_nothing_and_leaves_nothing_else(self):
        ids = self.take()
        self.write("there.json", "mine")
        os.symlink("nowhere", self.path("link.json"))
        before = sorted(os.listdir(self.dir))
        for name in ("there.json", "link.json"):
            self.assertSays(self.sbhost("checkpoint", "export", "latest", name, status=3), name, "exists")
        self.assertEqual(self.read("there.json"), b"mine")
        self.assertSays(self.sbhost("checkpoint", "export", "latest", ids[0] + ".json", status=3), ids[0])
        self.assertSays(self.sbhost("checkpoint", "export", "latest", "no/such/file.json", status=3), "no/such")
        self.damage(ids[1])
        self.assertSays(self.sbhost("checkpoint", "export", ids[1], "new.json", status=5), "damaged")
        self.assertEqual(sorted(os.listdir(self.dir)), before)
        self.assertRegex(self.text("checkpoint", "export", ids[2], ids[2] + ".json"), r"^exported %s to " % ids[2])
        self.assertEqual(sorted(os.listdir(self.dir)), sorted(before + [ids[2] + ".json"]))
        self.assertEqual(os.stat(self.path(ids[2] + ".json")).st_mode & 0o777, 0o600)

    def test_what_is_not_imported(self):
        ids = self.take()
        self.sbhost("checkpoint", "export", "latest", "good.json")
        good = self.read("good.json")
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 1
        self.write("bad.json", bytes(bad))
        self.write("cut.json", good[:-100])
        self.write("newer.json", sign(re.sub(rb'"FormatVersion":\d+', b'"FormatVersion":99', good)))
        for name, status in (("bad.json", 5), ("cut.json", 5), ("in.ndjson", 5), ("newer.json", 3), ("missing.json", 3),
                             (".", 5)):
            self.assertSays(self.sbhost("checkpoint", "import", name, status=status), name)
        self.sbhost("checkpoint", "import", "bad.json", "--checkpoint-dir", "new", status=5)
        self.assertFalse(os.path.exists(self.path("new")))
        self.assertEqual(self.ids(), ids)

    def test_not_while_a_job_runs(self):
        self.take()
        self.sbhost("checkpoint", "export", "latest", "good.json")
        job = self.start("--backend", "memory", "--input", "generator:rate=1", "--output", "none", "--restore", "none",
                         "--checkpoint-interval", "20ms")
        self.assertTrue(job.saw("Checkpoint created"))
        self.assertSays(self.sbhost("checkpoint", "import", "good.json", status=6), "checkpoints")
        self.assertSays(self.sbhost("checkpoint", "prune", status=6), "checkpoints")
        for args in (["list"], ["prune", "--dry-run"]):
            self.sbhost("checkpoint", *args)
        self.assertTrue(job.kill())

    @unittest.skipUnless(os.path.exists(COUNTING), NO_COUNTING)
    def test_what_an_operator_keeps_itself_goes_along(self):
        self.write("counts.ndjson", "".join('{"key":"k%d","value":%d,"time":%d}\n' % (i % 5, i % 3, 1700000000 + i)
                                            for i in range(100)))
        job = ["--backend", "memory", "--operator", COUNTING, "--input", "counts.ndjson", "--output", "out"]
        self.sbhost(*job, "--max-events", "60", "--parallelism", "2")
        self.sbhost("checkpoint", "export", "latest", "packed.json")
        self.sbhost("checkpoint", "import", "packed.json", "--checkpoint-dir", "there")
        self.sbhost(*job, "--checkpoint-dir", "there", "--state-dir", "there-state")
        last = json.loads(self.read("out").splitlines()[-1])
        self.assertEqual(last["total"], 100)


class Chains(Tools):
    """Checkpoints of one run, which build on each other, or share files."""

    CUTS = (500, 1000, 1001, 1500)

    def take_chain(self, backend):
        for name in ("state-data", "checkpoints"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        job = self.start("--backend", backend, "--input", "-", "--output", "none", "--ttl", "1h", "--ttl-clock", "event",
                         "--checkpoint-interval", "5ms", "--keep", "1000", "--checkpoint-mode", "incremental", env=self.clock,
                         stdin=subprocess.PIPE)
        done, ids = 0, []
        for cut in self.CUTS:
            job.process.stdin.write("".join(self.lines[done:cut]).encode())
            job.process.stdin.flush()
            done = cut
            job.wait_for(lambda: any(load_checkpoint(path)["Events"] == cut for path in self.checkpoints()[-1:]))
            ids.append(self.ids()[-1])
        self.assertTrue(job.kill())
        job.process.stdin.close()
        return ids

    def kinds(self, ids):
        return [load_checkpoint(self.path("checkpoints", one + ".json"))["Kind"] for one in ids]

    def each(self, check):
        for backend in backends():
            with self.subTest(backend=backend):
                ids = self.take_chain(backend)
                if "incremental" not in self.kinds(ids):
                    self.skipTest("Skipping incremental checkpoints (not available): this build takes full ones only")
                check(backend, ids)

    def test_content_is_that_of_a_full_one(self):
        self.each(self.content_is_that_of_a_full_one)

    def content_is_that_of_a_full_one(self, backend, ids):
        self.text("checkpoint", "verify", "--all")
        for checkpoint, cut in zip(ids, self.CUTS):
            self.check_export(cut, "--checkpoint", checkpoint)
            self.assertEqual(self.json("checkpoint", "inspect", checkpoint)["entries"], len(self.oracle(cut).profiles))
        for a, b in ((0, 1), (1, 2), (0, 3), (3, 0)):
            Diff.check(self, ids, a, b)
        packed, there = "packed-%s.json" % backend, "there-" + backend
        self.json("checkpoint", "export", ids[3], packed)
        self.sbhost("checkpoint", "import", packed, "--checkpoint-dir", there)
        self.assertEqual(self.json("checkpoint", "inspect", "--checkpoint-dir", there)["state_digest"],
                         self.json("checkpoint", "inspect", ids[3])["state_digest"])
        self.assertNotIn("tmp-read", " ".join(os.listdir(self.path("checkpoints"))), "nothing is left behind")

    expected = Diff.expected
    key = Diff.key

    def test_an_incremental_file_alone_is_not_imported(self):
        self.each(self.an_incremental_file_alone_is_not_imported)

    def an_incremental_file_alone_is_not_imported(self, _, ids):
        one = next(one for one in ids if self.kinds([one]) == ["incremental"])
        self.assertSays(self.sbhost("checkpoint", "import", "checkpoints/%s.json" % one, "--checkpoint-dir", "there",
                                    status=3), "export")

    def test_what_is_missing(self):
        self.each(self.what_is_missing)

    def what_is_missing(self, _, ids):
        newest = next(one for one in reversed(ids) if self.kinds([one]) == ["incremental"])
        file = load_checkpoint(self.path("checkpoints", newest + ".json"))
        if file["Parent"]:
            os.remove(self.path("checkpoints", file["Parent"] + ".json"))
            hint = file["Parent"]
        else:
            hint = self.json("checkpoint", "inspect", newest)["shared_files"][0]["sha256"]
            os.remove(self.path("checkpoints", "shared", hint))
        listed = {one["id"]: one for one in self.json("checkpoint", "list")}
        self.assertFalse(listed[newest]["valid"])
        self.assertIn(hint, listed[newest]["problem"])
        self.assertIn(hint, self.text("checkpoint", "verify", newest, status=5))
        self.text("checkpoint", "verify", "--all", status=5)

    def test_a_parent_that_does_not_fit(self):
        for _ in range(30):  # a chain may just have begun anew, or before there was any entry, and would then show nothing
            chain = [self.take_chain("memory")[-1]]
            while load_checkpoint(self.path("checkpoints", chain[-1] + ".json"))["Parent"]:
                chain.append(load_checkpoint(self.path("checkpoints", chain[-1] + ".json"))["Parent"])
            if len(chain) > 1 and load_checkpoint(self.path("checkpoints", chain[-1] + ".json"))["Entries"] > 9:
                break
        child, parent = chain[-2:]
        content = self.read("checkpoints/%s.json" % parent)
        # A whole and good checkpoint, but not the one that the child was made of.
        self.write("checkpoints/%s.json" % parent, sign(content.replace(b'"KeyGroups":128', b'"KeyGroups":64')))
        self.text("checkpoint", "verify", parent, status=5)  # its entries are in the wrong groups now: heads do not show that
        listed = {one["id"]: one for one in self.json("checkpoint", "list")}
        self.assertTrue(listed[parent]["valid"])
        self.assertFalse(listed[child]["valid"])
        self.assertIn("%s needs %s, which is not the checkpoint that it was" % (child, parent), listed[child]["problem"])

    def test_pruning_keeps_what_is_needed(self):
        self.each(self.pruning_keeps_what_is_needed)

    def pruning_keeps_what_is_needed(self, _, ids):
        newest = self.ids()[-1]
        self.write("checkpoints/shared/" + "0" * 64 if os.path.isdir(self.path("checkpoints", "shared")) else
                   "checkpoints/other", "nobody's")
        planned = {fate["file"]: fate for fate in self.json_lines("checkpoint", "prune", "--keep", "1", "--dry-run")}
        done = {fate["file"]: fate for fate in self.json_lines("checkpoint", "prune", "--keep", "1")}
        self.assertEqual(set(planned), set(done))
        for name, fate in done.items():
            self.assertEqual(fate["fate"].replace("removed", "goes"), planned[name]["fate"], (name, fate, planned[name]))
            self.assertEqual(fate["why"], planned[name]["why"])
        whys = " ".join(fate["why"] for fate in done.values() if fate["fate"] == "stays")
        self.assertIn("the newest", whys)
        if load_checkpoint(self.path("checkpoints", newest + ".json"))["Parent"]:
            self.assertIn("needed by " + newest, whys)
        if os.path.isdir(self.path("checkpoints", "shared")):
            self.assertIn("used by " + newest, whys)
            self.assertEqual(done["shared/" + "0" * 64]["fate"], "removed")
        self.text("checkpoint", "verify", "--all")
        self.check_export(self.CUTS[-1])


class Prune(Tools):
    def fates(self, *args, status=0):
        return {line["file"]: line for line in self.json_lines("checkpoint", "prune", *args, status=status)}

    def test_a_reason_for_every_file(self):
        ids = self.take()
        self.write("checkpoints/checkpoint-5.json.tmp", "left by a crash")
        self.write("checkpoints/notes.txt", "mine")
        os.mkdir(self.path("checkpoints", "quarantine"))
        self.write("checkpoints/quarantine/checkpoint-3.json", "damaged")
        before = sorted(os.listdir(self.path("checkpoints")))
        planned = self.fates("--keep", "1", "--dry-run")
        self.assertEqual(sorted(os.listdir(self.path("checkpoints"))), before, "a dry run does nothing")
        done = self.fates("--keep", "1")
        self.assertEqual(set(planned), set(done))
        expected = {ids[0] + ".json": "goes", ids[1] + ".json": "goes", ids[2] + ".json": "stays", "LOCK": "stays",
                    "checkpoint-5.json.tmp": "goes", "notes.txt": "stays", "quarantine/checkpoint-3.json": "stays"}
        self.assertEqual({name: fate["fate"] for name, fate in planned.items()}, expected)
        self.assertEqual({name: fate["fate"].replace("removed", "goes") for name, fate in done.items()}, expected)
        for name, fate in done.items():
            self.assertEqual(fate["why"], planned[name]["why"])
            self.assertTrue(fate["why"])
            self.assertEqual(os.path.exists(self.path("checkpoints", name)), fate["fate"] == "stays")
        self.assertEqual(self.ids(), [ids[2]])

    def test_text(self):
        ids = self.take()
        self.assertRegex(self.text("checkpoint", "prune", "--keep", "2", "--dry-run"),
                         r"(?m)^goes   %s\.json  older than" % ids[0])
        self.assertRegex(self.text("checkpoint", "prune", "--keep", "2"), r"(?m)^removed  %s\.json  older than" % ids[0])
        self.assertEqual(self.ids(), ids[1:])
        self.assertNotIn("removed", self.text("checkpoint", "prune"))

    def test_the_only_good_one_is_never_removed(self):
        ids = self.take()
        self.damage(ids[2])
        for args in (["--keep", "1"], ["--keep", "1", "--dry-run"]):
            self.assertSays(self.sbhost("checkpoint", "prune", *args, status=5), "verify --all")
        self.assertEqual(self.ids(), ids)
        self.assertIn("removed", self.text("checkpoint", "prune", "--keep", "2"))
        self.assertEqual(self.ids(), ids[1:])

    def test_after_pruning_the_job_goes_on(self):
        self.CUTS = (500, 1000)
        self.take()
        self.text("checkpoint", "prune", "--keep", "1")
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out", "--ttl", "1h", "--ttl-clock", "event",
                    env=self.clock)
        self.oracle(2000).check_output(self.path("out"), ordered=True)

    def test_nothing_there(self):
        self.assertSays(self.sbhost("checkpoint", "prune", status=3), "./checkpoints")
        os.mkdir(self.path("checkpoints"))
        self.text("checkpoint", "prune", "--dry-run")
        self.assertEqual(os.listdir(self.path("checkpoints")), [])


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


def full_mode():
    text = subprocess.run([SBHOST, "run", "--help"], stdout=subprocess.PIPE, check=True).stdout
    return ["--checkpoint-mode", "full"] if b"--checkpoint-mode" in text else []


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
