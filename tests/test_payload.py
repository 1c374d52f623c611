"""Parcels between real processes: what is copied, what is shared, who has a block, and what happens when there is none."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import signal
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from concx import _payload, _shm
from concx._payload import LEAST, Parcel, Reference, Segments, Store, Unreachable, dump, load
from concx.shm import SegmentDamaged, shared_array
from queue_tools import LIMIT, fork, run_threads, wait_until

numpy = pytest.importorskip("numpy", reason="needs NumPy, which is not installed")

BIG = 1 << 20


class End:
    """One end of a connection over which parcels go both ways."""

    def __init__(self, sock: socket.socket, limit: int = 64 << 20, step: int = 4 << 20) -> None:
        self.sock = sock
        self.store = Store(limit, step)
        self.segments = Segments()
        self.sent: set[bytes] = set()

    def _read(self, n: int) -> bytearray:
        data = bytearray(n)
        view = memoryview(data)
        while view:
            got = self.sock.recv_into(view)
            if not got:
                raise EOFError
            view = view[got:]
        return data

    def send_parcel(self, parcel: Parcel) -> None:
        fresh = [s for s in parcel.segments if s.id not in self.sent]
        head, bulk = _payload.pack(parcel)
        self.sock.sendall(struct.pack("<II", len(fresh), len(head)))
        for segment in fresh:
            _payload.send_segment(self.sock, segment)
            assert self._read(1) == b"."  # a stream would join the next bytes to these
            self.sent.add(segment.id)
        self.sock.sendall(head)
        for part in bulk:
            self.sock.sendall(part)

    def send(self, obj: Any, **options: Any) -> Parcel:
        parcel = dump(obj, self.store, **options)
        self.send_parcel(parcel)
        return parcel

    def receive_parcel(self) -> Parcel:
        segments, length = struct.unpack("<II", self._read(8))
        for _ in range(segments):
            self.segments.receive(self.sock)
            self.sock.sendall(b".")
        head = self._read(length)
        return _payload.unpack(head, [self._read(n) for n, _ in _payload.bulk_sizes(head)])

    def receive(self, views: str = "own", **options: Any) -> Any:
        return load(self.receive_parcel(), self.segments, views, **options)


@contextmanager
def peer(body: Callable[[End], None], *, status: int = 0, **options: Any) -> Iterator[End]:
    """A forked child that runs the body with one end; it must end with `status`."""
    ours, theirs = socket.socketpair()
    pid = fork()
    if pid == 0:
        code = 1
        try:
            ours.close()
            body(End(theirs, **options))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    theirs.close()
    ours.settimeout(LIMIT)
    try:
        yield End(ours, **options)
        ours.close()
        ended: list[int] = []

        def is_over() -> bool:
            done, code = os.waitpid(pid, os.WNOHANG)
            ended.extend([code] if done else [])
            return bool(done)

        wait_until(is_over)
        assert os.waitstatus_to_exitcode(ended[0]) == status
        pid = 0
    finally:
        ours.close()
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def echo(end: End) -> None:
    while True:
        try:
            obj = end.receive()
        except EOFError:
            return
        end.send(obj)
        del obj


def lent(store: Store) -> int:
    return sum(segment.lent for segment in store.segments)


def objects() -> list[Any]:
    rng = numpy.random.default_rng(1)
    data = rng.bytes(BIG)
    return [
        None,
        {"small": [1, 2.5, "three", b"four"]},
        rng.integers(0, 9, 100),
        rng.random((300, 400)),
        rng.random((300, 400)).T,
        numpy.asfortranarray(rng.random((300, 400)))[::2],
        numpy.frombuffer(data, "u1"),  # not writable
        [rng.random(LEAST // 8), {"a": (rng.random(5000), "x")}],
        data,
        bytearray(data),
        {"bytes": data, "list": [bytearray(data), data[:LEAST]]},
        rng.random(50_000).view(numpy.dtype([("a", "f8"), ("b", "f8")])),
        "x" * BIG,
    ]


def same(a: Any, b: Any) -> bool:
    if isinstance(b, numpy.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and (a == b).all())
    if isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(b, dict):
        return list(a) == list(b) and same([*a.values()], [*b.values()])
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize("size", ["room", "none"])
def test_smoke(size: str) -> None:
    """Whatever is sent comes back, through blocks or, if there are none, in pieces."""
    options = {} if size == "room" else {"limit": 0}
    with peer(echo, **options) as end:
        for obj in objects():
            parcel = end.send(obj)
            assert len(parcel.data) < LEAST + 1000 or isinstance(obj, str)
            back = end.receive()
            assert same(back, obj), type(obj)
            if isinstance(back, numpy.ndarray):
                assert back.flags.writeable == obj.flags.writeable
            assert (
                not any(isinstance(r, Reference) for r in (*parcel.buffers, *parcel.wholes))
            ) or (size == "room")
            del back
        if size == "room":
            wait_until(lambda: lent(end.store) == 0)


def test_a_view_is_the_block_itself() -> None:
    """Without a copy: the array's bytes lie in the segment, and what is written there is written to it."""
    store, segments = Store(8 << 20), Segments()
    array = numpy.arange(BIG, dtype="u1")
    parcel = dump({"array": array}, store)
    assert len(parcel.data) < 500
    (reference,) = parcel.buffers
    # Another process would have received the segment; here its memory can be compared.
    known = parcel.segments[0]
    segments._held[known.id] = known
    got = load(parcel, segments)["array"]
    block = _shm.Block.attach(known, reference.offset, reference.size)
    assert got.__array_interface__["data"][0] == block.address
    got[5] = 77
    assert block.create_memoryview()[5] == 77
    assert array[5] == 5
    assert lent(store) == 1
    part = got[10:20]
    del got
    assert lent(store) == 1  # the part holds it
    del part
    assert lent(store) == 0
    again = dump(array, store)
    assert again.buffers[0].offset == reference.offset  # warm
    store.call_back(again)


