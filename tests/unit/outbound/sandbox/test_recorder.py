"""The sandbox leaves recordings where, and as, Asterisk would."""

import wave
from pathlib import Path

from services.common.ids import new_id
from services.outbound.recordings.wav import read_header
from services.outbound.sandbox.recorder import Recorder


def test_a_call_leaves_a_tone_of_its_length(tmp_path: Path) -> None:
    recorder, attempt = Recorder(tmp_path / "spool"), new_id()
    recorder.prepare()
    recorder.write(attempt, 2.5)
    path = tmp_path / "spool" / f"{attempt}.wav"
    content = path.read_bytes()
    assert read_header(content, len(content)).whole
    with wave.open(str(path)) as sound:
        assert sound.getnframes() == 20_000
        assert any(sound.readframes(1000))


def test_only_attempts_are_recorded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for name in ("", "1700000000.1", "../" + new_id(), new_id().upper() + "G", "x" * 32):
        recorder.write(name, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_cannot_be_written_ends_no_call(tmp_path: Path) -> None:
    Recorder(tmp_path / "nowhere").write(new_id(), 1)
