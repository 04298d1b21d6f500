"""Anything at all into every driver: ``python -m benchmarks.fuzz [--bytes N] [--seed N] [--only NAME,...] [--json]``.

A third of the inputs are random bytes, a third transcripts of sound devices with a few bytes changed, a third such transcripts
with checksums that fit again where there are any; then some devices close their connection, some fall silent. What a driver
raises besides `DeviceError` and `DeviceGone` is an escape; what takes longer than all of its timeouts and a margin is a hang.
Each driver is fed in a process of its own, so that one that hangs can be ended, and one that dies has escaped too. Escapes are
printed with what repeats them.
"""

import argparse
import importlib
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from benchmarks.fuzz_targets import TARGETS, Target
from benchmarks.machine import machine
from citrus_grade.ports import DeviceError, DeviceGone

TABLE = "benchmarks.fuzz_targets"
MARGIN_S = 2.0
"""Beyond a driver's own timeouts: the machine may be busy."""
START_S = 180.0
MOST_RANDOM = 400
SHOWN = 200
BEGUN = "begun"


class Case(NamedTuple):
    """One input: what a device answers, piece by piece, and whether it then is silent."""

    pieces: list[bytes]
    silent: bool

    @property
    def size(self) -> int:
        """How many bytes that are."""
        return sum(map(len, self.pieces))


def case(name: str, target: Target, seed: int, number: int) -> Case:
    """Return an input of a driver, the same whenever it is asked for."""
    rng = random.Random(f"{seed} {name} {number}")
    silent = rng.random() < target.silent
    if number % 3 == 0:
        return Case([rng.randbytes(rng.randrange(MOST_RANDOM)) for _piece in range(rng.randint(1, 3))], silent)
    pieces = list(rng.choice(target.transcripts))
    for _change in range(rng.randint(1, 4)):
        which = rng.randrange(len(pieces))
        data = bytearray(pieces[which])
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
        pieces[which] = target.signed(bytes(data)) if number % 3 == 1 else bytes(data)
    return Case(pieces, silent)


def _feed(table: str, name: str, seed: int, first: int, total: int, told: Connection) -> None:
    """Feed inputs from ``first`` on until ``total`` bytes are fed; tell of each how many bytes it had, and what escaped."""
    with importlib.import_module(table).TARGETS[name]() as target:
        told.send(("ready", target.bound_s))
        number = first
        while total > 0:
            fed = case(name, target, seed, number)
            told.send((fed.size, BEGUN))
            told.send((fed.size, _escaped(target, fed)))
            total -= fed.size
            number += 1


def _escaped(target: Target, fed: Case) -> str:
    try:
        target.feed(fed.pieces, fed.silent)
    except (DeviceError, DeviceGone):
        return ""
    except BaseException as error:
        return f"{type(error).__name__}: {error}; answers {[piece[:SHOWN].hex() for piece in fed.pieces]}"
    return ""


class Fuzzed:
    """What became of one driver of a module's ``TARGETS``: ``fed`` bytes in ``inputs`` inputs."""

    def __init__(self, name: str, seed: int, table: str = TABLE) -> None:
        self._table, self._name, self._seed = table, name, seed
        self.fed = self.inputs = self.escapes = self.hangs = 0

    def feed(self, total: int) -> None:
        """Feed one process after another, each until it hangs, dies or is through."""
        context = multiprocessing.get_context("spawn")
        while self.fed < total:
            ours, theirs = context.Pipe(duplex=False)
            given = (self._table, self._name, self._seed, self.inputs, total - self.fed, theirs)
            process = context.Process(target=_feed, args=given, daemon=True)
            process.start()
            theirs.close()
            self._follow(ours)
            process.kill()
            process.join()

    def _follow(self, told: Connection) -> None:
        if not told.poll(START_S):
            raise RuntimeError(f"{self._name}: was not ready after {START_S:g} s")
        _ready, bound_s = told.recv()
        size, said = 0, ""
        try:
            while told.poll(bound_s + MARGIN_S):
                size, said = told.recv()
                if said != BEGUN:
                    self._count(size, said)
        except EOFError:
            if said == BEGUN:
                self._count(size, "the process died of it")
            return
        self.hangs += 1
        self._count(size, "")
        print(f"{self._name} {self._seed} {self.inputs - 1}: took longer than {bound_s + MARGIN_S:g} s", file=sys.stderr)

    def _count(self, size: int, escaped: str) -> None:
        self.fed += size
        self.inputs += 1
        if escaped:
            self.escapes += 1
            print(f"{self._name} {self._seed} {self.inputs - 1}: {escaped}", file=sys.stderr)


def fuzz(total: int, seed: int, names: Iterable[str]) -> dict[str, Any]:
    """Feed ``total`` bytes to each driver; return the sums and a row a driver."""
    rows = {}
    for name in names:
        began = time.monotonic()
        fuzzed = Fuzzed(name, seed)
        fuzzed.feed(total)
        rows[name] = {
            "bytes": fuzzed.fed, "inputs": fuzzed.inputs, "escapes": fuzzed.escapes, "hangs": fuzzed.hangs,
            "s": round(time.monotonic() - began, 1),
        }  # fmt: skip
        print(f"{name}: {rows[name]}", file=sys.stderr)
    return {"driver_fuzz_escapes": sum(row["escapes"] + row["hangs"] for row in rows.values()), "driver_fuzz": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    found = fuzz(args.bytes, args.seed, args.only.split(",") if args.only else list(TARGETS))
    result = {"simulated": True, "seed": args.seed, **found, "machine": machine()}
    print(json.dumps(result, indent=None if args.json else 1))


if __name__ == "__main__":
    main()
