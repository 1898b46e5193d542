"""Checkpoints that somebody forged, digests and all, and directories that hold other things than files: every command ends with
a status and a sentence, in little memory and at once, touches nothing outside, and a job goes on from the older checkpoint or
does not start."""

import sys

sys.dont_write_bytecode = True

import json
import os
import re
import resource
import shutil
import socket
import unittest

import forge
import harness
from harness import numbered_events

# What a process may take for itself (heap and private mappings), whatever a file says. The bombs would be gigabytes.
DATA_BYTES = 160 << 20
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
SANITIZED = bool(os.environ.get("SBHOST_SANITIZE"))


def bounded():
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))


class Hostile(harness.Case):
    """A job that was stopped twice; its newer checkpoint is forged anew for each case."""
    backend = "memory"
    mode = "full"

    def setUp(self):
        super().setUp()
        self.write("in.ndjson", numbered_events(0, 60))
        self.write("victim", "nobody but me writes here\n")
        for events in (20, 20):
            self.job("--max-events", str(events))
        self.older, self.newer = (os.path.basename(path)[:-len(".json")] for path in self.checkpoints())
        self.content = self.read("checkpoints/%s.json" % self.newer)
        os.rename(self.path("checkpoints"), self.path("ground"))
        os.rename(self.path("out"), self.path("out.ground"))

    def job(self, *more, status=0, preexec_fn=None):
        return self.sbhost("--backend", self.backend, "--checkpoint-mode", self.mode, "--input", "in.ndjson", "--output",
                           "out", *more, status=status, preexec_fn=preexec_fn)

    def reset(self, content=None):
        """The directory as the job left it, with that content in the place of the newest checkpoint."""
        shutil.rmtree(self.path("checkpoints"), ignore_errors=True)
        shutil.copytree(self.path("ground"), self.path("checkpoints"), symlinks=True)
        shutil.copy(self.path("out.ground"), self.path("out"))
        if content is not None:
            self.write("checkpoints/%s.json" % self.newer, content)

    def tool(self, *args, status):
        done = self.sbhost(*args, status=None, preexec_fn=bounded)
        self.assertIn(done.status, status, str(done))
        self.assertIsNone(CONTROL.search(done.err.encode().replace(b"\r\x1b[K", b"")), done.err)
        self.assertIsNone(CONTROL.search(done.out), done.out[:300])
        return done

    def assertRefused(self, what, says="", tools=True):
        """Every tool says what is wrong with the newest; a job passes it over and ends as if it had never been there."""
        verify = self.tool("checkpoint", "verify", self.newer, status=(5,))
        self.assertIn(says.encode(), verify.out, what)
        self.assertEqual(len(verify.out.splitlines()), 1, verify.out)
        if tools:
            self.assertNoTool(what)
        job = self.job(preexec_fn=bounded)
        self.assertIn(self.older, job.err)
        self.assertIn("Damaged checkpoint passed over", job.err)
        self.assertEqual(self.quarantined(), [self.newer + ".json"], what)
        self.assertWhole(what)

    def assertNoTool(self, what):
        self.tool("checkpoint", "list", status=(0,))
        for args in (["inspect", self.newer], ["diff", self.older, self.newer], ["diff", self.newer, self.older],
                     ["export", self.newer, "exported.json"]):
            self.assertSays(self.tool("checkpoint", *args, status=(5,)), "")
        # One that needs other files is not taken up at all (3).
        self.assertSays(self.tool("checkpoint", "import", "checkpoints/%s.json" % self.newer, "--checkpoint-dir", "new",
                                  status=(3, 5)), "")
        self.assertFalse(os.path.exists(self.path("exported.json")), what)
        self.assertSays(self.tool("state", "export", "--checkpoint", self.newer, status=(5,)), "")

    def assertWhole(self, what):
        self.assertEqual(self.read("out").count(b"\n"), 60, what)
        self.assertEqual(sum(p["value"]["total_purchases"] for p in self.profiles().values()), 60, what)
        self.assertEqual(self.read("victim"), b"nobody but me writes here\n", what)


