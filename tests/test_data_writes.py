"""Writers of data files: a failing one leaves the old file and nothing else."""

import os
import resource

import pytest
from helpers import assert_same, d4rl_arrays, make_dataset

from invlearn_jax import data

WRITERS = {
    "d4rl": (lambda path: data.write_d4rl(path, d4rl_arrays()), lambda path: [path]),
    "ogbench": (lambda path: data.write_ogbench(path, make_dataset()), lambda path: [path]),
    "minari": (
        lambda path: data.write_minari(path, make_dataset()),
        lambda path: [path / "data" / "main_data.hdf5", path / "data" / "metadata.json"],
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("fault", ["replace", "size", "folder"])
def test_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, kind, fault):
    write, files = WRITERS[kind]
    path = tmp_path / "place"
    if fault != "folder":
        for old in files(path):
            old.parent.mkdir(parents=True, exist_ok=True)
            old.write_bytes(b"old")
    before = sorted(tmp_path.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if fault == "replace":
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    if fault == "folder":
        (tmp_path / "file").write_bytes(b"old")
        before = sorted(tmp_path.rglob("*"))
        path = tmp_path / "file" / "inside"
    if fault == "size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # as a full disk: writing stops part-way
    try:
        with pytest.raises(
            OSError, match=r"Could not write .*(place|inside).*left as it was\. Give a path in a folder"
        ):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(tmp_path.rglob("*")) == before
    assert all(p.read_bytes() == b"old" for p in before if p.is_file())


def test_writing_replaces_an_old_file(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    data.write_ogbench(path, make_dataset(rewards=False))
    assert_same(data.read(path), make_dataset(rewards=False))
    assert list(tmp_path.iterdir()) == [path]
