"""The canonical form of a script: the same tokens and comments, with other white space.

Prints tokens rather than nodes, so that comments, brackets and the spelling of numbers and strings stay; the nodes tell
what each bracket is. Files are the interface's. `docs/formatting.md` has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from aquatint.diagnostics import Diagnostics
from aquatint.source import Source
from aquatint.syntax import nodes as n
from aquatint.syntax.layout import lay_out
from aquatint.syntax.parser import parse
from aquatint.syntax.tokens import Tok

WIDTH = 100
"""Columns that a block, list or call on one line may reach."""

_INDENT = 4
_OPENERS = frozenset({"LPAR", "LSQB", "LBRACE"})
_CLOSERS = frozenset({"RPAR", "RSQB", "RBRACE"})
_TIGHT = frozenset({"DOT", "DOTS"})

Role = Literal["statements", "settings", "list", "arguments", "parameters", "index", "group"]
"""What stands between two brackets. `settings` are a map's entries too, and a comprehension is a `group`."""

_BRACES: tuple[Role, ...] = ("statements", "settings")
# Commas separate the items, and one may follow the last.
_ITEMS: tuple[Role, ...] = ("list", "arguments", "parameters")
# They stand right behind what they belong to.
_POSTFIX: tuple[Role, ...] = ("arguments", "parameters", "index")


class Unfaithful(Exception):
    """The canonical form of a script would not have said the same: a bug here."""


def formatted(script: n.Script) -> str:
    """Return the canonical form of `script`, which was parsed without mistakes.

    Raises `Unfaithful` rather than return a text with other nodes or comments.
    """
    text = _print(_read(script))
    if text == script.source.text:
        return text
    again = parse(Source(script.source.name, text))
    if again.diagnostics.has_errors or _meaning(again.script) != _meaning(script):
        raise Unfaithful(f"the canonical form of `{script.source.name}` would mean something else")
    return text


def _meaning(script: n.Script) -> list[object]:
    """Return what must stay: the nodes without their places, in one line, and the comments."""
    # Not by recursion: a long chain of operators is a deep tree.
    out: list[object] = []
    waiting: list[object] = [script.statements]
    while waiting:
        item = waiting.pop()
        if isinstance(item, n.Node):
            kind = type(item)
            out.append(kind)
            waiting += [getattr(item, name) for name in n.fields(kind)]
        elif isinstance(item, tuple):
            out.append(len(item))
            waiting += item
        else:
            out.append((type(item), item))
    return [*out, *(comment.text.rstrip() for comment in script.comments)]


class _Bracket:
    """A pair of brackets, or the whole script.

    `is_broken` says that its inside has lines of its own, `is_split` that each of its items has one.
    """

    def __init__(self, role: Role, first: _Atom | None = None) -> None:
        self.role = role
        self.first = first
        # The end of what is on one line or isn't: its closer, but that of the last body of an `if` for the first.
        self.until: _Atom | None = None
        self.leader = self
        self.items = 0
        self.is_empty = False
        self.is_broken = self.is_split = first is None
        self.indent = 0
        # Commas before this offset are compare's own.
        self.commas_until = -1


@dataclass(slots=True, eq=False)
class _Atom:
    """A token or comment that is printed, with the `lines` that end between it and the one before.

    `around` are the brackets in which it follows that one; a closer's are its own.
    """

    token: Tok
    around: _Bracket
    lines: int
    # It begins a statement, a setting or an item; or goes on with a statement or setting; or is an `else` behind `}`.
    begins: bool = False
    continues: bool = False
    is_joined: bool = False
    is_sign: bool = False
    opens: _Bracket | None = None
    closes: _Bracket | None = None
    # The brackets whose items it is the last token of.
    ends: _Bracket | None = None
    # How many columns and lines have passed, were everything on one line, and as the author wrote it.
    column: int = 0
    line: int = 0
    kind: str = field(init=False)
    is_comment: bool = field(init=False)

    def __post_init__(self) -> None:
        self.kind = self.token.type
        self.is_comment = self.kind == "COMMENT"


