"""The guarded readers: whatever is wrong with a file, an error that names it, and no memory taken on its word."""

import io
import json
import zipfile

import numpy as np
import pytest

from invlearn_jax.files import read_csv, read_json, read_npz, read_text

GIB = 2**30


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def header_alone(path, shape, pad=0):
    """A file of a few hundred bytes with one array that states a shape, and ``pad`` zeros packed behind it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": shape, "fortran_order": False, "descr": "<f4"})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", buffer.getvalue() + bytes(pad))
    return path


def test_arrays_come_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(4, bool), "c": np.float16([1.5]), "d": np.array(7)}
    read = read_npz(npz(tmp_path / "a.npz", **arrays, e=np.arange(3, dtype=">f4"), f=np.zeros((0, 2))))
    assert set(read) == set("abcdef")
    for name, value in arrays.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)
    assert read["e"].dtype.isnative
    np.testing.assert_array_equal(read["e"], [0, 1, 2])
    assert read["f"].shape == (0, 2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array(["text"]), "'w' is no plain array of numbers but of str"),
        (np.array([{}], object), "'w' is no plain array of numbers but of object"),
        (np.array([1j]), "'w' is no plain array of numbers but of complex128"),
        (np.zeros(2, [("x", "f4")]), "'w' is no plain array of numbers but of void32"),
        (np.array(["2020-01-01"], "datetime64[D]"), "'w' is no plain array of numbers but of datetime64"),
    ],
)
def test_arrays_that_are_no_numbers(tmp_path, value, words):
    with pytest.raises(ValueError, match=rf"a\.npz: {words}.*allowed are real numbers"):
        read_npz(npz(tmp_path / "a.npz", w=value))


def test_sizes_are_checked_before_memory_is_taken(tmp_path):
    small = npz(tmp_path / "a.npz", a=np.zeros(1000), b=np.zeros(1000))
    with pytest.raises(ValueError, match=r"a\.npz: its arrays take 16\d\d\d bytes.*allowed are 12000"):
        read_npz(small, max_bytes=12_000)
    # 298 GiB by its header, a few hundred bytes on disk.
    for shape in ((80 * GIB,), (2**40, 2**40), (-1,)):
        with pytest.raises(ValueError, match=r"b\.npz: 'w' is damaged or no plain array.*its header states"):
            read_npz(header_alone(tmp_path / "b.npz", shape))
    with pytest.raises(ValueError, match=r"b\.npz: its arrays take"):
        read_npz(header_alone(tmp_path / "b.npz", (GIB,), pad=2**20), max_bytes=2**20)


def test_a_directory_that_promises_more_than_the_bytes_can_hold(tmp_path):
    path = header_alone(tmp_path / "a.npz", (GIB // 2,))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (2 * GIB + 128).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: 'w' is damaged, or packed otherwise"):
        read_npz(path)


def test_encrypted(tmp_path):
    path = npz(tmp_path / "a.npz", w=np.zeros(3))
    content = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: 'w' is encrypted"):
        read_npz(path)


def test_every_altered_byte_of_an_npz_is_found_or_harmless(tmp_path):
    whole = npz(tmp_path / "a.npz", w=np.arange(5.0)).read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 0x55
        (tmp_path / "a.npz").write_bytes(content)
        try:
            (value,) = read_npz(tmp_path / "a.npz").values()
        except ValueError as error:
            assert str(tmp_path / "a.npz") in str(error), place
        else:
            np.testing.assert_array_equal(value, np.arange(5.0), err_msg=str(place))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.npz: there is no such file"):
        read_npz(tmp_path / "a.npz")
    for content in (b"", b"no npz", npz(tmp_path / "b.npz", w=np.arange(9.0)).read_bytes()[:100]):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz: truncated, or not an npz"):
            read_npz(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    with pytest.raises(ValueError, match=r"a\.npz: 'readme.txt' is damaged or no plain array"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not valid JSON"),
        (b'{"a": ', "is not valid JSON"),
        (b'{"a": NaN}', "is not valid JSON .NaN is no number"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"[1]", "holds a list, not a dict"),
        (b"null", "holds a NoneType, not a dict"),
    ],
)
def test_broken_json(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json {words}.*Restore it from a copy, or write it again"):
        read_json(tmp_path / "a.json")


def test_json_and_its_kind(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"name": "µ"}]))
    assert read_json(tmp_path / "a.json", list) == [{"name": "µ"}]
    with pytest.raises(FileNotFoundError, match=r"b\.json: there is no such file"):
        read_json(tmp_path / "b.json")
    with pytest.raises(ValueError, match=r"a\.json is larger than the 5 bytes"):
        read_text(tmp_path / "a.json", max_bytes=5)


def test_csv(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text('step,value\r\n1,"a,b"\r\n2,c\r\n3')
    assert read_csv(path, ("step", "value")) == [{"step": "1", "value": "a,b"}, {"step": "2", "value": "c"}]
    for content, words in (
        (b"", "has the columns none; they must be step, value"),
        (b"a,b\n1,2\n", "has the columns a, b; they must be"),
        (b"step,value\n\x80\x81,2\n", "is not UTF-8 text"),
        (b"step,value\n" + b"9" * 200_000 + b",2\n", "is not a CSV file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"m\.csv {words}"):
            read_csv(path, ("step", "value"))