class Bombs(Hostile):
    """What a file says of itself is believed only as far as it has been seen."""

    def entry(self, **more):
        return forge.entry(b"user-1", bytes(40), group=62, **more)

    def cases(self):
        """(what, content, a part of the sentence)"""
        c, zeros = self.content, bytes(1 << 20)
        one = forge.frame(forge.ENTRIES, self.entry(), count=1)
        header = forge.member
        yield "offsets", header(c, "Offsets", "{%s}" % ",".join('"%d":0' % i for i in range(70000))), "more than 65536"
        yield "states", header(c, "States", "[%s]" % ",".join("0" * 600000)), "too many bytes"
        field = '{"name":"f%d","type":"bool","offset":0,"size":1}'
        state = '[{"name":"profile","id":0,"kind":"struct","ttl_ms":1,"value_size":40,"fields":[%s]}]'
        yield "fields", header(c, "States", state % ",".join(field % i for i in range(5000))), "more than 4096 fields"
        yield "nesting", header(c, "States", "[" * 100000 + "]" * 100000), "nesting deeper"
        yield "nesting of members", header(c, "States", '[{"name":' * 100000), "nesting deeper"
        yield "a header without end", header(c, "Outputs", "[" + " " * (17 << 20) + "]"), "damaged"
        yield "a header of text", header(c, "HostVersion", '"%s"' % ("a" * (1 << 20))), "65536"
        for name in ("Operator", "TTLClock", "Timestamp"):
            yield name + " is null", header(c, name, "null"), "null"
        for name in ("Entries", "KeyBytes", "ValueBytes"):
            yield name, header(c, name, str(2**64 - 1)), ""
        yield "StateDataBytes", header(c, "StateDataBytes", str(2**63)), "as long as"
        yield "envelope", forge.state_data(c, "[" * 200000), "damaged"
        yield "envelope members", forge.state_data(c, '{"provider_state":{%s' % '"a":{' * 100000), "damaged"
        yield "provider", forge.frames(c, forge.end(0, 0), providers={"operator-0": bytes(17 << 20)}), "more than 16777216"
        yield "provider's name", forge.frames(c, forge.end(0, 0), providers={"../../victim": b"x"}), "no name"
        for lengths in ((2**32 - 1, 2**32 - 1), (1 << 20, 2**31), (2**32 - 1, 10)):
            yield "frame of %d, %d" % lengths, forge.frames(c, forge.frame(
                forge.ENTRIES, self.entry(), 1, codec=forge.ZSTD, raw_len=lengths[0], stored_len=lengths[1])), "impossible length"
        yield "frame that is cut", forge.frames(c, forge.frame(forge.ENTRIES, b"", 1, raw_len=1 << 20, stored_len=1 << 20)), "too early"
        yield "count", forge.frames(c, forge.frame(forge.ENTRIES, self.entry(), 2**32 - 1), forge.end(1, 1)), "damaged"
        yield "end", forge.frames(c, one, forge.end(2**63, 1)), "should have"
        for codec, payload in ((forge.ZSTD, forge.zstd(zeros * 64)), (forge.ZSTD, forge.zstd_zeros(4 << 30)), (forge.LZ4, forge.lz4_zeros(200 << 20))):
            yield "codec %d" % codec, forge.frames(c, forge.frame(forge.ENTRIES, payload, 1, codec=codec, raw_len=1 << 20)), "not unpack"
        for lengths in (dict(value_len=2**63), dict(key_len=2**62), dict(value_len=1 << 40), dict(value_len=41), dict(key_len=7)):
            yield "entry %s" % lengths, forge.frames(c, forge.frame(forge.ENTRIES, self.entry(**lengths), 1), forge.end(1, 1)), "damaged"
        piece = forge.zstd(zeros)
        pieces = [forge.frame(forge.PIECE, piece, number=i, codec=forge.ZSTD, raw_len=1 << 20) for i in range(80)]
        yield "pieces", forge.frames(c, *pieces), "an entry of more than"
        many = forge.entry(b"user-1", bytes(40), group=62) * 20000
        packed = forge.zstd(many)
        several = [forge.frame(forge.ENTRIES, packed, 20000, i, forge.ZSTD, len(many)) for i in range(2000)]
        yield "entries", forge.frames(c, *several), "more entries than"

    def test_no_size_is_believed(self):
        for what, content, says in self.cases():
            with self.subTest(what):
                self.reset(content)
                self.assertRefused(what, says, tools=what in ("offsets", "fields", "nesting", "pieces", "entries", "codec 2"))