def test_a_pickle_buffer_arrives_as_a_view() -> None:
    store, segments = Store(8 << 20), Segments()
    for data, room in [
        (bytearray(b"a" * BIG), True),
        (b"b" * BIG, True),
        (bytearray(b"c" * BIG), False),
    ]:
        parcel = dump([pickle.PickleBuffer(data)], store if room else Store(0))
        for segment in parcel.segments:
            segments._held[segment.id] = segment
        got = load(parcel, segments)[0]
        assert type(got) is memoryview
        assert got == data
        assert got.readonly is isinstance(data, bytes)
        assert lent(store) == room
        del got
        assert lent(store) == 0


def test_kinds_of_views() -> None:
    store, segments = Store(8 << 20), Segments()
    array = numpy.zeros(BIG, "u1")
    parcel = dump(array, store)
    known = parcel.segments[0]
    segments._held[known.id] = known
    block = _shm.Block.attach(known, *parcel.buffers[0][1:3])
    private = load(parcel, segments, "private", last=False)
    other = load(parcel, segments, "private", last=False)
    private[:] = 1
    assert not other.any()
    assert block.create_memoryview()[0] == 0
    readonly = load(parcel, segments, "readonly", last=False)
    assert not readonly.flags.writeable
    copied = load(parcel, segments, "copy", last=False)
    assert lent(store) == 1
    del private, other, readonly
    copied[0] = 9
    assert block.create_memoryview()[0] == 0
    store.call_back(parcel)
    assert lent(store) == 0
    with pytest.raises(SegmentDamaged):
        load(parcel, segments)
    with pytest.raises(
        ValueError, match="'views' must be one of own, private, readonly, copy, got 'mine'"
    ):
        load(parcel, segments, "mine")


