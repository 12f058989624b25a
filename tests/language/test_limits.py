"""Scripts and templates that would run for ever, fill the memory, or reach out: each ends soon, with a reason."""

import random
import resource
import time
from pathlib import Path

import pytest

from aquatint.language import expressions
from aquatint.language.evaluate import Evaluation
from aquatint.source import Source
from aquatint.syntax.parser import parse
from support import cases, scripts

SECONDS = 30.0  # of processor time, on a slow machine; most take less than one

# The codes of the reasons that may be given.
LIMITS = {"too-large", "bad-number", "bad-range", "bad-call", "bad-template", "too-deep"}

HUNGRY_SCRIPTS = {
    "loop": "for i in 1..1_000_000, j in 1..1_000_000 { }",
    "loop-of-lets": "for i in 1..1_000_000, j in 1..1_000_000 { let x = i * j }",
    "comprehension": "let x = [0 for i in 1..1_000_000 for j in 1..1_000_000 if false]",
    "comprehension-of-lists": "let x = [1..1000 for i in 1..1_000_000]",
    "list-of-lists": "let a = [0] * 1_000_000\nlet b = [a] * 1_000_000\nprint b",
    "laughs": "let a = [0] * 1000\nlet b = [a] * 1000\nlet c = [b] * 1000\nlet d = [c] * 1000\nprint d == [d]",
    "texts": 'let a = "x" * 1_000_000\nlet b = [a] * 1_000_000\nprint b',
    "many-texts": 'let b = ["x" * 1_000_000 + str(i) for i in 1..1_000_000]',
    "join": 'print join([1] * 1_000_000, "x" * 1_000_000)',
    "power": "print 2 ** 10 ** 9",
    "powers": "let a = 9 ** 300\nlet b = a * a * a * a * a * a * a * a * a",
    "text": 'print "a" * 10 ** 9',
    "range": "print range(10 ** 12)",
    "product": "print product(1..1000, 1..1000, 1..1000)",
    "prints": "let a = 1..999_999\nfor i in a { print a }",
    "search": "let a = 1..999_999\nfor i in a { let x = i in a }",
    "unique": "let a = [[i, i] for i in 1..100_000]\nfor i in 1..100_000 { let b = unique(a) }",
    "overrides": 'quantizer q { backend: bnb, bits: 4 }\nfor i in 1..1_000_000 { override q { bits: 8 } }',
    "images": 'model m { source: "models/sd" }\nfor i in 1..1_000_000 { generate m { prompt: "a", images: 100_000 } }',
    "templates": 'let a = 1..999_999\nfor i in a { let x = "{{ a | length }}" }',
}  # fmt: skip

HUNGRY_TEMPLATES = {
    "loop": "{% for i in range(10 ** 9) %}{% endfor %}",
    "nested-loops": "{% for i in range(10000) %}{% for j in range(10000) %}{% for k in range(10000) %}{% endfor %}"
                    "{% endfor %}{% endfor %}",
    "multiplication": "{{ 'a' * 10 ** 9 }}",
    "list": "{{ [0] * 10 ** 9 }}",
    "power": "{{ 10 ** 10000000000 }}",
    "doubling": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "doubling-by-plus": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "doubling-by-join": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = [a, a] | join %}" * 40 + "{{ a }}",
    "doubling-lists": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "doubling-by-replace": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a | replace('a', a) %}" * 40 + "{{ a }}",
    "doubling-by-method": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a.replace('a', a) %}" * 40 + "{{ a }}",
    "doubling-by-format": "{% set a = 'aa' %}" + "{% set a = '%s%s' % (a, a) %}" * 40 + "{{ a }}",
    "width-of-format": "{{ '%1000000000d' % 1 }}",
    "width-of-str-format": "{{ '{:1000000000}'.format(1) }}",
    "centre": "{{ 'a' | center(10 ** 9) }}",
    "just": "{{ 'a'.ljust(10 ** 9) }}",
    "indent": "{{ 'a\\nb' | indent(10 ** 9) }}",
    "round": "{{ 1.5 | round(10 ** 9, 'ceil') }}",
    "batch": "{{ [1] | batch(10 ** 9, 0) }}",
    "sum": "{{ [[1]] * 100000 | sum(start=[]) }}",
    "comparisons": "{% set a = [0] * 10000 %}{% for i in range(10000) %}{% if a == a + [] %}{% endif %}{% endfor %}",
    "searches": "{% set a = [0] * 10000 %}{% for i in range(10000) %}{% if 1 in a %}{% endif %}{% endfor %}",
    "tests": "{% set a = [0] * 10000 %}{% for i in range(10000) %}{% if 1 is in(a) %}{% endif %}{% endfor %}",
    "slices": "{% set a = [0] * 10000 %}{% for i in range(10000) %}{% set b = a[1:] %}{% endfor %}",
    "maps": "{% for i in range(10000) %}{{ range(10000) | map('string') | list | length }}{% endfor %}",
    "output": "{% for i in range(9999) %}" + "x" * 1000 + "{% endfor %}",
    "deep": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "deep-lists": "{{ " + "[" * 500 + "]" * 500 + " }}",
    "deep-loops": "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
    "deep-conditions": "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "recursive-loop": "{% for i in [[1]] recursive %}{{ loop(i) }}{% endfor %}",
    "long": "{{ 1 }}" * 20_000,
}  # fmt: skip

