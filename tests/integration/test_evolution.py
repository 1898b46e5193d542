"""Schema evolution with three builds of one operator (tests/fixtures/plugins/evolving_operator.inc says how they differ): what the
first has written the second takes over field by field, and the third is refused before anything is touched."""

import sys

sys.dont_write_bytecode = True

import hashlib
import itertools
import json
import os
import random
import unittest

import harness
import modes
from oracle import iso

START_MS = 1700000000123
TTL_MS = 86400000
LOCKS = {"LOCK", ".sbhost-lock"}
PLUGINS = os.path.join(harness.BUILD, "tests", "plugins")


def operator(version):
    return os.path.join(PLUGINS, "libevolving_operator_%s.so" % version)


class Model:
    """What the builds do, as evolving_operator.inc describes it."""

    def __init__(self):
        self.accounts = {}  # key: (value, expiry_ms)
        self.trail = {}     # (key, sub-key): expiry_ms
        self.visits = {}
        self.notes = {}

    def event(self, version, key, value, time_s, now_ms):
        expiry_ms = now_ms + TTL_MS
        new = {"balance": 0, "half": 0, "label": "", "level": "low", "even": False, "last": None}
        new.update({"score": 100, "revision": 0} if version == 2 else {"obsolete": 0})
        account = dict(self.accounts.get(key, (new, None))[0])
        names = ["low", "high", "top"][:2 if version == 1 else 3]
        account.update(balance=account["balance"] + value, half=account["half"] + 0.5,
                       label=str(value)[:8 if version == 1 else 16], level=names[value % 2 ** 64 % len(names)],
                       even=value % 2 == 0, last=iso(time_s * 1000))
        if version == 2:
            account.update(score=account["score"] + 10, revision=account["revision"] + 1)
            self.notes[key] = (self.notes.get(key, (0, None))[0] + 1, expiry_ms)
        else:
            account["obsolete"] = value
            self.visits[key] = expiry_ms
        self.accounts[key] = (account, expiry_ms)
        self.trail[key, str(value)] = expiry_ms

    def evolve(self):
        """From the first build to the second."""
        for account, _ in self.accounts.values():
            del account["obsolete"]
            account.update(score=100, revision=0)
        self.visits = {}

    def entries(self):
        result = {("account", key, None): entry for key, entry in self.accounts.items()}
        result.update({("trail", key, value): (value, expiry) for (key, value), expiry in self.trail.items()})
        result.update({("visits", key, ""): ("here", expiry) for key, expiry in self.visits.items()})
        result.update({("notes", key, None): ({"count": count}, expiry) for key, (count, expiry) in self.notes.items()})
        return result


