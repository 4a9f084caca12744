"""Things built once: by one of many, whole or not at all."""

import multiprocessing
from pathlib import Path

import pytest

from deploy.stack.cache import built_once, cache_home


def _build_slowly_counted(home: str, counter: str) -> None:
    def build(target: Path) -> None:
        with Path(counter).open("a") as file:
            file.write("x")
        (target / "file").write_text("done")

    assert (built_once("thing", build, Path(home)) / "file").read_text() == "done"


def test_processes_that_want_the_same_thing_build_it_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    context = multiprocessing.get_context("spawn")
    arguments = (str(tmp_path / "cache"), str(counter))
    builders = [context.Process(target=_build_slowly_counted, args=arguments) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0, 0]
    assert counter.read_text() == "x"


def test_a_failed_build_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("")
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        built_once("thing", fail, tmp_path)
    assert not (tmp_path / "thing").exists()
    assert built_once("thing", lambda target: (target / "whole").touch(), tmp_path).is_dir()


def test_what_a_killed_build_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "thing.partial").mkdir()
    (tmp_path / "thing.partial" / "half").touch()
    built = built_once("thing", lambda target: (target / "whole").touch(), tmp_path)
    assert [path.name for path in built.iterdir()] == ["whole"]


# XDG: a relative path in the variable is to be ignored
@pytest.mark.parametrize(
    ("given", "expected"),
    [("/x/cache", "/x/cache/movecar"), ("", "/h/.cache/movecar"), ("rel", "/h/.cache/movecar")],
)
def test_the_cache_is_where_the_user_s_caches_are(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", "/h")
    assert cache_home() == Path(expected)
