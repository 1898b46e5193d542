"""Records that cannot become events: each goes to the dead letters with its place and reason, exactly once, and the good ones
around it are counted as if it were not there."""

import sys

sys.dont_write_bytecode = True

import base64
import json
import os
import random
import time
import unittest

import harness
from oracle import Oracle, Purchase
from decimal import Decimal

GOOD = b'{"user_id":"good","amount":1.25,"timestamp":1700000000}'


def with_amount(text):
    return b'{"user_id":"u","amount":' + text + b',"timestamp":1700000000}'


def nested(levels):
    """A good record whose deepest value stands so many levels deep, the record itself included."""
    return GOOD[:-1] + b',"x":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


# What stands in the file, and the reasons that are right (several where the documentation leaves the choice).
NDJSON = [
    (b"hello", {"invalid-json"}),
    (b'{"user_id":"u"', {"invalid-json"}),
    (b"{}", {"missing-field"}),
    (b'{"user_id":"u","amount":1}', {"missing-field"}),
    (b'{"amount":1,"timestamp":1700000000}', {"missing-field"}),
    (b"[1,2,3]", {"invalid-json", "wrong-type"}),
    (b'"text"', {"invalid-json", "wrong-type"}),
    (GOOD + b"x", {"invalid-json"}),
    (GOOD + GOOD, {"invalid-json"}),
    (GOOD[:-1] + b",}", {"invalid-json"}),
    (b"{'user_id':'u'}", {"invalid-json"}),
    (with_amount(b'"1.25"'), {"wrong-type"}),
    (with_amount(b"true"), {"wrong-type"}),
    (with_amount(b"null"), {"wrong-type", "missing-field"}),
    (with_amount(b"{}"), {"wrong-type"}),
    (with_amount(b"NaN"), {"invalid-json"}),
    (with_amount(b"Infinity"), {"invalid-json"}),
    (with_amount(b"-Infinity"), {"invalid-json"}),
    (with_amount(b"1e999"), {"out-of-range"}),
    (with_amount(b"01"), {"invalid-json"}),
    (with_amount(b"1."), {"invalid-json"}),
    (with_amount(b"+1"), {"invalid-json"}),
    (with_amount(b"0x10"), {"invalid-json"}),
    (b'{"user_id":7,"amount":1,"timestamp":1700000000}', {"wrong-type"}),
    (b'{"user_id":"u","amount":1,"amount":2,"timestamp":1700000000}', {"duplicate-field"}),
    (b'{"user_id":"u","amount":1,"am\\u006funt":1,"timestamp":1700000000}', {"duplicate-field"}),
    (b'{"user_id":"u","amount":1,"timestamp":"yesterday"}', {"invalid-time"}),
    (b'{"user_id":"u","amount":1,"timestamp":"2024-02-30"}', {"invalid-time", "out-of-range"}),
    (b'{"user_id":"u","amount":1,"timestamp":true}', {"wrong-type", "invalid-time"}),
    (b'{"user_id":"u","amount":1,"timestamp":"+10000-01-01T00:00:00Z"}', {"invalid-time", "out-of-range"}),
    (b'{"user_id":"\xff\xfe","amount":1,"timestamp":1700000000}', {"invalid-utf8"}),
    (GOOD[:-1] + b',"note":"caf\xe9"}', {"invalid-utf8"}),
    (b'{"user_id":"\xed\xa0\x80","amount":1,"timestamp":1700000000}', {"invalid-utf8"}),
    (b'{"user_id":"\xc0\xaf","amount":1,"timestamp":1700000000}', {"invalid-utf8"}),
    (b'{"user_id":"\\ud800","amount":1,"timestamp":1700000000}', {"invalid-utf8", "invalid-json"}),
    (b'{"user_id":"a\tb","amount":1,"timestamp":1700000000}', {"invalid-json"}),
    (b'{"user_id":"a\x00b","amount":1,"timestamp":1700000000}', {"invalid-json"}),
    (b"\x00", {"invalid-json"}),
    (b"\xef\xbb\xbf" + GOOD, {"invalid-json", "invalid-utf8"}),
    (nested(33), {"too-deep"}),
    (b"[" * 5000, {"too-deep", "invalid-json"}),
    (GOOD[:-1] + b',"pad":"' + b"x" * (1 << 20) + b'"}', {"too-large"}),
    (b"y" * (3 << 20), {"too-large"}),
]

