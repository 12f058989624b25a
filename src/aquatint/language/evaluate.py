"""From a script's statements to a plan: binds names, runs loops, and collects every mistake on the way.

Total and without effects: a script's evaluation always ends, and what it depends on comes in through `World`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from aquatint.catalog.models import RESERVED_PARTS
from aquatint.catalog.prompt_plugins import Kind
from aquatint.catalog.tasks import together
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language.blocks import Blocks
from aquatint.language.builtins import prelude
from aquatint.language.check import check, report_too_deep
from aquatint.language.comparing import Comparing
from aquatint.language.deferred import pieces
from aquatint.language.draws import Draws
from aquatint.language.expressions import BLOCK_STEPS, PRINT_STEPS, Expressions, TooManySteps
from aquatint.language.generating import IMAGE_LIMIT, Generating
from aquatint.language.grids import Grids
from aquatint.language.includes import Includes
from aquatint.language.names import report_reserved_name
from aquatint.language.outputs import OutputNames
from aquatint.language.outside import Outside
from aquatint.language.parameters import ParameterError, read_parameter
from aquatint.language.places import place_of
from aquatint.language.prompting import Prompting
from aquatint.language.reading import READERS
from aquatint.language.resolution import Resolver
from aquatint.language.saving import Saving
from aquatint.language.scope import Scope
from aquatint.language.sources import Lack
from aquatint.language.values import (
    UNKNOWN,
    Layer,
    Model,
    Module,
    Prompter,
    Quantizer,
    Routine,
    Unknown,
    shown,
    type_name,
    weight,
)
from aquatint.language.why import Statement
from aquatint.language.world import Given, Memory, World
from aquatint.plan.builder import PlanBuilder
from aquatint.plan.render import sized
from aquatint.plan.schedule import Shortfall
from aquatint.plan.steps import Plan
from aquatint.plan.texts import text_of
from aquatint.source import Span
from aquatint.syntax import nodes as n

__all__ = ["Evaluation", "Interpreter", "Standing"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A plan, unless there were errors; `values` are those of the expressions that stood alone.

    `idle` are the places of the lists that loops went over and that were empty every time, `lacks` what there is no
    plan for want of: those of the mistakes that are about what wasn't fetched yet.
    """

    plan: Plan | None
    diagnostics: Diagnostics
    values: tuple[Any, ...] = ()
    idle: frozenset[Span] = frozenset()
    lacks: tuple[Lack, ...] = ()


SESSION_IMAGES = 10_000
"""How many images of earlier scripts a `grid` that names none can have."""


@dataclass(slots=True)
class Standing:
    """What lasts from one script of a session to the next."""

    scope: Scope
    images: list[Any] = field(default_factory=list)
    steps: int = 0
    parameters: set[str] = field(default_factory=set)