def test_bytes_are_one_object_if_they_were() -> None:
    store, segments = Store(8 << 20), Segments()
    data, mutable = bytes(LEAST), bytearray(LEAST)
    parcel = dump([data, data, mutable, {"m": mutable}], store)
    assert len(parcel.wholes) == 2
    segments._held[parcel.segments[0].id] = parcel.segments[0]
    first, second, third, fourth = load(parcel, segments)
    assert first is second
    assert third is fourth["m"]
    assert type(first) is bytes
    assert type(third) is bytearray
    assert lent(store) == 0


def test_errors_of_pickling_leave_nothing_lent() -> None:
    store = Store(8 << 20)
    with pytest.raises(Exception, match=r"pickle|local"):
        dump([numpy.zeros(BIG), bytes(BIG), lambda: None], store)
    assert store.size > 0
    assert lent(store) == 0


def broken_array() -> Any:
    raise ZeroDivisionError


class Broken:
    def __init__(self) -> None:
        self.array = numpy.zeros(BIG)

    def __reduce__(self) -> Any:
        return broken_array, (), {"array": self.array}


def test_errors_of_unpickling_leave_nothing_lent() -> None:
    store, segments = Store(64 << 20), Segments()
    for obj in (Broken(), [Broken(), bytes(BIG)]):
        parcel = dump(obj, store)
        segments._held[parcel.segments[0].id] = parcel.segments[0]
        with pytest.raises(ZeroDivisionError):
            load(parcel, segments)
        gc.collect()
        assert lent(store) == 0


def test_damaged_parcels() -> None:
    store, segments = Store(8 << 20), Segments()
    parcel = dump(numpy.zeros(BIG, "u1"), store)
    segment, (reference,) = parcel.segments[0], parcel.buffers
    segments._held[segment.id] = segment
    for offset, size in [
        (0, 8),
        (64, 8),
        (reference.offset + 1, 8),
        (segment.size, 8),
        (192, 1 << 60),
        (1 << 62, 8),
    ]:
        with pytest.raises(SegmentDamaged):
            load(parcel._replace(buffers=[Reference(segment.id, offset, size)]), segments)
    with pytest.raises(SegmentDamaged):
        segment.call_back(65, 0)
    with pytest.raises(Unreachable, match="was not received"):
        load(parcel._replace(buffers=[Reference(b"?" * 16, 192, 8)]), segments)
    load(parcel, segments)
    with pytest.raises(SegmentDamaged):
        load(parcel, segments)  # it was loaded


def test_hostile_references(rng: Any) -> None:
    """Whatever a head says of blocks: its own exceptions, or something that lies in the segment."""
    store, segments = Store(8 << 20), Segments()
    outcomes: set[str] = set()
    for _ in range(2000):
        parcel = dump([numpy.full(LEAST, 7, "u1"), bytes(LEAST)], store)
        for segment in parcel.segments:
            segments._held[segment.id] = segment
        head = bytearray(_payload.pack(parcel)[0])
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(head) - len(parcel.data))
            head[at] = rng.choice([0, 1, 0x40, 0xFF, rng.randrange(256)])
        try:
            array, text = load(_payload.unpack(head), segments)
        except (SegmentDamaged, Unreachable, struct.error, ValueError) as error:
            outcomes.add(type(error).__name__)
        except (pickle.UnpicklingError, IndexError, TypeError, EOFError) as error:
            outcomes.add(type(error).__name__)
        else:
            outcomes.add("loaded")
            assert len(text) + int(array.sum()) >= 0  # all of it can be read
            del array, text
        store.call_back(parcel)
    assert {"SegmentDamaged", "Unreachable", "loaded"} <= outcomes, outcomes
    # Its owner knows by itself what it may lend.
    parcel = dump([numpy.full(LEAST, 9, "u1")], store)
    segments._held[parcel.segments[0].id] = parcel.segments[0]
    assert int(load(parcel, segments)[0].sum()) == 9 * LEAST


