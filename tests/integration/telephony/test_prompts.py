"""The spoken prompts: complete, audible, equally loud, and refused when they are not (B2, B3)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.asterisk.prompts import SCRIPTS, PromptError, Voice, check, prompt_directory
from services.outbound.prompts import shelf, sound
from services.outbound.prompts.make import make
from services.outbound.prompts.shelf import FORMATS, MANIFEST, read_manifest

TONE = "sox -n $0 synth 3 sine 440"
TEXTS = {"menu": "请按1", "c-1": "幺"}


def test_every_segment_and_character_has_a_file_in_every_format(quick_prompts: Path) -> None:
    made = {str(path.relative_to(quick_prompts)) for path in quick_prompts.rglob("*") if path.is_file()}
    wanted = {
        f"{prefix}{name}"
        for prefix, _, texts in shelf.shelves(quick_prompts, SCRIPTS)
        for name in [MANIFEST, *(f"{name}.{extension}" for name in texts for extension in FORMATS)]
    }
    assert made == wanted
    assert {"script-1/greeting-head.alaw", "menu.ulaw", "c-u82cf.sln16", "desk-head.alaw"} <= made


def test_every_prompt_is_as_loud_as_the_others(quick_prompts: Path) -> None:
    prompts = read_manifest(quick_prompts).prompts | read_manifest(quick_prompts / "script-1").prompts
    assert all(abs(prompt.level - sound.TARGET_DBOV) < 3 for prompt in prompts.values()), {
        name: prompt.level for name, prompt in prompts.items()
    }


def test_any_command_can_speak_in_place_of_the_default(tmp_path: Path) -> None:
    make(TEXTS, tmp_path, Voice(f"sh -c '{TONE}' {{wav}} {{text}}"))
    made = read_manifest(tmp_path).prompts
    assert {name: prompt.text for name, prompt in made.items()} == TEXTS
    assert all(2.9 < prompt.seconds < 3.1 for prompt in made.values())


def test_studio_recordings_replace_the_voice_one_by_one(tmp_path: Path, quick_prompts: Path) -> None:
    studio, target = tmp_path / "studio", tmp_path / "target"
    studio.mkdir()
    shutil.copytree(quick_prompts, target)
    before = (target / "c-1.alaw").read_bytes()
    make({"c-1": "幺"}, studio, Voice(f"sh -c '{TONE}; cp $0 {studio}/c-1.wav' {{wav}} {{text}}"))
    make({"c-1": "幺"}, target, Voice(studio=studio))
    assert (target / "c-1.alaw").read_bytes() != before
    assert read_manifest(target).prompts["c-1"].voice == "studio"
    check(target)  # the others are as they were
    with pytest.raises(PromptError, match=r"menu\.wav is missing"):
        make({"menu": "请按1"}, target, Voice(studio=studio))


# command, what is said about it
BAD_VOICES = [
    ("sh -c 'sox -n -r 8000 $0 trim 0 0.5' {wav} {text}", "is silent|failed"),
    ("sh -c 'sox -n -r 8000 $0 synth 0.02 sine 440' {wav} {text}", "too short|failed"),
    ("true {wav} {text}", "failed"),
    ("false {wav} {text}", "failed"),
    ("no-such-program {wav} {text}", "no-such-program is missing; on Debian: apt-get install"),
    ("espeak-ng -w {wav}", "needs the words"),
]


@pytest.mark.parametrize(("command", "problem"), BAD_VOICES)
def test_a_voice_that_says_nothing_is_refused_and_nothing_is_kept(
    tmp_path: Path, command: str, problem: str
) -> None:
    with pytest.raises(PromptError, match=problem):
        make(TEXTS, tmp_path, Voice(command))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_made_is_not_cached(tmp_path: Path) -> None:
    with pytest.raises(PromptError):
        prompt_directory(Voice("false {wav} {text}"), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _silence(path: Path) -> None:
    path.write_bytes(b"\xd5" * path.stat().st_size)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _swap(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


# what is done to a file of the menu, what is found
DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (Path.unlink, "missing"),
    (_empty, "silent"),
    (_silence, "silent"),
    (_cut, "truncated"),
    (_swap, "changed"),
]


@pytest.mark.parametrize(("damage", "fault"), DAMAGE)
def test_a_prompt_that_is_not_as_it_was_made_is_found_by_name(
    tmp_path: Path, quick_prompts: Path, damage: Callable[[Path], None], fault: str
) -> None:
    shutil.copytree(quick_prompts, tmp_path, dirs_exist_ok=True)
    assert shelf.check(tmp_path, SCRIPTS) == []
    damage(tmp_path / "menu.alaw")
    assert [(each.name, each.fault) for each in shelf.check(tmp_path, SCRIPTS)] == [("menu", fault)]


def test_prompts_of_another_wording_are_found(tmp_path: Path, quick_prompts: Path) -> None:
    shutil.copytree(quick_prompts, tmp_path, dirs_exist_ok=True)
    reworded = {1: "您好，这是公安110挪车服务专线，您是{plate}的车主吗？"}
    found = shelf.check(tmp_path, reworded)
    assert [(each.name, each.fault) for each in found] == [("script-1/greeting-tail", "other_text")]
    found = shelf.check(tmp_path, {2: SCRIPTS[1]})
    assert {each.name for each in found} == {"script-2/greeting-head", "script-2/greeting-tail"}
