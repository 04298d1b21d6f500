"""Others read the register map as we do: mbpoll and libmodbus against our server, our client against a libmodbus server.

The C program is compiled here and now; where compiler, library or program are missing, the test names the packages.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.client import open_at
from citrus_grade.drivers.sim.shutters import Shutters
from citrus_grade.messages import Ejection, Position, Shutter
from tests.modbus_line import CONFIG, TICKS, ahead, emulated

MISSING = [name for name in ("mbpoll", "socat", "gcc", "pkg-config") if not shutil.which(name)]
needs_mbpoll = pytest.mark.skipif("mbpoll" in MISSING, reason="apt install mbpoll")
needs_socat = pytest.mark.skipif("socat" in MISSING, reason="apt install socat")

PEER = r"""
#include <arpa/inet.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The register map as a PLC's programmer writes it down from docs/plc.md: nothing of ours is included. */
enum { COUNT = 64, STATE = 70, BEAT, BOOT, ACK, TAKEN, ROOM, HEAD, COUNT_COPY = 79 };
enum { POSITION = 145, COMMAND = 192, LATENCY = 224, SHUTTER = 256, QUEUE = 320, REPORT = 512, WORDS = 1536 };

static uint16_t r[WORDS];

static void put32(uint16_t *at, uint32_t value) { at[0] = value >> 16; at[1] = value & 0xFFFF; }
static uint32_t get32(const uint16_t *at) { return (uint32_t)at[0] << 16 | at[1]; }

static void report(int state, uint32_t count, int lane, int outlet, uint32_t cup) {
    uint16_t *row = r + REPORT + 8 * (++r[HEAD] % 128);
    row[0] = r[HEAD]; row[1] = state; put32(row + 2, count); row[4] = lane; row[5] = outlet; put32(row + 6, cup);
}

/* Take a block as the handshake says, and report each of its entries as fired. */
static void take(void) {
    int n = r[QUEUE + 1];
    if (n < 1 || n > 15 || r[QUEUE + 2 + 8 * n] != r[QUEUE] || r[QUEUE] != (uint16_t)(r[ACK] + 1)) return;
    for (const uint16_t *e = r + QUEUE + 2; n--; e += 8) report(1, get32(e + 2), e[0], e[1], get32(e + 6));
    r[TAKEN] = r[QUEUE + 1]; r[ACK] = r[QUEUE];
}

/* Have every shutter stand at once where it is wanted, and report it. */
static void move(uint32_t count) {
    for (int lane = 0; lane < 6; lane++)
        if (r[POSITION + lane] != r[SHUTTER + lane]) {
            r[POSITION + lane] = r[SHUTTER + lane];
            report(8, count, lane, r[POSITION + lane], -1);
        }
}

static int serve(void) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_mapping_t map = { .nb_registers = WORDS, .tab_registers = r };
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    modbus_t *bus = modbus_new_tcp("127.0.0.1", 0);
    int length, listener = modbus_tcp_listen(bus, 1);
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&at, &size)) return 1;
    put32(r, 0x43475043); r[2] = 1; r[3] = 32; r[4] = 6; r[5] = 6; put32(r + 6, 4096); r[8] = 1; r[9] = 2000;
    r[27] = r[28] = 6;
    for (int i = 0; i < 3; i++) r[10 + i] = "line 1"[2 * i] << 8 | "line 1"[2 * i + 1];
    r[STATE] = 1; r[BOOT] = 1; r[ROOM] = 512;
    printf("%d\n", ntohs(at.sin_port)); fflush(stdout);
    modbus_tcp_accept(bus, &listener);
    for (uint32_t count = 1000; (length = modbus_receive(bus, query)) >= 0; count += 10) {
        put32(r + COUNT, count); put32(r + COUNT_COPY, count); r[BEAT]++;
        modbus_reply(bus, query, length, &map);
        take();
        move(count);
    }
    return 0;
}

/* Order one fruit of lane 2 out at outlet 4, three cups ahead, and close the shutter of lane 5, as this program's side of the
   handshake. */
