"""The commands of the interactive session: lines that begin with `:`, which no statement does.

Each is a function of the session and of what follows its name; nothing here reads or writes a terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from aquatint.diagnostics import nearest
from aquatint.interface.exits import Refusal
from aquatint.interface.progress import duration, number, printable
from aquatint.interface.repl.preferences import Look, listed, put
from aquatint.interface.repl.saved_session import saved_session
from aquatint.interface.repl.topics import about, topics
from aquatint.interface.script_file import read_script
from aquatint.interface.session import Outcome, Session
from aquatint.plan.render import quantized, render, sized
from aquatint.plan.steps import Component
from aquatint.runtime.memory_probe import usage
from aquatint.source import Source


@dataclass(frozen=True, slots=True)
class Answer:
    """What a line came to: the outcome of what was planned or run, and a text to show after it."""

    text: str = ""
    outcome: Outcome | None = None
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name without the colon, what follows it, and what it does in a sentence."""

    name: str
    takes: str
    help: str
    do: Callable[[Session, str, Look], Answer]


def answer(session: Session, line: str, look: Look | None = None) -> Answer:
    """Carry out `line`, which begins with a colon; `look` is what it may set of what is shown. Raises `Refusal`."""
    name, _, rest = line[1:].partition(" ")
    known = {command.name: command for command in COMMANDS}
    if name not in known:
        near = nearest(name, known)
        help = f"did you mean `:{near}`?" if near else "`:help` lists them"
        raise _refusal(f"there is no command `:{printable(name)}`", help)
    command = known[name]
    if bool(rest.strip()) > bool(command.takes) or (not rest.strip() and command.takes[:1] not in ("", "[")):
        raise _refusal(f"this is no `:{name}`", f"write `:{_form(command)}`")
    return command.do(session, rest.strip(), look or Look())


def _help(session: Session, topic: str, look: Look) -> Answer:
    if not topic:
        return Answer(_OVERVIEW + "\n" + _listed())
    for command in COMMANDS:
        if command.name == topic.removeprefix(":") and (topic.startswith(":") or about(topic) is None):
            return Answer(f":{_form(command)}\n    {command.help}\n")
    text = about(topic)
    if text is None:
        near = nearest(topic, [*(command.name for command in COMMANDS), *topics()])
        help = "topics are commands, blocks such as `model`, quantization backends, and the codes of mistakes"
        raise _refusal(f"there is no help on `{printable(topic)}`", f"did you mean `{near}`?" if near else help)
    return Answer(text)


def _plan(session: Session, text: str, look: Look) -> Answer:
    outcome = session.check(Source("<repl>", text))
    return Answer("" if outcome.plan is None else render(outcome.plan, session.resident()), outcome)


def _models(session: Session, _: str, look: Look) -> Answer:
    held = session.held()
    lines = [
        f"{each.loaded.component.role:<16} {_described(each.loaded.component)}, "
        f"{sized(each.loaded.bytes)}, loaded {duration(each.age)} ago"
        for each in held
    ]
    return Answer("".join(f"{line}\n" for line in lines) if lines else "nothing is loaded\n")


def _described(component: Component) -> str:
    by = component.quantization
    return component.class_name + (f", quantized by {quantized(by)}" if by else "")


def _memory(session: Session, _: str, look: Look) -> Answer:
    held = session.held()
    lines = [f"components  {sized(sum(each.loaded.bytes for each in held))} in {number(len(held), 'component')}"]
    if (device := session.device_memory()) is not None:
        lines.append(f"device      {sized(device.now)} of tensors on {session.world.device}")
    if (process := usage()) is not None:
        lines.append(f"program     {sized(process.resident)}")
    budget = session.world.memory
    lines.append(f"budget      {'any amount' if budget is None else sized(budget.limit)}")
    return Answer("".join(f"{line}\n" for line in lines))


def _names(session: Session, _: str, look: Look) -> Answer:
    return Answer(("\n".join(session.names) if session.names else "nothing is bound yet") + "\n")


