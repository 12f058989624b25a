"""Lets upscalers rewrite prompts, as `upscale` steps ask for."""

from __future__ import annotations

from aquatint.plan.steps import TextRef, Upscale
from aquatint.plan.uses import uses
from aquatint.runtime.engine import Rewriting, Rewritten
from aquatint.runtime.events import PromptsRewritten, RewriteStarted
from aquatint.runtime.ladder import Ladder
from aquatint.runtime.rewrites import Origin
from aquatint.runtime.run import Run
from aquatint.runtime.steps.loads import Loads


def upscale(run: Run, loads: Loads, ladder: Ladder, step: Upscale) -> None:
    """Yield the strings of `step`."""
    if run.is_settled(step) or loads.skips(step) or run.lacks_a_value(step):
        return
    prompts = [run.yielded.line(prompt) for prompt in step.prompts]
    asked = Rewriting(step.upscaler.options, prompts, step.variations, step.seed)

    def rewrite() -> Rewritten:
        loads.bring(step)
        return run.engine.rewrite(step.upscaler, loads.parts(step), asked)

    run.account.emit(RewriteStarted(step.id, step.upscaler.name, len(prompts) * step.variations))
    started = run.options.clock()
    doing = f"rewriting prompts with `{step.upscaler.name}`"
    try:
        loads.count_reuses(step)
        made = ladder.with_less(step, doing, rewrite)
    except Exception as error:
        run.account.fail(step, error, doing, [])
        return
    for warning in made.warnings:
        run.account.warn(step.id, warning)
    parts = {role: run.plan.components[key] for role, key in uses(step, run.plan.pipelines).items()}
    for index, text in enumerate(made.texts):
        number, variation = divmod(index, step.variations)
        origin = Origin(step.prompts[number], step.upscaler, step.seed, variation, parts)
        run.yielded.keep_text(TextRef(step.id, index), text, origin)
    written = [prompt for prompt in prompts for _ in range(step.variations)]
    run.account.emit(
        PromptsRewritten(step.id, step.upscaler.name, written, list(made.texts), run.options.clock() - started)
    )
