"""The files that a script includes: found, read and parsed, each once.

What their statements do is `evaluate`'s business, and what is wrong in them `check`'s.
"""

from __future__ import annotations

import hashlib
import posixpath

from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.disk import under
from aquatint.language.templates import Templates
from aquatint.language.world import World
from aquatint.source import Source
from aquatint.syntax import nodes as n
from aquatint.syntax.parser import parse

FILE_LIMIT = 1000
"""Files that a script may include, and they in turn."""

DEPTH_LIMIT = 50
"""Files in each other."""


class Includes:
    """The included files of one plan; `hashes` has the SHA-256 of each by the path under which it was found."""

    def __init__(self, world: World, diagnostics: Diagnostics, script: n.Script) -> None:
        self.world = world
        self.diagnostics = diagnostics
        self.hashes: dict[str, str] = {}
        self._scripts: dict[str, n.Script | None] = {posixpath.normpath(script.source.name): script}
        self._found: dict[tuple[Source, int], n.Script | None] = {}

    def script(self, node: n.Include) -> n.Script | None:
        """Return the script that `node` includes, or None after a report: that it can't be read, or what in it can't.

        A script with mistakes is returned as far as it was read; that a file includes itself is left to `check`.
        """
        place = node.span.source, node.span.start
        if place not in self._found:
            self._found[place] = self._read(node)
        return self._found[place]

    def _read(self, node: n.Include) -> n.Script | None:
        at = node.path.span
        if not isinstance(node.path, n.String) or (not node.path.raw and Templates.is_template(node.path.text)):
            message = "`include` takes a plain string: what a script is made of is known before it is evaluated"
            self.diagnostics.error("bad-include", message, at, help='write `include "file.aqt"`')
            return None
        name = posixpath.normpath(under(at.source.folder, node.path.text))
        if name not in self._scripts:
            if len(self._scripts) >= FILE_LIMIT:
                self.diagnostics.error("too-large", f"the script includes more than {FILE_LIMIT:,} files", at)
                return None
            self._scripts[name] = self._parsed(name, node)
        return self._scripts[name]

    def _parsed(self, name: str, node: n.Include) -> n.Script | None:
        at = node.path.span
        try:
            body = self.world.script(name)
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = body[: error.start].count(b"\n") + 1
            self.diagnostics.error(
                "not-utf-8", f"`{name}` is not text in UTF-8 (line {line})", at, help="save it as UTF-8"
            )
            return None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no reason given"
            self.diagnostics.error("missing-file", f"can't read `{name}`: {reason[:1].lower() + reason[1:]}", at,
                                   help="the path starts at the folder of the file that includes it")  # fmt: skip
            return None
        self.hashes[name] = hashlib.sha256(body).hexdigest()
        parsed = parse(Source(name, text))
        with self.diagnostics.through(Label(at, "included here")):
            self.diagnostics.extend(parsed.diagnostics)
        return parsed.script
