"""Reading bundles: what was published is read, and whatever is broken is a BundleError that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas import bundle
from schemas.errors import BundleError
from schemas.manifest import Use
from schemas.publish import BundleWriter
from tests.bundles import sum_of_inputs, write_bundle

SPACE = Path("spaces/items")
FILES = ("ids.jsonl", "tokens.jsonl", "vectors.npy", "content.npy", "origins.npy")


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """A folder with the bundle `one` in force."""
    write_bundle(tmp_path / "bundles", ["i1", "i2", "i3"], dim=4, version="one")
    return tmp_path / "bundles"


def rewrite(bundles: Path, change: Callable[[Any], Any]) -> None:
    """Changes the manifest of `one` in place."""
    path = bundles / "one" / "manifest.json"
    manifest = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode(change(manifest) or manifest))


def reseal(bundles: Path) -> None:
    """Gives the manifest of `one` the checksums of the files as they are now."""

    def change(manifest: Any) -> None:
        files = manifest["spaces"]["items"]["files"]
        for name in files:
            files[name] = bundle.sha256(bundles / "one" / SPACE / name)

    rewrite(bundles, change)


def test_what_was_published_is_read(bundles: Path) -> None:
    found = bundle.current(bundles)
    assert found is not None
    space = found.space()
    assert (found.version, list(space.item_ids())) == ("one", [["i1", "i2", "i3"]])
    assert next(space.tokens())[0] == "category:c0"
    assert space.vectors.shape == (3, 4)
    assert space.origins.tolist() == [0, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(space.content, axis=1), 1, rtol=1e-6)
    assert set(space.part.files) == set(FILES)
    assert (space.part.dim, space.part.items, space.part.id, space.index) == (4, 3, "space-0", None)


def test_parts_of_every_kind(tmp_path: Path) -> None:
    def more(writer: BundleWriter) -> None:
        writer.table("priors", {"purchase": np.arange(4), "click": np.ones((2, 2), np.float32)})
        writer.ranker("second", sum_of_inputs(2), ["similarity", "popularity"], {"click": "scores"})
        writer.surfaces["cart"] = Use(space="items", ranker="second", objective={"click": 2.0}, tables=["priors"])

    write_bundle(tmp_path, ["i1"], version="one", served=True, more=more)
    found = bundle.current(tmp_path)
    assert found is not None
    assert [(kind, name) for kind, name, _ in found.manifest.parts()] == [
        ("spaces", "items"), ("rankers", "feed"), ("rankers", "second"), ("tables", "priors"),
    ]  # fmt: skip
    assert found.table("priors")["purchase"].tolist() == [0, 1, 2, 3]
    assert found.onnx("rankers", "second") == sum_of_inputs(2)


def test_many_ids_are_read_in_chunks(tmp_path: Path) -> None:
    ids = [f'i{n}\n\u2028"' for n in range(2 * bundle.CHUNK + 1)]
    write_bundle(tmp_path, ids, dim=2)
    found = bundle.current(tmp_path)
    assert found is not None
    chunks = list(found.space().item_ids())
    assert [len(chunk) for chunk in chunks] == [bundle.CHUNK, bundle.CHUNK, 1]
    assert [item_id for chunk in chunks for item_id in chunk] == ids


def test_a_change_of_a_vector_stays_in_memory(bundles: Path) -> None:
    before = (bundles / "one" / SPACE / "vectors.npy").read_bytes()
    vectors = bundle.load(bundles / "one").space().vectors
    vectors[0] = 7
    assert (bundles / "one" / SPACE / "vectors.npy").read_bytes() == before
    assert bundle.load(bundles / "one").space().vectors[0, 0] != 7


def test_nothing_published_yet(tmp_path: Path) -> None:
    assert bundle.current(tmp_path) is None
    assert bundle.current(tmp_path / "nowhere") is None


# -- a bundle that is broken -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(bundles: Path, name: str) -> None:
    file = bundles / "one" / SPACE / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}: checksum differs"):
        bundle.current(bundles)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundles: Path, name: str) -> None:
    (bundles / "one" / SPACE / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        bundle.current(bundles)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_manifest_leaves_out_is_named(bundles: Path, name: str) -> None:
    rewrite(bundles, lambda manifest: manifest["spaces"]["items"]["files"].pop(name) and None)
    with pytest.raises(BundleError, match=f"has no {name}"):
        bundle.current(bundles)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2, "version": "one"}', "\xff"])
def test_a_manifest_that_cannot_be_read(bundles: Path, text: str) -> None:
    (bundles / "one" / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        bundle.current(bundles)


@pytest.mark.parametrize("manifest", [{"version": "one", "features": []}, {"format": 3, "new": []}])
def test_a_bundle_of_another_format_says_what_to_do(bundles: Path, manifest: object) -> None:
    (bundles / "one" / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(BundleError, match="this version reads format 2: train again"):
        bundle.current(bundles)


def test_an_unknown_field_is_refused(bundles: Path) -> None:
    rewrite(bundles, lambda manifest: manifest | {"colour": "red"})
    with pytest.raises(BundleError, match="colour"):
        bundle.current(bundles)


@pytest.mark.parametrize("escape", ["../secret", "/etc/hostname", "sub/file", "..", ".", ""])
def test_a_manifest_reaches_no_file_outside_its_folder(bundles: Path, escape: str) -> None:
    secret = bundles / "one" / "spaces" / "secret"
    secret.write_text("secret")
    (bundles / "one" / SPACE / "sub").mkdir()
    (bundles / "one" / SPACE / "sub" / "file").write_text("secret")
    checksum = bundle.sha256(secret)
    rewrite(bundles, lambda manifest: manifest["spaces"]["items"]["files"].update({escape: checksum}))
    with pytest.raises(BundleError, match="missing"):
        bundle.current(bundles)


@pytest.mark.parametrize("name", ["../items", "", "Items", "a/b", "x" * 100])
def test_a_part_is_called_by_a_plain_name(bundles: Path, name: str) -> None:
    rewrite(bundles, lambda m: m | {"spaces": {name: m["spaces"]["items"]}, "user_vectors": name})
    with pytest.raises(BundleError, match="is not the name of one of its spaces"):
        bundle.current(bundles)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"user_vectors": "other"}, "user_vectors uses the space 'other'"),
        ({"surfaces": {"feed": {"space": "other"}}}, "surface feed uses the space 'other'"),
        ({"surfaces": {"feed": {"ranker": "other"}}}, "surface feed uses the ranker 'other'"),
        ({"surfaces": {"feed": {"encoder": "other"}}}, "surface feed uses the encoder 'other'"),
        ({"surfaces": {"feed": {"tables": ["other"]}}}, "surface feed uses the table 'other'"),
        ({"surfaces": {"feed": {"objective": {"click": 1.0}}}}, r"surface feed weighs the heads \['click'\]"),
        ({"encoders": {"e": {"space": "x", "length": 1, "newest_first": True, "files": {}}}}, "encoder e uses the"),
    ],
)
def test_a_part_that_is_not_there_is_named(bundles: Path, change: dict[str, Any], says: str) -> None:
    rewrite(bundles, lambda manifest: manifest | change)
    with pytest.raises(BundleError, match=says):
        bundle.current(bundles)


def test_an_encoder_is_into_the_space_that_its_surface_searches(bundles: Path) -> None:
    def change(manifest: Any) -> None:
        manifest["spaces"]["second"] = manifest["spaces"]["items"]
        manifest["encoders"] = {"e": {"space": "second", "length": 1, "newest_first": True, "files": {}}}
        manifest["surfaces"] = {"feed": {"space": "items", "encoder": "e"}}

    rewrite(bundles, change)
    with pytest.raises(BundleError, match="surface feed uses the encoder 'e' into the space 'second', and searches"):
        bundle.current(bundles)


@pytest.mark.parametrize("name", ["../outside", "..", ".", "", "\n", "/", "one/../one", ".writing-abc", "\ufffd/\x00"])
def test_the_pointer_names_nothing_but_a_bundle(bundles: Path, name: str) -> None:
    write_bundle(bundles.parent / "other", ["x"], version="outside")
    (bundles.parent / "other" / "outside").replace(bundles.parent / "outside")
    (bundles / "current").write_text(name)
    with pytest.raises(BundleError, match="not the name of a bundle"):
        bundle.current(bundles)


def test_a_pointer_of_noise_is_a_bundle_error(bundles: Path) -> None:
    (bundles / "current").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError):
        bundle.current(bundles)


def test_a_pointer_to_a_bundle_that_is_gone(bundles: Path) -> None:
    (bundles / "current").write_text("gone\n")
    with pytest.raises(BundleError, match="gone: no manifest"):
        bundle.current(bundles)


# -- a bundle whose checksums are right and whose content is not -----------------------------------


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("vectors", np.zeros((3, 5), np.float32), r"expected float32 \(rows, 4\)"),
        ("vectors", np.zeros((3, 4)), r"expected float32 \(rows, 4\)"),
        ("vectors", np.zeros(12, np.float32), r"expected float32 \(rows, 4\)"),
        ("vectors", np.zeros((3, 4), ">f4"), r"expected float32 \(rows, 4\)"),
        ("vectors", np.zeros((2, 4), np.float32), "differ in length"),
        ("vectors", np.full((3, 4), np.nan, np.float32), "not finite"),
        ("content", np.full((4, 4), np.inf, np.float32), "not finite"),
        ("content", np.zeros((3, 4), np.float32), "tokens and content differ in length"),
        ("origins", np.zeros(3, np.int64), r"expected uint64 \(3,\)"),
        ("origins", np.zeros(2, np.uint64), r"expected uint64 \(3,\)"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(bundles: Path, name: str, array: np.ndarray, says: str) -> None:
    np.save(bundles / "one" / SPACE / f"{name}.npy", array)
    reseal(bundles)
    with pytest.raises(BundleError, match=says):
        bundle.current(bundles)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b'"i1"\n"i2"\n"i1"\n', "stands twice"), (b'"i1"\n"i2"\n', "differ in length"),
        (b'"i1"\n"i2"\n3\n', "Expected `str`"), (b"noise", "malformed"),
    ],
)  # fmt: skip
def test_ids_that_do_not_fit_are_refused(bundles: Path, lines: bytes, says: str) -> None:
    (bundles / "one" / SPACE / "ids.jsonl").write_bytes(lines)
    reseal(bundles)
    with pytest.raises(BundleError, match=says):
        bundle.current(bundles)


def test_nothing_in_a_bundle_is_unpickled(bundles: Path) -> None:
    np.save(bundles / "one" / SPACE / "vectors.npy", np.array([[object()]]), allow_pickle=True)
    reseal(bundles)
    with pytest.raises(BundleError, match="Python objects"):
        bundle.current(bundles)


def test_noise_instead_of_an_array(bundles: Path) -> None:
    (bundles / "one" / SPACE / "vectors.npy").write_bytes(b"noise")
    reseal(bundles)
    with pytest.raises(BundleError, match="one"):
        bundle.current(bundles)
