#!/usr/bin/env python3
"""The whole pipeline, file to file, beside the floor program (bench/floor.c) on the same seeded input.

    bench/pipeline.py [--build build] [--events 5000000] [--rounds 5] [--dir DIR] [--json FILE] [CASE...]

A case is one of uniform-100k, zipf-100k, uniform-1m, zipf-1m (default: all). In every round the floor and the variants of sbhost
run one after the other, so that what disturbs the machine disturbs all of them; the table has medians over the rounds.

Three figures for each, because a machine is seldom idle:

  wall    events a second from the start of the process to its end, start and final checkpoint (which the floor lacks) included
  stream  nanoseconds of an event while events passed, by sbhost's own --profile: up to the end of the input
  busy    nanoseconds of processor time an event: for `pinned` of reader and task together, for `free` of the busier of
          the two, which is what bounds the rate once each has a processor to itself; of the task without what a barrier's
          changes take to be written to the backend, since a short run has one barrier for a few events
  cut     nanoseconds of an event for that one barrier at the end of the input

Ratios are the floor's time through sbhost's: above 1, sbhost is the faster. Whether both are right is checked: the records are the same to the
byte in every round, and the final state is every user's last record. The floor itself is held against tests/integration/oracle.py,
which shares no code with either, on the beginning of the input.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "integration"))
import oracle  # noqa: E402

CASES = {
    "uniform-100k": (100000, "uniform"),
    "zipf-100k": (100000, "zipf"),
    "uniform-1m": (1000000, "uniform"),
    "zipf-1m": (1000000, "zipf"),
}
ORACLE_LINES = 200000
START_ROUNDS = 15


class Bench:
    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.sbhost = os.path.join(options.build, "sbhost")
        self.floor = os.path.join(options.build, "bench", "floor")
        self.have_rocksdb = os.path.exists(os.path.join(options.build, "plugins", "librocksdb_backend.so"))

    def path(self, name):
        return os.path.join(self.directory, name)

    def make_input(self, case):
        users, spread = CASES[case]
        with open(self.path("input"), "wb") as out:
            subprocess.run([os.path.join(self.options.build, "bench", "purchases"), str(users), spread,
                            str(self.options.events), "1"], stdout=out, check=True)

    def measured(self, args, pin=None):
        """(wall seconds, processor seconds, what it said on standard error)"""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        done = subprocess.run(args, stderr=subprocess.PIPE, cwd=self.directory,
                              preexec_fn=(lambda: os.sched_setaffinity(0, {pin})) if pin is not None else None)
        wall = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit("%s ended with %d: %s" % (args[0], done.returncode, done.stderr.decode()))
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, cpu, done.stderr.decode()

    def run_floor(self):
        wall, cpu, _ = self.measured([self.floor, "input", "floor.out"])
        return {"wall": self.options.events / wall, "stream": wall / self.options.events * 1e9,
                "busy": cpu / self.options.events * 1e9, "cut": 0}

    def run_sbhost(self, backend, pin):
        for name in ("state-data", "checkpoints", "out"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        if os.path.exists(self.path("out")):
            os.unlink(self.path("out"))
        args = [self.sbhost, "--backend", backend, "--input", "input", "--output", "out", "--ttl", "0", "--profile",
                "--log-format", "json", "--checkpoint-interval", "0", "--progress", "off", "--cache-size", "2GiB"]
        wall, _, said = self.measured(args, pin)
        rows = {}
        for line in said.splitlines():
            entry = json.loads(line)
            if entry["msg"] == "Profile":
                rows[entry["thread"], entry["stage"]] = entry["ns_per_event"]
        reader, task = rows["reader", "processor"], rows["task", "processor"]
        cut = rows.get(("task", "checkpoint"), 0)
        task = task - cut
        stream = sum(rows.get(("reader", stage), 0) for stage in ("read", "decode", "wait"))
        return {"wall": self.options.events / wall, "stream": stream,
                "busy": reader + task if pin is not None else max(reader, task), "cut": cut,
                "profile": {"%s %s" % key: value for key, value in rows.items()}}

    def check_records(self):
        if digest(self.path("out")) != digest(self.path("floor.out")):
            sys.exit("sbhost's records and the floor's are not the same: see %s" % self.directory)

    def check_state(self):
        subprocess.run([self.floor, "input", "floor.out", "floor.state"], cwd=self.directory, check=True)
        exported = subprocess.run([self.sbhost, "state", "export"], cwd=self.directory, stdout=subprocess.PIPE, check=True)
        state = {}
        for line in exported.stdout.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            state[entry["key"]] = (value["total_purchases"], value["total_spent"], value["last_purchase"], value["category"])
        expected = {}
        with open(self.path("floor.state"), "rb") as lines:
            for line in lines:
                record = json.loads(line)
                expected[record["user_id"]] = (record["total_purchases"], record["total_spent"], record["last_purchase"],
                                               record["category"])
        if state != expected:
            sys.exit("sbhost's final state is not what the floor ends with")

    def check_floor(self):
        """The floor's records for the beginning of the input, by the oracle of the tests."""
        with open(self.path("input"), "rb") as whole, open(self.path("head"), "wb") as head:
            for _, line in zip(range(ORACLE_LINES), whole):
                head.write(line)
        subprocess.run([self.floor, "head", "head.out"], cwd=self.directory, check=True)
        profiles = {}
        with open(self.path("head.out"), encoding="ascii") as records:
            for purchase, line in zip(oracle.read_ndjson(self.path("head")), records):
                profile = profiles.setdefault(purchase.user, oracle.Profile())
                profile.purchases += 1
                profile.spent += purchase.amount
                profile.last_ms = max(profile.last_ms or 0, purchase.time_ms)
                record = json.loads(line)
                if record != {"user_id": purchase.user, "total_purchases": profile.purchases,
                              "total_spent": float(profile.spent), "last_purchase": oracle.iso(profile.last_ms),
                              "category": oracle.category(profile.spent)}:
                    sys.exit("the floor is wrong: %s" % line)

    def first_event_ms(self, backend):
        """From the start of the process to the first byte of the first record, with no state."""
        times = []
        with open(self.path("one"), "w", encoding="ascii") as out:
            out.write('{"user_id":"user-1","amount":1.5,"timestamp":1699000000}\n')
        for _ in range(START_ROUNDS):
            for name in ("state-data", "checkpoints"):
                shutil.rmtree(self.path(name), ignore_errors=True)
            started = time.monotonic()
            with subprocess.Popen([self.sbhost, "--backend", backend, "--input", "one", "--log-level", "error"],
                                  cwd=self.directory, stdout=subprocess.PIPE) as process:
                process.stdout.read(1)
                times.append((time.monotonic() - started) * 1000)
                process.stdout.read()
        return statistics.median(times)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def median_of(runs):
    return {figure: statistics.median(run[figure] for run in runs) for figure in ("wall", "stream", "busy", "cut")}


