"""What every engine must do, as functions of an engine and a scene.

The torch engine is held to this with a tiny real checkpoint, and a fake engine with whatever it takes for one. A scene
has at least one component with weights, and one of them may ask for quantization.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from PIL.Image import Image

from aquatint.plan.steps import Component
from aquatint.runtime.engine import Engine, EngineError, Form, Generation, Loaded
from support.scenes import Scene, drawn, drawn_together, load


def quiet(done: int, total: int) -> None:
    """Take no notice of a step."""


def picture(engine: Engine, scene: Scene, parts: dict[str, Loaded | None]) -> Image:
    """Return the scene's image, made with a pipeline of its own."""
    return drawn(engine, engine.assemble(scene.pipeline, parts), scene.generation, quiet)


def weighty(scene: Scene) -> list[Component]:
    """Return the components that have weights."""
    return [part for part in scene.components.values() if part is not None and part.dtype is not None]


def it_describes_itself_in_json(engine: Engine, scene: Scene) -> None:
    assert json.loads(json.dumps(engine.describe())) == engine.describe()


def it_tells_of_a_device_with_memory_of_its_own_alone(engine: Engine, scene: Scene) -> None:
    load(engine, scene)
    for told in (engine.device_memory(), engine.device_memory(afresh=True)):
        assert told is None or 0 <= told.now <= told.most


def it_counts_loads_and_quantizations(engine: Engine, scene: Scene) -> None:
    for part in weighty(scene):
        before = replace(engine.counters)
        engine.load(part)
        assert engine.counters.loads == before.loads + 1
        assert engine.counters.quantizations == before.quantizations + (part.quantization is not None)


def a_loaded_component_tells_what_it_came_to(engine: Engine, scene: Scene) -> None:
    for part in weighty(scene):
        loaded = engine.load(part)
        assert loaded.component == part
        assert loaded.bytes > 0
        assert 0 <= loaded.quantized_layers <= loaded.layers
        assert part.quantization is not None or loaded.quantized_layers == 0


def a_call_waits_for_what_is_not_loaded(engine: Engine, scene: Scene) -> None:
    parts = load(engine, scene)
    whole = picture(engine, scene, parts).tobytes()
    for part in weighty(scene):
        engine.release(next(held for held in parts.values() if held is not None and held.component == part))
    waiting = {role: held.component if held and held.component.dtype else held for role, held in parts.items()}
    pipeline = engine.assemble(scene.pipeline, waiting)
    calls = [engine.begin(pipeline, scene.generation, quiet) for _ in range(2)]
    live: list[Loaded] = []
    ended: list[bytes] = []
    for _ in range(50):
        # Both go on with one part, and then it is gone; the next is what the first of them waits for.
        stops = [call.advance() for call in calls]
        ended += [image.tobytes() for stop in stops if isinstance(stop, list) for image in stop]
        waits = [(call, stop) for call, stop in zip(calls, stops, strict=True) if not isinstance(stop, list)]
        for held in live:
            engine.release(held)
        if not waits:
            break
        calls, (stop, *_) = [call for call, _ in waits], [stop for _, stop in waits]
        component = scene.components[stop.role]
        assert component is not None and component.key == stop.key
        live = [engine.load(component)]
    assert ended == [whole, whole]


def what_was_evicted_is_waited_for_and_comes_back_as_it_was(engine: Engine, scene: Scene) -> None:
    parts = load(engine, scene)
    whole = picture(engine, scene, parts).tobytes()
    moved = [held for held in parts.values() if held is not None and held.component.dtype is not None]
    pipeline = engine.assemble(scene.pipeline, parts)
    for held in moved:
        engine.evict(held)
    call = engine.begin(pipeline, scene.generation, quiet)
    assert not isinstance(call.advance(), list)
    for held in moved:
        engine.bring_back(held)
    ended = call.advance()
    assert isinstance(ended, list)
    assert [image.tobytes() for image in ended] == [whole]
    engine.evict(moved[0])
    engine.release(moved[0])


