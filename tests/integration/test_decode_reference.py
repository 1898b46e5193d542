"""The JSON decoder against Python's json, which shares nothing with it: the same verdict on every text, and the same values to the last bit.

The texts: a corpus written by hand (numbers at the edges of what is exact, escapes, surrogates, UTF-8 that is none, nesting,
duplicates, blanks), records made from a grammar, and both with random damage. SBHOST_TEST_SEED=<number> repeats a run,
SBHOST_FUZZ_RECORDS=<number> makes it longer. Python's json is made strict where it is not: NaN and Infinity, lone surrogates, depth.
"""

import sys

sys.dont_write_bytecode = True

import json
import os
import random
import struct
import subprocess
import unittest

import harness

FIELDS = ("a", "b", "c", "d")
DEPTH_MAX = 32
RECORDS = int(os.environ.get("SBHOST_FUZZ_RECORDS", "20000"))
PROGRAMS = [os.path.join(harness.BUILD, "tests", name) for name in ("decode_values", "decode_values_portable")]


class Bad(Exception):
    """The record is no event."""


class Whole(int):
    """A number without fraction and exponent, with its text."""

    def __new__(cls, text):
        number = super().__new__(cls, text)
        number.text = text
        return number


class Real(float):
    def __new__(cls, text):
        return super().__new__(cls, text)


def refuse_constant(name):
    raise Bad(name)


def take_members(pairs):
    """Keeps all pairs, since only a field's second member is a fault."""
    return ("object", pairs)