@harness.needs_rocksdb
class Names(Hostile):
    """A backend's own files, and what may lie in their place."""
    backend = "rocksdb"
    mode = "incremental"

    def files(self):
        return json.loads(self.content)["Files"]

    def renamed(self, name, value):
        """Of one file. The order of files is part of the format: the one that stays in order is taken."""
        files = self.files()
        at = {"Snapshot": len(files) - 1}.get(name, len(files) - 1 if value > files[-1]["Name"] else 0)
        files[at][name] = value
        return forge.value(self.content, "Files", files)

    def test_no_name_leads_out(self):
        outside = os.path.join(self.dir, "victim")
        for name in ("../victim", "../../victim", outside, "a/b", "", ".", "..", "x\0y", "a\nb", "\x1b[2J", "z\x9b2J", "x" * 256, "\udcff"):
            for which in ("Name", "Snapshot"):
                with self.subTest(name, which=which):
                    text = "backend-" + name if which == "Snapshot" and name else name
                    if which == "Snapshot" and name not in ("../victim", "", "a\nb"):
                        continue  # one rule holds for both
                    self.reset(self.renamed(which, text))
                    self.assertRefused(text, tools=name in ("../victim", "\x1b[2J"))
        for hash_ in ("../" + "0" * 61, outside, "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "\n"):
            with self.subTest(hash_):
                self.reset(self.renamed("SHA256", hash_))
                self.assertRefused(hash_, "size or hash", tools=False)
        for length in (-1, 2**63 - 1):
            with self.subTest(length):
                files = self.files()
                files[0]["Bytes"] = length
                self.reset(forge.value(self.content, "Files", files))
                self.assertRefused(str(length), tools=False)

    def test_what_lies_in_shared_is_a_file_or_refused(self):
        only_newer = {f["SHA256"] for f in self.files()} - {
            f["SHA256"] for f in harness.load_checkpoint(self.path("ground", self.older + ".json"))["Files"]}
        name = sorted(only_newer)[0]

        def link(path):
            shutil.move(path, self.path("elsewhere"))
            os.symlink(self.path("elsewhere"), path)

        def device(path):
            os.unlink(path)
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero

        def bound(path):
            os.unlink(path)
            here = os.getcwd()
            os.chdir(os.path.dirname(path))  # a socket's name must be short
            try:
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(os.path.basename(path))
            finally:
                os.chdir(here)

        def instead(make):
            return lambda path: (os.unlink(path), make(path))

        for make in (link, instead(os.mkfifo), instead(lambda path: os.symlink(path, path)),
                     instead(lambda path: os.symlink("/dev/zero", path)), bound, device):
            with self.subTest(make):
                self.reset()
                try:
                    make(self.path("checkpoints", "shared", name))
                except PermissionError:
                    harness.note("Skipping a device in shared/: this user may make none")
                    continue
                self.assertRefused(make)

    def test_a_directory_in_the_place_of_a_file(self):
        """The next checkpoint may need that very name, and removes no directory: then the job says so and fails."""
        name = self.files()[-1]["SHA256"]
        self.reset()
        os.unlink(self.path("checkpoints", "shared", name))
        os.mkdir(self.path("checkpoints", "shared", name))
        self.assertNoTool("directory")
        done = self.job(status=None, preexec_fn=bounded)
        self.assertIn(done.status, (0, 1), str(done))
        self.assertIn("Restoring from checkpoint  id=%s" % self.older, done.err)
        self.assertIn(name, done.err)

    def test_shared_itself_is_something_else(self):
        shared = self.path("checkpoints", "shared")
        for make in (os.mkfifo, lambda path: self.write(path, "no directory"), lambda path: os.symlink("nowhere", path)):
            with self.subTest(make):
                self.reset()
                shutil.rmtree(shared)
                make(shared)
                self.tool("checkpoint", "verify", self.newer, status=(5,))
                self.tool("state", "export", status=(5,))
                done = self.job(status=None, preexec_fn=bounded)
                self.assertIn(done.status, (3, 5), str(done))
                self.assertSays(done, "checkpoint")
                self.assertEqual(self.read("out"), self.read("out.ground"))


class Places(Hostile):
    """Other things than a file under a checkpoint's name."""

    def test_a_checkpoint_is_a_file(self):
        path = self.path("checkpoints", self.newer + ".json")

        def link(to):
            return lambda: os.symlink(to, path)

        for make in (lambda: os.mkfifo(path), lambda: os.mkdir(path), link(path), link("/dev/zero"), link("nowhere")):
            with self.subTest(make):
                self.reset()
                os.unlink(path)
                make()
                for args in (["inspect", self.newer], ["verify", self.newer], ["diff", self.older, self.newer],
                             ["export", self.newer, "exported.json"]):
                    self.assertSays(self.tool("checkpoint", *args, status=(5,)), self.newer)
                self.assertSays(self.tool("state", "export", "--checkpoint", self.newer, status=(5,)), self.newer)
                self.assertIn(self.older, self.job(preexec_fn=bounded).err)
                self.assertWhole(make)

    def test_an_import_is_of_a_file(self):
        os.mkfifo(self.path("fifo"))
        os.mkdir(self.path("folder"))
        os.symlink("loop", self.path("loop"))
        for name in ("fifo", "folder", "loop", "/dev/zero", "nowhere"):
            with self.subTest(name):
                self.assertSays(self.tool("checkpoint", "import", name, "--checkpoint-dir", "new", status=(1, 3, 5)), name)

    def test_an_output_is_not_what_a_checkpoint_says(self):
        """Were the name believed, the file would be cut to that length."""
        victim = self.path("victim")
        for name in (victim, "../victim", "\x1b[2Jout"):
            outputs = json.loads(self.content)["Outputs"]
            for output in outputs:
                output.update(Name=name, Length=0 if output["Role"] == "dead-letter" else 1)
            with self.subTest(name):
                self.reset(forge.value(self.content, "Outputs", outputs))
                done = self.job(status=None, preexec_fn=bounded)
                self.assertIsNone(CONTROL.search(done.err.encode()), done.err)
                self.assertEqual(self.read("victim"), b"nobody but me writes here\n")

    def test_an_output_of_impossible_length(self):
        """Below 0 it would begin the file anew."""
        for length in (-1, 2**62):
            outputs = json.loads(self.content)["Outputs"]
            outputs[-1]["Length"] = length
            with self.subTest(length):
                self.reset(forge.value(self.content, "Outputs", outputs))
                if length < 0:
                    self.assertRefused(length, "a negative")
                    continue
                done = self.job(status=None, preexec_fn=bounded)
                self.assertIn(done.status, (1, 3, 5), str(done))
                self.assertSays(done, "out")
                self.assertEqual(self.read("out"), self.read("out.ground"))

    def test_an_offset_that_is_none(self):
        for offset in (-1, 2**62, 3):
            with self.subTest(offset):
                self.reset(forge.value(self.content, "Offsets", {"0": offset}))
                done = self.job(status=None, preexec_fn=bounded)
                self.assertIn(done.status, (0, 1, 3, 5), str(done))
                self.assertEqual(self.read("victim"), b"nobody but me writes here\n")


if __name__ == "__main__":
    unittest.main()