ALSO_GOOD = [
    nested(32),
    GOOD + b"\r",
    b"  " + GOOD + b"\t ",
    b'{"timestamp":"2023-11-14T22:13:20Z","extra":{"amount":"no","user_id":[]},"amount":125e-2,"user_id":"go\\u006fd"}',
    GOOD[:-1] + b',"pad":"' + b"x" * ((1 << 20) - len(GOOD) - 12) + b'"}',
]

CSV = [
    (b"u,1.25", {"invalid-csv", "missing-field"}),
    (b"u,1.25,1700000000,more", {"invalid-csv"}),
    (b",1.25,1700000000", {"missing-field"}),
    (b"u,,1700000000", {"missing-field"}),
    (b"u,one,1700000000", {"wrong-type"}),
    (b"u,nan,1700000000", {"wrong-type"}),
    (b"u,inf,1700000000", {"wrong-type"}),
    (b"u,1e999,1700000000", {"out-of-range"}),
    (b"u,1.25,soon", {"invalid-time"}),
    (b'"u"x,1.25,1700000000', {"invalid-csv"}),
    (b'u"x,1.25,1700000000', {"invalid-csv"}),
    (b"\xff,1.25,1700000000", {"invalid-utf8"}),
]

CSV_GOOD = [b"good,1.25,1700000000", b'"good","1.25",1700000000', b"good, 1.25 ,2023-11-14T22:13:20Z",
            b"good,1.25,1700000000\r"]


