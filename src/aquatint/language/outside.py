"""What a plan has seen of the outside: files, variables of the environment, and the device; each looked at once.

All of it becomes an input of the plan. What the contents of a file mean is for `formats` to say.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from aquatint.catalog import addresses, compatibility, hardware, picture_files, tensor_files, video_files
from aquatint.catalog.addresses import AddressError, Download
from aquatint.catalog.quantizer_backends import backend
from aquatint.catalog.quantizers import canonical
from aquatint.diagnostics import Label, did_you_mean, nearest
from aquatint.language.disk import Entry
from aquatint.language.formats import FormatProblem
from aquatint.language.values import Builtin, Device, PathText, Quantizer, type_name
from aquatint.language.world import World
from aquatint.plan.steps import PictureFile, TensorFile, VideoFile
from aquatint.source import Source, Span

FILE_LIMIT = 16 << 20
"""Bytes of a file that a script reads."""

TOTAL_LIMIT = 256 << 20
"""Bytes of all the files that a script reads."""

ENTRY_LIMIT = 200_000
"""Names that all the patterns of a script look at."""

_LINE_LIMIT = 200  # characters of a line of a file that a message shows
_WILD = re.compile(r"[*?\[]")


class OutsideProblem(Exception):
    """The outside is not as the script has it; `labels` are places in files, `lack` is what was to be fetched."""

    def __init__(
        self,
        code: str,
        message: str,
        help: str | None = None,
        labels: tuple[Label, ...] = (),
        lack: Download | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        self.labels = labels
        self.lack = lack


class Outside:
    """What one plan sees of `world`; `inputs` tell it: hashes of files and of lists of them, and values."""

    def __init__(self, world: World) -> None:
        self.inputs: dict[str, str] = {}
        self.work = 0  # steps of evaluation that functions have taken beside the one of each call
        self._world = world
        self._sources: dict[str, Source] = {}
        self._values: dict[tuple[Any, ...], Any] = {}
        self._shapes: dict[TensorFile, tuple[int, ...]] = {}
        self._bytes_left = TOTAL_LIMIT
        self._entries_left = ENTRY_LIMIT
        self._device: Device | None = None

    def text(self, path: str) -> Source:
        """Return the text of a file, without a byte order mark and with `\\n` at the ends of lines."""
        if path not in self._sources:
            body = self._body(path)
            self.inputs[f"file {path}"] = hashlib.sha256(body).hexdigest()
            self._sources[path] = Source(path, _decoded(path, body))
        return self._sources[path]

    def value(self, path: str, read: Callable[..., Any], *options: Any) -> Any:
        """Return what `read` makes of a file's text, once for each file."""
        key = (path, read, *options)
        if key not in self._values:
            source = self.text(path)
            try:
                self._values[key] = read(source, *options)
            except FormatProblem as problem:
                raise malformed(path, problem) from None
        return self._values[key]

    def picture(self, path: str) -> PictureFile:
        """Return what a plan has of the picture in a file, whose head alone is looked at."""
        key = (path, picture_files.size_of)
        if key not in self._values:
            body = self._file_or_address(path, "picture", picture_files.BYTES_LIMIT)
            try:
                width, height = picture_files.size_of(body)
            except picture_files.NoPicture as error:
                raise OutsideProblem("malformed-file", f"`{path}` {error}") from None
            hash = self._noted(path, body)
            self._values[key] = PictureFile(path=path, hash=hash, width=width, height=height)
        return self._values[key]  # type: ignore[no-any-return]

    def video(self, path: str) -> VideoFile:
        """Return what a plan has of the video in a file, of which no frame is decoded."""
        key = (path, video_files.facts_of)
        if key not in self._values:
            body = self._file_or_address(path, "video", video_files.BYTES_LIMIT)
            if video_files.needs_package(body) and not self._world.is_installed(video_files.PACKAGE):
                raise OutsideProblem(
                    "package-not-installed", f"reading `{path}` needs `{video_files.PACKAGE}`, which is not installed",
                    "install it: `pip install 'aquatint[video]'`, or give a GIF or an animated WebP",
                )  # fmt: skip
            try:
                found = video_files.facts_of(body)
            except video_files.NoVideo as error:
                raise OutsideProblem("malformed-file", f"`{path}` {error}") from None
            hash = self._noted(path, body)
            self._values[key] = VideoFile(path, hash, found.frames, found.width, found.height)
        return self._values[key]  # type: ignore[no-any-return]

    def tensor(self, path: str, name: str) -> TensorFile:
        """Return what a plan has of the tensor that an argument called `name` takes from a safetensors file."""
        key = (path, tensor_files.unpacked, name)
        if key not in self._values:
            body = self._file_or_address(path, "tensors", tensor_files.BYTES_LIMIT)
            try:
                found = tensor_files.unpacked(body)
                name = tensor_files.chosen(found, name)
            except tensor_files.NoTensors as error:
                raise OutsideProblem("malformed-file", f"`{path}` {error}") from None
            hash = self._noted(path, body)
            self._values[key] = made = TensorFile(path=path, hash=hash, name=name)
            self._shapes[made] = found[name].shape
        return self._values[key]  # type: ignore[no-any-return]

    def shape(self, tensor: TensorFile) -> tuple[int, ...]:
        """Return the shape of a tensor that `tensor` has returned."""
        return self._shapes[tensor]

    def matching(self, pattern: str, folder: str) -> tuple[PathText, ...]:
        """Return the files in `folder` whose names match `pattern`, or the folders if it ends in `/`, in order.

        `*`, `?` and `[...]` match within a name and leave out hidden files, `**` goes through any number of folders.
        """
        key = (pattern, folder)
        if key not in self._values:
            parts = [part for part in pattern.split("/") if part not in ("", ".")]
            begin = "/" if pattern.startswith("/") else ""
            wanted = "folder" if pattern.endswith("/") else "file"
            found = set(self._matching(begin, parts, wanted, folder, set())) if parts else set()
            made = tuple(PathText(name) for name in sorted(found))
            digest = hashlib.sha256("".join(name + "\n" for name in made).encode()).hexdigest()
            self.inputs[f"glob {posixpath.join(folder, pattern)}"] = digest
            self._values[key] = made
        return self._values[key]  # type: ignore[no-any-return]

    def variable(self, name: str) -> str | None:
        """Return the value of a variable of the environment, None if it isn't set."""
        value = self._world.environment.get(name)
        if value is not None and not _is_text(value):
            raise OutsideProblem("not-utf-8", f"the variable `{name}` of the environment is not text in UTF-8")
        self.inputs[f"env {name}" if value is not None else f"env {name} is not set"] = value or ""
        return value

    def device(self) -> Device:
        """Return what the plan is made for."""
        if self._device is None:
            kind = self._world.device
            found = self._world.hardware(kind)
            supports = Builtin("device.supports", "(quantizer)", self._supports)
            self._device = Device(kind.partition(":")[0], found.name, found.memory, supports)
            self.inputs["device.name"] = found.name
            self.inputs["device.memory"] = "unknown" if found.memory is None else str(found.memory)
        return self._device

    def _supports(self, quantizer: Any) -> bool:
        device = self._world.device.partition(":")[0]
        name = quantizer.backend if isinstance(quantizer, Quantizer) else quantizer
        found = backend(name) if isinstance(name, str) else None
        if found is None:
            what = f'"{name}"' if isinstance(name, str) else type_name(name)
            raise ValueError(f"takes a quantizer or a backend's name, not {what}")
        if not self._world.is_installed(found.package):
            return False
        if isinstance(quantizer, Quantizer):
            options = canonical(found.name, quantizer.options)
            is_refused = any(note.severity == "error" for note in hardware.notes(found.name, options, device))
            return not is_refused and compatibility.refusal(f"device-{device}", found.name, options) is None
        kinds = [kind.name for kind in compatibility.kinds() if kind.backend == found.name]
        return not kinds or any(compatibility.cell(kind, f"device-{device}").answer != "refused" for kind in kinds)

    def _body(self, path: str) -> bytes:
        try:
            body = self._world.files.read(path, min(FILE_LIMIT, self._bytes_left) + 1)
        except (OSError, ValueError) as error:
            self._refuse(path, error)
        self._bytes_left -= len(body)
        if len(body) > FILE_LIMIT:
            raise OutsideProblem("too-large", f"`{path}` is larger than {FILE_LIMIT >> 20} MiB")
        if self._bytes_left < 0:
            raise OutsideProblem("too-large", f"the script reads more than {TOTAL_LIMIT >> 20} MiB of files")
        return body

    def _file_or_address(self, path: str, kind: addresses.Kind, limit: int) -> bytes:
        """Return what is in a file, or what an address has given when it was fetched."""
        is_address = addresses.is_address(path)
        if is_address:
            try:
                addresses.check(path)
            except AddressError as error:
                raise OutsideProblem(error.code, error.message, error.help) from None
        try:
            body = self._world.files.read(addresses.place(path), limit + 1)
        except (OSError, ValueError) as error:
            if is_address:
                # That file is the program's: without it, or with one that can't be read, it is to be fetched.
                raise OutsideProblem("missing-file", f"`{path}` has not been fetched yet",
                                     lack=Download(path, kind)) from None  # fmt: skip
            self._refuse(path, error)
        if len(body) > limit:
            raise OutsideProblem("too-large", f"`{path}` is larger than {limit >> 20} MiB")
        return body

    def _noted(self, path: str, body: bytes) -> str:
        """Return the hash of what is in a file or at an address, which becomes an input of the plan."""
        hash = hashlib.sha256(body).hexdigest()
        self.inputs[f"{'address' if addresses.is_address(path) else 'file'} {path}"] = hash
        return hash

    def _refuse(self, path: str, error: OSError | ValueError) -> NoReturn:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no file can be called that"
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise OutsideProblem(
            "missing-file" if missing else "unreadable-file",
            f"can't read `{path}`: {reason[:1].lower()}{reason[1:]}",
            self._near(path) if missing else None,
        ) from None

    def _near(self, path: str) -> str | None:
        folder, name = posixpath.split(path)
        try:
            there = [entry.name for entry in self._world.files.entries(folder, 1000)]
        except (OSError, ValueError):
            return f"there is no folder `{folder}`"
        near = nearest(name, there)
        if near is not None:
            return f"did you mean `{posixpath.join(folder, near)}`?"
        return did_you_mean(name, there, "files there") if there else None

    def _matching(
        self, begin: str, parts: list[str], wanted: str, folder: str, seen: set[tuple[str, int]]
    ) -> Iterator[str]:
        """Yield the names that begin with `begin`, which ends in `/` or is empty, and go on with `parts`."""
        if (begin, len(parts)) in seen:
            return
        seen.add((begin, len(parts)))
        part, *rest = parts
        if part == "**" and rest:
            yield from self._matching(begin, rest, wanted, folder, seen)
        if part == ".." or (rest and not _WILD.search(part)):
            if rest:
                yield from self._matching(f"{begin}{part}/", rest, wanted, folder, seen)
            return
        for entry in self._entries(posixpath.join(folder, begin)):
            if (entry.name.startswith(".") and not part.startswith(".")) or not _is_text(entry.name):
                continue
            if part == "**" and entry.kind == "folder" and not entry.is_link:  # a link may lead back up
                yield from self._matching(f"{begin}{entry.name}/", parts, wanted, folder, seen)
            if not fnmatchcase(entry.name, part):
                continue
            if not rest and entry.kind == wanted:
                yield begin + entry.name
            elif rest and part != "**" and entry.kind == "folder":
                yield from self._matching(f"{begin}{entry.name}/", rest, wanted, folder, seen)

    def _entries(self, folder: str) -> list[Entry]:
        try:
            entries = self._world.files.entries(folder, self._entries_left + 1)
        except (OSError, ValueError):
            return []  # what isn't there, or may not be seen, matches nothing
        self._entries_left -= len(entries)
        if self._entries_left < 0:
            raise OutsideProblem("too-large", f"the script's patterns look at more than {ENTRY_LIMIT:,} names",
                                 "name the folder that the files are in")  # fmt: skip
        return entries


def malformed(path: str, problem: FormatProblem) -> OutsideProblem:
    """Return what to say of a file that is not what it should be."""
    message = f"can't make a value of `{path}`: {problem.message}"
    if problem.span is None:
        return OutsideProblem("malformed-file", message)
    return OutsideProblem("malformed-file", *_placed(message, problem.span))


def _placed(message: str, span: Span) -> tuple[str, None, tuple[Label, ...]]:
    """Return a message and its place, which goes into the message if its line is too long to be shown."""
    if len(span.source.line(span.line)) > _LINE_LIMIT:
        return f"{message} (line {span.line}, column {span.column})", None, ()
    return message, None, (Label(span, "here"),)


def _decoded(path: str, body: bytes) -> str:
    try:
        text = body.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        # Every byte that is wrong becomes one character: what comes before it is right.
        before = body[: error.start].decode("utf-8", "replace")
        source = Source(path, body.decode("utf-8", "replace"))
        place = Span(source, len(before), len(before) + 1)
        raise OutsideProblem("not-utf-8", *_placed(f"`{path}` is not text in UTF-8", place)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
