"""What is restored, what is passed over, and what is refused with a remedy instead of guessed."""

import sys

sys.dont_write_bytecode = True

import base64
import json
import os
import re
import shutil
import signal
import unittest

import harness
from harness import load_checkpoint, numbered_events, sign
from oracle import Oracle, read_ndjson

STEP = 100


class Recovery(harness.Case):
    """A job of 400 events that has three checkpoints at 100, 200 and 300."""

    def setUp(self):
        super().setUp()
        self.write("in.ndjson", numbered_events(0, 4 * STEP))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")))

    def arguments(self, *more):
        return ["--backend", "memory", "--input", "in.ndjson", "--output", "out", *more]

    def job(self, *more, status=0):
        return self.sbhost(*self.arguments(*more), status=status)

    def take_three(self):
        for _ in range(3):
            self.job("--max-events", str(STEP))
        self.assertEqual([load_checkpoint(path)["Events"] for path in self.checkpoints()], [STEP, 2 * STEP, 3 * STEP])

    def check_result(self):
        self.oracle.check_export(self.export())
        self.oracle.check_output(self.path("out"), ordered=True)

    def change(self, path, change):
        with open(path, "rb") as file:
            content = file.read()
        changed = change(content)
        self.assertNotEqual(changed, content)
        with open(path, "wb") as out:
            out.write(changed)

    def snapshot(self):
        """All files with their contents, but locks and logs."""
        found = {}
        for directory, _, files in os.walk(self.dir):
            for name in files:
                if name not in ("LOCK", ".sbhost-lock"):
                    with open(os.path.join(directory, name), "rb") as file:
                        found[os.path.join(directory, name)] = file.read()
        return found

    def check_refused(self, status, *texts, more=(), change=None):
        """Ends with status and a sentence, and leaves every file as it was."""
        before = self.snapshot()
        result = self.job(*more, status=status)
        self.assertSays(result, *texts)
        after = self.snapshot()
        self.assertEqual(sorted(after), sorted(before))
        self.assertEqual([path for path in after if after[path] != before[path]], [])

    # A damaged newest one.

    def check_passed_over(self, change):
        self.take_three()
        second, newest = self.checkpoints()[1:]
        self.change(newest, change)
        result = self.job()
        self.assertIn("ERROR Damaged checkpoint passed over", result.err)
        self.assertIn("Restoring from checkpoint  id=" + load_checkpoint(second)["ID"], result.err)
        self.assertEqual(self.quarantined(), [os.path.basename(newest)])
        self.check_result()

    def test_a_flipped_bit_in_an_offset_digit(self):
        def flip(content):
            at = re.search(rb'"Offsets":\{"0":\d+(\d)\}', content).start(1)
            return content[:at] + bytes([content[at] ^ 1]) + content[at + 1:]
        self.check_passed_over(flip)

    def test_a_flipped_bit_in_the_id(self):
        self.check_passed_over(lambda content: content.replace(b"checkpoint-1", b"checkpoint-3", 1))

    def test_a_flipped_bit_in_the_format_version(self):
        self.check_passed_over(lambda content: content.replace(b'"FormatVersion":1', b'"FormatVersion":3', 1))

    def test_a_flipped_bit_in_the_state(self):
        def flip(content):
            at = content.index(b'"StateData":"') + 60
            return content[:at] + (b"A" if content[at:at + 1] != b"A" else b"B") + content[at + 1:]
        self.check_passed_over(flip)

    def test_a_flipped_digit_of_the_digest(self):
        def flip(content):
            at = content.rindex(b'"}') - 1
            return content[:at] + (b"0" if content[at:at + 1] != b"0" else b"1") + content[at + 1:]
        self.check_passed_over(flip)

    def test_a_truncated_file(self):
        self.check_passed_over(lambda content: content[:len(content) // 2])

    def test_a_file_that_lost_its_last_byte(self):
        self.check_passed_over(lambda content: content[:-1])

    def test_an_empty_file(self):
        self.check_passed_over(lambda content: b"")

    def test_bytes_behind_the_end(self):
        self.check_passed_over(lambda content: content + b" ")

    def test_garbage(self):
        self.check_passed_over(lambda content: bytes(range(256)) * 16)

    def test_another_checkpoint_under_its_name(self):
        older = []

        def exchange(content):
            with open(self.checkpoints()[0], "rb") as file:
                older.append(file.read())
            return older[0]
        self.check_passed_over(exchange)

    def test_a_damaged_frame_behind_a_digest_that_fits(self):
        def damage(content):
            checkpoint = json.loads(content)
            inner = json.loads(base64.b64decode(checkpoint["StateData"]))
            frames = bytearray(base64.b64decode(inner["backend_snapshots"]["backend-0"]))
            frames[40] ^= 1
            inner["backend_snapshots"]["backend-0"] = base64.b64encode(frames).decode()
            text = base64.b64encode(json.dumps(inner, separators=(",", ":")).encode()).decode()
            return sign(content.replace(checkpoint["StateData"].encode(), text.encode()))
        self.check_passed_over(damage)

    def test_two_damaged_ones_make_the_third_count(self):
        self.take_three()
        first, second, newest = self.checkpoints()
        for path in (second, newest):
            self.change(path, lambda content: content[:100])
        result = self.job()
        self.assertIn("Restoring from checkpoint  id=" + load_checkpoint(first)["ID"], result.err)
        self.assertEqual(self.quarantined(), sorted(map(os.path.basename, (second, newest))))
        self.check_result()

    # No valid one.

    def test_all_damaged_is_refused_until_a_fresh_start_is_allowed(self):
        self.take_three()
        for path in self.checkpoints():
            self.change(path, lambda content: content[:-10])
        result = self.job(status=5)
        self.assertSays(result, "checkpoints", "--allow-fresh-start")
        self.assertEqual(len(self.quarantined()), 3)
        self.check_refused(5, "--allow-fresh-start")
        result = self.job("--allow-fresh-start")
        self.assertIn("No checkpoint found, starting fresh", result.err)
        self.check_result()

    def test_missing_checkpoints_are_refused_until_a_fresh_start_is_allowed(self):
        self.take_three()
        shutil.rmtree(self.path("checkpoints"))
        self.assertSays(self.job(status=5), "checkpoints", "--allow-fresh-start")
        self.assertSays(self.job(status=5), "checkpoints", "--allow-fresh-start")
        self.job("--allow-fresh-start")
        self.check_result()

    def test_checkpoints_that_are_put_back_after_the_refusal_are_restored(self):
        self.take_three()
        shutil.move(self.path("checkpoints"), self.path("saved"))
        self.job(status=5)
        shutil.rmtree(self.path("checkpoints"))
        shutil.move(self.path("saved"), self.path("checkpoints"))
        self.assertIn("Successfully restored from checkpoint", self.job().err)
        self.check_result()

    def test_a_job_killed_before_its_first_checkpoint_starts_fresh_without_complaint(self):
        for backend in harness.backends():
            where = ["--backend", backend, "--state-dir", backend, "--checkpoint-dir", backend + "-checkpoints"]
            job = self.start(*where, "--input", "generator:users=3,rate=500,seed=9", "--output", "out",
                             "--operator-opt", "log_updates=true")
            self.assertTrue(job.saw("Updated user profile", times=20), job.log)
            self.assertTrue(job.kill())
            result = self.sbhost(*where, "--input", "generator:users=3,rate=0,seed=9,count=250", "--output", "out")
            self.assertIn("No checkpoint found, starting fresh", result.err)
            self.assertNotRegex(result.err, r"(?m)^(WARN|ERROR)")
            self.assertEqual(len(self.read("out").splitlines()), 250)

    def test_what_an_interrupted_checkpoint_left_is_removed(self):
        self.take_three()
        self.write("checkpoints/checkpoint-1999999999000000000.json.tmp", b'{"ID":')
        self.job()
        self.assertFalse(os.path.exists(self.path("checkpoints", "checkpoint-1999999999000000000.json.tmp")))
        self.check_result()

    def test_a_state_directory_that_was_deleted_is_rebuilt(self):
        self.take_three()
        shutil.rmtree(self.path("state-data"))
        self.job()
        self.check_result()

    def test_live_files_are_never_trusted(self):
        for backend in harness.backends():
            with self.subTest(backend=backend):
                self.job("--backend", backend, "--max-events", str(STEP), "--restore", "none")
                self.write("state-data/CURRENT", b"MANIFEST-999999\n")
                self.write("state-data/000999.sst", b"no such thing")
                self.job("--backend", backend)
                self.check_result()
                self.assertFalse(os.path.exists(self.path("state-data", "000999.sst")))

    # What does not fit is refused, and nothing is touched.

    def test_a_newer_format_is_refused_and_not_set_aside(self):
        self.take_three()
        self.change(self.checkpoints()[-1], lambda content: sign(content.replace(b'"FormatVersion":1',
                                                                                b'"FormatVersion":2', 1)))
        self.check_refused(3, "newer")
        self.assertEqual(self.quarantined(), [])

    def test_another_operator_is_refused(self):
        self.take_three()
        self.change(self.checkpoints()[-1], lambda content: sign(content.replace(b'"Operator":"example-processor"',
                                                                                b'"Operator":"other-processor"', 1)))
        self.check_refused(3, "other-processor", "example-processor", "--restore none")
        self.assertEqual(self.quarantined(), [])

    def test_a_field_of_another_type_is_refused(self):
        self.take_three()
        self.change(self.checkpoints()[-1],
                    lambda content: sign(content.replace(b'"total_purchases","type":"i64"',
                                                         b'"total_purchases","type":"time"', 1)))
        self.check_refused(3, "total_purchases", "profile", "time of 8 bytes", "i64 of 8 bytes")
        self.assertEqual(self.quarantined(), [])

    def test_another_ttl_clock_is_refused(self):
        self.take_three()
        self.check_refused(3, "--ttl-clock", more=["--ttl-clock", "event"])

    def test_another_file_under_the_input_s_name_is_refused(self):
        self.take_three()
        self.write("in.ndjson", numbered_events(1000, 4 * STEP))
        self.check_refused(3, "in.ndjson", "--restore none")

    def test_an_input_that_became_shorter_is_refused(self):
        self.take_three()
        self.write("in.ndjson", numbered_events(0, 2 * STEP))
        self.check_refused(3, "in.ndjson", "--restore none")

    def test_an_input_that_grew_is_read_on(self):
        self.job()
        self.write("in.ndjson", numbered_events(0, 6 * STEP))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")))
        self.job()
        self.check_result()

    def test_an_input_that_is_left_out_is_refused(self):
        self.take_three()
        self.write("other.ndjson", numbered_events(0, 1))
        before = self.snapshot()
        result = self.sbhost("--backend", "memory", "--input", "other.ndjson", "--output", "out", status=3)
        self.assertSays(result, "in.ndjson", "--input")
        self.assertEqual(self.snapshot(), before)

    def test_an_input_that_is_new_is_read_from_its_beginning(self):
        self.take_three()
        self.write("more.ndjson", numbered_events(5000, 50))
        self.job("--input", "more.ndjson")
        self.assertEqual(sum(entry["value"]["total_purchases"] for entry in self.profiles().values()), 4 * STEP + 50)
        self.assertEqual(len(self.read("out").splitlines()), 4 * STEP + 50)

    def test_an_output_that_became_shorter_is_refused(self):
        self.take_three()
        content = self.read("out")
        self.write("out", content[:-1])
        self.check_refused(3, "out", "--restore none")
        self.write("out", content)
        self.job()
        self.check_result()

    def test_an_output_that_became_longer_is_cut_back(self):
        self.take_three()
        self.write("out", self.read("out") + b"what a crashed run wrote behind its last checkpoint\n" * 1000)
        self.job()
        self.check_result()

    def test_a_checkpoint_that_fails_costs_none_of_those_that_are_kept(self):
        self.take_three()
        before = self.checkpoints()
        result = self.job("--keep", "3", "--backend", "fault", "--backend-opt", "fail_iter_next=1", status=1)
        self.assertSays(result, "the final checkpoint failed")
        self.assertEqual(self.checkpoints(), before)
        self.job("--keep", "3")
        self.assertEqual(self.checkpoints()[:-1], before[1:])
        self.check_result()

    # Choosing.

    def test_an_older_one_can_be_chosen(self):
        self.take_three()
        first = load_checkpoint(self.checkpoints()[0])["ID"]
        result = self.job("--restore", first)
        self.assertIn("Restoring from checkpoint  id=" + first, result.err)
        self.check_result()

    def test_a_run_from_an_older_one_that_is_killed_leaves_an_output_that_the_next_start_gets_right(self):
        """The output was cut back to the older one and written anew by two tasks, in another order: the newer ones that were
        passed by do not know it."""
        os.mkfifo(self.path("idle"))
        idle = os.open(self.path("idle"), os.O_RDWR)  # a second input that keeps the job from ending
        for _ in range(3):
            self.job("--input", "idle", "--max-events", str(STEP))
        first = load_checkpoint(self.checkpoints()[0])["ID"]
        job = self.start(*self.arguments("--input", "idle", "--restore", first, "--parallelism", "2",
                                         "--checkpoint-interval", "0", "--operator-opt", "log_updates=true"))
        self.assertTrue(job.saw("Updated user profile", times=3 * STEP), job.log)
        job.wait_for(lambda: len(self.read("out").splitlines()) == 4 * STEP)
        self.assertTrue(job.kill())
        last = self.start(*self.arguments("--input", "idle", "--checkpoint-interval", "0"))
        self.assertTrue(last.saw("Successfully restored"), last.log)
        os.close(idle)
        self.assertEqual(last.wait().status, 0, last.log)
        self.check_output_unordered()

    def check_output_unordered(self):
        self.oracle.check_export(self.export())
        self.oracle.check_output(self.path("out"), ordered=False)

    def test_one_that_is_not_there_cannot_be_chosen(self):
        self.take_three()
        self.check_refused(5, "checkpoint-1234567890", more=["--restore", "checkpoint-1234567890"])

    def test_a_damaged_one_that_is_chosen_is_refused_and_not_replaced_by_another(self):
        self.take_three()
        second = self.checkpoints()[1]
        name = load_checkpoint(second)["ID"]
        self.change(second, lambda content: content[:-40])
        self.check_refused(5, name, more=["--restore", name])
        self.assertEqual(self.quarantined(), [])

    def test_restore_none_begins_anew(self):
        self.take_three()
        result = self.job("--restore", "none")
        self.assertNotIn("Restoring", result.err)
        self.check_result()

    # Directories.

    def test_a_second_process_is_refused_while_the_first_runs(self):
        job = self.start("--backend", "memory")
        self.assertTrue(job.saw("Updated user profile"), job.log)
        one = self.sbhost("--backend", "memory", status=6)
        self.assertSays(one, "checkpoints")
        other = self.sbhost("--backend", "memory", "--checkpoint-dir", "other", status=6)
        self.assertSays(other, "state-data")
        third = self.sbhost("--backend", "memory", "--state-dir", "other-state", status=6)
        self.assertSays(third, "checkpoints")
        job.signal(signal.SIGINT)
        self.assertEqual(job.wait().status, 0)
        self.sbhost("--backend", "memory", "--max-events", "1")

    def test_a_lock_of_a_dead_process_is_no_hindrance(self):
        job = self.start("--backend", "memory")
        self.assertTrue(job.saw("Updated user profile"), job.log)
        self.assertTrue(job.kill())
        self.sbhost("--backend", "memory", "--max-events", "1")

    def test_a_state_directory_that_is_not_ours_is_refused_and_untouched(self):
        os.mkdir(self.path("mine"))
        self.write("mine/thesis.tex", b"years of work")
        for _ in range(2):
            result = self.job("--state-dir", "mine", status=3)
            self.assertSays(result, "mine", "--state-dir")
            self.assertEqual(os.listdir(self.path("mine")), ["thesis.tex"])
        self.assertEqual(self.read("mine/thesis.tex"), b"years of work")
        self.assertFalse(os.path.exists(self.path("out")))

    def test_a_file_that_the_emptied_state_directory_would_take_with_it_is_refused(self):
        self.take_three()
        os.rename(self.path("checkpoints"), self.path("state-data", "checkpoints"))
        result = self.job("--checkpoint-dir", "state-data/checkpoints", status=3)
        self.assertSays(result, "--checkpoint-dir", "--state-dir")
        self.assertEqual(len(self.checkpoints("state-data/checkpoints")), 3)
        os.rename(self.path("state-data", "checkpoints"), self.path("checkpoints"))
        for option in ("--input", "--output", "--dead-letter"):
            self.write("state-data/file", b"")
            self.assertSays(self.job(option, "state-data/file", status=3), option, "--state-dir")
            self.assertTrue(os.path.exists(self.path("state-data", "file")))

    def test_an_output_that_is_an_input_is_refused_and_untouched(self):
        content = self.read("in.ndjson")
        os.link(self.path("in.ndjson"), self.path("link.ndjson"))
        for option, name in (("--output", "in.ndjson"), ("--output", "link.ndjson"), ("--dead-letter", "./in.ndjson")):
            result = self.job(option, name, status=3)
            self.assertSays(result, option, name)
            self.assertEqual(self.read("in.ndjson"), content)

    def test_output_and_dead_letters_cannot_be_one_file(self):
        self.assertSays(self.job("--dead-letter", "./out", status=3), "--dead-letter", "--output")


if __name__ == "__main__":
    unittest.main(verbosity=2)