def measure_case(bench, case):
    variants = {"memory pinned": ("memory", 1), "memory free": ("memory", None)}
    if bench.have_rocksdb:
        variants["rocksdb free"] = ("rocksdb", None)
    runs = {"floor": []}
    bench.make_input(case)
    bench.check_floor()
    for _ in range(bench.options.rounds):
        runs["floor"].append(bench.run_floor())
        for name, (backend, pin) in variants.items():
            runs.setdefault(name, []).append(bench.run_sbhost(backend, pin))
            bench.check_records()
            if len(runs[name]) == 1:
                bench.check_state()
    result = {name: median_of(of_name) for name, of_name in runs.items()}
    for name in variants:
        for figure in ("stream", "busy"):
            result[name][figure + "_ratio"] = statistics.median(
                floor[figure] / run[figure] for floor, run in zip(runs["floor"], runs[name]))
        result[name]["profile"] = {key: statistics.median(run["profile"].get(key, 0) for run in runs[name])
                                   for key in runs[name][0]["profile"]}
    if "rocksdb free" in variants:
        result["rocksdb free"]["of_memory"] = statistics.median(
            memory["busy"] / rocksdb["busy"] for memory, rocksdb in zip(runs["memory free"], runs["rocksdb free"]))
    return result


def print_case(case, result):
    for name, figures in result.items():
        print("%-14s %-14s %7.2f %9.0f %9.0f %7.0f %9s %9s %9s" % (
            case, name, figures["wall"] / 1e6, figures["stream"], figures["busy"], figures["cut"],
            *("%.2f" % figures[ratio] if ratio in figures else "" for ratio in ("stream_ratio", "busy_ratio", "of_memory"))),
            flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(SOURCE, "build"))
    parser.add_argument("--events", type=int, default=5000000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", help="where to put a few gigabytes; a file system in memory measures no disk (default: /dev/shm)",
                        default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--json", help="write all figures there, too")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    cases = options.cases or list(CASES)
    unknown = [case for case in cases if case not in CASES]
    if unknown:
        parser.error("there is no case %s" % unknown[0])
    results = {}
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="sbhost-bench-") as directory:
        bench = Bench(options, directory)
        print("%-14s %-14s %7s %9s %9s %7s %9s %9s %9s" % ("case", "program", "M/s", "stream ns", "busy ns", "cut ns", "ratio",
                                                            "busy ratio", "of memory"))
        for case in cases:
            results[case] = measure_case(bench, case)
            print_case(case, results[case])
        results["first_event_ms"] = {backend: bench.first_event_ms(backend)
                                     for backend in ["memory"] + ["rocksdb"] * bench.have_rocksdb}
        for backend, ms in results["first_event_ms"].items():
            print("start to first event, %s: %.1f ms" % (backend, ms))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"events": options.events, "rounds": options.rounds, "results": results}, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
