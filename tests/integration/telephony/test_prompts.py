"""The spoken prompts: complete, audible, and refused when they are not."""

import shutil
from pathlib import Path

import pytest

from deploy.asterisk.prompts import FORMATS, PromptError, Voice, catalogue, check, prompt_directory

TONE = "sox -n {wav} synth 0.3 sine 440"


def test_every_segment_and_character_has_a_file_in_every_format(quick_prompts: Path) -> None:
    made = {str(path.relative_to(quick_prompts)) for path in quick_prompts.rglob("*") if path.is_file()}
    assert made == {f"{name}.{extension}" for name in catalogue() for extension in FORMATS}
    assert {"script-1/greeting-head.alaw", "menu.ulaw", "c-u82cf.alaw", "desk-head.alaw"} <= made


def test_any_command_can_speak_in_place_of_the_default(tmp_path: Path) -> None:
    made = prompt_directory(Voice(f"sh -c '{TONE.replace('{wav}', '$0')}' {{wav}} {{text}}"), tmp_path)
    check(made)


def test_studio_recordings_replace_the_voice_and_a_changed_one_is_noticed(
    tmp_path: Path, quick_prompts: Path
) -> None:
    studio = tmp_path / "studio"
    studio.mkdir()
    made = prompt_directory(
        Voice(f"sh -c '{TONE.replace('{wav}', '$0')}; cp $0 {studio}' {{wav}} {{text}}"), tmp_path
    )
    first = prompt_directory(Voice(studio=studio), tmp_path)
    assert first not in (made, quick_prompts)
    (studio / "menu.wav").write_bytes((studio / "menu.wav").read_bytes() + b"\0\0")
    assert prompt_directory(Voice(studio=studio), tmp_path) != first
    (studio / "c-1.wav").unlink()
    with pytest.raises(PromptError, match=r"c-1\.wav is missing"):
        prompt_directory(Voice(studio=studio), tmp_path)


# command, what is said about it
BAD_VOICES = [
    ("sox -n {wav} synth 0.3 sine 440 vol 0 --text {text}", "failed"),
    ("sh -c 'sox -n -r 8000 $0 trim 0 0.5' {wav} {text}", "is silent|failed"),
    ("true {wav} {text}", "failed"),
    ("false {wav} {text}", "failed"),
    ("no-such-program {wav} {text}", "No such file"),
    ("espeak-ng -w {wav}", "needs the words"),
]


@pytest.mark.parametrize(("command", "problem"), BAD_VOICES)
def test_a_voice_that_says_nothing_is_refused_and_nothing_is_kept(
    tmp_path: Path, command: str, problem: str
) -> None:
    with pytest.raises(PromptError, match=problem):
        prompt_directory(Voice(command), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_missing_or_empty_file_is_named(tmp_path: Path, quick_prompts: Path) -> None:
    shutil.copytree(quick_prompts, tmp_path, dirs_exist_ok=True)
    (tmp_path / "menu.alaw").unlink()
    (tmp_path / "c-d.ulaw").write_bytes(b"")
    with pytest.raises(PromptError, match=r"menu\.alaw, c-d\.ulaw"):
        check(tmp_path)