def double(end: End) -> None:
    array = end.receive()
    array *= 2
    end.send(array[:3])


def test_shared_arrays_are_shared() -> None:
    array = shared_array(numpy.arange(100_000))
    with peer(double) as end:
        parcel = end.send(array)
        assert parcel.buffers == []
        assert len(parcel.data) < 1000
        back = end.receive()
        assert back.tolist() == [0, 2, 4]
        assert array[99_999] == 199_998
        assert lent(end.store) == 0
        back[0] = 5  # by reference, both ways
        assert array[0] == 5


def hold(end: End) -> None:
    held = [end.receive() for _ in range(6)]
    end.send([int(array[0]) for array in held])
    assert end.receive() == "let go"
    held.clear()
    end.send("gone")


def test_a_full_store_grows_and_then_leaves_it_to_the_message() -> None:
    """Nobody waits for a view to die: with all blocks held, more parcels come."""
    with peer(hold, limit=6 << 20, step=2 << 20) as end:
        kinds = []
        for i in range(6):
            parcel = end.send(numpy.full(BIG, i, "u1"))
            kinds.append(isinstance(parcel.buffers[0], Reference))
        assert end.receive() == list(range(6))
        assert len(end.store.segments) > 1
        assert end.store.size <= 6 << 20
        assert kinds[0]
        assert not kinds[-1]
        end.send("let go")
        assert end.receive() == "gone"
        assert lent(end.store) == 0
        assert isinstance(
            dump(numpy.zeros(BIG), end.store).buffers[0], memoryview
        )  # larger than all
        assert isinstance(dump(numpy.zeros(BIG, "u1"), end.store).buffers[0], Reference)


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def test_without_descriptors_the_sender_leaves_it_to_the_message() -> None:
    with peer(echo) as end:
        array = numpy.arange(BIG)
        with limited(resource.RLIMIT_NOFILE, 3):
            parcel = end.send(array)
        assert isinstance(parcel.buffers[0], memoryview)
        assert (end.receive() == array).all()
        assert isinstance(end.send(array).buffers[0], Reference)
        assert (end.receive() == array).all()


def test_without_address_space_the_sender_leaves_it_to_the_message(run_script: Any) -> None:
    run_script(
        """
        import resource
        from concx import _payload
        store = _payload.Store(1 << 40, 1 << 36)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), hard))
        parcel = _payload.dump(bytes(1 << 20), store)
        assert type(parcel.wholes[0]) is bytes, parcel.wholes
        assert store.segments == []
        """
    )


def receive_without_descriptors(end: End) -> None:
    with limited(resource.RLIMIT_NOFILE, 3):
        parcel = end.receive_parcel()
    with pytest.raises(Unreachable):
        load(parcel, end.segments)
    end.send("again")
    end.send(int(end.receive().sum()))


def test_a_receiver_without_descriptors_asks_again() -> None:
    array = numpy.arange(BIG)
    with peer(receive_without_descriptors) as end:
        parcel = end.send([array][0])
        assert end.receive() == "again"
        end.send_parcel(_payload.inline(parcel))
        assert end.receive() == int(array.sum())
        assert lent(end.store) == 0


def receive_and_die(end: End) -> None:
    array = end.receive()
    end.send((os.getpid(), int(array[0])))
    end.sock.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_receiver_that_is_killed_loses_its_blocks_to_nobody() -> None:
    """The segment lends no more, and goes; parcels that had not been loaded are back."""
    with peer(receive_and_die, status=-signal.SIGKILL) as end:
        loaded = end.send(numpy.ones(BIG))
        pid, first = end.receive()
        assert first == 1
        waiting = dump(numpy.zeros(BIG), end.store)
        end.sock.sendall(b"x")
        wait_until(lambda: not end.sock.recv(1))
    store = end.store
    store.call_back(waiting)
    assert lent(store) == 1
    segment = loaded.segments[0]
    store.bury(pid)
    assert segment not in store.segments
    fresh = dump(numpy.zeros(BIG), store)
    assert fresh.segments[0] is not segment
    store.bury(pid)  # never loaded: nothing is lost
    assert lent(store) == 1
    store.call_back(fresh)
    assert fresh.segments[0] in store.segments
    assert lent(store) == 0
    assert store.trim() == []


