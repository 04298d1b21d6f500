"""What a log record looks like: the messages come back, and any ROS 1 reader understands the bytes."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_grade.messages import Command, Joined, OutletReport, Pulse, Reading, Scans, Views
from citrus_grade.runlog.records import DECISIONS_SCHEMA, Batch, messages_schema, pack_decisions, unpack, unpack_decisions
from citrus_grade.tables import CLARITY, DECISION, FRUIT, VIEW

PIXELS = 5
INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)


def table(dtype, n, seed):
    """``n`` records of any bytes."""
    return np.frombuffer(np.random.default_rng(seed).bytes(n * dtype.itemsize), dtype)


def scans(t_ns, n, seed):
    rng = np.random.default_rng(seed)
    numbers = (rng.integers(0, 2**30, n).astype(kind) for kind in (np.int32, np.int32, np.int64))
    return Scans(t_ns, *numbers, rng.integers(0, 2**16, (n, PIXELS)).astype(np.uint16))


COUNT, ANY_SEED = st.integers(0, 4), st.integers(0, 2**32 - 1)
VIEWS, FRUITS, CLEAR = (st.builds(table, st.just(kind), COUNT, ANY_SEED) for kind in (VIEW, FRUIT, CLARITY))
MESSAGE = st.one_of(
    st.builds(Views, INT32, INT64, INT64, INT64, VIEWS, CLEAR),
    st.builds(Joined, FRUITS),
    st.builds(scans, INT64, COUNT, ANY_SEED),
    st.builds(Pulse, INT64, INT64, INT64),
    st.builds(OutletReport, INT64, INT64, INT32, INT32, st.sampled_from(("fired", "late", "jammed", "full", "clear")), INT64),
    st.builds(Reading, INT64, INT64, INT32, st.sampled_from(("cup_index", "pulp_temperature_c", "mass_g")), st.floats()),
    st.builds(Command, INT64, INT64, st.sampled_from(("lot", "plan", "lane_on")), st.text()),
)


def packed(messages):
    batch = Batch(PIXELS)
    for message in messages:
        batch.add(message)
    assert len(batch) == len(messages)
    data = batch.pack()
    assert len(batch) == 0
    return data


def same(a, b):
    """Whether two messages are equal in every field, arrays and NaN to the bit."""
    if type(a) is not type(b):
        return False
    fields = [(getattr(a, name), getattr(b, name)) for name in a.__slots__]
    return all(_bits(x) == _bits(y) for x, y in fields)


def _bits(value):
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    return struct.pack("<d", value) if isinstance(value, float) else value


@settings(max_examples=150)
@given(st.lists(MESSAGE, max_size=25))
def test_messages_come_back_as_they_were_in_the_order_they_were_fed(messages):
    back = list(unpack(packed(messages), PIXELS))
    assert len(back) == len(messages)
    assert all(map(same, back, messages))


def test_what_comes_back_cannot_be_written_to():
    (views,) = unpack(packed([Views(0, 0, 0, 0, table(VIEW, 2, 1), table(CLARITY, 2, 1))]), PIXELS)
    assert isinstance(views, Views)
    assert not views.rows.flags.writeable


@given(COUNT, ANY_SEED)
def test_decisions_come_back_to_the_bit(n, seed):
    rows = table(DECISION, n, seed)
    back = unpack_decisions(pack_decisions(rows))
    assert back.dtype == DECISION
    assert back.tobytes() == rows.tobytes()


# A reader of ROS 1 messages that knows nothing but the text of the schema.

PRIMITIVE = {
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip


def ros_types(schema):
    """Fields (type, array size or None, name) of the message and of each type it uses."""
    blocks = schema.split("\n" + "=" * 80 + "\n")
    types = {"": blocks[0]}
    for block in blocks[1:]:
        head, _, body = block.partition("\n")
        assert head.startswith("MSG: ")
        types[head.removeprefix("MSG: ").rpartition("/")[2]] = body
    return {name: [_field(line) for line in body.splitlines() if line.strip()] for name, body in types.items()}


def _field(line):
    kind, name = line.split()
    kind, bracket, size = kind.partition("[")
    return kind, size.removesuffix("]") if bracket else None, name


def ros_decode(types, data):
    value, at = _message(types, "", data, 0)
    assert at == len(data)
    return value


def _message(types, kind, data, at):
    value = {}
    for inner, size, name in types[kind]:
        if size is None:
            value[name], at = _one(types, inner, data, at)
            continue
        n = int(size) if size else struct.unpack_from("<I", data, at)[0]
        at += 0 if size else 4
        value[name] = []
        for _ in range(n):
            item, at = _one(types, inner, data, at)
            value[name].append(item)
    return value, at


def _one(types, kind, data, at):
    if kind == "string":
        (n,) = struct.unpack_from("<I", data, at)
        return data[at + 4 : at + 4 + n].decode(), at + 4 + n
    if kind in PRIMITIVE:
        return struct.unpack_from("<" + PRIMITIVE[kind], data, at)[0], at + struct.calcsize("<" + PRIMITIVE[kind])
    return _message(types, kind, data, at)


def assert_decoded(row, decoded):
    """A decoded message equals a NumPy record in every field."""
    assert list(decoded) == list(row.dtype.names)
    for name in row.dtype.names:
        assert np.array_equal(
            np.asarray(decoded[name], row.dtype[name].base),
            row[name].ravel() if row.dtype[name].shape else row[name],
            equal_nan=row[name].dtype.kind == "f",
        )


@given(st.integers(1, 4), ANY_SEED)
def test_a_ros_reader_decodes_decisions_from_the_schemas_text(n, seed):
    rows = table(DECISION, n, seed)
    decoded = ros_decode(ros_types(DECISIONS_SCHEMA), pack_decisions(rows))["decisions"]
    assert len(decoded) == n
    for row, one in zip(rows, decoded, strict=True):
        assert_decoded(row, one)


@settings(max_examples=40)
@given(st.lists(MESSAGE, max_size=12))
def test_a_ros_reader_decodes_any_mixture_of_messages(messages):
    decoded = ros_decode(ros_types(messages_schema(PIXELS)), packed(messages))
    assert len(decoded["order"]) == len(messages)
    pulses = [m for m in messages if isinstance(m, Pulse)]
    assert [(p["tick"], p["head_tick"], p["t_ns"]) for p in decoded["pulses"]] == [(m.tick, m.head_tick, m.t_ns) for m in pulses]
    views = [row for m in messages if isinstance(m, Views) for row in m.rows]
    for row, one in zip(views, decoded["views"], strict=True):
        assert_decoded(row, one)
    counts = [row.tolist() for m in messages if isinstance(m, Scans) for row in m.counts]
    assert [scan["counts"] for scan in decoded["scans"]] == counts
    assert bool(decoded["commands"]) == any(isinstance(m, Command) for m in messages)


@pytest.mark.parametrize("pulses", range(8))
def test_scans_come_back_as_arrays_of_one_type_wherever_they_lay(pulses: int) -> None:
    # To the compiler an unaligned or a read-only array is of another type: it would begin to compile when fruit is on the belt.
    batch = Batch(5)
    for k in range(pulses):
        batch.add(Command(1, 2, "lot", "x" * k))
    lane = np.arange(1 + pulses % 3, dtype=np.int32)
    batch.add(Scans(0, lane, lane, lane.astype(np.int64), np.ones((len(lane), 5), np.uint16)))
    (scans,) = (message for message in unpack(batch.pack(), 5) if isinstance(message, Scans))
    for array in (scans.lane, scans.seq, scans.tick, scans.counts):
        assert array.flags.aligned
        assert array.flags.c_contiguous
        assert array.flags.writeable
