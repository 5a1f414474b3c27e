"""Pass an answer whose ffmpeg commands run and write what they name; print why not.

A command evaluator runs it: `python ffmpeg_check.py answer.txt`, with `ffmpeg` among its programs.
Each input that a command names is made first: a second of picture and sound, in one track each.
Only `ffmpeg` is run, and no shell.
"""

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

BLOCK = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)
PICTURE = ["-f", "lavfi", "-i", "testsrc2=duration=1:size=320x240:rate=10"]
SOUND = ["-f", "lavfi", "-i", "sine=duration=1"]
PICTURES = {".png", ".jpg", ".jpeg", ".bmp"}
SOUNDS = {".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg"}
LONGEST_S = 60


def run(words: list[str]) -> str:
    """Run ffmpeg; return the end of what it says if it fails."""
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-y", *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    return "" if result.returncode == 0 else result.stderr.strip()[-300:]


def make_input(path: Path) -> str:
    """Make a file that a command reads, by its name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = path.suffix.lower()
    if ending in PICTURES:
        return run([*PICTURE, "-frames:v", "1", str(path)])
    if ending in SOUNDS:
        return run([*SOUND, str(path)])
    if ending == ".webm":
        codecs = ["-c:v", "libvpx", "-c:a", "libvorbis"]
    else:
        codecs = ["-c:v", "mpeg4", "-c:a", "mp3" if ending == ".avi" else "aac"]
    return run([*PICTURE, *SOUND, *codecs, str(path)])


def commands_of(answer: str) -> list[list[str]]:
    """Return the ffmpeg commands of an answer's code blocks, as words."""
    lines: list[str] = []
    for block in BLOCK.findall(answer):
        lines += block.replace("\\\n", " ").splitlines()
    parsed = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in parsed if words and words[0] == "ffmpeg"]


def inputs_of(words: list[str]) -> list[Path]:
    """Return the files that a command reads."""
    return [Path(name) for option, name in pairwise(words) if option == "-i"]


def check(answer: str) -> str:
    """Return why an answer fails; empty if it passes."""
    try:
        commands = commands_of(answer)
    except ValueError as error:
        return f"a command cannot be read: {error}"
    if not commands:
        return "there is no ffmpeg command"
    for words in commands:
        for path in inputs_of(words):
            fault = "" if path.exists() else make_input(path)
            if fault:
                return f"the input {path} cannot be made: {fault}"
        before = {path for path in Path().rglob("*") if path.is_file()}
        try:
            fault = run(words)
        except subprocess.TimeoutExpired:
            fault = "it takes too long"
        if fault:
            return fault
        made = {path for path in Path().rglob("*") if path.is_file()} - before
        if not made or not all(path.stat().st_size for path in made):
            return "it writes no file, or an empty one"
    return ""


if __name__ == "__main__":
    reason = check(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(f"{reason or 'every command ran'}\n")
    sys.exit(bool(reason))
