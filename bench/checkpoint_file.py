#!/usr/bin/env python3
"""Writing a full checkpoint and restoring it, beside streaming the same bytes to disk and back.

    bench/checkpoint_file.py [--build build] [--keys 1000000] [--rounds 5] [--codec lz4] [--dir DIR] [--json]

Each round one more purchase arrives, so sbhost restores the checkpoint of the last round and writes a whole new one, over the memory backend; both
durations are from its own log. Then the same bytes are written in pieces of a MiB, fsynced, renamed, the directory fsynced, and read again. What is
read lies in the page cache for both. The number of entries is checked in each round, and the state of the last one against a
recount of the input.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PIECE = 1 << 20


class Bench:
    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.sbhost = os.path.join(options.build, "sbhost")

    def path(self, name):
        return os.path.join(self.directory, name)

    def job(self):
        """One run to the end of the input: the log's entries by message."""
        done = subprocess.run([self.sbhost, "--backend", "memory", "--input", "input", "--output", "none", "--ttl", "0",
                               "--checkpoint-mode", "full", "--checkpoint-compression", self.options.codec, "--keep", "1",
                               "--checkpoint-interval", "0", "--progress", "off", "--log-format", "json"],
                              cwd=self.directory, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit("sbhost ended with %d: %s" % (done.returncode, done.stderr.decode()))
        return {entry["msg"]: entry for entry in map(json.loads, done.stderr.splitlines())}

    def make_state(self):
        with open(self.path("input"), "wb") as out:
            subprocess.run([os.path.join(self.options.build, "bench", "purchases"), str(self.options.keys), "each",
                            str(self.options.keys), "1"], stdout=out, check=True)
        self.job()

    def round(self, number):
        with open(self.path("input"), "a", encoding="ascii") as out:
            out.write('{"user_id":"user-%d","amount":1.00,"timestamp":1700000000}\n' % number)
        log = self.job()
        restored, created = log["Successfully restored from checkpoint"], log["Checkpoint created"]
        for entry in (restored, created):
            if entry["entries"] != self.options.keys:
                sys.exit("%d entries, where there are %d" % (entry["entries"], self.options.keys))
        file = self.path(os.path.join("checkpoints", created["id"] + ".json"))
        return {"write_s": created["duration_ms"] / 1e3, "bytes": os.path.getsize(file),
                "restore_s": (restored["duration_ms"] + restored.get("verify_ms", 0)) / 1e3,
                **self.stream(file)}

    def stream(self, file):
        with open(file, "rb") as source:
            pieces = list(iter(lambda: source.read(PIECE), b""))
        started = time.monotonic()
        fd = os.open(self.path("plain.tmp"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for piece in pieces:
            os.write(fd, piece)
        os.fsync(fd)
        os.close(fd)
        os.rename(self.path("plain.tmp"), self.path("plain"))
        folder = os.open(self.directory, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        written = time.monotonic()
        with open(self.path("plain"), "rb", buffering=0) as source:
            into = bytearray(PIECE)
            while source.readinto(into):
                pass
        return {"plain_write_s": written - started, "plain_read_s": time.monotonic() - written}

    def check_state(self):
        """Count and sum of the purchases, by the input and by the state."""
        count = cents = 0
        with open(self.path("input"), "rb") as lines:
            for line in lines:
                count += 1
                cents += round(float(json.loads(line)["amount"]) * 100)
        with subprocess.Popen([self.sbhost, "state", "export"], cwd=self.directory, stdout=subprocess.PIPE) as export:
            for line in export.stdout:
                value = json.loads(line)["value"]
                count -= value["total_purchases"]
                cents -= round(value["total_spent"] * 100)
        if export.returncode or count or cents:
            sys.exit("the state is not what the input gives: off by %d purchases and %d cents" % (count, cents))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(SOURCE, "build"))
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--codec", default="lz4")
    parser.add_argument("--dir", help="on the disk that is meant")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    directory = tempfile.mkdtemp(dir=options.dir, prefix="sbhost-bench-")
    try:
        bench = Bench(options, directory)
        bench.make_state()
        rounds = [bench.round(number) for number in range(options.rounds)]
        bench.check_state()
    finally:
        shutil.rmtree(directory)
    result = {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}
    result["keys"] = options.keys
    result["codec"] = options.codec
    result["write_ratio"] = statistics.median(one["plain_write_s"] / one["write_s"] for one in rounds)
    result["restored_per_s"] = statistics.median(options.keys / one["restore_s"] for one in rounds)
    if options.json:
        print(json.dumps(result))
        return
    print("%d keys, %s, %.1f MB" % (options.keys, options.codec, result["bytes"] / 1e6))
    print("write    %.3f s, streamed %.3f s: %.2f of its speed" % (result["write_s"], result["plain_write_s"], result["write_ratio"]))
    print("restore  %.3f s, read %.3f s: %.2f M entries a second" % (result["restore_s"], result["plain_read_s"], result["restored_per_s"] / 1e6))


if __name__ == "__main__":
    main()
