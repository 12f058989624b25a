"""How long scripts of one megabyte take that nobody would write: `check`, `plan` and `fmt --check`, in CPU seconds.

    .venv/bin/python benchmarks/odd_inputs.py [--only COMMAND] [SHAPE ...]

Each must end, with a plan or with diagnostics, within ten seconds. A negative number is the signal that ended it.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

SIZE = 1_000_000
COMMANDS = (("check",), ("plan", "--device", "cpu"), ("fmt", "--check"))
STOP = 30
"""CPU seconds after which a command is stopped."""

MODEL = 'model m { source: "builtin:shapes", defaults { num_inference_steps: 2 } }\n'


def lines(line: Callable[[int], str], head: str = "", tail: str = "") -> str:
    """Return `head`, `line(0)`, `line(1)`, ... up to a megabyte, and `tail`."""
    made, length = [head], len(head) + len(tail)
    number = 0
    while length < SIZE:
        made.append(line(number))
        length += len(made[-1])
        number += 1
    return "".join([*made, tail])


def _noise(_: int) -> str:
    return random.Random(1).randbytes(SIZE).decode("latin-1")


def _near(number: int) -> str:
    """Return a name that is near to many others."""
    return "".join("ab"[number >> place & 1] for place in range(20))


SHAPES: dict[str, Callable[[], str]] = {
    "brackets": lambda: "let x = " + "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "groups_deep": lambda: lines(lambda i: f"let x{i} = " + "(" * 90 + "1" + ")" * 90 + "\n"),
    "blocks_deep": lambda: lines(lambda i: "if true { " * 90 + "print 1" + " }" * 90 + "\n"),
    "long_list": lambda: lines(lambda i: f"{i}, ", "let xs = [", "]\n"),
    "long_map": lambda: lines(lambda i: f"k{i}: {i}, ", "let xs = {", "}\n"),
    "long_sum": lambda: lines(lambda i: " + 1", "let x = 1", "\n"),
    "long_minus": lambda: "let x = " + "-" * SIZE + "1\n",
    "long_not": lambda: "let x = " + "not " * (SIZE // 4) + "true\n",
    "long_power": lambda: "let x = 1" + " ** 1" * (SIZE // 5) + "\n",
    "long_members": lambda: "let x = 1" + ".a" * (SIZE // 2) + "\n",
    "long_index": lambda: "let x = [1]\nprint x" + "[0]" * (SIZE // 3) + "\n",
    "long_conditional": lambda: "let x = 1" + " if true else 1" * (SIZE // 15) + "\n",
    "else_ifs": lambda: lines(lambda i: " else if false { print 1 }", "if false { print 0 }", "\n"),
    "lets": lambda: lines(lambda i: f"let x{i} = {i}\n"),
    "let_chain": lambda: lines(lambda i: f"let x{i + 1} = x{i} + 1\n", "let x0 = 0\n"),
    "params": lambda: lines(lambda i: f"param x{i}: int = {i}\n"),
    "defs": lambda: lines(lambda i: f"def f{i}(a, b = 2) = a + b\n"),
    "def_chain": lambda: lines(lambda i: f"def f{i + 1}(a) = f{i}(a)\n", "def f0(a) = a\n", "print 1\n"),
    "tasks": lambda: lines(lambda i: f"task t{i}(a) {{ print a }}\nt{i}(1)\n"),
    "calls": lambda: lines(lambda i: f"f({i})\n", "def f(a) = a\n"),
    "arguments": lambda: lines(lambda i: "1,", "print max(", "1)\n"),
    "named_arguments": lambda: lines(lambda i: f"a{i}=1,", "print max(", "a=1)\n"),
    "parameters": lambda: lines(lambda i: f"a{i}, ", "def f(", "b) = b\nprint f(1)\n"),
    "quantizers": lambda: lines(lambda i: f"quantizer q{i} {{ backend: sdnq, weights_dtype: int8 }}\n"),
    "quantizer_chain": lambda: lines(lambda i: f"quantizer q{i + 1} extends q{i} {{ group_size: {32 << i % 3} }}\n",
                                     "quantizer q0 { backend: sdnq, weights_dtype: int8 }\n"),
    "quantizer_uris": lambda: lines(lambda i: f'quantizer q{i} = "sdnq;type=int8"\n'),
    "models": lambda: lines(lambda i: f'model m{i} {{ source: "builtin:shapes" }}\n'),
    "models_missing": lambda: lines(lambda i: f'model m{i} {{ source: "./none{i}" }}\n'),
    "model_chain": lambda: lines(lambda i: f"model m{i + 1} extends m{i} {{ defaults {{ seed: {i} }} }}\n",
                                 'model m0 { source: "builtin:shapes" }\n'),
    "overrides": lambda: lines(lambda i: f"override m {{ defaults {{ seed: {i} }} }}\n", MODEL),
    "overrides_all": lambda: lines(lambda i: f"override * {{ defaults {{ seed: {i} }} }}\n", MODEL),
    "overrides_all_short": lambda: lines(lambda i: "override * {}\n", MODEL),
    "overrides_of_many": lambda: lines(
        lambda i: "override * {}\n", "".join(f'model m{i} {{ source: "builtin:shapes" }}\n' for i in range(12000))),
    "overrides_empty": lambda: lines(lambda i: "override m {}\n", MODEL),
    "with_chain": lambda: lines(lambda i: f" with {{ defaults {{ seed: {i} }} }}", MODEL + "let n = m", "\n"),
    "with_chain_short": lambda: lines(lambda i: " with {}", MODEL + "let n = m", "\n"),
    "with_lets": lambda: lines(lambda i: f"let m{i + 1} = m{i} with {{ unet {{ dtype: float16 }} }}\n",
                               'model m0 { source: "builtin:shapes" }\n'),
    "settings": lambda: lines(lambda i: f"s{i}: 1\n", "model m {\n", "}\n"),
    "settings_same": lambda: lines(lambda i: "seed: 1\n", MODEL + "generate m {\n", "}\n"),
    "parts": lambda: lines(lambda i: f"p{i} {{ dtype: float32 }}\n", 'model m {\nsource: "builtin:shapes"\n', "}\n"),
    "comments": lambda: lines(lambda i: "# a comment\n"),
    "comment_short": lambda: "#\n" * (SIZE // 2),
    "comments_in_list": lambda: lines(lambda i: "1, #\n", "let x = [\n", "]\n"),
    "newlines": lambda: "\n" * SIZE,
    "semicolons": lambda: ";" * SIZE,
    "separated": lambda: "1;" * (SIZE // 2),
    "continued": lambda: "let x = 1" + " \\\n" * (SIZE // 3) + "\n",
    "long_string": lambda: 'let x = "' + "a" * SIZE + '"\n',
    "long_template": lambda: 'let x = "' + "{{ 1 }}" * (SIZE // 7) + '"\n',
    "templates_99k": lambda: lines(lambda i: f'let y{i} = "' + "{{ 1 }}" * 14000 + f'{i}"\n'),
    "long_text": lambda: 'let x = """\n' + "  a line\n" * (SIZE // 9) + '"""\n',
    "escapes": lambda: 'let x = "' + r"\n" * (SIZE // 2) + '"\n',
    "bad_escapes": lambda: 'let x = "' + r"\q" * (SIZE // 2) + '"\n',
    "strings": lambda: lines(lambda i: f'"s{i}"\n'),
    "open_strings": lambda: lines(lambda i: '"open\n'),
    "open_brackets": lambda: lines(lambda i: "let x = (\n"),
    "closing": lambda: "}" * SIZE,
    "noise": lambda: _noise(0),
    "zeros": lambda: "\0" * SIZE,
    "stray": lambda: "? " * (SIZE // 2),
    "one_line_words": lambda: "a " * (SIZE // 2),
    "words": lambda: "a b\n" * (SIZE // 4),
    "hyphens": lambda: lines(lambda i: "a-b-c: 1\n", "quantizer q {\n", "}\n"),
    "hyphens_one": lambda: "quantizer q { " + "a-" * (SIZE // 2) + "a: 1 }\n",
    "errors": lambda: lines(lambda i: "let = 3\n"),
    "errors_in_block": lambda: lines(lambda i: "let = 3\n", "if true {\n", "}\n"),
    "errors_in_settings": lambda: lines(lambda i: "a = 3\n", "model m {\n", "}\n"),
    "unknown_names": lambda: lines(lambda i: f"print y{i}\n", "".join(f"let x{i} = 1\n" for i in range(30000))),
    "unknown_long": lambda: lines(lambda i: f"print {'y' * 45}{i}\n", "".join(f"let x{i} = 1\n" for i in range(2000))),
    "unknown_longer": lambda: lines(lambda i: f"print {'y' * 900}{i}\n",
                                    "".join(f"let x{i} = 1\n" for i in range(2000))),
    "near_names": lambda: lines(lambda i: f"print {_near(i)}x\n",
                                "".join(f"let {_near(i)} = 1\n" for i in range(15000))),
    "near_members": lambda: lines(lambda i: f"print map_.{_near(i)}x\n",
                                  "let map_ = {" + ", ".join(f"{_near(i)}: 1" for i in range(15000)) + "}\n"),
    "duplicates": lambda: "let x = 1\n" * (SIZE // 10),
    "includes": lambda: lines(lambda i: f'include "none{i}.aqt"\n'),
    "include_same": lambda: lines(lambda i: 'include "odd.aqt"\n'),
    "comprehension_fors": lambda: lines(lambda i: " for x in [1]", "print [1", "]\n"),
    "comprehensions_deep": lambda: lines(lambda i: "print " + "[" * 90 + "1" + " for a in [1]]" * 90 + "\n"),
    "clauses": lambda: lines(lambda i: f", x{i} in [1]", "for x in [1]", " { print 1 }\n"),
    "loop_names": lambda: lines(lambda i: f", x{i}", "for x", " in [[1]] { print 1 }\n"),
    "product": lambda: "for a in 1..10000, b in 1..10000 { let x = a * b }\n" + "# filling\n" * 99000,
    "product_empty": lambda: "for a in 1..10000, b in 1..10000 { }\n",
    "product_nothing": lambda: "for a in 1..1000000, b in [] { }\nfor a in 1..1000000, b in [] { }\n"
                               "for a in 1..1000000, b in [] { }\nfor a in 1..1000000, b in [] { }\n",
    "product_print": lambda: "for a in 1..10000, b in 1..10000 { print a }\n",
    "product_if": lambda: "for a in 1..10000, b in 1..10000 { if a > b and b == 1 { print 1 } }\n",
    "product_template": lambda: 'for a in 1..10000, b in 1..10000 { let x = "{{ a }}-{{ b | string }}" }\n',
    "product_call": lambda: "def f(a, b = 1, c = 2) = a + b\nfor a in 1..10000, b in 1..10000 { let x = f(a, c=1) }\n",
    "product_builtin": lambda: "for a in 1..10000, b in 1..10000 { let x = max(a, b) + len([a]) }\n",
    "product_member": lambda: "let m = {a: {b: 1}}\nfor a in 1..10000, b in 1..10000 { let x = m.a.b }\n",
    "product_comprehension": lambda: "for a in 1..10000 { let x = [b * 2 for b in 1..10000 if b % 2 == 0] }\n",
    "product_generate": lambda: MODEL + 'for a in 1..10000, b in 1..10000 { generate m { prompt: "x", seed: a } }\n',
    "product_generate_new": lambda: MODEL + 'for a in 1..10000, b in 1..10000 '
                                            '{ generate m { prompt: "x {{ a }} {{ b }}", seed: a * 10000 + b } }\n',
    "product_with": lambda: MODEL + "for a in 1..10000, b in 1..10000 { let x = m with { defaults { seed: a } } }\n",
    "product_quantizer": lambda:
        "for a in 1..10000, b in 1..10000 { quantizer q { backend: sdnq, weights_dtype: int8 } }\n",
    "product_random": lambda: 'let xs = ["a", "b"]\nfor a in 1..10000, b in 1..10000 { let x = "{{ xs | random }}" }\n',
    "product_unpack": lambda: "for a in 1..10000, b, c in [[1, 2]] * 10000 { let d = b + c }\n",
    "product_big_values": lambda: "let xs = [1] * 100000\nfor a in 1..100000 { let ys = xs == xs }\n",
    "product_strings": lambda: 'let s = "a" * 900000\nfor a in 1..100000 { let t = s + "b" }\n',
    "product_in": lambda: 'let s = "a" * 900000\nfor a in 1..100000 { let t = ("a" * 1000 + "b") in s }\n',
    "product_power": lambda: "for a in 1..1000000 { let t = (3 ** 2500) ** 1 % 7 }\n",
    "product_sorted": lambda: "let xs = [n * 7919 % 100003 for n in 1..100000]\n"
                              "for a in 1..1000 { let t = sorted(xs) }\n",
    "product_tasks": lambda: "task t(x) { if x { print x } }\nfor a in 1..10000, b in 1..10000 { t(b) }\n",
    "product_grid": lambda: MODEL + 'let r = generate m { prompt: "x", seed: 1, images: 1000 }\n'
                                    'for a in 1..100000 { grid { images: r, output: "{{ a }}.png" } }\n',
    "product_prints": lambda: lines(lambda i: "print " + ", ".join(["x"] * 300) + "\n", 'let x = "a" * 10000\n'),
    "templates": lambda: lines(lambda i: f'"{{{{ {i} }}}}"\n'),
    "templates_names": lambda: lines(lambda i: f'"{{{{ x }}}} {i}"\n', "let x = 1\n"),
    "templates_members": lambda: lines(lambda i: f'"{{{{ x.a }}}} {i}"\n', "let x = {a: 1}\n"),
    "templates_filters": lambda: lines(lambda i: f'"{{{{ x | upper }}}} {i}"\n', 'let x = "a"\n'),
    "templates_sums": lambda: lines(lambda i: f'"{{{{ x + {i} }}}}"\n', "let x = 1\n"),
    "templates_tests": lambda: lines(lambda i: f'"{{% if x %}}{i}{{% endif %}}"\n', "let x = 1\n"),
    "templates_bad": lambda: lines(lambda i: f'"{{{{ {i} + }}}}"\n'),
    "templates_comments": lambda: lines(lambda i: f'"{{# {i} #}}"\n'),
    "generates": lambda: lines(lambda i: f'generate m {{ prompt: "a", seed: {i} }}\n', MODEL),
    "generates_same": lambda: lines(lambda i: 'generate m { prompt: "a", seed: 1 }\n', MODEL),
    "generates_prompts": lambda: lines(lambda i: f'generate m {{ prompt: "p{i}", seed: {i} }}\n', MODEL),
    "saves": lambda: lines(lambda i: f'save m {{ to: "f{i}" }}\n', MODEL),
    "grids": lambda: lines(lambda i: f'grid {{ output: "g{i}.png" }}\n',
                           MODEL + 'generate m { prompt: "a", seed: 1 }\n'),
    "compares": lambda: lines(lambda i: "compare r, r {}\n",
                              MODEL + 'let r = generate m { prompt: "a", seed: 1, images: 10 }\n'),
    "compare_many": lambda: lines(lambda i: ", r",
                                  MODEL + 'let r = generate m { prompt: "a", seed: 1 }\ncompare r', " {}\n"),
    "prints": lambda: lines(lambda i: "print 1\n"),
    "asserts": lambda: lines(lambda i: "assert false\n"),
    "duplicate_outputs": lambda: lines(lambda i: 'generate m { prompt: "a", seed: 1, output: "a.png" }\n', MODEL),
    "carriage_returns": lambda: "let x = 1\r" * (SIZE // 10),
    "tabs": lambda: "\t" * SIZE + "1\n",
    "wide": lambda: "let x = '" + "\N{CJK UNIFIED IDEOGRAPH-4E00}" * (SIZE // 3) + "' y\n",
    "numbers_long": lambda: "print " + "1" * SIZE + "\n",
    "numbers_float": lambda: "print " + "1.0e9" * (SIZE // 5) + "\n",
    "dots": lambda: "print 1" + "." * SIZE + "\n",
    "ranges": lambda: lines(lambda i: "print 1..1000000\n"),
    "quotes": lambda: '"' * SIZE,
    "quotes_single": lambda: "'" * SIZE,
    "backslashes": lambda: "\\" * SIZE,
}  # fmt: skip


def seconds(command: tuple[str, ...], file: Path) -> tuple[float, int, str]:
    """Return the CPU seconds of `command` on `file`, its exit status, and the first line that it wrote of errors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", *command, str(file)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=file.parent, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (STOP, STOP)),
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    first = done.stderr.decode(errors="replace").partition("\n")[0]
    if b"Traceback" in done.stderr:
        first = "TRACEBACK " + first
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.returncode, first


def main() -> None:
    """Print a line for each shape, or for those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=[command[0] for command in COMMANDS], help="a command, for all of them")
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    given = parser.parse_args()
    commands = [command for command in COMMANDS if given.only in (None, command[0])]
    print(f"{'':24}", *(f"{command[0]:>11}" for command in commands))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "odd.aqt")
        for name in given.shapes or SHAPES:
            file.write_text(SHAPES[name](), encoding="utf-8")
            cells, said = [], ""
            for command in commands:
                took, status, first = seconds(command, file)
                cells.append(f"{took:6.1f} ({status:2})")
                said = said or first
            print(f"{name:24}", *(f"{cell:>11}" for cell in cells), said[:90], flush=True)


if __name__ == "__main__":
    main()
