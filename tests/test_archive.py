"""archive and import: the same study elsewhere, or nothing."""

import gzip
import io
import json
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from evalkit import archive, archive_entries
from evalkit.archive import SUMS, archive_study, import_study
from evalkit.collection import open_collection
from evalkit.errors import EvalkitError
from evalkit.files import part_name
from evalkit.lock import lock_hash
from evalkit.monitoring import read_journals
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder
from study_app.journal import Journal
from tests.study_factory import NOW, admit, make_study
from tests.test_cli import assert_refused, evalkit


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
    n = archive_study(folder, tmp_path / "a.zip", NOW)
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


AFTER = "2030-01-01T10:00:01.000+00:00"
MUCH_LATER = "2030-01-01T10:30:00.000+00:00"


def test_an_archive_taken_while_people_vote_is_imported_later(folder, tmp_path, monkeypatch):
    """Two votes arrive after the copy of all: in the journal that is there, and in another."""
    real = archive.snapshot

    def snapshot(votes, copy):
        real(votes, copy)
        Journal(folder.received).received("t2", 1, AFTER)
        (folder.received / "other-1.jsonl").write_text(
            json.dumps({"trial_id": "t3", "revision": 1, "at": AFTER}) + "\n"
        )

    monkeypatch.setattr(archive, "snapshot", snapshot)
    archive_study(folder, tmp_path / "a.zip", NOW)
    checks = import_study(tmp_path / "a.zip", tmp_path / "copy", MUCH_LATER)
    assert {c.name: c.found for c in checks}["received votes"] == (
        "1 arrived, 1 are kept, 0 withdrawn"
    )
    assert read_journals(folder.received).keys() == {("t1", 1), ("t2", 1), ("t3", 1)}


def test_votes_refused_or_withdrawn_just_before_are_no_loss_in_an_archive(folder, tmp_path):
    journal, store = Journal(folder.received), open_store(folder.store_address)
    journal.received("t2", 1, NOW)
    journal.refused("t2", 1, AFTER)
    store.withdraw("ann", NOW)
    store.close()
    archive_study(folder, tmp_path / "a.zip", AFTER)
    checks = import_study(tmp_path / "a.zip", tmp_path / "copy", MUCH_LATER)
    assert {c.name: c.found for c in checks}["received votes"] == (
        "1 arrived, 0 are kept, 1 withdrawn"
    )


def test_a_vote_that_was_lost_long_before_stays_lost_in_an_archive(folder, tmp_path):
    Journal(folder.received).received("t2", 1, NOW)
    archive_study(folder, tmp_path / "a.zip", MUCH_LATER)
    refused(tmp_path / "a.zip", tmp_path / "copy", "1 that arrived are not in the da", MUCH_LATER)


def test_the_users_own_files_come_along_whatever_they_are_called(folder, tmp_path):
    (folder.root / "mine.part").mkdir()
    (folder.root / "mine.part" / "SHA256SUMS").write_text("mine")
    (folder.root / part_name()).write_text("half a file")
    archive_study(folder, tmp_path / "a.zip", NOW)
    import_study(tmp_path / "a.zip", tmp_path / "copy", NOW)
    assert (tmp_path / "copy" / "mine.part" / "SHA256SUMS").read_text() == "mine"
    assert not [path for path in (tmp_path / "copy").iterdir() if path.name.startswith(".")]


def test_the_same_study_gives_the_same_archive(folder, tmp_path):
    for name in ("one.zip", "two.zip"):
        archive_study(folder, tmp_path / name, NOW)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_an_archive_is_not_written_over_nor_half(folder, tmp_path):
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(EvalkitError, match="exists already"):
        archive_study(folder, tmp_path / "a.zip", NOW)
    with pytest.raises(EvalkitError, match=r"must end in \.zip"):
        archive_study(folder, tmp_path / "a.rar", NOW)
    (folder.root / "linked").symlink_to("/etc/passwd")
    with pytest.raises(EvalkitError, match="linked: is a link"):
        archive_study(folder, tmp_path / "b.zip", NOW)
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


def refused(source, to, match, now=NOW):
    with pytest.raises(EvalkitError, match=match) as caught:
        import_study(source, to, now)
    assert "\n" not in str(caught.value)
    assert not to.exists()
    assert not [path for path in to.parent.iterdir() if path.name.endswith(".part")]


def test_a_changed_archive_is_refused_and_nothing_is_left(folder, tmp_path):
    archive_study(folder, tmp_path / "a.zip", NOW)
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