class _Roles:
    """What the nodes of a script tell about its tokens, by offset."""

    def __init__(self, script: n.Script) -> None:
        self.opened: dict[int, Role] = {}
        self.closed: dict[int, Role] = {}
        self.named: dict[int, Role] = {}
        self.signs: set[int] = set()
        # From `compare` to its last target.
        self.targets: dict[int, int] = {}
        # From each body of an `if` with several to the first.
        self.leaders: dict[int, int] = {}
        for node in n.walk(script):
            self._note(node)

    def _note(self, node: n.Node) -> None:
        match node:
            case n.Body():
                self.opened[node.span.start] = "statements"
            case n.Block() | n.Map():
                self.opened[node.span.start] = "settings"
            case n.List():
                self.opened[node.span.start] = "list"
            case n.Call():
                self.closed[node.span.end] = "arguments"
            case n.Index() | n.Slice():
                self.closed[node.span.end] = "index"
            case n.Function() | n.Procedure():
                self.named[node.name.span.start] = "parameters"
            case n.TypeName():
                self.named[node.span.start] = "index"
            case n.Unary() if node.operator != "not":
                self.signs.add(node.span.start)
            case n.Action() if len(node.targets) > 1:
                self.targets[node.verb.span.start] = node.targets[-1].span.start
            case n.Branch():
                bodies = [body for _, body in node.cases] + ([node.otherwise] if node.otherwise else [])
                for body in bodies:
                    self.leaders[body.span.start] = bodies[0].span.start

    def role(self, before: Tok | None, opener: Tok, closer: Tok) -> Role:
        """Return the role of a pair of brackets after the token `before`."""
        role = self.opened.get(opener.span.start) or self.closed.get(closer.span.end)
        return role or self.named.get(before.span.start if before else -1) or "group"


def _read(script: n.Script) -> list[_Atom]:
    """Return the atoms of `script`: without the separators that line ends replace, and without trailing commas."""
    source = script.source
    tokens = lay_out(source, Diagnostics()).tokens
    roles, closers = _Roles(script), _closers(tokens)
    comments = (Tok("COMMENT", comment.text.rstrip(), comment.span) for comment in script.comments)
    atoms: list[_Atom] = []
    stack = [_Bracket("statements")]
    by_offset: dict[int, _Bracket] = {}
    before: Tok | None = None  # the last token; no comment
    begins, end, moved = True, 0, 0
    for token in sorted(chain(tokens, comments), key=lambda token: token.span.start):
        around, kind, start = stack[-1], token.type, token.span.start
        if kind == "SEP" or (kind == "COMMA" and around.role == "settings" and start >= around.commas_until):
            begins = True
            continue
        atom = _Atom(token, around, source.text.count("\n", end, start) + moved)
        end, moved = token.span.end, 0
        if atom.lines and around.role not in _BRACES:
            around.is_broken = True
        if kind == "COMMENT":
            atoms.append(atom)
            continue
        if kind == "COMMA" and around.role not in _BRACES:
            # A comma stands right behind its item, before the comments and line ends that come after that.
            moved, atom.lines = atom.lines, 0
            atoms.insert(_behind_token(atoms), atom)
            begins, before = start >= around.commas_until, token
            continue
        if kind in _CLOSERS:
            _close(around, atom, atoms)
            stack.pop()
            begins = False
        else:
            atom.begins, begins = begins, False
            around.items += atom.begins
        atom.is_sign = start in roles.signs
        is_else = kind == "ELSE" and before is not None and before.type == "RBRACE"
        atom.continues = around.role in _BRACES and not (atom.begins or atom.closes or is_else)
        atom.is_joined = is_else and around.role in _BRACES and not atoms[-1].is_comment
        around.commas_until = max(around.commas_until, roles.targets.get(start, -1))
        if kind in _OPENERS:
            opened = _Bracket(roles.role(before, token, closers[start]), atom)
            by_offset[start] = atom.opens = opened
            opened.leader = by_offset.get(roles.leaders.get(start, -1), opened)
            stack.append(opened)
            begins = True
        atoms.append(atom)
        before = token
    _measure(atoms)
    return atoms


def _closers(tokens: list[Tok]) -> dict[int, Tok]:
    """Return the closing bracket of each opening one, by offset."""
    found: dict[int, Tok] = {}
    stack: list[int] = []
    for token in tokens:
        if token.type in _OPENERS:
            stack.append(token.span.start)
        elif token.type in _CLOSERS:
            found[stack.pop()] = token
    return found


def _behind_token(atoms: list[_Atom]) -> int:
    """Return the index behind the last atom that is no comment."""
    place = len(atoms)
    while atoms[place - 1].is_comment:
        place -= 1
    return place


def _close(bracket: _Bracket, atom: _Atom, atoms: list[_Atom]) -> None:
    """Note that `atom`, which comes after `atoms`, closes `bracket`."""
    atom.closes = bracket
    bracket.until = bracket.leader.until = atom
    bracket.is_empty = atoms[-1] is bracket.first
    if bracket.is_empty:
        bracket.is_broken = False
    elif bracket.role in _ITEMS and bracket.items:
        place = _behind_token(atoms) - 1
        if atoms[place].kind == "COMMA":
            del atoms[place]
            place -= 1
        atoms[place].ends = bracket