def receive_and_fork(end: End) -> None:
    array = end.receive()
    go, told = socket.socketpair()
    if fork() == 0:
        go.close()
        told.recv(1)
        ok = bool((array == 7).all())
        del array  # must give nothing back either
        told.sendall(b"y" if ok else b"n")
        os._exit(0)
    told.close()
    del array
    end.send("forked")
    assert end.receive() == "overwritten?"
    go.sendall(b"x")
    end.send(go.recv(1))
    os.wait()


def test_a_receiver_that_forks_keeps_its_blocks() -> None:
    """Its child may see them for ever, so they are not lent again."""
    with peer(receive_and_fork) as end:
        end.send(numpy.full(BIG, 7, "u1"))
        assert end.receive() == "forked"
        for _ in range(5):
            end.store.call_back(dump(numpy.zeros(BIG, "u1"), end.store))
        end.send("overwritten?")
        assert end.receive() == b"y"
        assert lent(end.store) == 1


def test_views_survive_everything_else() -> None:
    with peer(echo) as end:
        end.send(numpy.arange(BIG))
        back = end.receive()
    del end
    gc.collect()
    assert back.sum() == BIG * (BIG - 1) // 2
    back[:] = 1


def test_trim() -> None:
    store = Store(64 << 20, 1 << 20)
    parcels = [dump(numpy.zeros(BIG, "u1"), store) for _ in range(8)]
    many = len(store.segments)
    assert many > 2
    assert store.trim() == []
    for parcel in parcels:
        store.call_back(parcel)
    assert len(store.trim()) == many - 1
    assert len(store.segments) == 1


def test_threads_share_a_store() -> None:
    store, segments = Store(256 << 20, 1 << 20), Segments()
    lock = threading.Lock()

    def body() -> None:
        for i in range(60):
            array = numpy.full(LEAST + i, i, "u1")
            parcel = dump(array, store)
            with lock:
                for segment in parcel.segments:
                    segments._held[segment.id] = segment
            got = load(parcel, segments)
            assert (got == i).all()
            got[:] = 255

    run_threads(*[body] * 4)
    assert lent(store) == 0


def test_pyarrow() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, which is not installed")
    table = pyarrow.table({"a": list(range(100_000)), "b": ["x"] * 100_000})
    with peer(echo) as end:
        parcel = end.send(table)
        assert len(parcel.data) < LEAST
        assert any(isinstance(r, Reference) for r in parcel.buffers)
        assert end.receive().equals(table)


def test_cloudpickle() -> None:
    cloudpickle = pytest.importorskip(
        "cloudpickle", reason="needs cloudpickle, which is not installed"
    )
    array, data = numpy.arange(BIG), bytes(BIG)
    with peer(lambda end: end.send((lambda job: job[0]())(end.receive()))) as end:  # type: ignore[arg-type, func-returns-value]
        parcel = end.send((lambda: int(array.sum()) + len(data), data), pickler=cloudpickle.Pickler)
        assert len(parcel.wholes) == 1
        assert end.receive() == int(array.sum()) + BIG


def test_nothing_is_left(run_script: Any) -> None:
    before = set(os.listdir("/dev/shm"))
    run_script(
        """
        import os, signal
        from concx import _payload
        store = _payload.Store(1 << 30)
        parcel = _payload.dump(bytes(1 << 20), store)
        assert isinstance(parcel.wholes[0], _payload.Reference)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        status=-signal.SIGKILL,
    )
    assert set(os.listdir("/dev/shm")) <= before