class BadRecords(harness.Case):
    def mix(self, bad, good, head=b"", end=b"\n"):
        """A file with a good record before and behind each bad one; (offset, record, reasons) of the bad ones."""
        content, expected = head, []
        for i, (record, reasons) in enumerate(bad):
            content += good[i % len(good)] + b"\n"
            expected.append((len(content), record, reasons))
            content += record + b"\n"
        for record in good:
            content += record + b"\n"
        return content, expected, len(bad) + len(good)

    def check_dead_letters(self, expected, source, name="dead-letters.ndjson"):
        letters = [json.loads(line) for line in self.read(name).splitlines()]
        for letter, (offset, record, reasons) in zip(letters, expected):
            self.assertEqual((letter["source"], letter["offset"]), (source, offset), (letter, record[:200]))
            self.assertIn(letter["reason"], reasons, (letter, record[:200]))
            self.assertTrue(letter["detail"], letter)
            kept = (base64.b64decode(letter["record_base64"], validate=True) if "record_base64" in letter
                    else letter["record"].encode())
            if letter.get("truncated"):
                self.assertGreater(len(record), 1 << 20)
                self.assertTrue(kept and record.startswith(kept))
            else:
                self.assertEqual(kept, record)
        self.assertEqual(len(letters), len(expected))

    def check_good(self, number):
        profile = self.profiles()["good"]["value"]
        self.assertEqual(list(self.profiles()), ["good"])
        self.assertEqual(profile["total_purchases"], number)
        self.assertEqual(profile["total_spent"], 1.25 * number)
        self.assertEqual(len(self.read("out").splitlines()), number)

    def test_every_sort_of_bad_json(self):
        content, expected, good = self.mix(NDJSON, [GOOD] + ALSO_GOOD)
        content += b"\n   \n\r\n" + GOOD  # blank lines are nothing; the last line has no end
        self.write("in.ndjson", content)
        for tasks in ("1", "2"):
            self.sbhost("--backend", "memory", "--parallelism", tasks, "--input", "in.ndjson", "--output", "out", "--restore",
                        "none")
            self.check_good(good + 1)
            self.check_dead_letters(expected, "in.ndjson")

    def test_every_sort_of_bad_csv(self):
        head = b"user_id,amount,timestamp\n"
        content, expected, good = self.mix(CSV, CSV_GOOD, head)
        expected.append((len(content), b'"never closed,1.25,1700000000', {"invalid-csv"}))
        content += b'"never closed,1.25,1700000000\n'
        self.write("in.csv", content)
        self.sbhost("--backend", "memory", "--format", "csv", "--input", "in.csv", "--output", "out")
        self.check_good(good)
        self.check_dead_letters(expected, "in.csv")

    def test_a_byte_order_mark_is_no_part_of_the_first_record(self):
        self.write("in.ndjson", b"\xef\xbb\xbf" + GOOD + b"\nbad\n")
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out")
        self.check_good(1)
        self.check_dead_letters([(3 + len(GOOD) + 1, b"bad", {"invalid-json"})], "in.ndjson")

    def test_dead_letters_go_where_they_are_told_to(self):
        self.write("in.ndjson", GOOD + b"\nbad\n")
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out", "--dead-letter", "letters")
        self.check_dead_letters([(len(GOOD) + 1, b"bad", {"invalid-json"})], "in.ndjson", "letters")
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out", "--dead-letter", "none", "--restore",
                    "none")
        self.check_good(1)
        self.assertFalse(os.path.exists(self.path("dead-letters.ndjson")))

    def test_a_warning_says_where_they_are(self):
        self.write("in.ndjson", GOOD + b"\nbad\nworse\n")
        result = self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out")
        self.assertEqual(result.err.count("WARN "), 1)
        self.assertIn("dead_letters=dead-letters.ndjson", result.err)
        self.assertIn("bad_records=2", result.err)

    def test_on_error_fail_stops_and_commits_nothing_behind_the_bad_record(self):
        content = GOOD + b"\nbad\n" + GOOD + b"\n"
        self.write("in.ndjson", content)
        args = ["--backend", "memory", "--input", "in.ndjson", "--output", "out"]
        result = self.sbhost(*args, "--on-error", "fail", status=1)
        self.assertSays(result, "in.ndjson", str(len(GOOD) + 1), "invalid-json", "--on-error")
        self.assertFalse(os.path.exists(self.path("dead-letters.ndjson")))
        for path in self.checkpoints():
            self.assertLessEqual(harness.load_checkpoint(path)["Offsets"]["0"], len(GOOD) + 1)
        self.sbhost(*args)
        self.check_good(2)
        self.check_dead_letters([(len(GOOD) + 1, b"bad", {"invalid-json"})], "in.ndjson")

    def test_names_in_dead_letters_cannot_harm_a_terminal(self):
        self.write("in.ndjson", b'{"\x1b[2J\xc2\x9b":1}\n{"user_id":"u","amount":1,"timestamp":"\xc2\x9b31m"}\n')
        result = self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out")
        self.assertNotIn("\x1b", result.err)
        self.assertNotIn("\x9b", result.err)
        for line in self.read("dead-letters.ndjson").splitlines():
            self.assertNotIn("\x1b", json.loads(line)["detail"])
            self.assertNotIn("\x9b", json.loads(line)["detail"])

    def test_exactly_once_across_kills(self):
        seed = 31
        rng = random.Random(seed)
        content, expected, purchases = bytearray(), [], []
        for i in range(150000):
            if rng.random() < 0.1:
                record = rng.choice([b"bad %d", b'{"user_id":"u%d"}', b"\xff%d"]) % i
                expected.append((len(content), record, {"invalid-json", "missing-field", "invalid-utf8"}))
                content += record + b"\n"
            else:
                cents = rng.randrange(10000)
                purchases.append(Purchase("u%d" % rng.randrange(500), Decimal(cents) / 100, 1700000000000))
                content += b'{"user_id":"%s","amount":%d.%02d,"timestamp":1700000000}\n' % (
                    purchases[-1].user.encode(), cents // 100, cents % 100)
        self.write("in.ndjson", bytes(content))
        oracle = Oracle(purchases)
        kills = 0
        for _ in range(8):
            job = self.start("--backend", rng.choice(harness.backends()), "--parallelism", rng.choice("12"), "--input",
                             "in.ndjson", "--output", "out", "--checkpoint-interval", "5ms")
            job.saw("Checkpoint created", times=rng.choice([0, 1, 1, 2]))
            time.sleep(rng.random() * 0.01)  # not to wait for something: to strike at any moment
            kills += job.kill()
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out")
        harness.note("%s: %d kills, seed %d" % (self.id(), kills, seed))
        oracle.check_export(self.export())
        oracle.check_output(self.path("out"), ordered=False)
        self.check_dead_letters(expected, "in.ndjson")


if __name__ == "__main__":
    unittest.main(verbosity=2)