static int order(modbus_t *bus) {
    uint16_t wanted[6] = { 0, 0, 0, 0, 0, 1 };
    uint16_t beat = 7, delay[6] = { 300, 300, 300, 300, 300, 300 }, status[17], block[11] = { 0, 1, 2, 4 };
    if (modbus_connect(bus) || modbus_read_registers(bus, 0, 10, r) != 10) return 1;
    if (modbus_write_registers(bus, LATENCY, 6, delay) != 6) return 1;
    if (modbus_write_registers(bus, SHUTTER, 6, wanted) != 6) return 1;
    if (modbus_write_registers(bus, COMMAND, 1, &beat) != 1 || modbus_read_registers(bus, 64, 17, status) != 17) return 2;
    block[0] = block[10] = status[9] + 1;
    put32(block + 4, get32(status) + 3 * get32(r + 6)); put32(block + 6, 100); put32(block + 8, 77);
    if (modbus_write_registers(bus, QUEUE, 11, block) != 11 || modbus_read_registers(bus, 64, 17, status) != 17) return 3;
    printf("magic %08x lanes %d count %u ack %d taken %d\n", get32(r), r[4], get32(status), status[9], status[10]);
    return 0;
}

int main(int n, char **words) {
    if (n == 2) return serve();
    modbus_t *bus = n == 4 ? modbus_new_rtu(words[2], 115200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", atoi(words[2]));
    modbus_set_slave(bus, 1);
    return order(bus);
}
"""


def mbpoll(*words: str) -> list[int]:
    """Return what mbpoll reads, by its own decoding."""
    done = subprocess.run(["mbpoll", "-1", "-0", *words], capture_output=True, text=True, check=True, timeout=30)
    return [int(value) for value in re.findall(r"^\[\d+\]:\s+(-?\d+)", done.stdout, re.M)]


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program against libmodbus."""
    if {"gcc", "pkg-config"} & set(MISSING) or subprocess.run(["pkg-config", "--exists", "libmodbus"], check=False).returncode:
        pytest.skip("apt install gcc pkg-config libmodbus-dev")
    folder = tmp_path_factory.mktemp("peer")
    (folder / "peer.c").write_text(PEER)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=True).stdout
    command = ["gcc", "-Wall", "-Werror", "-o", "peer", "peer.c", *flags.split()]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "peer"


