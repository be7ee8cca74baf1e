"""archive and import: the same study elsewhere, or nothing."""

import io
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from evalkit.archive import SUMS, archive_study, import_study
from evalkit.collection import open_collection
from evalkit.errors import EvalkitError
from evalkit.lock import lock_hash
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder
from study_app.journal import Journal
from tests.study_factory import NOW, admit, make_study


@pytest.fixture
def folder(tmp_path):
    """A study with one vote that is still in SQLite's write-ahead log: its store stays open."""
    folder = make_study(tmp_path / "study", n_prompts=2)
    store = open_collection(folder, NOW)
    session = admit(store, "ann")
    store.next_trial("ann", session, "t1", NOW, seed=0)
    Journal(folder.received).received("t1", 1, NOW)
    store.record_vote("t1", "ann", "left", 900, NOW)
    yield folder
    store.close()


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("votes.sqlite")
    }


def votes(folder):
    store = open_store(folder.store_address)
    try:
        return store.votes().to_dict("records")
    finally:
        store.close()


def test_a_study_comes_back_whole_from_a_zip_a_tar_and_a_folder(folder, tmp_path):
    n = archive_study(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        names = file.namelist()
        assert names[:-1] == sorted(names[:-1])
        assert names[-1] == f"study/{SUMS}" and len(names) == n + 1
        file.extractall(tmp_path / "by-hand")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "by-hand" / "study", "study")
    assert subprocess.run(
        ["sha256sum", "--check", "--quiet", SUMS], cwd=tmp_path / "by-hand" / "study", check=True
    )
    for number, source in enumerate([tmp_path / "a.zip", tmp_path / "a.tar.gz", folder.root]):
        copy = StudyFolder(tmp_path / f"copy{number}")
        checks = import_study(source, copy.root, NOW)
        assert {check.state for check in checks} == {"ok", "not yet"}
        assert files(copy.root) == files(folder.root)
        assert votes(copy) == votes(folder) and len(votes(copy)) == 1
        assert lock_hash(copy) == lock_hash(folder)


def test_the_same_study_gives_the_same_archive(folder, tmp_path):
    for name in ("one.zip", "two.zip"):
        archive_study(folder, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_an_archive_is_not_written_over_nor_half(folder, tmp_path):
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(EvalkitError, match="exists already"):
        archive_study(folder, tmp_path / "a.zip")
    with pytest.raises(EvalkitError, match=r"must end in \.zip"):
        archive_study(folder, tmp_path / "a.rar")
    (folder.root / "linked").symlink_to("/etc/passwd")
    with pytest.raises(EvalkitError, match="linked: is a link"):
        archive_study(folder, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists() and not list(tmp_path.glob(".*"))


def changed(source, to, change):
    """The archive with each entry's bytes passed through `change(name, data)`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(to, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info, data)
    return to


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def refused(source, to, match):
    with pytest.raises(EvalkitError, match=match) as caught:
        import_study(source, to, NOW)
    assert "\n" not in str(caught.value)
    assert not to.exists()
    assert not [path for path in to.parent.iterdir() if path.name.endswith(".part")]


def test_a_changed_archive_is_refused_and_nothing_is_left(folder, tmp_path):
    archive_study(folder, tmp_path / "a.zip")
    image = next(folder.images.rglob("*.png")).relative_to(folder.root).as_posix()
    one, to = tmp_path / "b.zip", tmp_path / "to"

    def flipped(name, data):
        return flip(data) if name.endswith(image) else data

    refused(changed(tmp_path / "a.zip", one, flipped), to, f"{image} has changed since")
    gone = changed(tmp_path / "a.zip", one, lambda n, d: None if n.endswith(image) else d)
    refused(gone, to, f"{image} is missing since it was archived")

    def without_sums(name, data):
        return None if name.endswith(SUMS) else flipped(name, data)

    refused(changed(tmp_path / "a.zip", one, without_sums), to, f"image files: {image} is another")
    one.write_bytes((tmp_path / "a.zip").read_bytes()[:-500])
    refused(one, to, "is damaged or no archive")


def tar_of(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "study/../../evil", "a\\..\\evil", "C:/x"]
)
def test_an_entry_outside_the_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(name, "x")
    refused(tmp_path / "a.zip", tmp_path / "in" / "to", "outside the study's folder")
    tar_of(tmp_path / "a.tar.gz", (tarfile.TarInfo(name), b"x"))
    refused(tmp_path / "a.tar.gz", tmp_path / "in" / "to", "outside the study's folder")
    assert not list(tmp_path.rglob("evil"))


def test_links_and_entries_that_stand_twice_are_refused(tmp_path):
    link = zipfile.ZipInfo("study/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path / "to", "is a link")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        info = tarfile.TarInfo("study/link")
        info.type, info.linkname = kind, "/etc/passwd"
        refused(tar_of(tmp_path / "a.tar.gz", (info, b"")), tmp_path / "to", "is a link or another")
    twice = [(tarfile.TarInfo("study/x"), b"1"), (tarfile.TarInfo("study/x"), b"2")]
    refused(tar_of(tmp_path / "b.tar.gz", *twice), tmp_path / "to", "stands twice")


def test_an_archive_beyond_all_measure_is_refused_before_it_is_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file,
        file.open("study/zeros", "w") as entry,
    ):
        for _ in range(1025):
            entry.write(bytes(2**20))
    refused(tmp_path / "a.zip", tmp_path / "to", "unpacks to 1 files of 1.0 GiB; allowed here")


def test_what_is_no_study_or_lies_elsewhere_is_refused(folder, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(EvalkitError, match="there exists already"):
        import_study(folder.root, tmp_path / "there", NOW)
    refused(tmp_path / "none.zip", tmp_path / "to", "no such file")
    (tmp_path / "a.rar").write_text("x")
    refused(tmp_path / "a.rar", tmp_path / "to", "allowed are .zip, .tar.gz and a study folder")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("readme.txt", "x")
    refused(tmp_path / "a.zip", tmp_path / "to", "holds no study.toml")
    shutil.copytree(folder.root, tmp_path / "server")
    text = (tmp_path / "server" / "study.toml").read_text()
    (tmp_path / "server" / "study.toml").write_text('store = "postgresql://h/d"\n' + text)
    refused(tmp_path / "server", tmp_path / "to", "lie on a server .*pg_dump")
    with pytest.raises(EvalkitError, match=r"lie on a server .*pg_dump"):
        archive_study(StudyFolder(tmp_path / "server"), tmp_path / "b.zip")