class Interpreter:
    """Evaluates the scripts of one session: names that one binds are there for the next."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._prelude = prelude(READERS)
        self._session = Standing(Scope(self._prelude))

    def _beside(self, device: str) -> int | None:
        """Return the bytes that may be taken of a device that the plan isn't for, None for any amount."""
        memory = self.world.memory_beside(device)
        return None if memory is None else memory.limit

    def names(self) -> list[str]:
        """Return the names that a script can use now, for completion."""
        return sorted(set(self._session.scope.visible()))

    def standing(self) -> Standing:
        """Return what is bound and made now, to `return_to`."""
        return self._session

    def return_to(self, standing: Standing, *, ran: bool) -> None:
        """Let names and images be those of `standing` again.

        What came since was carried out if it `ran`: its steps still count then, for what they made keeps its ids.
        """
        self._session = replace(standing, steps=self._session.steps) if ran else standing

    def find(self, name: str) -> Any:
        """Return what `name` stands for, None if it is not bound."""
        binding = self._session.scope.find(name)
        return None if binding is None else binding.value

    def own_names(self) -> list[str]:
        """Return the names that the session's scripts have bound."""
        return sorted(self._session.scope.names)

    def evaluate(
        self,
        script: n.Script,
        diagnostics: Diagnostics,
        *,
        keep: bool = False,
        told: list[Statement] | None = None,
        running: bool = False,
    ) -> Evaluation:
        """Return the plan of `script`. `diagnostics` are those of its syntax, to which the script's are added.

        With `keep` the plan releases nothing at its end, for the scripts that follow. After an error nothing that the
        script bound lasts. `told` gets the statements that became steps, for `why`. What can only be planned is an
        error where the plan is made for `running`.
        """
        session = self._session
        prelude = Scope(self._prelude)
        for name in script.lost:
            # Reported where it stands; what comes of it is not.
            prelude.bind(name.text, UNKNOWN, name.span)
        scope = session.scope.continued(prelude if script.lost else self._prelude)
        run = _Run(self.world, script, scope, diagnostics, session, self._prelude)
        run.generating.told = run.saving.told = told
        run.prompting.running = run.generating.running = running
        try:
            check(script, scope, diagnostics, run.includes, self._prelude, run.expressions)
            run.statements(script.statements, scope)
        except TooManySteps as stop:
            message = f"the script takes more than {run.expressions.step_limit:,} steps to evaluate"
            diagnostics.error("too-large", message, stop.span,
                              help="make several scripts of it, or allow more with `--limit`")  # fmt: skip
        run.finish()
        if diagnostics.has_errors:
            return Evaluation(None, diagnostics, lacks=(*run.resolver.sources.lacks, *run.generating.pictures.lacks))
        memory = self.world.memory
        plan, shortfall = run.builder.plan(
            script=script.source.name, inputs=run.inputs(), plan_seed=self.world.plan_seed,
            device=self.world.device, keep=keep, order=self.world.order, memory=memory.limit if memory else None,
            host=memory.host if memory else None, program=memory.program if memory else 0, beside=self._beside,
        )  # fmt: skip
        if shortfall is not None:
            own = memory if shortfall.device == self.world.device else self.world.memory_beside(shortfall.device)
            assert own is not None
            _report_shortfall(shortfall, own, self.world.device, run.builder.spans[shortfall.step], diagnostics)
        run.resolver.tokens.report(plan, diagnostics)
        if not diagnostics.has_errors:
            self._session = Standing(scope, run.generating.made[-SESSION_IMAGES:], run.builder.made, run.parameters)
        idle = frozenset(place for place, held in run.expressions.held.items() if not held)
        return Evaluation(None if diagnostics.has_errors else plan, diagnostics, tuple(run.values), idle)


