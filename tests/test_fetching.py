"""What is asked of the system before data on disk are read, and reading ahead."""

import mmap
import runpy
import threading

import numpy as np
import pytest

from fusedelta import fetching
from fusedelta.fetching import expect, is_on_disk, read_ahead


class Mapped(mmap.mmap):
    """A mapped file that remembers what it is asked to fetch."""

    def madvise(self, option, start, length):
        assert option == mmap.MADV_WILLNEED
        super().madvise(option, start, length)  # which refuses a start that is no page's
        self.asked.append((start, start + length))


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """Rows of 12 float32 in a file, as a memmap has them, behind a header of 128 bytes."""
    monkeypatch.setattr(fetching, "FETCH_BYTES", mmap.PAGESIZE)
    np.save(tmp_path / "X.npy", np.zeros((1000, 12), np.float32))
    with open(tmp_path / "X.npy", "rb") as file:
        memory = Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)
    memory.asked = []
    data = np.frombuffer(memory, np.float32, offset=128).reshape(1000, 12).view(np.memmap)
    data._mmap = memory
    return data


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system takes no advice")
@pytest.mark.parametrize(
    "part",
    [np.s_[:], np.s_[:, 3:], np.s_[:, 5], np.s_[::-1], np.s_[::7, ::-2], np.s_[10:600:3, 11]],
    ids=str,
)
def test_all_pages_of_the_rows_are_expected(mapped, part):
    data, asked = mapped[part], mapped._mmap.asked
    start = np.frombuffer(mapped._mmap, np.uint8).ctypes.data
    last = min(80, len(data))
    expect(data, 20, last)
    wanted = {
        (row[i : i + 1].ctypes.data - start) // mmap.PAGESIZE
        for row in np.atleast_2d(data[20:last].T).T
        for i in (0, len(row) - 1)
    }
    pages = {
        page
        for low, high in asked
        for page in range(low // mmap.PAGESIZE, -(-high // mmap.PAGESIZE))
    }
    assert wanted <= pages
    assert pages <= set(range(min(wanted), max(wanted) + 1))
    assert all(0 < high - low <= mmap.PAGESIZE for low, high in asked)


@pytest.mark.parametrize("page", [4096, 16384, 65536])
def test_the_limit_of_the_system_is_in_bytes(monkeypatch, page):
    """Its read_ahead_kb is 128 whatever a page is; of a larger request it fetches only so much."""
    monkeypatch.setattr(mmap, "PAGESIZE", page)
    assert runpy.run_path(fetching.__file__)["FETCH_BYTES"] == 128 << 10


def test_nothing_is_expected_of_what_is_not_mapped():
    expect(None, 0, 3)
    expect(np.zeros((5, 2)), 0, 3)
    expect([1, 2, 3], 0, 3)


def test_what_is_on_disk(mapped):
    class Store:
        shape, dtype, chunks = (3,), np.dtype(float), None

        def __getitem__(self, part):
            raise AssertionError

    assert is_on_disk(mapped)
    assert is_on_disk(mapped[3:, 1:4])
    assert is_on_disk(Store())
    assert not any(map(is_on_disk, (np.asarray(mapped), [1], None, "path")))


def test_items_are_made_while_others_are_in_use():
    made, started = [], threading.Event()

    def items():
        for i in range(4):
            made.append(threading.current_thread().name)
            if i == 1:
                started.set()
            yield i

    ahead = read_ahead(items())
    assert next(ahead) == 0
    assert started.wait(10)  # without anybody's asking for it
    assert list(ahead) == [1, 2, 3]
    assert all("reader" in name for name in made)


def test_an_error_comes_where_its_item_would():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)
    assert not any("reader" in thread.name for thread in threading.enumerate())