class Evolution(harness.Case):
    def setUp(self):
        super().setUp()
        self.env = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}
        self.rng = random.Random(1109)
        self.model = Model()
        self.time_s = 1600000000

    def start_job(self, version, backend, tasks=1, mode="full"):
        return modes.Fed(self, "checkpoints", "--operator", operator("v%d" % version), "--backend", backend,
                         "--parallelism", str(tasks), "--output", "none", *modes.mode_options(mode), env=self.env)

    def feed(self, job, version, now_ms, keys):
        modes.set_clock(self.path("clock"), now_ms)
        lines = []
        for key in keys:
            value = self.rng.choice([0, 1, -1, 77, -123456, 10 ** 7, self.rng.randrange(-10 ** 8, 10 ** 8)])
            self.time_s += 1
            self.model.event(version, key, value, self.time_s, now_ms)
            lines.append('{"key":"%s","value":%d,"time":%d}\n' % (key, value, self.time_s))
        job.feed("".join(lines))
        self.check()

    def check(self):
        found = {}
        for line in self.export():
            entry = json.loads(line)
            name = (entry["state"], entry["key"], entry.get("sub_key"))
            self.assertNotIn(name, found)
            found[name] = (entry["value"], entry["expiry_ms"])
        self.maxDiff = None
        self.assertEqual(found, self.model.entries())

    def run_first_build(self, backend, mode="full"):
        modes.set_clock(self.path("clock"), START_MS)
        job = self.start_job(1, backend, mode=mode)
        self.feed(job, 1, START_MS, ["key-%d" % i for i in range(60)])
        self.feed(job, 1, START_MS + 1, ["key-%d" % i for i in range(5)])
        self.feed(job, 1, START_MS + 2, ["key-%d" % i for i in range(3, 9)])
        return job.finish()

    def check_evolution(self, mode, old_backend, new_backend):
        self.run_first_build(old_backend, mode)
        self.model.evolve()
        job = self.start_job(2, new_backend, tasks=2, mode=mode)
        self.feed(job, 2, START_MS + 1000, ["key-1", "new-1", "key-59"])
        self.feed(job, 2, START_MS + 1001, ["key-2", "new-1", "new-2"])
        said = job.finish().err
        for line in ("WARN  State dropped: the operator no longer has it  state=visits",
                     "WARN  Field dropped: the operator no longer has it  state=account field=obsolete",
                     "WARN  Entries of states that the operator no longer has were left behind  entries=60",
                     "INFO  Field added, with its default  state=account field=score",
                     "INFO  Field added, with zeros  state=account field=revision", "INFO  State added  state=notes",
                     *("INFO  Field widened  state=account field=" + field
                       for field in ("balance", "half", "label", "level"))):
            self.assertIn(line, said)
        job = self.start_job(2, old_backend, tasks=1, mode=mode)
        self.feed(job, 2, START_MS + 2000, ["key-1", "key-30"])
        said = job.finish().err
        for word in ("dropped", "widened", "added", "left behind"):
            self.assertNotIn(word, said, "the second restore has nothing to migrate")

    def test_the_second_build_takes_over_what_the_first_wrote(self):
        if not harness.HAVE_ROCKSDB:
            harness.note(harness.NO_ROCKSDB)
        for mode, old, new in itertools.product(modes.checkpoint_modes(), harness.backends(), harness.backends()):
            with self.subTest(mode=mode, old=old, new=new):
                self.setUp()
                self.check_evolution(mode, old, new)

    def test_a_diff_across_builds_goes_by_the_names_of_fields(self):
        self.run_first_build("memory")
        before = os.path.basename(self.checkpoints()[-1])[:-len(".json")]
        old = dict(self.model.accounts["key-1"][0])
        self.model.evolve()
        job = self.start_job(2, "memory")
        self.feed(job, 2, START_MS + 1000, ["key-1"])
        job.finish()
        new = self.model.accounts["key-1"][0]
        *lines, summary = map(json.loads, self.sbhost("checkpoint", "diff", before, "latest", "--json").out.splitlines())
        changed = {line["key"]: line["fields"] for line in lines if line["state"] == "account" and line["change"] == "changed"}
        self.assertEqual(changed["key-1"], {name: {"old": old.get(name), "new": new.get(name)}
                                            for name in old.keys() | new.keys() if old.get(name) != new.get(name)})
        self.assertEqual(changed["key-2"]["score"], {"old": None, "new": 100})
        self.assertEqual(changed["key-2"]["obsolete"]["new"], None)
        counts = {state["state"]: (state["added"], state["removed"]) for state in summary["states"]}
        self.assertEqual((counts["visits"], counts["notes"]), ((0, 60), (1, 0)))
        text = self.sbhost("checkpoint", "diff", before, "latest").out.decode()
        self.assertRegex(text, r"(?m)^~ account  key-2  .*score \(none\) -> 100")
        self.assertRegex(text, r"(?m)^- visits  key-2 ")
        visits = self.sbhost("checkpoint", "diff", before, "latest", "--state", "visits", "--json").out
        self.assertEqual(visits.count(b'"change":"removed"'), 60)
        self.assertEqual(visits.count(b"\n"), 61)

    def tree(self):
        """Everything but locks (which name their holder): which file it is, when it was changed, what is in it."""
        found = {}
        for where, _, names in os.walk(self.dir):
            for name in set(names) - LOCKS:
                path = os.path.join(where, name)
                stat = os.stat(path)
                with open(path, "rb") as file:
                    found[path] = (stat.st_ino, stat.st_mtime_ns, hashlib.sha256(file.read()).hexdigest())
        return found

    def refuse(self, plugin, backend, *words):
        before = self.tree()
        result = self.sbhost("--operator", operator(plugin), "--backend", backend, "--input", "-", "--output", "none",
                             "--state-dir", "checkpoints-state", env=self.env, status=3)
        self.assertSays(result, *words)
        self.assertEqual(self.tree(), before)

    def test_an_incompatible_build_is_refused_and_touches_nothing(self):
        for mode in modes.checkpoint_modes():
            for backend in harness.backends():
                with self.subTest(mode=mode, backend=backend):
                    self.setUp()
                    self.run_first_build(backend, mode)
                    self.refuse("v3_incompatible", backend, "field balance of state account", "int of 4 bytes",
                                "int of 2 bytes", "evolving-operator 3.0.0", "another name")
                    job = self.start_job(1, backend, mode=mode)
                    self.feed(job, 1, START_MS + 1000, ["key-1", "new-1"])
                    job.finish()

    def test_there_is_no_way_back_to_the_narrower_build(self):
        backend = harness.backends()[-1]
        self.run_first_build(backend)
        self.model.evolve()
        job = self.start_job(2, backend)
        self.feed(job, 2, START_MS + 1000, ["key-1"])
        job.finish()
        self.refuse("v1", backend, "field balance of state account", "i64 of 8 bytes", "evolving-operator 1.0.0")


if __name__ == "__main__":
    unittest.main(verbosity=2)