@contextmanager
def serial_pair(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Two ends of a serial line."""
    ends = folder / "plc", folder / "pc"
    links = [f"pty,raw,echo=0,link={end}" for end in ends]
    socat = subprocess.Popen(["socat", *links], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for end in ends:
            wait_for(end)
        yield ends
    finally:
        socat.terminate()
        socat.wait()


def wait_for(path: Path) -> None:
    """Wait until a link is there."""
    for _attempt in range(1000):
        if path.exists():
            return
        time.sleep(0.01)
    raise TimeoutError(path)


@needs_mbpoll
def test_mbpoll_reads_the_map_as_documented() -> None:
    with emulated() as line:
        line.go(7)
        port = port_of(line.server.url)
        where = ("-p", port, "127.0.0.1")
        assert mbpoll("-t", "4:int", "-B", "-r", str(m.IDENTITY.at("magic")), *where) == [m.MAGIC]
        assert mbpoll("-t", "4:int", "-B", "-r", str(m.STATUS.at("count")), *where) == [7 * TICKS]
        assert mbpoll("-r", str(m.IDENTITY.at("map_version")), "-c", "4", *where) == [1, 32, 6, 6]


@needs_mbpoll
def test_what_mbpoll_writes_is_what_we_wrote() -> None:
    with emulated() as line:
        line.open()
        where = ("-p", port_of(line.server.url), "127.0.0.1")
        mbpoll("-r", str(m.LATENCY.at("latency", 3)), *where, "425")
        assert line.plc.words[m.LATENCY.at("latency", 3)] == 425
        assert line.plc.words[m.LATENCY.at("latency", 2)] == 10 * CONFIG.outlet[2].latency_ms


@needs_mbpoll
def test_nobody_writes_what_is_the_plcs() -> None:
    with emulated() as line, pytest.raises(subprocess.CalledProcessError):
        mbpoll("-r", str(m.STATUS.at("count")), "-p", port_of(line.server.url), "127.0.0.1", "1")


def test_a_libmodbus_client_orders_a_fruit_of_our_plc_and_closes_a_shutter(peer: Path) -> None:
    with emulated(shutters=Shutters(CONFIG.line.lanes)) as line:
        done = subprocess.run([peer, "order", port_of(line.server.url)], capture_output=True, text=True, check=True, timeout=30)
        assert done.stdout.split() == ["magic", "43475043", "lanes", "6", "count", "0", "ack", "1", "taken", "1"]
        line.go(4)
        at = m.SHUTTER_AT.address
        assert line.plc.words[at : at + 6] == [0, 0, 0, 0, 0, Position.CLOSED]
    [(lane, outlet, tick, cup)] = line.fell
    assert (lane, outlet, cup) == (2, 4, 77)
    assert abs(tick - 3 * TICKS) <= 1


def test_our_client_works_a_libmodbus_server(peer: Path) -> None:
    server = subprocess.Popen([peer, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        plc = open_at({"url": f"tcp://127.0.0.1:{int(server.stdout.readline())}"}, CONFIG)
        first = plc.poll()
        orders = [Ejection(k % 6, 1000 + k, k % 5, first.count + 40 * k) for k in range(300)]
        taken = sum(plc.eject(orders[k : k + 40]) for k in range(0, 300, 40))
        told = plc.poll()
        plc.close()
    finally:
        server.terminate()
        server.communicate()
    assert taken == 300
    assert told.count > first.count
    assert plc.lost == 300 - m.REPORT_RING
    fired = [r for r in told.reports if r.state == "fired"]
    assert [(r.lane, r.cup, r.outlet, r.tick) for r in fired] == [
        (e.lane, e.cup, e.outlet, e.fire_tick) for e in orders[-m.REPORT_RING :]
    ]


def test_our_client_moves_the_shutters_of_a_libmodbus_server(peer: Path) -> None:
    server = subprocess.Popen([peer, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        plc = open_at({"url": f"tcp://127.0.0.1:{int(server.stdout.readline())}"}, CONFIG)
        assert [row[1] for row in plc.poll().shutters] == [Position.OPEN] * CONFIG.line.lanes
        plc.move([Shutter(1, Position.CLOSED), Shutter(4, Position.ATTENUATOR)])
        told = plc.poll()
        plc.move([Shutter(1, Position.OPEN)])
        again = plc.poll()
        plc.close()
    finally:
        server.terminate()
        server.communicate()
    assert [row[:2] for row in told.shutters] == [(1, Position.CLOSED), (4, Position.ATTENUATOR)]
    assert [row[:2] for row in again.shutters] == [(1, Position.OPEN)]
    assert 0 < told.count - told.shutters[0][2] <= 50


@needs_socat
def test_a_serial_line_carries_the_same_map(tmp_path: Path) -> None:
    with serial_pair(tmp_path) as (plc_end, pc_end), emulated(url=f"rtu://{plc_end}") as line:
        plc = line.open_at(f"rtu://{pc_end}", timeout_ms=1000)
        plc.poll()
        assert plc.eject([ahead(line, 3 + k / 4, cup=k) for k in range(20)]) == 20
        line.go(9)
        fired = [r.cup for r in plc.poll().reports if r.state == "fired"]
    assert fired == [row[3] for row in line.fell] == list(range(20))


@needs_socat
@needs_mbpoll
def test_mbpoll_reads_the_serial_line_too(tmp_path: Path) -> None:
    with serial_pair(tmp_path) as (plc_end, pc_end), emulated(url=f"rtu://{plc_end}") as line:
        line.go(7)
        serial = ("-m", "rtu", "-b", "115200", "-P", "none", str(pc_end))
        assert mbpoll("-t", "4:int", "-B", "-r", str(m.STATUS.at("count")), *serial) == [7 * TICKS]


@needs_socat
def test_a_libmodbus_client_orders_over_the_serial_line(peer: Path, tmp_path: Path) -> None:
    with serial_pair(tmp_path) as (plc_end, pc_end), emulated(url=f"rtu://{plc_end}") as line:
        subprocess.run([peer, "order", pc_end, "rtu"], stdout=subprocess.DEVNULL, check=True, timeout=30)
        line.go(4)
    assert [(row[0], row[1], row[3]) for row in line.fell] == [(2, 4, 77)]