def a_call_makes_an_image_for_each_seed(engine: Engine, scene: Scene) -> None:
    pipeline = engine.assemble(scene.pipeline, load(engine, scene))
    before = engine.counters.images
    own = {"prompt": ["a red cat", "a blue dog", "a red cat"]}
    generation = replace(scene.generation, arguments={**scene.generation.arguments, **own}, seeds=[7, 8, 9])
    told: list[int] = []
    first = drawn_together(engine, pipeline, generation, lambda done, total: told.append(done))
    assert engine.counters.images == before + 3
    assert told == sorted(told) and len(told) == len(set(told)), "a step is told once, for all of them"
    assert len({image.tobytes() for image in first}) == 3
    alone = drawn(engine, pipeline, scene.generation, quiet).tobytes()
    again = drawn_together(engine, pipeline, generation, quiet)
    assert [image.tobytes() for image in again] == [image.tobytes() for image in first]
    assert drawn(engine, pipeline, scene.generation, quiet).tobytes() == alone


def a_call_that_is_given_up_leaves_nothing_behind(engine: Engine, scene: Scene) -> None:
    parts = load(engine, scene)
    whole = picture(engine, scene, parts).tobytes()
    last = weighty(scene)[-1]
    engine.release(next(held for held in parts.values() if held is not None and held.component == last))
    call = engine.begin(engine.assemble(scene.pipeline, parts), scene.generation, quiet)
    assert not isinstance(call.advance(), list)
    call.close()
    call.close()
    assert picture(engine, scene, {**parts, last.role: engine.load(last)}).tobytes() == whole


def measures_are_none_for_a_picture_and_itself(engine: Engine, scene: Scene) -> None:
    made = picture(engine, scene, load(engine, scene))
    other = made.point(lambda value: 255 - value)
    assert engine.measure(made, made, ["mse", "max_error"]) == {"mse": 0.0, "max_error": 0.0}
    assert engine.measure(made, other, ["mse"])["mse"] > 0
    with pytest.raises(EngineError, match="different sizes"):
        engine.measure(made, made.resize((8, 8)), ["mse"])


def an_image_is_rgb_and_counted(engine: Engine, scene: Scene) -> None:
    before = engine.counters.images
    image = picture(engine, scene, load(engine, scene))
    assert isinstance(image, Image)
    assert image.mode == "RGB"
    assert engine.counters.images == before + 1


def the_same_call_gives_the_same_bits(engine: Engine, scene: Scene) -> None:
    parts = load(engine, scene)
    pipeline = engine.assemble(scene.pipeline, parts)
    first, second = (drawn(engine, pipeline, scene.generation, quiet).tobytes() for _ in range(2))
    assert first == second
    assert picture(engine, scene, parts).tobytes() == first
    assert picture(engine, scene, load(engine, scene)).tobytes() == first


def another_seed_gives_another_image(engine: Engine, scene: Scene) -> None:
    pipeline = engine.assemble(scene.pipeline, load(engine, scene))
    other = replace(scene.generation, seeds=[scene.generation.seeds[0] + 1])
    first = drawn(engine, pipeline, scene.generation, quiet)
    assert drawn(engine, pipeline, other, quiet).tobytes() != first.tobytes()


def an_image_in_between_changes_nothing(engine: Engine, scene: Scene) -> None:
    parts = load(engine, scene)
    one, other = engine.assemble(scene.pipeline, parts), engine.assemble(scene.pipeline, parts)
    first = drawn(engine, one, scene.generation, quiet).tobytes()
    drawn(engine, other, replace(scene.generation, seeds=[99]), quiet)
    drawn(engine, one, replace(scene.generation, seeds=[98]), quiet)
    assert drawn(engine, one, scene.generation, quiet).tobytes() == first


