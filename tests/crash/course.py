"""A seeded input, and what a job that reads it must have made of it at any record: state, offset and output.

The oracle of the integration tests does the computing; here it is made to answer for any record without beginning anew, and to
look at an output only where it has grown, because thousands of answers an hour are wanted.
"""

import bisect
import copy
import json
import random
from decimal import Decimal

from oracle import Oracle, Purchase

START_S = 1700000000
USERS = 200
STRIDE = 500  # records between two states that are kept


class Course:
    """Records in a file, one partition; ttl_ms None or an expiry by event time that strikes within the input."""

    def __init__(self, seed, records):
        rng = random.Random(seed)
        self.ttl_ms = rng.choice([None, 60000, 1000000])
        self.lines, self.purchases = [], []
        for number in range(records):
            user = "user-%d" % int(USERS * rng.random() ** 2)
            cents, time_s = rng.randrange(30000), START_S + number + rng.randrange(-50, 50)
            self.lines.append(b'{"user_id":"%s","amount":%d.%02d,"timestamp":%d}\n' % (user.encode(), cents // 100,
                                                                                       cents % 100, time_s))
            self.purchases.append(Purchase(user, Decimal(cents) / 100, time_s * 1000))
        self.ends = [0]
        for line in self.lines:
            self.ends.append(self.ends[-1] + len(line))
        self._compute()

    def _compute(self):
        oracle = Oracle(ttl_ms=self.ttl_ms)
        self._kept = []
        for first in range(0, len(self.purchases), STRIDE):
            self._kept.append(({user: copy.copy(profile) for user, profile in oracle.profiles.items()}, oracle.clock_ms))
            oracle.take(self.purchases[first:first + STRIDE])
        self.records = oracle.records
        self.of_user = {}
        for number, record in enumerate(self.records):
            self.of_user.setdefault(record[0].encode(), []).append(number)
        self._checker = oracle
        self._printed = [None] * len(self.records)

    def write(self, path):
        with open(path, "wb") as out:
            out.writelines(self.lines)

    def number_at(self, offset):
        """How many records end at this position."""
        number = bisect.bisect_left(self.ends, offset)
        if number == len(self.ends) or self.ends[number] != offset:
            raise AssertionError("offset %d is within a record" % offset)
        return number

    def check_export(self, lines, number):
        """The whole state after so many records."""
        stride = max(number - 1, 0) // STRIDE
        oracle = Oracle(ttl_ms=self.ttl_ms)
        profiles, oracle.clock_ms = self._kept[stride]
        if number:
            oracle.profiles = {user: copy.copy(profile) for user, profile in profiles.items()}
            oracle.take(self.purchases[stride * STRIDE:number])
        oracle.check_export(lines)

    def check_record(self, number, line):
        """Whether this line is the record that purchase number must have caused."""
        if self._printed[number] == line:
            return
        value, record = json.loads(line), self.records[number]
        wrong = "user %s" % value["user_id"] if value["user_id"] != record[0] else self._checker.difference(
            value, *record[1:])
        if wrong:
            raise AssertionError("output of purchase %d: %s: %s" % (number, wrong, line.decode()))
        self._printed[number] = line


class Output:
    """An output file as it grows from checkpoint to checkpoint: what has been checked must stay."""

    def __init__(self, course):
        self.course = course
        self.ordered = True  # as the input is, while there has been one task only
        self.checked = b""
        self.lines = 0
        self.seen = dict.fromkeys(course.of_user, 0)

    def check(self, content, number):
        """content is what number records must have caused, each once, each user's in order."""
        if not content.startswith(self.checked):
            raise AssertionError("output that an earlier checkpoint counted on has changed")
        if content and not content.endswith(b"\n"):
            raise AssertionError("the output's last line is cut off")
        for line in content[len(self.checked):].splitlines():
            user = line.split(b'"', 4)[3]
            of_user, seen = self.course.of_user.get(user, ()), self.seen.get(user, 0)
            if seen == len(of_user) or of_user[seen] >= number or (self.ordered and of_user[seen] != self.lines):
                raise AssertionError("output line %d is one too many, or out of order: %s" % (self.lines + 1, line.decode()))
            self.course.check_record(of_user[seen], line)
            self.seen[user] = seen + 1
            self.lines += 1
        if self.lines != number:
            raise AssertionError("the output has %d lines, not %d" % (self.lines, number))
        self.checked = content