def _measure(atoms: list[_Atom]) -> None:
    """Set the columns and lines of `atoms`, and what depends on the token after a comment."""
    column = line = 0
    for before, atom in zip([None, *atoms], atoms, strict=False):
        # Those that end inside empty brackets or before an `else` don't stay.
        is_dropped = atom.is_joined or (atom.closes is not None and atom.closes.is_empty)
        line += 0 if is_dropped else atom.lines
        if before is not None and not atom.is_comment:
            column += len(_space(before, atom)) + len(atom.token.text)
            # Statements behind each other get lines of their own.
            line += atom.begins and atom.around.role == "statements" and before.opens is not atom.around
        line += atom.token.text.count("\n")
        atom.column, atom.line = column, line
    for atom, after in zip(reversed(atoms[:-1]), reversed(atoms), strict=False):
        if atom.is_comment:
            atom.continues = after.continues


def _print(atoms: list[_Atom]) -> str:
    """Return the text of `atoms`."""
    out: list[str] = []
    column = indent = 0
    for before, atom in zip([None, *atoms], atoms, strict=False):
        if before is None:
            lead = ""
        elif _breaks(before, atom):
            indent = atom.around.indent + _INDENT * (atom.continues - (atom.closes is not None))
            lead = _line_end(before, atom) + " " * indent
            column = indent
        else:
            lead = _space(before, atom)
            column += len(lead)
        text = atom.token.text
        out += lead, text
        column = column + len(text) if "\n" not in text else len(text) - text.rindex("\n") - 1
        if atom.ends is not None and atom.ends.is_broken:
            out.append(",")
        if atom.opens is not None:
            # A body belongs to its statement, not to the line on which its head ends.
            outer = atom.around.indent if atom.opens.role == "statements" else indent
            atom.opens.indent = outer + _INDENT
            _settle(atom.opens, column)
    return "".join(out) + "\n" if out else ""


def _settle(bracket: _Bracket, column: int) -> None:
    """Decide about the lines of `bracket`, whose opener ends at `column`."""
    if bracket.leader is not bracket:
        bracket.is_split = bracket.leader.is_split
        bracket.is_broken = bracket.is_split and not bracket.is_empty
        return
    first, until = bracket.first, bracket.until
    assert first is not None and until is not None
    was_broken = until.line > first.line
    is_long = column + until.column - first.column > WIDTH
    if bracket.role in _BRACES:
        bracket.is_split = was_broken or is_long
        bracket.is_broken = bracket.is_split and not bracket.is_empty
    elif bracket.role in _ITEMS and bracket.items > 1 and is_long and not was_broken:
        bracket.is_broken = bracket.is_split = True


def _breaks(before: _Atom, atom: _Atom) -> bool:
    """Return whether `atom` begins a line."""
    around = atom.around
    if atom.is_comment:
        return atom.lines > 0
    if before.is_comment:
        return True
    if before.opens is around or atom.closes is around:
        return around.is_broken
    return (atom.begins and around.is_split) or (atom.lines > 0 and not atom.is_joined)


def _line_end(before: _Atom, atom: _Atom) -> str:
    """Return what ends the line before `atom`: with a blank line, if there was one where one may be."""
    if atom.continues:
        # A line that goes on says so, unless a comma or a comment does.
        return "\n" if atom.is_comment or before.is_comment or before.kind == "COMMA" else " \\\n"
    is_blank = atom.lines > 1 and (atom.begins or atom.is_comment) and before.opens is not atom.around
    return "\n\n" if is_blank else "\n"


def _space(before: _Atom, atom: _Atom) -> str:
    """Return what stands between two atoms of one line."""
    around, kind = atom.around, atom.kind
    if atom.is_comment:
        return "  "
    if before.opens is around or atom.closes is around:
        return " " if around.role in _BRACES and not around.is_empty else ""
    if atom.begins and around.role == "settings":
        return ", "
    is_tight = (
        before.is_sign
        or before.kind in _TIGHT
        or kind in _TIGHT | {"COMMA", "COLON"}
        or (atom.opens is not None and atom.opens.role in _POSTFIX)
        or (around.role == "index" and before.kind == "COLON")
        or (around.role == "arguments" and "ASSIGN" in (before.kind, kind))
    )
    return "" if is_tight else " "
