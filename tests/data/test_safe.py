"""Outside files are data: plain content survives, anything else is one sentence and nothing in it runs."""

import functools
import os
import pickle
import tempfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storybench.data.safe import read_csv_rows, read_json, read_npy, read_npz, read_pickle, read_text
from storybench.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
hashables = st.integers() | st.text() | st.binary() | st.tuples(st.text(), st.integers())
plain = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(hashables, inner)
        | st.sets(hashables)
        | st.frozensets(hashables)
        | st.builds(lambda d: OrderedDict(sorted(d.items())), st.dictionaries(st.text(), inner))
        | st.builds(lambda d: defaultdict(list, d), st.dictionaries(st.text(), inner))
    ),
    max_leaves=20,
)


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Builds:
    """Pickles as an array whose state says what it likes."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        return (np.array([0]).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state)


def one_sentence(error: pytest.ExceptionInfo, path: Path) -> str:
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")
    assert "unsafely" not in text
    return text


def dumped(path: Path, content: object, protocol: int | None = None) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@settings(deadline=None, max_examples=150)
@given(plain, st.sampled_from(PROTOCOLS))
def test_plain_data_survives_every_protocol(content, protocol):
    with tempfile.TemporaryDirectory() as folder:
        back = read_pickle(dumped(Path(folder) / "x.pkl", content, protocol))
    assert back == content
    assert type(back) is type(content)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.asfortranarray(np.ones((2, 3), ">f4") * 3),
        np.array(["ab", "cde"]),
        np.array([b"ab", b"cde"]),
        np.array([True, False]),
        np.zeros((0, 3)),
        np.array(5.5),
        np.array([[1, 2], "x", None], dtype=object),
    ],
    ids=["int", "big_endian", "text", "bytes", "bool", "empty", "scalar", "objects"],
)
def test_arrays_survive_every_protocol(tmp_path, array, protocol):
    back = read_pickle(dumped(tmp_path / "x.pkl", {"inside": array}, protocol))["inside"]
    assert back.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    assert (back == array).all()


@pytest.mark.parametrize("scalar", [np.float32(1.5), np.int64(-7), np.bool_(True), np.bytes_(b"ab"), np.str_("ü")])
def test_numpy_scalars_survive(tmp_path, scalar):
    back = read_pickle(dumped(tmp_path / "x.pkl", [scalar]))[0]
    assert back == scalar
    assert back.dtype == scalar.dtype


def test_a_pickle_of_python_2_is_read_as_latin_1(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(b"(dp0\nS'caf\\xe9'\np1\nI3\ns.")
    assert read_pickle(path) == {"café": 3}


def marker_command(tmp_path: Path) -> tuple[str, Path]:
    marker = tmp_path / "marker"
    return f"touch '{marker}'", marker


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"labels": [e]}, lambda e: np.array([e, 1], dtype=object)])
def test_a_pickle_that_runs_a_command_runs_nothing(tmp_path, protocol, wrap):
    command, marker = marker_command(tmp_path)
    path = dumped(tmp_path / "x.pkl", wrap(Calls(os.system, command)), protocol)
    pickle.loads(path.read_bytes())
    assert marker.exists()  # the file does what it is accused of
    marker.unlink()
    with pytest.raises(DataError) as error:
        read_pickle(path)
    assert not marker.exists()
    assert "system" in one_sentence(error, path)


@pytest.mark.parametrize(
    "content",
    [
        Calls(eval, "1 + 1"),
        Calls(exec, "x = 1"),
        Calls(getattr, "text", "upper"),
        Calls(open, "marker", "w"),
        Calls(functools.partial, print, "x"),
        Calls(__import__, "os"),
        Calls(np.load, "x.npy"),
        Counter("aab"),
        defaultdict(os.getcwd),
        Path("x"),
        os.system,
        np.dtype([("a", "i4"), ("b", "O")]),
        np.array([(1, 2)], dtype=[("a", "i4"), ("b", "f4")]),
    ],
    ids=lambda content: type(content).__name__,  # an address in a name would differ between processes
)
def test_whatever_is_not_plain_is_refused_by_name(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = dumped(tmp_path / "x.pkl", [content])
    with pytest.raises(DataError) as error:
        read_pickle(path)
    one_sentence(error, path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "state",
    [
        (1, (10**12,), np.dtype("u1"), False, b"xx"),
        (1, (-1,), np.dtype("u1"), False, b"xx"),
        (1, (2,), np.dtype("O"), False, b"xx"),
        (1, (1,), np.dtype("V2"), False, b"xx"),
        (1, (2,), np.dtype("i8"), False, b"xx"),
        (1, (2,), "u1", False, b"xx"),
        ("x",),
    ],
    ids=str,
)
def test_an_array_that_lies_about_itself_is_refused(tmp_path, state):
    path = dumped(tmp_path / "x.pkl", Builds(*state))
    with pytest.raises(DataError) as error:
        read_pickle(path)
    one_sentence(error, path)


def test_a_pickle_cannot_change_the_reader(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(
        b"\x80\x02ccollections\ndefaultdict\nq\x00}q\x01(X\x05\x00\x00\x00_makeI1\nub."
    )  # sets an attribute
    with pytest.raises(DataError):
        read_pickle(path)
    path.write_bytes(b"\x80\x02ccollections\ndefaultdict\nq\x00N}q\x01(X\x05\x00\x00\x00_makeI1\nu\x86b.")
    with pytest.raises(DataError):
        read_pickle(path)
    assert read_pickle(dumped(path, defaultdict(int, a=1))) == {"a": 1}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize(
    ("write", "read"),
    [
        (lambda p: dumped(p, {"a" * 50: list(range(500))}), read_pickle),
        (lambda p: np.save(p.open("wb"), np.arange(500)), read_npy),
        (lambda p: np.save(p.open("wb"), np.arange(500)), functools.partial(read_npy, mmap=True)),
        (lambda p: np.save(p.open("wb"), np.array({"a": 1}, dtype=object)), functools.partial(read_npy, objects=True)),
        (lambda p: np.savez_compressed(p.open("wb"), np.arange(500)), read_npz),
        (lambda p: p.write_text('{"a": [1, 2, {"b": "c"}]}'), read_json),
    ],
    ids=["pickle", "npy", "npy_mapped", "npy_objects", "npz", "json"],
)
def test_a_file_cut_short_is_one_sentence(tmp_path, write, read, share):
    path = tmp_path / "x.bin"
    write(path)
    read(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError) as error:
        read(path)
    assert "cut short" in one_sentence(error, path)


@pytest.mark.parametrize("read", [read_text, read_json, read_csv_rows, read_pickle, read_npy, read_npz])
def test_a_missing_file_is_one_sentence(tmp_path, read):
    with pytest.raises(DataError) as error:
        read(tmp_path / "none")
    assert "missing" in one_sentence(error, tmp_path / "none")
    with pytest.raises(DataError) as error:
        read(tmp_path)
    one_sentence(error, tmp_path)


@pytest.mark.parametrize("read", [read_text, read_json, read_csv_rows])
def test_a_wrong_encoding_names_the_first_wrong_byte(tmp_path, read):
    path = tmp_path / "x.csv"
    path.write_bytes('"a caf\u00e9"'.encode("latin-1"))
    with pytest.raises(DataError) as error:
        read(path)
    assert "byte 6 is 0xe9" in one_sentence(error, path)
    path.write_bytes('"x"'.encode("utf-16"))
    with pytest.raises(DataError, match="byte 0"):
        read(path)


def test_csv_keeps_fields_as_they_are(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes('\ufeffep,1,"He said ""no"", then\nleft  "\r\n\r\nep,2,ü \r\n'.encode())
    assert read_csv_rows(path) == [["ep", "1", 'He said "no", then\nleft  '], ["ep", "2", "ü "]]
    path.write_text('ep,1,"never closed')
    with pytest.raises(DataError) as error:
        read_csv_rows(path)
    one_sentence(error, path)


def test_json_can_leave_keys_out_while_reading(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1, "parse": {"a": 2}, "b": {"parse": 3, "c": 4}}]')
    assert read_json(path, drop={"parse"}) == [{"a": 1, "b": {"c": 4}}]
    path.write_text("[" * 200_000)
    with pytest.raises(DataError) as error:
        read_json(path)
    one_sentence(error, path)


def test_object_arrays_are_read_only_where_they_are_expected(tmp_path):
    path, content = tmp_path / "x.npy", {"Series/ep1/1": ["a", "b"]}
    np.save(path, np.array(content, dtype=object))
    assert read_npy(path, objects=True).item() == content
    assert type(read_npy(path, objects=True)) is np.ndarray
    with pytest.raises(DataError, match="holds Python objects"):
        read_npy(path)
    np.save(path, np.arange(3))
    assert read_npy(path, objects=True).tolist() == [0, 1, 2]
    command, marker = marker_command(tmp_path)
    np.save(path, np.array([Calls(os.system, command)], dtype=object))
    for keywords in ({"objects": True}, {}, {"mmap": True}):
        with pytest.raises(DataError) as error:
            read_npy(path, **keywords)
        one_sentence(error, path)
    assert not marker.exists()


def test_an_archive_with_objects_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    command, marker = marker_command(tmp_path)
    np.savez(path, np.array([Calls(os.system, command)], dtype=object))
    with pytest.raises(DataError) as error:
        read_npz(path)
    one_sentence(error, path)
    assert not marker.exists()
    np.savez(path, first=np.arange(3), second=np.ones(2))
    assert {k: v.tolist() for k, v in read_npz(path).items()} == {"first": [0, 1, 2], "second": [1.0, 1.0]}


def test_a_mapped_array_reads_the_same_and_cannot_be_written(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(12).reshape(3, 4))
    mapped = read_npy(path, mmap=True)
    assert isinstance(mapped, np.memmap)
    assert (mapped == np.arange(12).reshape(3, 4)).all()
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0] = 1


def test_a_header_that_python_cannot_even_split_is_damage(tmp_path: Path) -> None:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': ("
    header += b" " * (118 - len(header) - 1) + b"\n"
    path = tmp_path / "broken.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"broken\.npy"):
        read_npy(path)