def depth_of(value):
    if isinstance(value, tuple):
        return 1 + max((depth_of(member) for _, member in value[1]), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def check_text(value):
    """A lone surrogate has no UTF-8."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        for member in value:
            check_text(member)
    elif isinstance(value, tuple):
        for name, member in value[1]:
            check_text(name)
            check_text(member)


def take_field(name, value):
    if name == "a" and isinstance(value, str):
        return '"' + value.encode("utf-8").hex()
    if name == "b" and isinstance(value, (Whole, Real)):
        try:
            number = -0.0 if isinstance(value, Whole) and value == 0 and value.text[0] == "-" else float(value)
        except OverflowError:
            raise Bad("beyond double") from None
        if number in (float("inf"), float("-inf")):
            raise Bad("beyond double")
        return struct.pack("<d", number).hex()
    if name == "c" and isinstance(value, Whole) and -1 << 63 <= value < 1 << 63:
        return str(int(value))
    if name == "d" and isinstance(value, bool):
        return str(int(value))
    raise Bad("wrong type")


def reference(record):
    """What decode_values should say."""
    if not record.strip(b" \t\r\n"):
        return "nothing"
    try:
        parsed = json.loads(record.decode("utf-8"), parse_int=Whole, parse_float=Real, parse_constant=refuse_constant,
                            object_pairs_hook=take_members)
        if not isinstance(parsed, tuple) or depth_of(parsed) > DEPTH_MAX:
            raise Bad("no object, or too deep")
        check_text(parsed)
        values = dict.fromkeys(FIELDS, "-")
        seen = set()
        for name, value in parsed[1]:
            if name in FIELDS:
                if name in seen:
                    raise Bad("twice")
                seen.add(name)
                if value is not None:
                    values[name] = take_field(name, value)
        if values["a"] == "-":
            raise Bad("no key")
    except (Bad, ValueError, RecursionError):
        return "bad"
    return " ".join(["event"] + [values[name] for name in FIELDS])


NUMBERS = [
    "0", "-0", "1", "-1", "0.0", "-0.0", "0.1", "0.2", "0.3", "1.10", "123.45", "99999999.99", "0.30000000000000004", "5e-324",
    "2.2250738585072014e-308", "2.2250738585072011e-308", "1.7976931348623157e308", "1.7976931348623158e308",
    "1.7976931348623159e308", "1e308", "1e309", "-1e999", "1e-400", "4.9e-324", "2.4703282292062327e-324",
    "2.4703282292062328e-324", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.0",
    "9007199254740992.5", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "12345678", "123456789", "1234567812345678", "1234567812345678.5",
    "0.12345678", "0.123456789012345678901234567890", "10000000000000000000000", "1E5", "1e+5", "1.5e-7", "8.5E22", "1e22", "1e23",
    "0." + "0" * 300 + "1", "1" * 308, "1" * 310, "9" * 400, "1." + "5" * 700,
]
NO_NUMBERS = [
    "00", "01", "-01", "-", "+1", ".5", "5.", "-.5", "1.e5", "1e", "1e+", "1.5e", "0x10", "1_000", "1,5", "NaN", "nan", "Infinity",
    "-Infinity", "inf", "1.2.3", "--1", "1-", "1e5.5", "\u0661", "0e", "1 2", "1a",
]
STRINGS = [
    '""', '"a"', '"' + "x" * 7 + '"', '"' + "x" * 8 + '"', '"' + "x" * 15 + '"', '"' + "x" * 16 + '"', '"' + "x" * 17 + '"',
    '"' + "x" * 4000 + '"', r'"\"\\\/\b\f\n\r\t"', r'"\u0000"', r'"\u00e9"', r'"\u20AC\u20ac"', r'"\ud83d\ude00"', r'"\uD83D\uDE00"',
    '"é€😀"', '"\x7f"', '"\u0080\u07ff\u0800\uffff"', r'"' + "x" * 15 + r'\n"', '"' + "x" * 14 + "é" + '"', '"}"', '"{\\"a\\":1}"', '"\u2028"',
]
NO_STRINGS = [
    '"', "'a'", '"\\"', r'"\x41"', r'"\u12"', r'"\u123g"', r'"\ud83d"', r'"\ude00"', r'"\ud83d\ud83d"', r'"\ud83dx"', r'"\ud83d\n"', '"\n"', '"\t"',
    '"\x00"', '"\x1f"', r'"\U0041"', r'"\ "', '"a""b"', '"' + "x" * 15 + '\x01"',
]
BROKEN_UTF8 = [b"\xff", b"\x80", b"\xc3", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
               b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3\x28"]
OTHERS = ["null", "true", "false", "[]", "{}", "[1,2]", '{"x":[{"y":null}]}', "[[[[]]]]", '{"a":"inside"}', "[" * 31 + "]" * 31,
          '{"x":' * 31 + "1" + "}" * 31]
NO_OTHERS = ["nul", "True", "FALSE", "nulll", "truefalse", "[1,]", "[,1]", '{"x"}', '{"x":}', '{"x":1,}', "{x:1}", "[1 2]", "]", "}", "undefined",
             "[" * 32 + "]" * 32, "[" * 40 + "]" * 40, "", "/* */1", "[1]]", "{}}"]
BLANKS = ["", " ", "\t", "\r", "\n", "  \t \r\n "]


def corpus():
    values = NUMBERS + NO_NUMBERS + STRINGS + NO_STRINGS + OTHERS + NO_OTHERS
    for value in values:
        for name in FIELDS + ("other",):
            before = '{' if name == "a" else '{"a":"key",'
            yield ('%s"%s":%s}' % (before, name, value)).encode("utf-8")
            yield ('%s"%s" : %s ,"z":1}\n' % (before, name, value)).encode("utf-8")
        yield value.encode("utf-8")
    for broken in BROKEN_UTF8:
        for frame in (b'{"a":"%s"}', b'{"a":"xxxxxxxxxxxxxxxxxxxx%s"}', b'{"a":"k","o":"%s"}', b'{"a":"k","%s":1}', b'{"a":"k"}%s', b'%s{"a":"k"}'):
            yield frame % broken
    for blank in BLANKS:
        yield blank.encode()
        yield ('%s{%s"a"%s:%s"k"%s,%s"b"%s:%s1%s}%s' % ((blank,) * 10)).encode()
    for text in ('{"a":"k","a":"l"}', '{"a":"k","\\u0061":"l"}', '{"\\u0061":"k"}', '{"a":"k","b":1,"b":1}', '{"a":"k","o":1,"o":2}', '{"a":null}', "{}",
                 '{"a":"k","b":null,"c":null,"d":null}', '{"A":"k"}', '{"a ":"k"}', '{"":"k","a":"l"}', "\ufeff{}", '{"a":"k"} {"a":"k"}', '{"a":"k"},',
                 '{"b":1e5,"a":"k"}', '{"a":"k","c":1.0}', '{"a":"k","c":1e3}', '{"a":"k","c":-0}'):
        yield text.encode("utf-8")


class Records:
    """Records that mostly are events, of a few shapes in a row, as a stream has them."""

    def __init__(self, rng):
        self.rng = rng
        self.new_shape()

    def new_shape(self):
        self.names = self.rng.sample(["a", "b", "c", "d", "other", "another", "x" * 50], self.rng.randint(1, 7))
        if self.rng.random() < 0.9 and "a" not in self.names:
            self.names[0] = "a"
        self.before, self.behind = (self.rng.choice(["", "", " ", "\t "]) for _ in range(2))

    def number(self):
        rng = self.rng
        whole = str(rng.randrange(10 ** rng.randint(1, 20)))
        kind = rng.random()
        if kind < 0.3:
            text = whole
        elif kind < 0.8:
            text = whole + "." + "".join(rng.choices("0123456789", k=rng.randint(1, 18)))
        else:
            text = repr(struct.unpack("<d", rng.randbytes(8))[0])
        return ("-" if rng.random() < 0.2 else "") + text.replace("--", "-")

    def value(self, name):
        rng = self.rng
        if rng.random() < 0.05:
            return rng.choice(STRINGS + NUMBERS + OTHERS)
        if name == "a":
            return json.dumps("".join(rng.choices("abcdefghij-_0123456789 é€😀\"\\\n", k=rng.randint(0, 40))),
                              ensure_ascii=rng.random() < 0.5)
        if name == "b":
            return self.number()
        if name == "c":
            return str(rng.randrange(-1 << rng.randint(1, 64), 1 << rng.randint(1, 64)))
        if name == "d":
            return rng.choice(["true", "false", "null"])
        return rng.choice(STRINGS + NUMBERS + OTHERS)

    def next(self):
        if self.rng.random() < 0.1:
            self.new_shape()
        members = ('"%s"%s:%s%s' % (name, self.before, self.behind, self.value(name)) for name in self.names)
        return ("{" + self.before + ("," + self.behind).join(members) + self.behind + "}").encode("utf-8")


def damaged(rng, record):
    """A few bytes changed, put in, or taken out."""
    record = bytearray(record)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(record) + 1)
        kind = rng.random()
        if kind < 0.4 and at < len(record):
            record[at] = rng.choice(b'{}[]":,\\0123456789.eE+-tfn u\x00\x1f\x7f\x80\xc3\xff\xed') if rng.random() < 0.7 else rng.randrange(256)
        elif kind < 0.7:
            record[at:at] = bytes([rng.choice(b'{}[]":,\\0 \n1.e-')])
        else:
            del record[at:at + rng.randint(1, 4)]
    return bytes(record)


class DecodeReference(unittest.TestCase):
    def assert_same(self, records, seed):
        framed = b"".join(struct.pack("<I", len(record)) + record for record in records)
        expected = [reference(record) for record in records]
        for program in PROGRAMS:
            done = subprocess.run([program], input=framed, stdout=subprocess.PIPE, timeout=harness.PATIENCE_S, check=True)
            found = done.stdout.decode("ascii").splitlines()
            self.assertEqual(len(found), len(records), program)
            for record, want, got in zip(records, expected, found):
                self.assertEqual(got, want, "%s on %r (seed %s)" % (os.path.basename(program), record, seed))
        return expected

    def test_the_corpus(self):
        records = list(corpus())
        expected = self.assert_same(records, "none")
        for verdict in ("event", "bad", "nothing"):
            self.assertTrue(any(text.startswith(verdict) for text in expected), "the corpus has none that is " + verdict)

    def test_random_records_whole_and_damaged(self):
        seed = os.environ.get("SBHOST_TEST_SEED", "20241109")
        rng = random.Random(seed)
        made = Records(rng)
        records = []
        for _ in range(RECORDS // 2):
            record = made.next()
            records += [record, damaged(rng, record)]
        expected = self.assert_same(records, seed)
        events = sum(text.startswith("event") for text in expected)
        self.assertGreater(events, RECORDS // 4, "too few records are good for this to mean much")


if __name__ == "__main__":
    unittest.main(verbosity=2)