REACHING_TEMPLATES = [
    "{{ ''.__class__ }}", "{{ x.__class__ }}", "{{ f.__globals__ }}", "{{ f.__call__ }}", "{{ q.__init__.__code__ }}",
    "{{ ''['__class__'] }}", "{{ x|attr('__class__') }}", "{{ [x]|map(attribute='__class__')|list }}",
    "{{ [x]|selectattr('__class__')|list }}", "{{ [x]|sort(attribute='__class__') }}", "{{ q._value }}",
    "{{ '%s' % q._value }}", "{{ '{0.__class__}'.format(x) }}", "{{ '{0.__class__}'.format_map(m) }}",
    "{{ ''.join.__self__ }}", "{{ loop }}", "{{ self }}", "{{ self._TemplateReference__context }}", "{{ cycler }}",
    "{{ lipsum.__globals__ }}", "{{ namespace }}", "{{ joiner }}", "{{ dict }}", "{{ range.__name__ }}", "{{ config }}",
    "{{ caller() }}", "{{ super() }}", "{{ varargs }}", "{{ environment }}", "{{ context }}", "{{ request }}",
    "{% for i in [1] %}{{ loop.__class__ }}{% endfor %}", "{% for i in [1] %}{{ loop._iterator }}{% endfor %}",
    "{% for i in [1] %}{{ loop }}{% endfor %}", "{% for i in [1] %}{{ loop.cycle }}{% endfor %}", "{{ ''.upper }}",
    "{{ m.keys }}", "{{ m.pop('a') }}", "{{ m.update({}) }}", "{{ [].append(1) }}", "{{ (1).bit_length() }}",
    "{{ 1.0.hex() }}", "{{ x.encode() }}", "{{ x | pprint }}", "{{ x | tojson }}", "{{ x is sameas x }}",
    "{% include 'a' %}", "{% import 'a' as b %}", "{% extends 'a' %}", "{% block a %}{% endblock %}",
    "{% macro a() %}{% endmacro %}", "{% call x() %}{% endcall %}", "{% autoescape true %}{% endautoescape %}",
    "{% do x %}", "{% set q.name = 1 %}", "{% debug %}", "{{ x | filter }}", "{{ '' is filter('upper') }}",
]  # fmt: skip


def bounded(text: str) -> Evaluation:
    """Return the evaluation of `text`, which must be done soon and in little memory."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    evaluation = cases.evaluate(text, cases.options_of(""))
    assert time.process_time() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # KiB
    return evaluation


def quoted(template: str) -> str:
    return 'print "' + template.replace("\\", "\\\\").replace('"', '\\"') + '"\n'


@pytest.mark.parametrize("text", HUNGRY_SCRIPTS.values(), ids=HUNGRY_SCRIPTS)
def test_hungry_scripts_end(models: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "STEP_LIMIT", 100_000)
    found = [item.code for item in bounded(text).diagnostics]
    assert found and set(found) <= LIMITS


@pytest.mark.slow
@pytest.mark.parametrize("text", HUNGRY_SCRIPTS.values(), ids=HUNGRY_SCRIPTS)
def test_hungry_scripts_end_in_bounded_time(models: Path, text: str) -> None:
    found = [item.code for item in bounded(text).diagnostics]
    assert found and set(found) <= LIMITS


@pytest.mark.parametrize("text", HUNGRY_TEMPLATES.values(), ids=HUNGRY_TEMPLATES)
def test_hungry_templates(models: Path, text: str) -> None:
    found = [item.code for item in bounded(quoted(text)).diagnostics]
    assert found and set(found) <= LIMITS


@pytest.mark.parametrize("text", REACHING_TEMPLATES)
def test_templates_reach_nothing(models: Path, text: str) -> None:
    preamble = 'let x = "cat"\nlet f = len\nlet m = { a: 1 }\nquantizer q { backend: bnb, bits: 4 }\n'
    evaluation = bounded(preamble + quoted(text))
    assert [item.code for item in evaluation.diagnostics] in (["bad-template"], ["unknown-name"])
    assert "0x" not in cases.errors(evaluation)


def garbage(kind: str, size: int) -> str:
    """Return about `size` characters of such a text."""
    draw = random.Random(kind)
    match kind:
        case "characters":
            return "".join(map(chr, draw.choices(range(1, 0x2FF), k=size)))
        case "brackets":
            return "".join(draw.choices("()[]{}\n x", k=size))
        case "quotes":
            return "".join(draw.choices("\"'\\\n x", k=size))
        case "words":
            return " ".join(draw.choices(scripts.WORDS, k=size // 5))
        case "mutants":
            return "\n".join(scripts.mutated(draw.choice(scripts.sources()), draw, 2) for _ in range(size // 400))
        case "strays":
            return "? " * (size // 2)
        case "signs":
            return "- " * (size // 2)
        case "list":
            return "print [" + "1, " * (size // 3) + "]"
        case "sum":
            return "print 1" + " + 1" * (size // 4)
        case "settings":
            return "grid {\n" + "a b\n" * (size // 4) + "}"
        case "open":
            return "let a = [\n" * (size // 10)
    raise ValueError(kind)


KINDS = ("characters", "brackets", "quotes", "words", "mutants", "strays", "signs", "list", "sum", "settings", "open")


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_parses_in_bounded_time(kind: str) -> None:
    started = time.process_time()
    parse(Source("garbage.aqt", garbage(kind, 30_000)))
    assert time.process_time() - started < SECONDS / 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_megabyte_of_garbage_parses_in_bounded_time(kind: str) -> None:
    started = time.process_time()
    parse(Source("garbage.aqt", garbage(kind, 1_000_000)))
    assert time.process_time() - started < 4 * SECONDS


def test_many_statements_plan_in_reasonable_time(models: Path) -> None:
    lines = ['model m { source: "models/sd", defaults { num_inference_steps: 20 } }']
    lines += [f'generate m {{ prompt: "picture {n} of {{{{ {n} + 1 }}}}", seed: {n} }}' for n in range(500)]
    evaluation = bounded("\n".join(lines))
    assert cases.errors(evaluation) == ""
