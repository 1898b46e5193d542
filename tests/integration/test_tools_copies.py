"""What "checkpoint diff", "export", "import" and "prune" make of checkpoints whose content is known, what they refuse, and what they leave on
the disk."""

import sys

sys.dont_write_bytecode = True

import json
import os
import re
import shutil
import subprocess
import unittest

import harness
from harness import backends, load_checkpoint, note, sign
from oracle import iso
from tools_case import START_MS, COUNTING, NO_COUNTING, HOSTILE, HOSTILE_PRINTED, record, Tools


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


if __name__ == "__main__":
    if not harness.HAVE_ROCKSDB:
        note(harness.NO_ROCKSDB)
    unittest.main(verbosity=2)