class _Run:
    """The evaluation of one script."""

    def __init__(
        self, world: World, script: n.Script, scope: Scope, diagnostics: Diagnostics, session: Standing, prelude: Scope
    ) -> None:
        self.world = world
        self.source = script.source
        self.diagnostics = diagnostics
        self.prelude = prelude
        self.includes = Includes(world, diagnostics, script)
        self.including = [script]
        self.builder = PlanBuilder(made=session.steps)
        self.draws = Draws(world.plan_seed, session.steps)
        self.draws.add(script)
        self.outside = Outside(world)
        self.expressions = Expressions(diagnostics, self.draws, self, self.outside, world.limit)
        self.blocks = Blocks(world, diagnostics, self.expressions)
        self.resolver = Resolver(world, diagnostics)
        outputs = OutputNames(diagnostics, world.output_folder)
        self.generating = Generating(
            diagnostics, self.blocks, self.resolver, self.builder, outputs, self.outside, int(IMAGE_LIMIT * world.limit)
        )
        self.generating.made = list(session.images)
        self.prompting = Prompting(diagnostics, self.blocks, self.resolver, self.builder)
        self.comparing = Comparing(diagnostics, self.blocks, self.builder, outputs)
        self.grids = Grids(diagnostics, self.blocks, self.builder, outputs)
        self.saving = Saving(diagnostics, self.blocks, self.resolver, self.builder, outputs.claim)
        self.outermost = scope
        self.of_session = session.scope.names
        self.since = 0  # images there were when the innermost block began
        self.values: list[Any] = []
        self.alone: n.Expression | None = None  # the one that is the statement that is carried out
        self.parameters = set(session.parameters)
        self.given: dict[str, str] = {}

    def inputs(self) -> dict[str, str]:
        """Return what the plan was made from: the scripts' hashes, the parameters' values, and what it saw outside."""
        included = {f"include {name}": hash for name, hash in sorted(self.includes.hashes.items())}
        script = hashlib.sha256(self.source.text.encode("utf-8", "surrogatepass")).hexdigest()
        return {"script": script, **included, **self.given, **self.outside.inputs}

    def finish(self) -> None:
        """Report parameters that were given and are not the script's."""
        if self.diagnostics.has_errors:
            return
        for name, given in self.world.parameters.items():
            if name not in self.parameters:
                at = given.span if isinstance(given, Given) else None
                self.diagnostics.error("unknown-parameter", f"the script has no parameter `{name}`", at,
                                       help=did_you_mean(name, self.parameters, "parameters"))  # fmt: skip

    def statements(self, statements: tuple[n.Statement, ...], scope: Scope) -> None:
        for statement in statements:
            try:
                self.statement(statement, scope)
            except RecursionError:
                report_too_deep(statement, self.diagnostics)

    def statement(self, node: n.Statement, scope: Scope) -> None:
        self.expressions.spend(1, node.span)
        match node:
            case n.Let():
                self._let(node, scope)
            case n.Param():
                self._param(node, scope)
            case n.Declare():
                self._declare(node, scope)
            case n.Derive():
                self._derive(node, scope)
            case n.Override():
                self._override(node, scope)
            case n.Loop():
                for inner in self.expressions.iterate(node.clauses, scope):
                    self._body(node.body, inner)
            case n.Branch():
                self._branch(node, scope)
            case n.Show():
                values = [self.expressions.value(value, scope) for value in node.values]
                self.expressions.spend(PRINT_STEPS + sum(map(weight, values)), node.span)
                if not any(value is UNKNOWN for value in values):
                    parts = [part for value in values for part in (" ", *pieces(value))][1:]
                    self.builder.print(text_of(parts), place_of(node.span))
            case n.Claim():
                self._claim(node, scope)
            case n.Value():
                self.alone = node.value
                self.values.append(self.expressions.alone(node.value, scope))
            case n.Function():
                self._define(node, node.value, scope)
            case n.Procedure():
                self._define(node, node.body, scope)
            case n.Include():
                self._include(node, scope)
            case _:
                assert_never(node)

    def perform(self, body: n.Body, scope: Scope) -> None:
        """Carry out the statements of a block, whose names are its own."""
        self._body(body, scope)

    def _body(self, body: n.Body, scope: Scope) -> None:
        since, self.since = self.since, len(self.generating.made)
        self.statements(body.statements, Scope(scope))
        self.since = since

    def _bind(self, name: n.Word, value: Any, scope: Scope) -> None:
        known = scope.names.get(name.text)
        report_reserved_name(name, scope, self.diagnostics)
        if (
            known is not None
            and known.span is not None
            and not known.overridden
            # A file that is included on two ways binds the same.
            and known.span != name.span
            # Of an earlier line of the REPL: binding it anew is what one does there.
            and not (scope is self.outermost and known is self.of_session.get(name.text))
        ):
            self.diagnostics.error(
                "duplicate-name",
                f"`{name.text}` is bound in this block already",
                name.span,
                labels=(Label(known.span, "here"),),
                help="choose another name; values never change",
            )
        scope.bind(name.text, value, name.span)

    def _let(self, node: n.Let, scope: Scope) -> None:
        value = self.expressions.value(node.value, scope)
        if len(node.names) == 1:
            self._bind(node.names[0], value, scope)
            return
        inner = Scope()
        self.expressions.unpack(node.names, value, inner, node.value.span)
        for name in node.names:
            self._bind(name, inner.names[name.text].value, scope)

    def _param(self, node: n.Param, scope: Scope) -> None:
        name = node.name.text
        self.parameters.add(name)
        if scope is not self.outermost:
            self.diagnostics.error("misplaced-param", "`param` stands outside of all blocks", node.span,
                                   help="move it to the top of the script")  # fmt: skip
        default = self.expressions.value(node.default, scope) if node.default is not None else None
        given = self.world.parameters.get(name)
        try:
            value = read_parameter(node, default, given, self.world.folder)
        except ParameterError as error:
            self.diagnostics.error(
                error.code, error.message, error.span or node.name.span, help=error.help, labels=error.labels
            )
            value = UNKNOWN
        if given is not None:
            self.given[f"param {name}"] = shown(given.value) if isinstance(given, Given) else given
        self._bind(node.name, value, scope)

    def _define(self, node: n.Function | n.Procedure, body: n.Expression | n.Body, scope: Scope) -> None:
        """Bind what `def` or `task` makes."""
        names = tuple(parameter.name.text for parameter in node.parameters)
        defaults = {
            parameter.name.text: self.expressions.value(parameter.default, scope)
            for parameter in node.parameters if parameter.default is not None
        }  # fmt: skip
        signature = f"({', '.join(parameter.span.text for parameter in node.parameters)})"
        around = scope.as_it_stands()
        # `check` says of a call of itself that there is none.
        around.bind(node.name.text, UNKNOWN, node.name.span)
        routine = Routine(node.name.text, node.name.span, names, defaults, body, around, signature)
        self._bind(node.name, routine, scope)

    def _include(self, node: n.Include, scope: Scope) -> None:
        """Carry out another file's statements, which see none of this one's names, and bind the names that it binds."""
        script = self.includes.script(node)
        inner = Scope(self.prelude)
        if script is None or script in self.including:
            inner.is_open = True  # `check` or `includes` has said why
        else:
            for lost in script.lost:
                inner.bind(lost.text, UNKNOWN, lost.span)
            self.draws.add(script)
            outermost, self.outermost = self.outermost, inner
            turn, self.expressions.turn = self.expressions.turn, (*self.expressions.turn, self.draws.way(node))
            self.including.append(script)
            with self.diagnostics.through(Label(node.path.span, "included here")):
                self.statements(script.statements, inner)
            self.including.pop()
            self.outermost, self.expressions.turn = outermost, turn
        if node.alias is not None:
            names = {name: binding.value for name, binding in inner.names.items() if not binding.overridden}
            self._bind(node.alias, UNKNOWN if inner.is_open else Module(node.alias.text, names), scope)
            return
        scope.is_open = scope.is_open or inner.is_open
        for name, binding in inner.names.items():
            if not binding.overridden and binding.span is not None:
                self._bind(n.Word(binding.span, name), binding.value, scope)

    def _declare(self, node: n.Declare, scope: Scope) -> None:
        self.expressions.spend(BLOCK_STEPS, node.noun.span)
        base = self._base(node, scope)
        value: Any = UNKNOWN
        if node.noun.text == "quantizer":
            if base is not UNKNOWN:
                value = self.blocks.quantizer(node.name.text, node.block, base, scope, node.name.span, "quantizer")
        elif node.noun.text == "model" and base is not UNKNOWN:
            made = self.blocks.model(node.name.text, node.block, base, scope, node.name.span, "model")
            value = self._judged(made, node.block, base)
        elif base is not UNKNOWN:
            value = self.prompting.prompter(
                _kind(node.noun), node.name.text, node.block, base, scope, node.name.span, "model"
            )
        self._bind(node.name, value, scope)

    def _base(self, node: n.Declare, scope: Scope) -> Any:
        """Return the value that a declaration extends, None if there is none."""
        if node.base is None:
            return None
        value = self.expressions.value(n.Reference(node.base.span, node.base.text), scope)
        if value is UNKNOWN or _noun(value) == node.noun.text:
            return value
        return self.expressions.error(
            "wrong-type", f"{_article(node.noun.text)} can't extend {type_name(value)}", node.base.span
        )

    def _derive(self, node: n.Derive, scope: Scope) -> None:
        value = self.expressions.value(node.value, scope)
        if node.noun.text == "quantizer":
            value = self.blocks.quantizer_value(value, node.value.span)
            if isinstance(value, Quantizer):
                value = replace(value, name=node.name.text)
            self._bind(node.name, value, scope)
            return
        if node.noun.text != "model":
            value = self.blocks.prompter_value(_kind(node.noun), value, node.value.span)
        if value is not UNKNOWN and _noun(value) != node.noun.text:
            message = f"{_article(node.noun.text)} can't be {type_name(value)}"
            value = self.expressions.error("wrong-type", message, node.value.span)
        elif isinstance(value, Model):
            value = replace(value, name=node.name.text, span=node.name.span)
        elif isinstance(value, Prompter):
            value = replace(value, name=node.name.text)
        self._bind(node.name, value, scope)

    def _judged(self, model: Model, block: n.Block, base: Model | None) -> Any:
        """Return `model`, made of `base` by `block`, as sound if its checkpoint and its defaults bear it out."""
        # What is wrong with a model of one with mistakes may be what was wrong before.
        is_first = base is None or base.is_sound
        if is_first and model.settings.get("source") is None and self.diagnostics.any_within(block.span):
            return UNKNOWN  # perhaps it is what could not be read, or is misspelt
        resolved = self.resolver.resolve(model) if is_first else None
        info = None
        if resolved is not None:
            info = together(resolved.info.name, resolved.roles)
        elif (sketch := self.resolver.sketch(model)) is not None:
            info = together(sketch.info.name, sketch.roles)
        _, sound = self.blocks.arguments(self.generating.pictures.read(model.defaults, info), info)
        return model if sound and resolved is not None else replace(model, is_sound=False)

    def _override(self, node: n.Override, scope: Scope) -> None:
        if node.name is None:
            self._override_all(node, scope)
            return
        self.expressions.spend(BLOCK_STEPS, node.name.span)
        value = self.expressions.value(n.Reference(node.name.span, node.name.text), scope)
        made = self._changed(value, node.block, scope, node.name.span, "override")
        scope.override(node.name.text, made)

    def _override_all(self, node: n.Override, scope: Scope) -> None:
        """Override every model that is visible; a submodule that only some have is overridden in those."""
        names = dict.fromkeys(scope.visible(of_language=False))
        self.expressions.spend(len(names), node.span)
        models = {
            name: found.value for name in names
            if (found := scope.find(name)) is not None and isinstance(found.value, Model)
        }  # fmt: skip
        if not models and not self.diagnostics.has_errors:
            message = "there is no model here that `override *` could change"
            self.diagnostics.error("nothing-to-override", message, node.span,
                                   help="it stands after the models, in their block or an inner one")  # fmt: skip
        roles: dict[str, set[str]] = {}
        for name, model in models.items():
            self.expressions.spend(BLOCK_STEPS, node.span)
            resolved = self.resolver.resolve(model)
            roles[name] = set() if resolved is None else set(resolved.pipeline.parts)
        anywhere = set().union(*roles.values())
        for name, model in models.items():
            others = anywhere - roles[name] - RESERVED_PARTS
            items = tuple(item for item in node.block.items if item.name.text not in others)
            block = n.Block(node.block.span, items)
            scope.override(name, self._changed(model, block, scope, node.block.span, "override"))

    def derive(self, node: n.Derived, scope: Scope) -> Any:
        """Return `base with { ... }`."""
        return self._changed(self.expressions.value(node.base, scope), node.block, scope, node.base.span, "with")

    def _changed(self, value: Any, block: n.Block, scope: Scope, at: Span, layer: Layer) -> Any:
        match value:
            case Model():
                return self._judged(self.blocks.model(value.name, block, value, scope, at, layer), block, value)
            case Quantizer():
                made = self.blocks.quantizer(value.name, block, value, scope, at, layer)
                return made if isinstance(made, Unknown) else made.renamed(value)
            case Prompter():
                return self.prompting.prompter(value.plugin.kind, value.name, block, value, scope, at, layer)
        if value is UNKNOWN:
            return UNKNOWN
        return self.expressions.error(
            "wrong-type",
            f"`{layer}` changes a model, a quantizer, an upscaler or a weighter, not {type_name(value)}",
            at,
        )

    def _branch(self, node: n.Branch, scope: Scope) -> None:
        for condition, body in node.cases:
            holds = self.expressions.truth(condition, scope)
            if holds is None:
                return
            if holds:
                self._body(body, scope)
                return
        if node.otherwise is not None:
            self._body(node.otherwise, scope)

    def _claim(self, node: n.Claim, scope: Scope) -> None:
        holds = self.expressions.truth(node.condition, scope)
        if holds is False:
            message = self.expressions.value(node.message, scope) if node.message is not None else None
            text = shown(message) if message is not None and message is not UNKNOWN else "this does not hold"
            self.diagnostics.error("assertion-failed", f"assertion failed: {text}", node.condition.span)

    def act(self, node: n.Action, scope: Scope) -> Any:
        """Carry out a verb."""
        targets = [self.expressions.value(target, scope) for target in node.targets]
        match node.verb.text:
            case "generate":
                return self.generating.generate(node, targets[0], scope)
            case "upscale":
                return self.prompting.upscale(node, targets[0], scope)
            case "compare":
                return self.comparing.compare(node, targets, scope, printed=node is self.alone)
            case "grid":
                return self.grids.grid(node, scope, self.generating.made[self.since :])
            case "save":
                return self.saving.save(node, targets[0], scope)
        raise AssertionError(node.verb.text)