def steps_are_reported_in_order(engine: Engine, scene: Scene) -> None:
    told: list[tuple[int, int]] = []
    pipeline = engine.assemble(scene.pipeline, load(engine, scene))
    drawn(engine, pipeline, scene.generation, lambda done, total: told.append((done, total)))
    assert told
    assert told == [(number + 1, told[0][1]) for number in range(told[0][1])]


def an_error_of_the_listener_passes_and_leaves_nothing(engine: Engine, scene: Scene) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    pipeline = engine.assemble(scene.pipeline, load(engine, scene))
    first = drawn(engine, pipeline, scene.generation, quiet).tobytes()
    with pytest.raises(Stop):
        drawn(engine, pipeline, scene.generation, stop)
    assert drawn(engine, pipeline, scene.generation, quiet).tobytes() == first


def the_call_arguments_are_left_alone(engine: Engine, scene: Scene) -> None:
    arguments = dict(scene.generation.arguments)
    generation = Generation(arguments, scene.generation.seeds)
    drawn(engine, engine.assemble(scene.pipeline, load(engine, scene)), generation, quiet)
    assert arguments == scene.generation.arguments


def saving_writes_what_was_asked_for_and_changes_nothing(engine: Engine, scene: Scene) -> None:
    parts = load(engine, scene)
    pipeline = engine.assemble(scene.pipeline, parts)
    first = drawn(engine, pipeline, scene.generation, quiet).tobytes()
    before = replace(engine.counters)
    role = weighty(scene)[0].role
    with TemporaryDirectory() as all, TemporaryDirectory() as some:
        engine.save(scene.pipeline, parts, Path(all), Form())
        engine.save(scene.pipeline, {role: parts[role]}, Path(some), Form(roles=[role]))
        there = {role for role, part in parts.items() if part is not None}
        assert {path.name for path in Path(all).iterdir()} == {*there, "model_index.json"}
        assert [path.name for path in Path(some).iterdir()] == [role]
    assert engine.counters == before
    assert drawn(engine, pipeline, scene.generation, quiet).tobytes() == first
    assert picture(engine, scene, parts).tobytes() == first


def release_is_counted_and_a_new_load_gives_the_same(engine: Engine, scene: Scene) -> None:
    parts = load(engine, scene)
    first = picture(engine, scene, parts).tobytes()
    before = engine.counters.releases
    for part in parts.values():
        if part is not None:
            engine.release(part)
    assert engine.counters.releases == before + sum(part is not None for part in parts.values())
    assert picture(engine, scene, load(engine, scene)).tobytes() == first


def what_cannot_be_loaded_is_an_engine_error(engine: Engine, scene: Scene) -> None:
    lost = msgspec.structs.replace(weighty(scene)[0], source="/no/such/folder", key="lost")
    with pytest.raises(EngineError) as error:
        engine.load(lost)
    assert str(error.value)
    assert "Traceback" not in str(error.value)


CONTRACT: tuple[Callable[[Engine, Scene], None], ...] = (
    it_describes_itself_in_json,
    it_tells_of_a_device_with_memory_of_its_own_alone,
    it_counts_loads_and_quantizations,
    a_loaded_component_tells_what_it_came_to,
    an_image_is_rgb_and_counted,
    a_call_waits_for_what_is_not_loaded,
    what_was_evicted_is_waited_for_and_comes_back_as_it_was,
    a_call_makes_an_image_for_each_seed,
    a_call_that_is_given_up_leaves_nothing_behind,
    measures_are_none_for_a_picture_and_itself,
    the_same_call_gives_the_same_bits,
    another_seed_gives_another_image,
    an_image_in_between_changes_nothing,
    steps_are_reported_in_order,
    an_error_of_the_listener_passes_and_leaves_nothing,
    the_call_arguments_are_left_alone,
    saving_writes_what_was_asked_for_and_changes_nothing,
    release_is_counted_and_a_new_load_gives_the_same,
    what_cannot_be_loaded_is_an_engine_error,
)