def _drop(session: Session, name: str, look: Look) -> Answer:
    lines = [f"released {each.component.role:<16} {sized(each.bytes)}\n" for each in session.drop(name)]
    return Answer("".join(lines) or f"nothing of `{name}` is loaded\n")


def _run(session: Session, file: str, look: Look) -> Answer:
    # A file that ends too early is wrong: no line that follows is part of it.
    return Answer(outcome=replace(session.feed(read_script(file, no_stdin=True)), incomplete=False))


def _save(session: Session, file: str, look: Look) -> Answer:
    saved = saved_session(session)
    try:
        with Path(file).expanduser().open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(saved.text)
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        help = None
        if isinstance(error, FileExistsError):
            help = "nothing that is there is written over: give another name, or remove the file first"
        elif isinstance(error, FileNotFoundError):
            help = "make the folder first, or give a name in another one"
        raise Refusal("bad-command-line", f"can't write `{printable(file)}`: {reason}", help) from None
    return Answer(f"wrote {printable(file)}: {number(saved.statements, 'text')}, {number(saved.files, 'file')}\n")


def _set(session: Session, text: str, look: Look) -> Answer:
    if text:
        name, _, value = text.partition(" ")
        put(name.removesuffix("="), value.removeprefix("=").strip(), session, look)
    return Answer(listed(session, look, text.split()[0].removesuffix("=") if text else ""))


def _time(session: Session, _: str, look: Look) -> Answer:
    if session.times is None:
        raise _refusal("nothing was run yet", "`:time` tells of the statement before it")
    planned, ran = session.times
    return Answer(f"planned in {planned * 1000:.0f} ms, run in {duration(ran)}\n")


def _undo(session: Session, _: str, look: Look) -> Answer:
    done = session.undo()
    if done is None:
        raise _refusal("there is nothing to take back", None)
    first, *more = done.source.text.strip().splitlines() or [""]
    text = f"took back `{printable(first)}{' ...' if more else ''}`\n"
    return Answer(text + ("the files that it wrote stay\n" if done.wrote else ""))


def _quit(session: Session, _: str, look: Look) -> Answer:
    return Answer(leaves=True)


def _form(command: Command) -> str:
    return f"{command.name} {command.takes}".strip()


def _listed() -> str:
    widest = max(len(_form(command)) for command in COMMANDS)
    return "".join(f":{_form(command):<{widest}}  {command.help}\n" for command in COMMANDS)


def _refusal(message: str, help: str | None) -> Refusal:
    return Refusal("bad-command-line", message, help)


_OVERVIEW = textwrap.dedent("""\
    Each statement is planned and run when it is whole; an open `{` or `(` goes on on the next line, an empty line ends
    it. Names stay, and so do loaded models: a second `generate` loads nothing. A statement that fails binds nothing.

        quantizer q8 { backend: sdnq, weights_dtype: int8 }
        model shapes { source: "builtin:shapes", quantizer: q8 }
        generate shapes { prompt: "a red circle on a white background", seed: 1, output: "circle.png" }

    Ctrl-C stops a statement and keeps the models; Ctrl-D leaves.
    """)

COMMANDS = (
    Command(
        "help", "[TOPIC]", "say what a command, a block, a quantization backend or the code of a mistake is", _help
    ),
    Command("plan", "STATEMENT", "show what a statement would do, and do nothing", _plan),
    Command("names", "", "list the names that are bound", _names),
    Command("models", "", "list the components that are loaded, their bytes and age", _models),
    Command("memory", "", "say what memory is taken, and what may be", _memory),
    Command("drop", "MODEL", "release the components of a model", _drop),
    Command("run", "FILE", "run a script here; its names stay", _run),
    Command("save", "FILE", "write the session as a script that makes the same pictures", _save),
    Command("set", "[NAME VALUE]", "list the settings of the session, or change one", _set),
    Command("time", "", "say how long the last statement took", _time),
    Command("undo", "", "take back the names of the last statement; files stay", _undo),
    Command("quit", "", "leave, as Ctrl-D does", _quit),
)
"""All commands, in the order of the help."""