@pytest.mark.parametrize(
    "name", ["../../outside.png", "/etc/outside.png", "a\\..\\outside.png", "a/../../x.png"]
)
def test_a_study_whose_images_lie_outside_is_refused(folder, tmp_path, name):
    """In a foreign archive; the report would show such a file and an export hand it on."""
    first = folder.read_images()["file_name"].iloc[0]
    archive_study(folder, tmp_path / "a.zip", NOW)
    one = tmp_path / "b.zip"

    def outside(entry, data):
        if entry.endswith(SUMS):
            return None
        return data.replace(first.encode(), name.encode()) if entry.endswith("images.csv") else data

    changed(tmp_path / "a.zip", one, outside)
    refused(one, tmp_path / "to", 'column file_name: ".*"; allowed is a path below its folder')


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


def test_a_damaged_archive_is_refused_in_one_sentence(folder, tmp_path):
    """Each of these made the readers of archives raise something else."""
    to, one = tmp_path / "to", tmp_path / "b.zip"
    with zipfile.ZipFile(one, "w") as file:
        file.writestr(".", "x")
    refused(one, to, 'its entry "." names no file')
    with zipfile.ZipFile(one, "w") as file:
        file.writestr("study/x", "x")
        file.writestr("study/x/y", "x")
    refused(one, to, "stands twice")
    archive_study(folder, tmp_path / "a.zip", NOW)
    for wrong in (b"no sums\n", b"\xff\xfe  x\n"):
        changed(tmp_path / "a.zip", one, lambda n, d, w=wrong: w + d if n.endswith(SUMS) else d)
        refused(one, to, f"{SUMS}: line 1 is no SHA-256, two spaces and a file's name")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(one, "w", method) as file:
            file.writestr("study/x", bytes(range(256)) * 99)
        data = bytearray(one.read_bytes())
        data[60:90] = bytes(30)
        one.write_bytes(data)
        refused(one, to, "is damaged or no archive")
    with zipfile.ZipFile(one, "w") as file:
        file.writestr("study/x", "x")
    data = one.read_bytes().replace(b"PK\x03\x04\x14\0\0\0\0\0", b"PK\x03\x04\x14\0\0\0\x63\0")
    one.write_bytes(
        data.replace(b"PK\x01\x02\x14\x03\x14\0\0\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x63\0")
    )
    refused(one, to, "is damaged or no archive .*compression method")


def test_a_tar_with_a_wrong_checksum_is_refused(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(folder.root, "study")
    whole = bytearray((tmp_path / "a.tar.gz").read_bytes())
    assert gzip.decompress(whole)
    whole[-6] ^= 1  # in the CRC-32, the first 4 of the last 8 bytes
    (tmp_path / "a.tar.gz").write_bytes(whole)
    refused(tmp_path / "a.tar.gz", tmp_path / "to", "is damaged or no archive .*CRC")


def test_messages_speak_of_the_place_to_be_not_of_the_one_that_is_gone(folder, tmp_path):
    checks = import_study(folder.root, tmp_path / "copy", NOW)
    said = {check.name: check.found for check in checks}["analysis"]
    assert said == f"none yet; run: evalkit analyze {tmp_path / 'copy'}"
    shutil.copytree(folder.root, tmp_path / "other")
    (tmp_path / "other" / "lock.json").write_text("[1, 2")
    tar = tar_of(tmp_path / "a.tar.gz", (tarfile.TarInfo("study/study.toml"), b"name = 3"))
    for source in (tmp_path / "other", tar):
        with pytest.raises(EvalkitError) as caught:
            import_study(source, tmp_path / "to", NOW)
        assert str(tmp_path / "to") in str(caught.value) and ".part" not in str(caught.value)


def test_room_is_looked_for_where_an_archive_is_unpacked(tmp_path, monkeypatch):
    """A full disk at `place`; there is room where the archive lies."""
    place = tmp_path / "place"

    def disk_usage(path):
        return usage(1, 1, 0 if place in (path, *path.parents) else 2**40)

    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(archive_entries.shutil, "disk_usage", disk_usage)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("study/x", "x")
    refused(tmp_path / "a.zip", place / "to", "allowed here are 5,000,000 files of 0.0 GiB")


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
        archive_study(StudyFolder(tmp_path / "server"), tmp_path / "b.zip", NOW)


def test_the_command_says_where_import_would_refuse_what_it_wrote(folder, tmp_path):
    (folder.root / "prompts.csv").write_text("prompt_id,prompt,category,challenge\np001,other,,\n")
    done = evalkit("archive", folder.root, "--to", tmp_path / "kept.zip")
    assert_refused(done, "kept.zip, which evalkit import will refuse: ")
    assert (tmp_path / "kept.zip").is_file()
