"""What a job's state and output have to be, computed from its input alone.

This shares no code, no format knowledge beyond the documented one, and no arithmetic with the host: the input is parsed
here by Python's own means, money is summed as Decimal, and every profile and every output line is compared.
"""

import datetime
import json
from decimal import Decimal

DAY_MS = 86400000
PREMIUM_ABOVE = Decimal(1000)
VIP_ABOVE = Decimal(10000)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Purchase:
    __slots__ = ("user", "amount", "time_ms")

    def __init__(self, user, amount, time_ms):
        self.user = user
        self.amount = amount
        self.time_ms = time_ms


class Profile:
    __slots__ = ("purchases", "spent", "last_ms", "expiry_ms")

    def __init__(self):
        self.purchases = 0
        self.spent = Decimal(0)
        self.last_ms = None
        self.expiry_ms = None


def category(spent):
    if spent > VIP_ABOVE:
        return "VIP"
    return "Premium" if spent > PREMIUM_ABOVE else "Regular"


def iso(ms):
    return (_EPOCH + datetime.timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (ms % 1000)


def parse_time(value):
    """A text with zone, or seconds since 1970."""
    if isinstance(value, Decimal):
        return int(value * 1000)
    return parse_iso(value)


def parse_iso(text):
    time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (time - _EPOCH) // datetime.timedelta(milliseconds=1)


def read_blank_separated(path):
    """The CDNOW file: a header, then customer, date, number of CDs, dollars."""
    days = {}
    with open(path, encoding="ascii") as file:
        header = next(file).split()
        user, date, amount = (header.index(name) for name in ("customer_id", "date", "dollar_value"))
        for line in file:
            cells = line.split()
            if not cells:
                continue
            day = cells[date]
            if day not in days:
                days[day] = (datetime.date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal() - 719163) * DAY_MS
            yield Purchase(cells[user], Decimal(cells[amount]), days[day])


def read_ndjson(path):
    """Files of good records only."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip():
                record = json.loads(line, parse_float=Decimal, parse_int=Decimal)
                yield Purchase(record["user_id"], Decimal(record["amount"]), parse_time(record["timestamp"]))


class Oracle:
    """All profiles at the end, and the record that each purchase must have caused.

    ttl_ms: with it expiry goes by event time: a profile without purchases for so long begins anew. Without it nothing
    expires (a run that is shorter than its TTL by the wall clock).
    """

    def __init__(self, purchases=(), ttl_ms=None):
        self.ttl_ms = ttl_ms
        self.clock_ms = None
        self.profiles = {}
        self.records = []  # (user, purchases, spent, last_ms), in input order
        self.has_expiry = ttl_ms is not None
        self._texts = {}
        self.take(purchases)

    def take(self, purchases):
        """Goes on with these."""
        for purchase in purchases:
            self._take_one(purchase)
        if self.has_expiry:
            self.profiles = {u: p for u, p in self.profiles.items() if p.expiry_ms > self.clock_ms}

    def _take_one(self, purchase):
        self.clock_ms = purchase.time_ms if self.clock_ms is None else max(self.clock_ms, purchase.time_ms)
        profile = self.profiles.get(purchase.user)
        if profile is None or (self.has_expiry and profile.expiry_ms <= self.clock_ms):
            profile = self.profiles[purchase.user] = Profile()
        profile.purchases += 1
        profile.spent += purchase.amount
        if profile.last_ms is None or purchase.time_ms > profile.last_ms:
            profile.last_ms = purchase.time_ms
        if self.has_expiry:
            profile.expiry_ms = self.clock_ms + self.ttl_ms
        self.records.append((purchase.user, profile.purchases, profile.spent, profile.last_ms))

    @property
    def purchases(self):
        return sum(profile.purchases for profile in self.profiles.values())

    @property
    def spent(self):
        return sum((profile.spent for profile in self.profiles.values()), Decimal(0))

    def _iso(self, ms):
        text = self._texts.get(ms)
        if text is None:
            text = self._texts[ms] = iso(ms)
        return text

    def difference(self, value, purchases, spent, last_ms):
        """What is wrong with a profile as the host prints it, or None."""
        if value["total_purchases"] != purchases:
            return "total_purchases %r, not %r" % (value["total_purchases"], purchases)
        if abs(value["total_spent"] - float(spent)) > 1e-9 * max(1.0, float(spent)):
            return "total_spent %r, not %s" % (value["total_spent"], spent)
        if value["last_purchase"] != self._iso(last_ms):
            return "last_purchase %r, not %s" % (value["last_purchase"], self._iso(last_ms))
        if value["category"] != category(spent):
            return "category %r, not %s (spent %s)" % (value["category"], category(spent), spent)
        return None

    def check_export(self, lines):
        """lines: what "state export" printed. Raises AssertionError that names the first profile that is wrong."""
        seen = set()
        for line in lines:
            entry = json.loads(line)
            user = entry["key"]
            if entry["state"] != "profile":
                raise AssertionError("an entry of another state: %s" % line)
            if user in seen:
                raise AssertionError("profile %s comes twice" % user)
            seen.add(user)
            profile = self.profiles.get(user)
            if profile is None:
                raise AssertionError("profile %s should not be there: %s" % (user, line))
            wrong = self.difference(entry["value"], profile.purchases, profile.spent, profile.last_ms)
            if wrong:
                raise AssertionError("profile %s: %s" % (user, wrong))
            if self.has_expiry and entry["expiry_ms"] != profile.expiry_ms:
                raise AssertionError("profile %s: expiry %r, not %r" % (user, entry["expiry_ms"], profile.expiry_ms))
        missing = set(self.profiles) - seen
        if missing:
            raise AssertionError("%d profiles are missing, %s among them" % (len(missing), min(missing)))

    def check_output(self, path, ordered):
        """Every purchase exactly once, each user's in order; with ordered all of them in the input's order."""
        waiting = {}
        if not ordered:
            for record in reversed(self.records):
                waiting.setdefault(record[0], []).append(record)
        count = 0
        with open(path, "rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    raise AssertionError("%s: line %d is cut off" % (path, number + 1))
                value = json.loads(line)
                if ordered:
                    record = self.records[number] if number < len(self.records) else None
                else:
                    of_user = waiting.get(value["user_id"])
                    record = of_user.pop() if of_user else None
                if record is None:
                    raise AssertionError("%s: line %d is one too many: %s" % (path, number + 1, line))
                if value["user_id"] != record[0]:
                    raise AssertionError("%s: line %d is of user %s, not %s" % (path, number + 1, value["user_id"],
                                                                                record[0]))
                wrong = self.difference(value, *record[1:])
                if wrong:
                    raise AssertionError("%s: line %d, user %s: %s" % (path, number + 1, record[0], wrong))
                count += 1
        if count != len(self.records):
            raise AssertionError("%s has %d records, not %d" % (path, count, len(self.records)))