def _report_shortfall(shortfall: Shortfall, memory: Memory, device: str, span: Span, diagnostics: Diagnostics) -> None:
    """Say that a statement doesn't fit: an error if somebody has said what there is and it is known, else a warning.

    `device` is what the plan is for.
    """
    may = "may need about" if shortfall.is_estimated else "needs"
    beside = f", {sized(memory.program)} of it for the program itself" if memory.program else ""
    free = " free" if memory.is_measured else ""
    where = "" if shortfall.device == device else f" on `{shortfall.device}`"
    message = (
        f"this {may} {sized(shortfall.needed)} at a time{where}{beside}, and there are {sized(memory.limit)}{free}"
    )
    help = "take a quantizer of fewer bits, or a smaller model"
    if shortfall.is_estimated:
        help += ", or make smaller pictures; it is tried all the same"
    if memory.is_measured or shortfall.is_estimated:
        diagnostics.warning("too-little-memory", message, span, help=help)
    else:
        diagnostics.error("too-little-memory", message, span, help=f"{help}; `--memory` says how much there is")


def _noun(value: Any) -> str | None:
    """Return the noun by which a script declares such a value."""
    match value:
        case Quantizer():
            return "quantizer"
        case Model():
            return "model"
        case Prompter():
            return value.plugin.kind
    return None


def _kind(noun: n.Word) -> Kind:
    return "upscaler" if noun.text == "upscaler" else "weighter"


def _article(noun: str) -> str:
    return f"an {noun}" if noun == "upscaler" else f"a {noun}"
